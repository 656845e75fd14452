"""Metering: nothing leaves before its entry is durable (rules L1-L3), nor past the window of the leases (rule F3).

One `Meter` owns the books of one run. It re-adds them from the host's rows at start, along the chain of MACs, and
books each answer: entry sealed, row appended and fsynced, then the receipt handed out. Its methods wait on nothing but
the database, so on one event loop they are atomic. It outlives a lost lease: what this run has booked is in its memory,
and rows that a host restores beneath it are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from enclave.allowance import Allowance, WindowUsedUp
from enclave.asked import Asked, Metered
from enclave.found import Found
from enclave.grounds import Grounds
from vault.entry import Entry, Kind, PassageId, QueryDetail
from vault.errors import BudgetExhausted, ForkedHistory
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor
from vault.ledger import Books, charge, deposit_entry, opening_entry, refund_entry, require_credit, void_entry
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
    def reserved(self, asked: Asked) -> Iterator[int]:
        """Keep room for one answer in the window while the block runs; give how many new passages it may bring.

        Raises, before anything is searched (rule O3): `BudgetExhausted`, `CreditExhausted`; `WindowUsedUp`, which a
        renewal mends; `AccessDenied` where the charter's window is smaller than the price.
        """
        left = self.require_affordable(asked)
        passages = self._allowance.passages_at_most(min(left, asked.permit.k))
        licensee, price = asked.license.licensee, asked.permit.price
        account = licensee_account(licensee, asked.policy.currency)
        with self._allowance.reserved(licensee, account, passages=passages, spend=price):
            yield passages

    def require_affordable(self, asked: Asked) -> int:
        """Return how many new passages the budget allows."""
        licensee = asked.license.licensee
        left = self.budget_left(licensee, asked.permit.passages_max)
        if left <= 0:
            lost = self.books.lost_passages(licensee)
            because = f", {lost} of them lost with an enclave that did not return its window" if lost else ""
            raise BudgetExhausted(
                f"the license has been shown all {asked.permit.passages_max} passages it may see{because}"
            )
        account, price = licensee_account(licensee, asked.policy.currency), asked.permit.price
        require_credit(self.books, account, asked.delegation, price=price, spend_cap=asked.spend_cap)
        if self.books.balance(account) - self._allowance.fresh_credit(account) < price:
            raise WindowUsedUp("this credit counts once the custodians have anchored it; ask again shortly")
        return left

    def budget_left(self, licensee: bytes, passages_max: int) -> int:
        """Return how many more distinct passages a licensee may ever be shown."""
        return max(0, passages_max - self.books.seen_count(licensee) - self.books.lost_passages(licensee))

    def book_answer(
        self, asked: Asked, found: Sequence[Found], vector: bytes, grounds: Grounds, *, at: int, passages_max: int
    ) -> Metered:
        """Charge for an answer and return what may leave; the entry is durable before this returns.

        Args:
            passages_max: how many may be new, as `reserved` gave it; the call belongs into its block.
        """
        left = self.require_affordable(asked)
        passages, identities, new = self._within_budget(asked.license.licensee, found, min(left, passages_max))
        is_partial = len(passages) < len(found)
        receipt = self._receipt(asked, passages, vector, grounds, budget_left=left - new, is_partial=is_partial, at=at)
        message = receipt.signed(self._receipt_key)
        owners = [passage.owner for passage in passages]
        detail = QueryDetail(
            body=asked.query.body_digest(),
            policy=asked.permit.policy,
            delegation=asked.delegation,
            instance=receipt.instance,
            vector=vector,
            passages=tuple(
                PassageId(manifest=passage.manifest, index=passage.index, identity=identity)
                for passage, identity in zip(passages, identities, strict=True)
            ),
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
                transfers=charge(asked.license.licensee, asked.policy, owners),
                query=detail,
            )
        )
        return Metered(passages=passages, receipt=message, is_partial=is_partial)

    def void(self, entry: Entry, *, at: int) -> None:
        """Give back what an undelivered answer was charged."""
        self._allowance.require_entry()
        self._append(void_entry(self.books, entry, at=at))

    def _within_budget(
        self, licensee: bytes, found: Sequence[Found], left: int
    ) -> tuple[tuple[Found, ...], list[bytes], int]:
        """Return the passages the budget lets out, best first, their identities, and how many are new."""
        kept: list[Found] = []
        identities: list[bytes] = []
        new: set[bytes] = set()
        for passage in found:
            identity = self._seal.passage_identity(passage.text)
            if not self.books.has_seen(licensee, identity) and identity not in new:
                if len(new) == left:
                    continue
                new.add(identity)
            kept.append(passage)
            identities.append(identity)
        return tuple(kept), identities, len(new)

    def _receipt(
        self,
        asked: Asked,
        passages: Sequence[Found],
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
            price=asked.permit.price,
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


def _proof(found: Found) -> PassageProof:
    return PassageProof(manifest=found.manifest, index=found.index, commitment=found.commitment, path=found.path)
