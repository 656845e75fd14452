"""The ledger's rules: a double-entry log in integers, sealed and MACed with the state key (rules F3, L1-L3, R2).

The host keeps the rows and is trusted with none of it. A row is AES-256-GCM under a key of its own (the state key and a
fresh salt, so that a host that rolls back cannot make a nonce repeat) and a chained HMAC:

    row = salt ‖ ciphertext        mac(n) = HMAC(state key's MAC key, ledger ‖ n ‖ mac(n-1) ‖ row)

Balances, budgets and request ids live in the enclave's memory; they are re-added from the rows at start. An opening
puts credit of all licensees in suspense: it stands for one transfer each, which follow from the rows before. Everything
here is pure: functions say what would be booked or why not, and `Books.book` takes it in after the row is durable.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.cid import Cid
from vault.codec import Address, Digest, Length, PublicKey, Record
from vault.cose import MESSAGE_BYTES_MAX
from vault.errors import CreditExhausted, LedgerTampered, MalformedObject, RequestConflict
from vault.keys import SecretKey
from vault.lease import Anchor
from vault.license import Deposit
from vault.losses import LICENSEE, Losses, Shown, suspense_of
from vault.policy import K_LIMIT, Policy
from vault.receipt import FIRST_PREVIOUS, receipt_digest
from vault.royalty import PAID_IN, Transfer, licensee_account, paid_in, shares_of
from vault.window import REPORTED_MAX, OpenWindow

ENTRY_BYTES_MAX = MESSAGE_BYTES_MAX + (1 << 17)
_SALT_BYTES = 32
_NONCE = bytes(12)  # each row has its own key


class Kind(StrEnum):
    """What an entry books."""

    DEPOSIT = "deposit"
    QUERY = "query"
    VOID = "void"
    OPENING = "opening"  # an instance begins, and accounts for the windows that others lost
    REFUND = "refund"  # credit that such an opening put in suspense comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageId(Record):
    """A passage as the books know it: its dataset version and place, and its lasting identity (rule O1)."""

    manifest: Cid
    index: int
    identity: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDetail(Record):
    """What a retry needs to give the same answer again. Sealed with its entry; never in the clear."""

    body: Digest
    policy: Cid
    delegation: Digest
    instance: PublicKey  # whose key signed the receipt
    vector: Annotated[bytes, Length(4, 1 << 16)] = field(repr=False)
    passages: Annotated[tuple[PassageId, ...], Length(0, K_LIMIT)]
    is_partial: bool
    receipt: Annotated[bytes, Length(64, MESSAGE_BYTES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Record):
    """One thing that happened, and the transfers that belong together."""

    TYPE: ClassVar[str] = "coffer/entry/v1"

    sequence: int  # from 1, without gaps
    kind: Kind
    at: int
    licensee: Address  # zeros for an opening and for a refund, which concern all
    reference: Digest  # deposit id, or request id, unique per licensee and kind; the instance, or the opening's number
    transfers: Annotated[tuple[Transfer, ...], Length(0, K_LIMIT + 3)]
    query: QueryDetail | None
    lost: Annotated[tuple[OpenWindow, ...], Length(0, REPORTED_MAX)] = ()

    def check(self) -> None:
        """Refuse a query without detail, or detail without a query."""
        if (self.query is not None) != (self.kind is Kind.QUERY):
            raise MalformedObject("exactly the query entries carry a query's detail")
        if self.lost and self.kind is not Kind.OPENING:
            raise MalformedObject("windows are lost at an opening")


@dataclass(frozen=True, slots=True)
class Effect:
    """What an entry did that a window counts."""

    new_passages: int
    credited: tuple[tuple[str, int], ...]  # licensees' accounts


@dataclass(slots=True)
class _Licensee:
    """What the books know of one licensee."""

    seen: set[bytes] = field(default_factory=set)
    receipts: int = 0
    previous: bytes = FIRST_PREVIOUS


class Books:
    """Balances and what else follows from the entries, re-added from the first one on."""

    def __init__(self) -> None:
        self.last_sequence = 0
        self._balances: dict[str, int] = {}
        self._spent: dict[bytes, int] = {}  # by delegation
        self._deposits: set[bytes] = set()
        self._queries: dict[tuple[bytes, bytes], Entry] = {}
        self._voided: set[tuple[bytes, bytes]] = set()
        self._licensees: dict[bytes, _Licensee] = {}
        self._losses = Losses()
        self.opened_by = b""  # the instance of the last opening

    def balance(self, account: str) -> int:
        """Return what an account holds, in micro-units."""
        return self._balances.get(account, 0)

    def balances(self) -> dict[str, int]:
        """Return all accounts that ever moved; they add up to zero, what was paid in counting negative."""
        return dict(self._balances)

    def spent(self, delegation: bytes) -> int:
        """Return what was charged under one delegation."""
        return self._spent.get(delegation, 0)

    def seen_count(self, licensee: bytes) -> int:
        """Return how many distinct passages this licensee was ever shown."""
        return len(self._licensee(licensee).seen)

    def has_seen(self, licensee: bytes, identity: bytes) -> bool:
        """Say whether this licensee was shown that passage before."""
        return identity in self._licensee(licensee).seen

    def lost_passages(self, licensee: bytes) -> int:
        """Return by how many passages lost windows have shrunk this licensee's budget."""
        return self._losses.passages(licensee)

    @property
    def decided(self) -> int:
        """Return the sequence of the last opening: windows from before it are accounted for."""
        return self._losses.decided

    def due(self, at: int) -> list[int]:
        """Return the openings whose suspense is over at `at` (UTC seconds)."""
        return self._losses.due(at)

    def receipt_chain(self, licensee: bytes) -> tuple[int, bytes]:
        """Return how many receipts this licensee has, and the digest of the last."""
        known = self._licensee(licensee)
        return known.receipts, known.previous

    def has_deposit(self, id: bytes) -> bool:
        """Say whether a deposit was booked."""
        return id in self._deposits

    def answered(self, licensee: bytes, request: bytes, body: bytes) -> Entry | None:
        """Return the entry of a repeated request; raise `RequestConflict` for another body or a voided request."""
        entry = self._queries.get((licensee, request))
        if entry is None:
            return None
        if entry.query is None or entry.query.body != body or (licensee, request) in self._voided:
            raise RequestConflict("this request id cannot be used again; choose a fresh one")
        return entry

    def book(self, entry: Entry) -> Effect:
        """Take in an entry whose row is durable. Raises `LedgerTampered` where it does not follow from the others."""
        if entry.sequence != self.last_sequence + 1:
            raise LedgerTampered(f"entry {entry.sequence} does not follow entry {self.last_sequence}")
        seen = self.seen_count(entry.licensee)
        moved = (*entry.transfers, *self._suspended(entry))
        for transfer in moved:
            self._move(transfer)
        self._note(entry)
        self.last_sequence = entry.sequence
        new = self.seen_count(entry.licensee) - seen
        if entry.query is not None:
            account = entry.transfers[0].debit if entry.transfers else ""
            charged = sum(transfer.amount for transfer in entry.transfers)
            self._losses.note(entry.query.instance, Shown(entry.sequence, entry.licensee, new, account, charged))
        return Effect(new, tuple((t.credit, t.amount) for t in moved if t.credit.startswith(LICENSEE)))

    def _suspended(self, entry: Entry) -> list[Transfer]:
        """Return the transfers that an opening or a refund stands for: as many as there are licensees."""
        match entry.kind:
            case Kind.OPENING:
                self.opened_by = entry.reference
                held = self._losses.open(entry.sequence, entry.at, entry.lost, self._balances)
                return [Transfer(debit=name, credit=suspense_of(name), amount=amount) for name, amount in held]
            case Kind.REFUND:
                back = self._losses.refund(int.from_bytes(entry.reference, "big"), entry.at)
                if not back:
                    raise LedgerTampered("nothing to refund")
                return [Transfer(debit=suspense_of(name), credit=name, amount=amount) for name, amount in back]
        return []

    def _move(self, transfer: Transfer) -> None:
        if transfer.amount < 1 or transfer.debit == transfer.credit:
            raise LedgerTampered("a transfer moves a positive amount between two accounts")
        left = self.balance(transfer.debit) - transfer.amount
        if left < 0 and not transfer.debit.startswith(f"{PAID_IN}/"):
            raise LedgerTampered(f"account {transfer.debit} would be overdrawn")
        self._balances[transfer.debit] = left
        self._balances[transfer.credit] = self.balance(transfer.credit) + transfer.amount

    def _note(self, entry: Entry) -> None:
        key = (entry.licensee, entry.reference)
        match entry.kind:
            case Kind.DEPOSIT:
                if entry.reference in self._deposits:
                    raise LedgerTampered("a deposit was booked twice")
                self._deposits.add(entry.reference)
            case Kind.VOID:
                if key not in self._queries or key in self._voided:
                    raise LedgerTampered("nothing to void")
                self._voided.add(key)
                if (voided := self._queries[key].query) is not None:
                    self._spent[voided.delegation] -= sum(transfer.amount for transfer in entry.transfers)
            case Kind.QUERY if entry.query is not None:
                if key in self._queries:
                    raise LedgerTampered("a request was charged twice")
                self._queries[key] = entry
                charged = sum(transfer.amount for transfer in entry.transfers)
                self._spent[entry.query.delegation] = self.spent(entry.query.delegation) + charged
                known = self._licensees.setdefault(entry.licensee, _Licensee())
                known.seen.update(passage.identity for passage in entry.query.passages)
                known.receipts += 1
                known.previous = receipt_digest(entry.query.receipt)

    def _licensee(self, licensee: bytes) -> _Licensee:
        return self._licensees.get(licensee) or _Licensee()


def deposit_entry(books: Books, deposit: Deposit, *, at: int) -> Entry:
    """Return the entry that books a verified deposit, or raise `RequestConflict` if it was booked before."""
    if books.has_deposit(deposit.id):
        raise RequestConflict("this deposit is in the books already; it counts once")
    currency = deposit.currency
    credit = Transfer(
        debit=paid_in(currency), credit=licensee_account(deposit.licensee, currency), amount=deposit.amount
    )
    return Entry(
        sequence=books.last_sequence + 1,
        kind=Kind.DEPOSIT,
        at=at,
        licensee=deposit.licensee,
        reference=deposit.id,
        transfers=(credit,),
        query=None,
    )


def require_credit(books: Books, account: str, delegation: bytes, *, price: int, spend_cap: int) -> None:
    """Raise `CreditExhausted` unless credit and spend cap both cover the price."""
    credit = books.balance(account)
    if credit < price:
        raise CreditExhausted(f"credit is {credit} micro-units and the price is {price}; have the treasury add credit")
    left = spend_cap - books.spent(delegation)
    if left < price:
        raise CreditExhausted(
            f"the spend cap leaves {max(left, 0)} micro-units and the price is {price}; delegate anew"
        )


def charge(licensee: bytes, policy: Policy, owners: list[bytes]) -> tuple[Transfer, ...]:
    """Return the transfers of one answer, which add up to the policy's price; none where the price is zero."""
    if not policy.price_per_query:
        return ()
    debit = licensee_account(licensee, policy.currency)
    shares = shares_of(policy.price_per_query, policy, owners)
    return tuple(Transfer(debit=debit, credit=share.account, amount=share.amount) for share in shares)


def void_entry(books: Books, entry: Entry, *, at: int) -> Entry:
    """Return the entry that gives a charge back in full."""
    back = tuple(Transfer(debit=t.credit, credit=t.debit, amount=t.amount) for t in entry.transfers)
    return Entry(
        sequence=books.last_sequence + 1,
        kind=Kind.VOID,
        at=at,
        licensee=entry.licensee,
        reference=entry.reference,
        transfers=back,
        query=None,
    )


def opening_entry(books: Books, instance: bytes, lost: tuple[OpenWindow, ...], *, at: int) -> Entry:
    """Return the entry by which an instance begins, naming the windows lost since the opening before."""
    return _general(books, Kind.OPENING, instance, lost, at)


def refund_entry(books: Books, opening: int, *, at: int) -> Entry:
    """Return the entry that gives back what an opening put in suspense."""
    return _general(books, Kind.REFUND, opening.to_bytes(32, "big"), (), at)


def _general(books: Books, kind: Kind, reference: bytes, lost: tuple[OpenWindow, ...], at: int) -> Entry:
    return Entry(
        sequence=books.last_sequence + 1,
        kind=kind,
        at=at,
        licensee=bytes(20),
        reference=reference,
        transfers=(),
        query=None,
        lost=lost,
    )


class LedgerSeal:
    """Seals entries into rows and opens them again, along the chain of MACs."""

    def __init__(self, state_key: SecretKey, ledger: bytes) -> None:
        self._state_key = state_key
        self._mac_key = state_key.derive("ledger-mac", info=ledger)
        self._identity_key = state_key.derive("passage-identity", info=ledger)
        self._ledger = ledger

    def passage_identity(self, text: str) -> bytes:
        """Return a passage's lasting identity: HMAC of its text, case and spacing aside (rule O1)."""
        return hmac.digest(self._identity_key, " ".join(text.casefold().split()).encode(), "sha256")

    def seal(self, entry: Entry, after: Anchor) -> tuple[bytes, Anchor]:
        """Return the row for `entry` and the anchor it leads to."""
        salt = secrets.token_bytes(_SALT_BYTES)
        body = self._cipher(salt).encrypt(_NONCE, entry.encoded(), self._ledger)
        row = salt + body
        return row, self._next(after, row)

    def open(self, sequence: int, row: bytes, mac: bytes, after: Anchor) -> tuple[Entry, Anchor]:
        """Return a row's entry and anchor, or raise `LedgerTampered`."""
        anchor = self._next(after, row)
        if sequence != anchor.sequence or not hmac.compare_digest(mac, anchor.mac):
            raise LedgerTampered(f"ledger row {sequence} breaks the chain; restore the database from a good copy")
        try:
            plain = self._cipher(row[:_SALT_BYTES]).decrypt(_NONCE, row[_SALT_BYTES:], self._ledger)
            return Entry.from_bytes(plain, bytes_max=ENTRY_BYTES_MAX), anchor
        except (InvalidTag, MalformedObject) as error:
            raise LedgerTampered(f"ledger row {sequence} does not open") from error

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(self._state_key.derive("ledger-row", salt=salt))

    def _next(self, after: Anchor, row: bytes) -> Anchor:
        sequence = after.sequence + 1
        message = self._ledger + sequence.to_bytes(8, "big") + after.mac + row
        return Anchor(sequence=sequence, mac=hmac.digest(self._mac_key, message, "sha256"))
