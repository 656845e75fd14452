"""What one policy changes against another, in sentences a person understands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from vault.attribution import Attribution
from vault.dataset import DatasetRef
from vault.disclosure import Disclosure, worst_case
from vault.licensees import Admits, Licensees
from vault.machine_diff import machine_changes
from vault.permitted import only_text
from vault.plain_text import counted
from vault.policy import Policy
from vault.pricing import Tier
from vault.signing import address_text
from vault.voucher_rules import VoucherRules

_REDACTED = {"card": "card numbers", "email": "e-mail addresses", "phone": "phone numbers"}
_ATTRIBUTION = {
    Attribution.EQUAL: "evenly among an answer's passages",
    Attribution.RANK: "by the rank of passages",
    Attribution.SCORE: "by the score of passages",
}
_NUMBERS = (
    ("k_max", "an answer's most passages"),
    ("queries_per_minute", "queries a minute of one licensee"),
    ("passages_max", "the extraction budget in distinct passages"),
)
_SHARES = (
    ("corpus_bps", "the share of each dataset that may be seen"),
    ("owner_bps", "the share of each owner's passages that may be seen"),
    ("treasury_bps", "the treasury's share of each price"),
    ("operator_bps", "the operator's share of each price"),
)


def changes(
    before: Policy | None, after: Policy, *, corpora: Mapping[bytes, int], most: int | None = None
) -> list[str]:
    """Return a sentence for each thing that `after` changes, and last what it could disclose at worst (rule O2).

    Args:
        before: what it takes the place of; None: everything is new.
        corpora: the number of passages of each dataset, by lineage, as far as it is known.
        most: how many licensees are told one by one, of those who may ask now and of those who may not any more.
    """
    return [
        *_title(before, after),
        *_datasets(before, after),
        *_licensees(before, after, most),
        *_prices(before, after),
        *_tiers(before, after),
        *_vouchers(before, after),
        *_figures(before, after),
        *_attribution(before, after),
        *_output(before, after),
        *_machines(before, after),
        *_people(before, after),
        *_end(before, after),
        *_disclosure(before, after, corpora),
    ]


def _title(before: Policy | None, after: Policy) -> Iterator[str]:
    if before is None:
        yield f"a new policy, {after.title!r}; none is replaced"
    elif before.title != after.title:
        yield f"the title goes from {before.title!r} to {after.title!r}"


def _datasets(before: Policy | None, after: Policy) -> Iterator[str]:
    old = {(one.owner, one.dataset): one for one in before.datasets} if before else {}
    new = {(one.owner, one.dataset): one for one in after.datasets}
    for key, one in new.items():
        if key not in old:
            yield f"{dataset_words(one)} may be asked now"
        elif old[key].manifest != one.manifest:
            yield f"{_name(one)} goes from {_version(old[key])} to {_version(one)}"
        if key in old and old[key].only != one.only:
            yield f"of {_name(one)}, {only_words(one)} may be found; before: {only_words(old[key])}"
    for key, one in old.items():
        if key not in new:
            yield f"{dataset_words(one)} may not be asked any more"


def dataset_words(reference: DatasetRef) -> str:
    """Return which dataset, and which version of it, a policy means."""
    only = f", of which {only_words(reference)}" if reference.only else ""
    return f"{_name(reference)}, {_version(reference)}{only}"


def only_words(reference: DatasetRef) -> str:
    """Return which passages of a dataset a policy lets be found."""
    return f"only passages that meet {only_text(reference.only)}" if reference.only else "all passages"


def _name(reference: DatasetRef) -> str:
    return f"dataset {reference.dataset.hex()[:16]}… of {address_text(reference.owner)}"


def _version(reference: DatasetRef) -> str:
    return "the latest version its owner signed" if reference.manifest is None else f"version {reference.manifest}"


def _licensees(before: Policy | None, after: Policy, most: int | None) -> Iterator[str]:
    old, new = before.licensees if before else None, after.licensees
    if old is not None and old.admits is new.admits is Admits.LISTED:
        yield from _each([one for one in new.addresses if one not in old.addresses], "may ask now", most)
        yield from _each([one for one in old.addresses if one not in new.addresses], "may not ask any more", most)
        return
    if old is None:
        yield f"{licensees_words(new)} may ask"
    elif old != new:
        yield f"{licensees_words(new)} may ask now; before: {licensees_words(old)}"
    if old != new:
        yield from _each(new.addresses, "may ask", most)
        yield from _each(old.addresses if old else (), "was named", most)


def _each(addresses: Sequence[bytes], what: str, most: int | None) -> Iterator[str]:
    yield from (f"{address_text(one)} {what}" for one in addresses[:most])
    if most is not None and len(addresses) > most:
        yield f"and {len(addresses) - most} more {what}; coffer dao diff --json has all"


def licensees_words(licensees: Licensees) -> str:
    """Return whom a policy admits, as a person says it."""
    match licensees.admits:
        case Admits.ANYONE:
            return "anyone who pays"
        case Admits.LISTED:
            return counted(len(licensees.addresses), "named licensee")
        case Admits.CREDENTIAL:
            return f"whoever {address_text(licensees.issuer or b'')} licenses"


def _prices(before: Policy | None, after: Policy) -> Iterator[str]:
    if before is not None and before.currency != after.currency:
        yield f"the currency goes from {before.currency} to {after.currency}, and credit in the former counts no more"
    for field, name in (("price_per_query", "price per query"), ("price_per_passage", "price per passage")):
        new = f"{getattr(after, field)} micro-{after.currency}"
        if before is None:
            yield f"{name}: {new}"
        elif (getattr(before, field), before.currency) != (getattr(after, field), after.currency):
            old = getattr(before, field)
            yield (
                f"{name} goes from {old} to {new}"
                if before.currency == after.currency
                else (f"{name} goes from {old} micro-{before.currency} to {new}")
            )


def _tiers(before: Policy | None, after: Policy) -> Iterator[str]:
    was = before.free_queries if before else 0
    if after.free_queries != was:
        yield f"each licensee's first {after.free_queries} answers are free" + (f"; before: {was}" if before else "")
    old = {tier.after: tier for tier in before.tiers} if before and before.currency == after.currency else {}
    for tier in after.tiers:
        if old.pop(tier.after, None) != tier:
            yield f"after {tier.after} answers, {tier_words(tier, after.currency)}"
    yield from (f"after {count} answers, the price is no other one any more" for count in old)


def _vouchers(before: Policy | None, after: Policy) -> Iterator[str]:
    old, new = before.vouchers if before else None, after.vouchers
    if old == new:
        return
    if new is None:
        yield "vouchers are not taken any more: questions are paid for in advance"
        return
    was = ""
    if old is not None:
        was = f"; before: {old.unpaid_max} and {old.unpaid_queries_max} answers, {_chain_words(old)}"
    yield (
        f"vouchers are taken; {new.unpaid_max} micro-{after.currency} and {new.unpaid_queries_max} answers "
        f"of one licensee may be unpaid, {_chain_words(new)}{was}"
    )


def _chain_words(rules: VoucherRules) -> str:
    return (
        f"token {address_text(rules.token)} on chain {rules.chain_id}, held by {address_text(rules.contract)}, "
        f"withdrawn after {rules.withdraw_delay_least} s at least"
    )


def volume_words(free_queries: int, tiers: Iterable[Tier], currency: str) -> Iterator[str]:
    """Yield what a policy gives for free, and its other prices by volume; nothing where it has one price."""
    if free_queries:
        yield f"each licensee's first {free_queries} answers are free"
    for tier in tiers:
        yield f"after {tier.after} answers, {tier_words(tier, currency)}"


def tier_words(tier: Tier, currency: str) -> str:
    """Return the prices of a tier, as a person says them."""
    also = f" and {tier.price_per_passage} a passage" if tier.price_per_passage else ""
    return f"a query costs {tier.price_per_query} micro-{currency}{also}"


def _figures(before: Policy | None, after: Policy) -> Iterator[str]:
    for fields, text in ((_NUMBERS, str), (_SHARES, percent)):
        for field, name in fields:
            new = text(getattr(after, field))
            if before is None:
                yield f"{name}: {new}"
            elif getattr(before, field) != getattr(after, field):
                yield f"{name} goes from {text(getattr(before, field))} to {new}"


def _attribution(before: Policy | None, after: Policy) -> Iterator[str]:
    new = _ATTRIBUTION[after.attribution]
    if before is None:
        yield f"the owners' part is split {new}"
    elif before.attribution != after.attribution:
        yield f"the owners' part is split {new} now; before: {_ATTRIBUTION[before.attribution]}"


def percent(bps: int) -> str:
    """Return basis points in percent."""
    whole, rest = divmod(bps, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "%" if rest else f"{whole}%"


def _output(before: Policy | None, after: Policy) -> Iterator[str]:
    old, new = before.output if before else None, after.output
    if old is None or old.owners_min != new.owners_min:
        was = "" if old is None else f"; before: {old.owners_min}"
        yield f"owners that have to stand behind an answer: {new.owners_min} at least{was}"
    if old is None or old.score_decimals != new.score_decimals:
        was = "" if old is None else f"; before: {old.score_decimals}"
        yield f"decimals that scores keep: {new.score_decimals}{was}"
    probes = old.probes_per_hour if old else 0
    if probes != new.probes_per_hour:
        yield f"questions an hour that hardly differ around one passage: {_number_words(new.probes_per_hour)}" + (
            f"; before: {_number_words(probes)}" if old else ""
        )
    if old is None or old.counts_from != new.counts_from:
        was = "" if old is None else f"; before: {_counts(old.counts_from)}"
        yield f"how many passages meet a filter: {_counts(new.counts_from)}{was}"
    redacted = frozenset(old.redacts) if old else frozenset()
    yield from (f"{_REDACTED[kind]} are blacked out" for kind in new.redacts if kind not in redacted)
    yield from (f"{_REDACTED[kind]} are not blacked out any more" for kind in sorted(redacted - set(new.redacts)))


def _number_words(most: int) -> str:
    return f"{most} at most" if most else "any number"


def _counts(counts_from: int) -> str:
    return f"told in multiples of {counts_from}, for the price of a query" if counts_from else "not told"


def _machines(before: Policy | None, after: Policy) -> Iterator[str]:
    yield from machine_changes(before.tees if before else (), after.tees)
    known = set(before.configurations if before else ())
    yield from (f"accepted configuration now: {one}" for one in after.configurations if one not in known)
    dropped = known - set(after.configurations)
    yield from (f"not accepted any more: configuration {one}" for one in sorted(dropped))


def _people(before: Policy | None, after: Policy) -> Iterator[str]:
    for field in ("treasury", "operator"):
        old, new = getattr(before, field) if before else None, getattr(after, field)
        if old is None:
            yield f"{field}: {address_text(new)}"
        elif old != new:
            yield f"the {field} goes from {address_text(old)} to {address_text(new)}"


def _end(before: Policy | None, after: Policy) -> Iterator[str]:
    if before is None:
        yield f"it holds until {_day(after.expires_at)}"
    elif before.expires_at != after.expires_at:
        yield f"it holds until {_day(after.expires_at)}; before: {_day(before.expires_at)}"


def _day(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"second {seconds} of UTC"


def _disclosure(before: Policy | None, after: Policy, corpora: Mapping[bytes, int]) -> Iterator[str]:
    past = {one.dataset.lineage(after.genesis): one for one in worst_case(before, corpora)} if before else {}
    for one in worst_case(after, corpora):
        was = past.get(one.dataset.lineage(after.genesis))
        earlier = f"; before: {_bound(was)}" if was is not None and _bound(was) != _bound(one) else ""
        yield f"if all licensees collude, {_bound(one)} of {_name(one.dataset)} could leave{earlier}"


def _bound(one: Disclosure) -> str:
    if one.passages is None:
        return "everything" if one.seen is None else f"at most {one.seen} passages"
    if one.seen is None or one.seen >= one.passages:
        return f"all {one.passages} passages"
    return f"at most {one.seen} of {one.passages} passages ({percent(one.bps or 0)})"
