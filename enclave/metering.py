"""Metering: nothing leaves before its entry is durable (rules L1-L3).

One `Meter` owns the books of one run. It re-adds them from the host's rows at start, along the chain of MACs, and
books each answer: entry sealed, row appended and fsynced, then the receipt handed out. Its methods wait on nothing but
the database, so on one event loop they are atomic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from enclave.found import Found
from enclave.opening import Grounds
from vault.errors import BudgetExhausted, ForkedHistory
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor
from vault.ledger import (
    Books,
    Entry,
    Kind,
    LedgerSeal,
    PassageId,
    QueryDetail,
    charge,
    deposit_entry,
    require_credit,
    void_entry,
)
from vault.license import Deposit, License
from vault.machine import MachineKey
from vault.policy import Permit, Policy
from vault.receipt import PassageProof, Receipt
from vault.records.model import JournalRow
from vault.royalty import licensee_account
from vault.session import Query, text_commitment, vector_commitment


class Journal(Protocol):
    """The host's append-only rows; see `vault.records.journal`."""

    def append(self, rows: Sequence[JournalRow]) -> None: ...  # noqa: D102
    def rows(self, *, after: int = 0) -> Iterator[JournalRow]: ...  # noqa: D102
    def last(self) -> JournalRow | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks what under which permit: everything about a query but its answer."""

    license: License
    delegation: bytes
    policy: Policy
    permit: Permit
    query: Query
    spend_cap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What was booked: the passages that may leave, and their receipt."""

    passages: tuple[Found, ...]
    receipt: bytes
    is_partial: bool


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
        self._seal = LedgerSeal(state_key, ledger)
        self._receipt_key = receipt_key
        self._ledger = ledger
        self.books = Books()
        self.anchor = EMPTY_ANCHOR
        self._is_uncertain = False  # an append failed in a way that may have recorded the row all the same
        self._take_in()
        if self.anchor != claimed:
            raise ForkedHistory("the ledger's rows changed while the enclave was opening; stop whoever writes to it")

    def add_credit(self, deposit: Deposit, *, at: int) -> None:
        """Book a verified deposit; a repeated one raises `RequestConflict`."""
        self._append(deposit_entry(self.books, deposit, at=at))

    def require_affordable(self, asked: Asked) -> int:
        """Return how many new passages the budget allows, or raise before anything is searched (rule O3)."""
        licensee = asked.license.licensee
        left = asked.permit.passages_max - self.books.seen_count(licensee)
        if left <= 0:
            raise BudgetExhausted(f"the license has been shown all {asked.permit.passages_max} passages it may see")
        account, price = licensee_account(licensee, asked.policy.currency), asked.permit.price
        require_credit(self.books, account, asked.delegation, price=price, spend_cap=asked.spend_cap)
        return left

    def book_answer(self, asked: Asked, found: Sequence[Found], vector: bytes, grounds: Grounds, *, at: int) -> Metered:
        """Charge for an answer and return what may leave; the entry is durable before this returns."""
        left = self.require_affordable(asked)
        passages, identities, new = self._within_budget(asked.license.licensee, found, left)
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
            passages=tuple(
                PassageProof(
                    manifest=passage.manifest, index=passage.index, commitment=passage.commitment, path=passage.path
                )
                for passage in passages
            ),
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
            self.books.book(entry)
            self.anchor = anchor

    def _append(self, entry: Entry) -> None:
        row, anchor = self._seal.seal(entry, self.anchor)
        try:
            self._journal.append([JournalRow(anchor.sequence, row, anchor.mac)])
        except Exception:  # whatever it was, the row may have been recorded all the same
            self._is_uncertain = True
            raise
        self.books.book(entry)
        self.anchor = anchor
