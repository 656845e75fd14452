"""What a custodian must never forget: the heads it signed, manifests, shares, and to whom it leased (rules B4, F1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from storage.cid import Cid
from vault.charter import Window
from vault.custodian import Kept
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, NotYet, StaleState
from vault.head import EPOCHS_MAX
from vault.records.custody_state import CustodyStateRecords
from vault.records.database import Records
from vault.records.head_votes import HeadVoteRecords
from vault.records.lineages import count_lineages, require_lineage_room
from vault.records.polls import PollRecords
from vault.records.room import require_room
from vault.records.tables import (
    AcceptedHead,
    DestroyedShare,
    GrantedLease,
    LastHandBack,
    RegisteredManifest,
    StateShare,
    StoredDeposit,
)
from vault.records.windows import close_windows, grant_window, open_windows, return_window
from vault.window import Anchor, OpenWindow, WindowId

GENESES_MAX: Final = 1000
DEPOSITS_READ: Final = 500  # in one statement

_ANCHOR: Final = select(GrantedLease.anchor_sequence, GrantedLease.anchor_mac, GrantedLease.instance).where(
    col(GrantedLease.ledger) == bindparam("own")
)
_STATE_SHARE: Final = select(StateShare.sealed).where(col(StateShare.ledger) == bindparam("own"))
_DEPOSITS: Final = select(StoredDeposit.manifest, StoredDeposit.deposit).where(
    col(StoredDeposit.manifest).in_(bindparam("some", expanding=True))
)
_HAND_BACK: Final = select(LastHandBack.hand_back).where(col(LastHandBack.ledger) == bindparam("own"))


class CustodyRecords(CustodyStateRecords, PollRecords, HeadVoteRecords):
    """One custodian's records. What a method accepted is durable when it returns, so the answer may be signed."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def accept_head(self, genesis: Cid, epoch: int, head: Cid) -> None:
        """Accept the one head of an epoch; the same again is fine.

        Raises: ForkedHistory: another head was accepted for this epoch, or the epoch is not the next one.
        """
        if not 0 <= epoch < EPOCHS_MAX:
            raise MalformedObject(f"epoch {epoch} is outside 0 … {EPOCHS_MAX - 1}")
        with self._records.writing(b"head" + genesis.binary) as session:
            known = session.get(AcceptedHead, (genesis.binary, epoch))
            if known is not None:
                if known.head != head.binary:
                    raise ForkedHistory(f"epoch {epoch} has another head already: {Cid(known.head)}")
                return
            if epoch == 0:
                require_room(session, AcceptedHead, AcceptedHead.epoch == 0, most=GENESES_MAX)
            elif session.get(AcceptedHead, (genesis.binary, epoch - 1)) is None:
                raise ForkedHistory(f"epoch {epoch} does not follow the last one accepted: accept those between first")
            session.add(AcceptedHead(genesis=genesis.binary, epoch=epoch, head=head.binary))

    def heads(self, genesis: Cid) -> list[Cid]:
        """Return the accepted heads by epoch, genesis first; at most `EPOCHS_MAX`."""
        accepted = select(AcceptedHead.head).where(AcceptedHead.genesis == genesis.binary)
        with self._records.reading() as session:
            return [Cid(head) for head in session.exec(accepted.order_by(col(AcceptedHead.epoch)))]

    def geneses(self) -> list[Cid]:
        """Return the DAOs served, in the order of their CIDs; at most `GENESES_MAX`."""
        founded = select(AcceptedHead.genesis).where(AcceptedHead.epoch == 0)
        with self._records.reading() as session:
            return [Cid(genesis) for genesis in session.exec(founded.order_by(col(AcceptedHead.genesis)))]

    def register_manifest(
        self, dataset: bytes, version: int, manifest: Cid, *, genesis: Cid, is_named: bool = False
    ) -> None:
        """Register the one manifest of a version (rule B4); the latest again is fine.

        Args:
            is_named: whether a policy in force under the DAO names the manifest: then there is always room for it.
        Raises:
            ForkedHistory: this version has another manifest.
            StaleState: a higher version is registered.
            AccessDenied: there are too many datasets under the DAO.
        """
        with self._records.writing(b"manifest" + genesis.binary) as session:
            known = session.get(RegisteredManifest, (dataset, version))
            if known is not None and known.manifest != manifest.binary:
                raise ForkedHistory(f"version {version} has another manifest already: {Cid(known.manifest)}")
            latest = _latest(session, dataset)
            if latest is not None and version < latest.version:
                raise StaleState(f"version {version} is older than version {latest.version}, registered before")
            if latest is None:
                if not is_named:
                    require_lineage_room(session, genesis)
                count_lineages(session, genesis, 1)
            if known is None:
                session.add(RegisteredManifest(dataset=dataset, version=version, manifest=manifest.binary))

    def latest_manifest(self, dataset: bytes) -> tuple[int, Cid] | None:
        """Return the highest registered version and its manifest."""
        with self._records.reading() as session:
            latest = _latest(session, dataset)
            return (latest.version, Cid(latest.manifest)) if latest else None

    def store_deposit(self, manifest: Cid, deposit: bytes) -> None:
        """Keep an owner's share deposit, already verified, in place of an earlier one for the same manifest.

        Raises: AccessDenied: the share of this manifest was destroyed.
        """
        with self._records.writing(b"deposit" + manifest.binary) as session:
            if session.get(DestroyedShare, manifest.binary) is not None:
                raise AccessDenied(f"the share of {manifest} was destroyed at its owner's order; nothing was recorded")
            session.merge(StoredDeposit(manifest=manifest.binary, deposit=deposit))

    def destroy_deposit(self, manifest: Cid, *, genesis: Cid, order: bytes, at: int) -> int | None:
        """Destroy the deposit of a manifest for good and return when that was; None where there never was one.

        The bytes are overwritten as far as the database does so; copies on other media stay (`Records.scrub`).
        """
        with self._records.writing(b"deposit" + manifest.binary) as session:
            gone = session.get(DestroyedShare, manifest.binary)
            deposit = session.get(StoredDeposit, manifest.binary)
            if gone is None and deposit is None:
                return None
            if deposit is not None:
                session.delete(deposit)
            if gone is None:
                session.add(
                    DestroyedShare(manifest=manifest.binary, genesis=genesis.binary, destroyed_at=at, signed=order)
                )
            destroyed_at = at if gone is None else gone.destroyed_at
        self._records.scrub(StoredDeposit.__tablename__)
        return destroyed_at

    def destroyed(self, genesis: Cid, after: bytes, *, most: int) -> list[tuple[bytes, bytes]]:
        """Return manifests whose shares were destroyed here, each with the order, by ascending CID after `after`."""
        found = select(DestroyedShare.manifest, DestroyedShare.signed).where(
            DestroyedShare.genesis == genesis.binary, DestroyedShare.manifest > after
        )
        with self._records.reading() as session:
            rows = session.exec(found.order_by(col(DestroyedShare.manifest)).limit(most))
            return [(manifest, order) for manifest, order in rows]

    def is_destroyed(self, manifest: Cid) -> bool:
        """Say whether the share of this manifest was destroyed here."""
        with self._records.reading() as session:
            return session.get(DestroyedShare, manifest.binary) is not None

    def kept(self, ledger: bytes, manifests: Collection[Cid]) -> Kept:
        """Return what a release rests on, read at once: anchor, share of the state key, deposits of these manifests."""
        names = [manifest.binary for manifest in manifests]
        deposits: dict[Cid, bytes] = {}
        with self._records.fetching() as connection:
            anchor = connection.execute(_ANCHOR, {"own": ledger}).first()
            state_share = connection.execute(_STATE_SHARE, {"own": ledger}).scalar()
            for first in range(0, len(names), DEPOSITS_READ):
                found = connection.execute(_DEPOSITS, {"some": names[first : first + DEPOSITS_READ]})
                deposits |= {Cid(manifest): deposit for manifest, deposit in found}
        return Kept(
            anchor=(anchor[0], anchor[1]) if anchor else None,
            instance=anchor[2] if anchor else None,
            state_share=state_share,
            deposits=deposits,
        )

    def store_state_share(self, ledger: bytes, sealed: bytes) -> bool:
        """Keep the first share ever given for a ledger's state key; say whether it is this one, stored now."""
        with self._records.writing(b"state share" + ledger) as session:
            if session.get(StateShare, ledger) is not None:
                return False
            session.add(StateShare(ledger=ledger, sealed=sealed))
        return True

    def replace_state_share(self, ledger: bytes, sealed: bytes, *, instance: bytes) -> bool:
        """Keep another share of a state key that was never used; say whether that was allowed.

        It is while `instance` holds the ledger's lease, nothing was anchored, and no window is open: then no entry was
        ever sealed with the key that the share kept before is of.
        """
        with self._records.writing(b"lease" + ledger) as session:
            lease, stored = session.get(GrantedLease, ledger), session.get(StateShare, ledger)
            if lease is None or stored is None or lease.instance != instance or lease.anchor_sequence > 0:
                return False
            if open_windows(session, ledger):
                return False
            stored.sealed = sealed
            session.add(stored)
        return True

    def grant_lease(
        self,
        ledger: bytes,
        *,
        instance: bytes,
        not_after: int,
        anchor_sequence: int,
        anchor_mac: bytes,
        at: int,
        skew_s: int,
        window: Window | None = None,
        settled: Sequence[WindowId] = (),
    ) -> None:
        """Lease the ledger to one instance until `not_after` plus skew, and remember its anchor (rule F1).

        A renewal never shortens: the lease signed before still runs to its end. With a window, the instance's window
        before is returned, since the anchor tells what it consumed, and the new one is consumed (rule F3).

        Args:
            not_after: UTC seconds; from then plus `skew_s` on, another instance may have the ledger.
            at: UTC seconds, by this custodian's clock.
            settled: windows of other instances that the ledger accounts for as of its anchor.
        Raises:
            NotYet: another instance's lease still runs; says from when.
            ForkedHistory: the ledger was rolled back: its anchor is lower, or differs at the same sequence.
        """
        with self._records.writing(b"lease" + ledger) as session:
            lease = session.get(GrantedLease, ledger)
            if lease is None:
                lease = GrantedLease(
                    ledger=ledger,
                    instance=instance,
                    not_after=not_after,
                    anchor_sequence=anchor_sequence,
                    anchor_mac=anchor_mac,
                )
            else:
                _require_free(lease, instance, at=at, skew_s=skew_s)
                _require_growth(lease, anchor_sequence, anchor_mac)
                lease.not_after = max(lease.not_after, not_after) if lease.instance == instance else not_after
                lease.instance, lease.anchor_sequence, lease.anchor_mac = instance, anchor_sequence, anchor_mac
            session.add(lease)
            close_windows(session, ledger, [id for id in settled if id.instance != instance])
            if window is not None:
                grant_window(session, ledger, instance, anchor_sequence, window)

    def open_windows(self, ledger: bytes) -> list[OpenWindow]:
        """Return the ledger's open windows; at most `WINDOWS_MAX`."""
        with self._records.reading() as session:
            return open_windows(session, ledger)

    def reports(self, ledger: bytes) -> tuple[list[OpenWindow], bytes | None]:
        """Return what leases report beside their terms: the open windows, and the last hand-back as it was signed."""
        with self._records.fetching() as connection:
            return open_windows(connection, ledger), connection.execute(_HAND_BACK, {"own": ledger}).scalar()

    def release_instance(self, ledger: bytes, instance: bytes) -> None:
        """Take back this instance's lease; the anchor stays. Nothing happens where another one holds it by now."""
        with self._records.writing(b"lease" + ledger) as session:
            lease = session.get(GrantedLease, ledger)
            if lease is not None and lease.instance == instance:
                lease.instance = None
                session.add(lease)

    def hand_back(self, ledger: bytes, instance: bytes, anchor: Anchor, signed: bytes) -> None:
        """Take back this instance's lease and window, and remember how far the ledger has come at its end.

        Nothing happens where another instance holds the ledger by now.

        Args:
            signed: the `HandBack` that says so, already verified.
        Raises: ForkedHistory: the anchor is lower than the one remembered, or differs at the same sequence.
        """
        with self._records.writing(b"lease" + ledger) as session:
            lease = session.get(GrantedLease, ledger)
            if lease is None or lease.instance != instance:
                return
            _require_growth(lease, anchor.sequence, anchor.mac)
            lease.instance, lease.anchor_sequence, lease.anchor_mac = None, anchor.sequence, anchor.mac
            session.add(lease)
            return_window(session, ledger, instance, signed)


def _latest(session: Session, dataset: bytes) -> RegisteredManifest | None:
    versions = select(RegisteredManifest).where(RegisteredManifest.dataset == dataset)
    return session.exec(versions.order_by(col(RegisteredManifest.version).desc()).limit(1)).first()


def _require_free(lease: GrantedLease, instance: bytes, *, at: int, skew_s: int) -> None:
    free_from = lease.not_after + skew_s
    if lease.instance not in (None, instance) and at < free_from:
        raise NotYet(f"another instance holds this ledger; ask again from {datetime.fromtimestamp(free_from, UTC)}")


def _require_growth(lease: GrantedLease, sequence: int, mac: bytes) -> None:
    if sequence < lease.anchor_sequence:
        raise ForkedHistory(f"the ledger is at entry {sequence}, but was at {lease.anchor_sequence}: rolled back")
    if sequence == lease.anchor_sequence and mac != lease.anchor_mac:
        raise ForkedHistory(f"the ledger has another entry {sequence} than the one anchored before")
