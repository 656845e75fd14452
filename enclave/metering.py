"""Metering: nothing leaves before its entry is durable (rules L1-L3), nor past the window of the leases (rule F3).

One `Meter` owns the books of one run. An answer is judged, sealed and booked without a wait in between, so on one event
loop that is atomic; its row then goes to the disk along with others, and only once it is durable is the receipt signed.

A meter outlives a lost lease: what this run has booked is in its memory, and rows that a host restores beneath it are
refused. Custodians are told of no entry that is not durable: a crash could take it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enclave.allowance import Allowance
from enclave.asked import Asked, Metered
from enclave.channels import Channels
from enclave.charging import Booked, Charging, Reservation
from enclave.durable_books import Checked, DurableBooks, Journal, claimed_anchor
from enclave.found import Found
from enclave.grounds import Grounds
from enclave.identities import Identities
from enclave.probing import Probes
from enclave.public_log import PublicLog
from enclave.royalties import Royalties
from enclave.selection import Room
from storage.cid import Cid
from vault.booking import booking_of
from vault.earnings import EPOCH_S
from vault.entry import Entry, SealedVectors
from vault.errors import RequestConflict
from vault.keys import SecretKey
from vault.lease import Anchor
from vault.ledger import Books
from vault.ledger_seal import LedgerSeal
from vault.license import Deposit
from vault.machine import MachineKey
from vault.made_entries import deposit_entry, opening_entry, refund_entry, snapshot_entry, void_entry
from vault.receipt import FIRST_PREVIOUS
from vault.receipt_message import signed_receipts
from vault.royalty import licensee_account
from vault.window import OpenWindow

__all__ = ["Booked", "Journal", "Meter", "claimed_anchor"]


class Meter:
    """The books of one ledger, in the hands of one instance."""

    def __init__(
        self,
        journal: Journal,
        state_key: SecretKey,
        ledger: bytes,
        receipt_key: MachineKey,
        claimed: Anchor,
        *,
        epoch_s: int = EPOCH_S,
    ) -> None:
        """Re-add the books. Raises `LedgerTampered`, or `ForkedHistory` where they do not end at `claimed`.

        Args:
            epoch_s: how long a royalty epoch is; they begin at its multiples.
        """
        self._state_key = state_key
        self._seal = LedgerSeal(state_key, ledger)
        self._receipt_key = receipt_key
        self._allowance = Allowance()
        self._kept = DurableBooks(journal, self._seal, self._allowance, self._signed, claimed)
        self.channels = Channels(self._kept, self._allowance)
        probes = Probes(state_key.derive("probes", info=ledger))
        self._charging = Charging(self._kept, self._allowance, self.channels, Identities(self._seal), probes)
        self.log = PublicLog(self._kept, receipt_key)
        self.royalties = Royalties(self._kept, self._allowance, self._seal, receipt_key, epoch_s=epoch_s)

    @property
    def books(self) -> Books:
        """Return the books, ahead of the disk. Raises `RecordsUnavailable` while they are in doubt."""
        return self._kept.books

    @property
    def anchor(self) -> Anchor:
        """Return the last entry that is durable: what custodians may be told."""
        return self._kept.anchor

    @property
    def reached(self) -> tuple[Anchor, bytes]:
        """Return the last durable entry and the public log's root as far as it: what a renewal has custodians sign."""
        anchor = self._kept.anchor
        return anchor, self._kept.log.root(anchor.sequence)

    async def resume(self) -> None:
        """Take in rows appended meanwhile by others. Raises `ForkedHistory` where the host has restored older ones."""
        await self._kept.resume()

    async def checked(self) -> Checked:
        """Add the books up again, from the first row on; see `DurableBooks.checked`."""
        return await self._kept.checked()

    async def close(self) -> None:
        """Book no more, and wait until what was booked is durable, or has failed."""
        await self._kept.close()

    def has_come_by(self, anchor: Anchor) -> bool:
        """Say whether these books had come to this anchor once: whether they are of its branch."""
        return self._kept.has_come_by(anchor)

    def is_sealed_with(self, key: SecretKey | None) -> bool:
        """Say whether this is the key that these books are kept with."""
        return self._state_key == key

    async def open(self, instance: bytes, lost: Sequence[OpenWindow], *, at: int) -> None:
        """Account for windows lost with other instances, once each, before anything is served (rule F3).

        An instance that follows another one books its opening in any case: from then on, what custodians that were
        away still report of windows from before is known to be accounted for.
        """
        await self._kept.ready()
        news = tuple(window for window in lost if window.start >= self.books.decided)
        follows = self.books.last_sequence > 0 and self.books.opened_by != instance
        if news or follows:
            await self._book(opening_entry(self.books, instance, news, at=at))

    async def refund_due(self, *, at: int) -> None:
        """Give back the credit whose suspense is over, as far as the window has room for entries."""
        await self._kept.ready()
        for opening in self.books.due(at):
            if not self._allowance.has_entry or opening not in self.books.due(at):
                return
            await self._book(refund_entry(self.books, opening, at=at))
            await self._kept.ready()

    @property
    def state_key(self) -> SecretKey:
        """Return the key that these books are kept with."""
        return self._state_key

    async def note_snapshots(self, made: Mapping[Cid, Cid], *, at: int) -> None:
        """Name sealed vectors, by manifest, as far as the window has room for entries; the rest are made anew."""
        await self._kept.ready()
        for manifest, root in made.items():
            if not self._allowance.has_entry:
                return
            await self._book(snapshot_entry(self.books, SealedVectors(manifest=manifest, root=root), at=at))
            await self._kept.ready()

    def grant(self, grounds: Grounds) -> None:
        """Begin the window of fresh leases."""
        if grounds.terms.window is not None:
            self._allowance.grant(grounds.terms.anchor.sequence, grounds.terms.window)

    @property
    def is_window_half_used(self) -> bool:
        """Say whether the leases should be renewed before their time."""
        return self._allowance.is_half_used

    def has_fresh_credit(self, licensee: bytes, currency: str) -> bool:
        """Say whether some of a licensee's credit does not count yet, since no custodian has anchored it."""
        return self._allowance.fresh_credit(licensee_account(licensee, currency)) > 0

    async def add_credit(self, deposit: Deposit, *, at: int) -> None:
        """Book a verified deposit; a repeated one raises `RequestConflict`."""
        await self._kept.ready()
        try:
            entry = deposit_entry(self.books, deposit, at=at)
        except RequestConflict:
            await self._kept.committed(self.books.last_sequence)  # or the first one might yet not count
            raise
        self._allowance.require_entry()
        await self._book(entry)

    async def answered(self, licensee: bytes, request: bytes, body: bytes) -> Entry | None:
        """Return the durable entry of a repeated request; None for a new one, to be booked before the next wait.

        Raises: `RequestConflict` for another body or a voided request; `RecordsUnavailable` where the first one's entry
        could not be written, or the books cannot be read.
        """
        if not self._kept.is_ready:
            await self._kept.ready()
        try:
            entry = self.books.answered(licensee, request, body)
        except RequestConflict:
            await self._kept.committed(self.books.last_sequence)
            raise
        if entry is not None:
            await self._kept.committed(entry.sequence)
        return entry

    def answers(self, licensee: bytes) -> tuple[int, int]:
        """Return how many answers a licensee has had, and how many more of its questions are on their way."""
        return self.books.receipt_chain(licensee)[0], self._allowance.on_their_way(licensee)

    def reserved(self, asked: Asked, *, at: int) -> Reservation:
        """Keep room for one answer while the block runs, and hold the most it could cost; give what it may bring.

        Args:
            at: UTC seconds; a payment channel that has ended by then pays for nothing.
        Raises, before anything is searched (rule O3): `BudgetExhausted`, `CreditExhausted`, `VoucherDue`;
            `WindowUsedUp`, which a renewal mends; `AccessDenied` where the charter's window is smaller than the price.
        """
        return self._charging.reserved(asked, at=at)

    def book_answer(
        self,
        asked: Asked,
        found: Sequence[Found],
        vector: bytes,
        grounds: Grounds,
        *,
        at: int,
        room: Room,
        confirms: bytes = FIRST_PREVIOUS,
    ) -> Booked:
        """Charge for an answer, at once; it may leave as `metered` returns it.

        Args:
            room: what it may bring, as `reserved` gave it; the call belongs into its block, after `answered`.
            confirms: digest of the receipt that the request confirmed (rule R4).
        """
        return self._charging.booked(asked, found, vector, grounds, at=at, room=room, confirms=confirms)

    async def metered(self, booked: Booked) -> Metered:
        """Return what may leave of what was booked just now, without another wait in between, once it is durable."""
        receipt = await self._kept.committed(booked.sequence, booked.receipt)
        return Metered(passages=booked.passages, receipt=receipt, is_partial=booked.is_partial)

    async def receipt(self, entry: Entry) -> bytes:
        """Return the signed receipt of a query's entry once that is durable. Raises `RecordsUnavailable`."""
        if entry.query is None or entry.query.instance != self._receipt_key.public:
            raise RequestConflict("an earlier run of the enclave answered this; ask with a fresh request id")
        return await self._kept.committed(entry.sequence, entry.query.receipt)

    async def void(self, entry: Entry, *, at: int) -> None:
        """Give back what an undelivered answer was charged. Raises `RequestConflict` where that was done before."""
        await self._kept.ready()
        detail = entry.query
        if detail is None or self.books.answered(entry.licensee, entry.reference, detail.body) is None:
            raise RequestConflict("nothing to give back")
        self._allowance.require_entry()
        await self._book(void_entry(self.books, entry, at=at))

    def _signed(self, receipts: Sequence[bytes]) -> list[bytes]:
        return signed_receipts(receipts, self._receipt_key)

    async def _book(self, entry: Entry) -> None:
        self._kept.book(booking_of(entry), entry.encoded())
        await self._kept.committed(entry.sequence)
