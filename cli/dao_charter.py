"""A charter's settings by name: as a proposal changes them, and what changed in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import typer

from cli.people import address_option
from cli.quantities import basis_points_from, duration_text, percent_text, seconds_from
from vault.charter import Charter, Voting
from vault.plain_text import counted
from vault.roll import Roll
from vault.signing import address_text

MEMBERS_SHOWN: Final = 20
EXTENSION_S: Final = 6 * 3600
WEIGHT_END: Final = 1 << 256
COUNTED_BY: Final = ("roll", "members", "weights_root", "total_weight")
COUNT_DIGITS_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing a charter says, how a person writes it, and how it reads."""

    name: str
    part: Literal["", "voting", "window"]  # of the charter
    field: str
    read: Callable[[str], Any]
    text: Callable[[Any], str]

    def value(self, charter: Charter) -> Any:
        """Return what a charter says of it."""
        return getattr(getattr(charter, self.part) if self.part else charter, self.field)

    def in_words(self, charter: Charter) -> str:
        """Return what a charter says of it, as a person writes it."""
        return self.text(self.value(charter))


def wait_from(text: str) -> int:
    """Return the seconds of a duration, or 0 for `0` and `0s`."""
    return 0 if text.strip() in ("0", "0s") else seconds_from(text)


def wait_text(seconds: int) -> str:
    """Return seconds as `wait_from` reads them."""
    return duration_text(seconds) if seconds else "0s"


def count_from(given: str) -> int:
    """Return a whole number of 0 or more, in digits alone."""
    body = given.strip()
    if not (body.isascii() and body.isdigit() and len(body) <= COUNT_DIGITS_MAX):
        raise typer.BadParameter(f"{given[:80]!r} is not a whole number of 0 or more")
    return int(body)


def weight_from(given: str) -> bytes:
    """Return a voting weight as a charter holds it."""
    body = given.strip()
    if not (body.isascii() and body.isdigit() and len(body) <= len(str(WEIGHT_END)) and int(body) < WEIGHT_END):
        raise typer.BadParameter(f"{given[:80]!r} is not a voting weight; write a whole number in digits alone")
    return int(body).to_bytes(32, "big")


def weight_text(weight: bytes) -> str:
    """Return a voting weight in digits."""
    return str(int.from_bytes(weight, "big"))


def _voting(
    name: str, field: str, read: Callable[[str], Any] = wait_from, text: Callable[[Any], str] = wait_text
) -> Setting:
    return Setting(name=name, part="voting", field=field, read=read, text=text)


def _window(name: str, field: str) -> Setting:
    return Setting(name=name, part="window", field=field, read=count_from, text=str)


SETTINGS: Final = (
    Setting(name="name", part="", field="name", read=str, text=str),
    _voting("quorum", "quorum_bps", basis_points_from, percent_text),
    _voting("threshold", "threshold_bps", basis_points_from, percent_text),
    _voting("voting-delay", "delay_s"),
    _voting("voting-period", "period_s"),
    _voting("extension", "extension_s"),
    _voting("round", "round_s"),
    _voting("timelock", "timelock_s"),
    _voting("proposal-weight", "proposal_weight", weight_from, weight_text),
    _voting("proposals-per-day", "proposals_per_day", count_from, str),
    _voting("delegations-every", "delegations_every_s"),
    Setting(name="lease", part="", field="lease_s", read=seconds_from, text=duration_text),
    _window("window-entries", "entries"),
    _window("window-passages", "passages"),
    _window("window-spend", "spend"),
    Setting(name="guardian-signatures", part="", field="guardian_signatures", read=count_from, text=str),
    Setting(name="treasury", part="", field="treasury", read=address_option, text=address_text),
)
BY_NAME: Final[Mapping[str, Setting]] = {setting.name: setting for setting in SETTINGS}


def pairs_from(everything: Iterable[str]) -> dict[str, str]:
    """Return values by setting from `NAME=VALUE` words."""
    pairs: dict[str, str] = {}
    for given in everything:
        name, equals, value = given.partition("=")
        name = name.strip().replace("_", "-")
        if not equals or name not in BY_NAME:
            raise typer.BadParameter(f"{given[:80]!r} sets nothing; write NAME=VALUE with one of {', '.join(BY_NAME)}")
        if name in pairs:
            raise typer.BadParameter(f"{name} is set twice")
        pairs[name] = value
    return pairs


def voting_from(pairs: Mapping[str, str | None]) -> Voting:
    """Return how a DAO decides, from every setting of its voting.

    Where the extension is None, it is `EXTENSION_S`, or the voting period if that is shorter.
    """
    fields = {BY_NAME[name].field: _read(BY_NAME[name], text) for name, text in pairs.items() if text is not None}
    return Voting(**{"extension_s": min(EXTENSION_S, fields["period_s"])} | fields)


def rewritten(
    charter: Charter, pairs: Mapping[str, str], *, roll: Roll | None = None, guardians: tuple[bytes, ...] | None = None
) -> Charter:
    """Return a charter with these settings, members and guardians in place of its own.

    Where guardians change and nothing is said of their signatures, more than half of them act together.
    """
    parts: dict[str, dict[str, Any]] = {"": {}, "voting": {}, "window": {}}
    for name, text in pairs.items():
        setting = BY_NAME[name]
        parts[setting.part][setting.field] = _read(setting, text)
    whole = parts[""]
    if roll is not None:
        total = roll.total.to_bytes(32, "big")
        whole |= {
            "roll": roll.cid,
            "members": len(roll.members),
            "weights_root": roll.tree().root,
            "total_weight": total,
        }
    if guardians is not None:
        whole["guardians"] = tuple(sorted(guardians))
        whole.setdefault("guardian_signatures", len(guardians) // 2 + 1 if guardians else 0)
    return replace(
        charter,
        voting=replace(charter.voting, **parts["voting"]),
        window=replace(charter.window, **parts["window"]),
        **whole,
    )


def _read(setting: Setting, text: str) -> Any:
    try:
        return setting.read(text)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{setting.name}: {error.message}") from error


def charter_changes(
    before: Charter,
    after: Charter,
    rolls: tuple[Roll | None, Roll | None],
    *,
    most: int | None = MEMBERS_SHOWN,
) -> Iterator[str]:
    """Yield what another charter changes, a line for each.

    Args:
        rolls: the members before and after, each verified against its charter; None for one that is not known here.
        most: how many changes of members are told; None for all.
    """
    for setting in SETTINGS:
        if setting.value(before) != setting.value(after):
            yield f"{setting.name}: {setting.in_words(before)} → {setting.in_words(after)}"
    for guardian in sorted(set(after.guardians) - set(before.guardians)):
        yield f"guardian added: {address_text(guardian)}"
    for guardian in sorted(set(before.guardians) - set(after.guardians)):
        yield f"guardian removed: {address_text(guardian)}"
    if any(getattr(before, name) != getattr(after, name) for name in COUNTED_BY):
        yield from _weights_changes(before, after, rolls, most)


def _weights_changes(
    before: Charter, after: Charter, rolls: tuple[Roll | None, Roll | None], most: int | None
) -> Iterator[str]:
    """Yield who decides from then on, and with what weight."""
    old, new = rolls
    yield f"members: {before.members} → {after.members}, total weight: {before.total()} → {after.total()}"
    if before.weights_root != after.weights_root:
        yield f"votes are counted by other weights: Merkle root {after.weights_root.hex()}"
    if before.roll == after.roll:
        yield "the roll stays the same, though votes are counted by others than its members"
    if old is not None and new is not None:
        yield from _bounded(_member_changes(old, new), most)
    else:
        yield "who they are is not known here"


def _member_changes(before: Roll, after: Roll) -> list[str]:
    old, new = dict(before.members), dict(after.members)
    lines = [f"member removed: {address_text(who)}, weight {old[who]}" for who in old if who not in new]
    lines += [f"member added: {address_text(who)}, weight {new[who]}" for who in new if who not in old]
    lines += [
        f"weight of {address_text(who)}: {old[who]} → {new[who]}" for who in new if who in old and old[who] != new[who]
    ]
    return lines


def _bounded(lines: list[str], most: int | None) -> Iterator[str]:
    yield from lines[:most]
    if most is not None and len(lines) > most:
        yield f"and {counted(len(lines) - most, 'more change')} of members; coffer dao diff --json has all"
