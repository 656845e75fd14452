"""Whether a custodian was restored and has caught up since, and what it tells and asks others (rule F5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlmodel import Session, col, delete, func, select

from storage.cid import Cid
from vault.custody_state import UNLEASED, Standing, higher_anchor
from vault.errors import ForkedHistory
from vault.records.database import Records
from vault.records.lineages import count_lineages
from vault.records.tables import (
    CaughtUp,
    CustodyCondition,
    GrantedLease,
    KeptQuestion,
    LastHandBack,
    RegisteredManifest,
    WindowGranted,
)
from vault.records.windows import grant_window
from vault.window import Anchor, OpenWindow

_ONLY: Final = 1  # a custodian is in one condition
_TURN: Final = b"condition"
LINEAGES_READ: Final = 500  # in one statement; both databases bound its parameters


class CustodyStateRecords:
    """The part of `vault.records.custody.CustodyRecords` that restoring and catching up need."""

    _records: Records

    def restored_at(self) -> int | None:
        """Return when (UTC seconds) the custodian was last restored or found itself rolled back; None if never."""
        with self._records.reading() as session:
            condition = session.get(CustodyCondition, _ONLY)
            return condition.restored_at if condition else None

    def mark_restored(self, at: int, *, number: int = 0) -> None:
        """Note that anything may have been forgotten: no DAO counts as caught up with any more.

        Args:
            number: a question's number that this custodian is known to have come to.
        """
        with self._records.writing(_TURN) as session:
            condition = _condition(session)
            condition.restored_at = at
            condition.number = max(condition.number, number)
            session.add(condition)
            session.exec(delete(CaughtUp))

    def caught_up(self) -> list[Cid]:
        """Return the DAOs caught up with since the custodian was restored."""
        with self._records.reading() as session:
            return [Cid(genesis) for genesis in session.exec(select(CaughtUp.genesis))]

    def next_number(self) -> int:
        """Return the number of the next question; it is never given again, crash or not."""
        with self._records.writing(_TURN) as session:
            condition = _condition(session)
            condition.number += 1
            session.add(condition)
            return condition.number

    def keep_question(self, custodian: bytes, number: int, question: bytes) -> bytes:
        """Keep another custodian's question if its number is the highest; return the highest kept before, or nothing.

        Args:
            question: already verified.
        """
        with self._records.writing(b"question" + custodian) as session:
            kept = session.get(KeptQuestion, custodian)
            if kept is None:
                session.add(KeptQuestion(custodian=custodian, number=number, question=question))
                return b""
            before = kept.question
            if number > kept.number:
                kept.number, kept.question = number, question
                session.add(kept)
            return before

    def standing(self, ledger: bytes) -> Standing:
        """Return who was leased a ledger and how far it had come."""
        with self._records.reading() as session:
            return _standing(session.get(GrantedLease, ledger))

    def registered(self, after: bytes, *, most: int) -> list[tuple[bytes, int, Cid]]:
        """Return lineage, version and manifest of the latest versions, in the order of the lineages after `after`."""
        latest = (
            select(RegisteredManifest.dataset, func.max(RegisteredManifest.version))
            .where(RegisteredManifest.dataset > after)
            .group_by(col(RegisteredManifest.dataset))
            .order_by(col(RegisteredManifest.dataset))
            .limit(most)
        )
        with self._records.reading() as session:
            found = [session.get_one(RegisteredManifest, key) for key in session.exec(latest)]
            return [(row.dataset, row.version, Cid(row.manifest)) for row in found]

    def adopt(
        self,
        genesis: Cid,
        ledger: bytes,
        standing: Standing,
        manifests: Iterable[tuple[bytes, int, Cid]],
        *,
        windows: Sequence[OpenWindow] | None,
        returned: bytes | None = None,
        has_caught_up: bool,
    ) -> None:
        """Take over what follows from what others remember; all of it or nothing.

        Args:
            standing: in place of what is here; its anchor is no lower.
            manifests: lineage, version and manifest, verified; of a lineage the latest one counts, if it is later than
                what is registered here.
            windows: the open ones, in place of what is here, which may be closed by now; None to leave it.
            returned: the `HandBack` by which the ledger was left at this anchor, verified; None to leave what is here.
            has_caught_up: whether the custodian may sign for this DAO from now on.
        Raises: `ForkedHistory` where the ledger is anchored at another or a later entry.
        """
        with self._records.writing(b"lease" + ledger) as session:
            lease = session.get(GrantedLease, ledger)
            if higher_anchor(_standing(lease).anchor, standing.anchor) != standing.anchor:
                raise ForkedHistory("the ledger was at a later entry: rolled back")
            if lease is not None or standing != UNLEASED:
                session.merge(
                    GrantedLease(
                        ledger=ledger,
                        instance=standing.instance,
                        not_after=standing.not_after,
                        anchor_sequence=standing.anchor.sequence,
                        anchor_mac=standing.anchor.mac,
                    )
                )
            _register(session, genesis, manifests)
            if returned is not None:
                session.merge(LastHandBack(ledger=ledger, hand_back=returned))
            if windows is not None:
                session.exec(delete(WindowGranted).where(col(WindowGranted.ledger) == ledger))
                for known in windows:
                    grant_window(session, ledger, known.instance, known.start, known.window)
            if has_caught_up:
                session.merge(CaughtUp(genesis=genesis.binary))


def _register(session: Session, genesis: Cid, manifests: Iterable[tuple[bytes, int, Cid]]) -> None:
    """Register the latest manifest of each lineage, where it is later than the one that is registered."""
    offered = {lineage: (version, manifest) for lineage, version, manifest in sorted(manifests, key=_by_version)}
    latest = _latest_versions(session, list(offered))
    session.add_all(
        RegisteredManifest(dataset=lineage, version=version, manifest=manifest.binary)
        for lineage, (version, manifest) in offered.items()
        if version > latest.get(lineage, 0)
    )
    count_lineages(session, genesis, len(offered.keys() - latest.keys()))


def _by_version(offered: tuple[bytes, int, Cid]) -> int:
    return offered[1]


def _latest_versions(session: Session, lineages: Sequence[bytes]) -> dict[bytes, int]:
    """Return the highest registered version of each of these lineages that has one."""
    latest: dict[bytes, int] = {}
    versions = select(RegisteredManifest.dataset, func.max(RegisteredManifest.version)).group_by(
        col(RegisteredManifest.dataset)
    )
    for first in range(0, len(lineages), LINEAGES_READ):
        some = lineages[first : first + LINEAGES_READ]
        latest |= dict(session.exec(versions.where(col(RegisteredManifest.dataset).in_(some))).all())
    return latest


def _condition(session: Session) -> CustodyCondition:
    return session.get(CustodyCondition, _ONLY) or CustodyCondition(id=_ONLY, restored_at=None, number=0)


def _standing(lease: GrantedLease | None) -> Standing:
    if lease is None:
        return UNLEASED
    anchor = Anchor(sequence=lease.anchor_sequence, mac=lease.anchor_mac)
    return Standing(instance=lease.instance, not_after=lease.not_after, anchor=anchor)
