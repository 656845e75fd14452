"""Metering: nothing leaves before its entry is durable (rules L1-L3), nor past the window of the leases (rule F3).

One `Meter` owns the books of one run. It re-adds them from the host's rows at start, along the chain of MACs, and
books each answer: entry sealed, row appended and fsynced, then the receipt handed out. Its methods wait on nothing but
the database, so on one event loop they are atomic. It outlives a lost lease: what this run has booked is in its memory,
and rows that a host restores beneath it are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from enclave.allowance import Allowance, WindowUsedUp
from enclave.asked import Asked, Metered, Outgoing
from enclave.found import Found
from enclave.grounds import Grounds
from enclave.output import outgoing
from enclave.selection import Room, room_for, selected
from vault.entry import Entry, Kind, PassageId, QueryDetail
from vault.errors import ForkedHistory
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor
from vault.ledger import Books, Held, charge, deposit_entry, opening_entry, refund_entry, require_credit, void_entry
from vault.ledger_seal import LedgerSeal
from vault.license import Deposit
from vault.machine import MachineKey
from vault.receipt import PassageProof, Receipt
from vault.records.model import JournalRow
from vault.royalty import licensee_account
from vault.session import text_commitment, vector_commitment
from vault.window import OpenWindow


class Journal(Protocol):
    """The host's append-only rows; see `vault.records.journal`."""

    def append(self, rows: Sequence[JournalRow]) -> None: ...  # noqa: D102
    def rows(self, *, after: int = 0) -> Iterator[JournalRow]: ...  # noqa: D102
    def last(self) -> JournalRow | None: ...  # noqa: D102


def claimed_anchor(journal: Journal) -> Anchor:
    """Return how far the host says the ledger has come; unverified until the books are re-added."""
    last = journal.last()
    return Anchor(sequence=last.sequence, mac=last.mac) if last is not None else EMPTY_ANCHOR


class Meter:
    """The books of one ledger, in the hands of one instance."""

    def __init__(
        self, journal: Journal, state_key: SecretKey, ledger: bytes, receipt_key: MachineKey, claimed: Anchor
    ) -> None:
        """Re-add the books. Raises `LedgerTampered`, or `ForkedHistory` where they do not end at `claimed`."""
        self._journal = journal
        self._state_key = state_key
        self._seal = LedgerSeal(state_key, ledger)
        self._receipt_key = receipt_key
        self._ledger = ledger
        self.books = Books()
        self.anchor = EMPTY_ANCHOR
        self._macs = bytearray()  # of every entry, in order: 32 bytes each
        self._allowance = Allowance()
        self._is_uncertain = False  # an append failed in a way that may have recorded the row all the same
        self._take_in()
        if self.anchor != claimed:
            raise ForkedHistory("the ledger's rows changed while the enclave was opening; stop whoever writes to it")

    def resume(self) -> None:
        """Take in rows appended meanwhile by others. Raises `ForkedHistory` where the host has restored older ones."""
        claimed = claimed_anchor(self._journal)
        if claimed.sequence < self.anchor.sequence or (
            claimed.sequence == self.anchor.sequence and claimed.mac != self.anchor.mac
        ):
            raise ForkedHistory(
                f"the database ends at entry {claimed.sequence}, but this enclave has booked entry "
                f"{self.anchor.sequence}; restore the newer database"
            )
        self._take_in()
        self._is_uncertain = False

    def has_come_by(self, anchor: Anchor) -> bool:
        """Say whether these books had come to this anchor once: whether they are of its branch."""
        if anchor.sequence > self.anchor.sequence:
            return False
        end = 32 * anchor.sequence
        return anchor == EMPTY_ANCHOR or bytes(self._macs[end - 32 : end]) == anchor.mac

    def is_sealed_with(self, key: SecretKey | None) -> bool:
        """Say whether this is the key that these books are kept with."""
        return self._state_key == key

    def open(self, instance: bytes, lost: Sequence[OpenWindow], *, at: int) -> None:
        """Account for windows lost with other instances, once each, before anything is served (rule F3).

        An instance that follows another one books its opening in any case: from then on, what custodians that were
        away still report of windows from before is known to be accounted for.
        """
        news = tuple(window for window in lost if window.start >= self.books.decided)
        follows = self.books.last_sequence > 0 and self.books.opened_by != instance
        if news or follows:
            self._append(opening_entry(self.books, instance, news, at=at))

    def refund_due(self, *, at: int) -> None:
        """Give back the credit whose suspense is over, as far as the window has room for entries."""
        self.catch_up()
        for opening in self.books.due(at):
            if not self._allowance.has_entry:
                return
            self._append(refund_entry(self.books, opening, at=at))

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

    def add_credit(self, deposit: Deposit, *, at: int) -> None:
        """Book a verified deposit; a repeated one raises `RequestConflict`."""
        entry = deposit_entry(self.books, deposit, at=at)
        self._allowance.require_entry()
        self._append(entry)

    @contextmanager
    def reserved(self, asked: Asked) -> Iterator[Room]:
        """Keep room for one answer while the block runs, and hold the most it could cost; give what it may bring.

        Raises, before anything is searched (rule O3): `BudgetExhausted`, `CreditExhausted`; `WindowUsedUp`, which a
        renewal mends; `AccessDenied` where the charter's window is smaller than the price.
        """
        account = licensee_account(asked.license.licensee, asked.policy.currency)
        room = self.require_affordable(asked, asked.permit.price_max, self._allowance.held(account, asked.delegation))
        room = replace(room, passages=self._allowance.passages_at_most(room.passages))
        with self._allowance.reserved(
            asked.permit.holder, account, asked.delegation, passages=room.passages, spend=asked.permit.price_max
        ):
            yield room

    def require_affordable(self, asked: Asked, price: int, held: Held) -> Room:
        """Return what the budgets allow, where credit that is not held for others covers the price as well."""
        room = room_for(self.books, asked)
        account = licensee_account(asked.license.licensee, asked.policy.currency)
        require_credit(self.books, account, asked.delegation, price=price, spend_cap=asked.spend_cap, held=held)
        if self.books.balance(account) - held.credit - self._allowance.fresh_credit(account) < price:
            raise WindowUsedUp("this credit counts once the custodians have anchored it; ask again shortly")
        return room

    def book_answer(
        self, asked: Asked, found: Sequence[Found], vector: bytes, grounds: Grounds, *, at: int, room: Room
    ) -> Metered:
        """Charge for an answer and return what may leave; the entry is durable before this returns.

        Args:
            room: what it may bring, as `reserved` gave it; the call belongs into its block.
        """
        account = licensee_account(asked.license.licensee, asked.policy.currency)
        held = self._allowance.held(account, asked.delegation)
        own = asked.permit.price_max  # held for this very answer
        now = self.require_affordable(asked, own, Held(held.credit - own, held.spend - own))
        now = replace(now, passages=min(now.passages, room.passages))
        identities = [self._seal.passage_identity(passage.text) for passage in found]
        chosen = selected(self.books, asked, found, identities, now)
        passages = tuple(outgoing(passage, asked.policy.output) for passage in chosen.passages)
        is_partial = len(passages) < len(found) or not room.is_whole
        receipt = self._receipt(
            asked, passages, vector, grounds, budget_left=chosen.budget_left, is_partial=is_partial, at=at
        )
        message = receipt.signed(self._receipt_key)
        detail = QueryDetail(
            body=asked.query.body_digest(),
            policy=asked.permit.policy,
            delegation=asked.delegation,
            instance=receipt.instance,
            vector=vector,
            passages=tuple(
                PassageId(
                    manifest=passage.manifest,
                    index=passage.index,
                    lineage=asked.coverage.places[passage.manifest].lineage,
                    identity=identity,
                )
                for passage, identity in zip(passages, chosen.identities, strict=True)
            ),
            shares_budget=asked.policy.licensees.shares_budget,
            is_partial=is_partial,
            receipt=message,
        )
        self._append(
            Entry(
                sequence=receipt.entry,
                kind=Kind.QUERY,
                at=at,
                licensee=asked.license.licensee,
                reference=asked.query.request,
                transfers=charge(asked.license.licensee, asked.policy, [passage.owner for passage in passages]),
                query=detail,
            )
        )
        return Metered(passages=passages, receipt=message, is_partial=is_partial)

    def void(self, entry: Entry, *, at: int) -> None:
        """Give back what an undelivered answer was charged."""
        self._allowance.require_entry()
        self._append(void_entry(self.books, entry, at=at))

    def _receipt(
        self,
        asked: Asked,
        passages: Sequence[Outgoing],
        vector: bytes,
        grounds: Grounds,
        *,
        budget_left: int,
        is_partial: bool,
        at: int,
    ) -> Receipt:
        count, previous = self.books.receipt_chain(asked.license.licensee)
        query = asked.query
        return Receipt(
            genesis=grounds.terms.genesis,
            ledger=self._ledger,
            entry=self.books.last_sequence + 1,
            instance=grounds.terms.instance,
            evidence=grounds.terms.evidence,
            head=grounds.terms.head,
            policy=asked.permit.policy,
            license=asked.license.cid(),
            request=query.body_digest(),
            text=text_commitment(query.salt, query.text),
            vector=vector_commitment(query.salt, vector),
            k=query.k,
            passages=tuple(map(_proof, passages)),
            is_partial=is_partial,
            price=asked.policy.price_of(len(passages)),
            currency=asked.policy.currency,
            budget_left=budget_left,
            tee=grounds.evidence.kind,
            at=at,
            sequence=count + 1,
            previous=previous,
        )

    def catch_up(self) -> None:
        """Take in a row whose append failed after it was recorded; call it before judging what is affordable."""
        if self._is_uncertain:
            self._take_in()
            self._is_uncertain = False

    def _take_in(self) -> None:
        for row in self._journal.rows(after=self.anchor.sequence):
            entry, anchor = self._seal.open(row.sequence, row.sealed, row.mac, self.anchor)
            self._book(entry, anchor)

    def _append(self, entry: Entry) -> None:
        row, anchor = self._seal.seal(entry, self.anchor)
        try:
            self._journal.append([JournalRow(anchor.sequence, row, anchor.mac)])
        except Exception:  # whatever it was, the row may have been recorded all the same
            self._is_uncertain = True
            raise
        self._book(entry, anchor)

    def _book(self, entry: Entry, anchor: Anchor) -> None:
        self._allowance.note(entry, self.books.book(entry))
        self._macs += anchor.mac
        self.anchor = anchor


def _proof(passage: Outgoing) -> PassageProof:
    return PassageProof(
        manifest=passage.manifest,
        index=passage.index,
        commitment=passage.commitment,
        path=passage.path,
        redacted=passage.redacted,
    )
