"""What one epoch came to: one settlement for all, signed, and for each payee's account a statement (rules L4, R2).

A `Settlement` commits to every statement with a Merkle sum tree, whose total equals what was charged, and to what every
address may claim in all with an OpenZeppelin standard tree. A `Statement` holds one account's own part: what each of
its passages earned, and an opaque pair of hashes for each receipt that paid it. Who holds the receipt derives the pair;
who does not learns from it neither licensee, time nor amount. Passages appear under an HMAC with a key of the epoch,
those that were shown less than `SHOWN_MIN` times only together.

Both follow from the ledger's rows alone, so an enclave that starts anew, or is asked again, gives the same bytes; what
differs is the `Vouched` around a settlement, in which one attested instance signs it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, ClassVar, Final

from storage.cid import Cid
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.cose import MESSAGE_BYTES_MAX, sign1, verified_payload
from vault.currency import CURRENCY, check_currency
from vault.earnings import CHARGES_MAX, PAYEES
from vault.errors import MalformedObject
from vault.machine import MachineKey
from vault.sum_tree import Summed, SumProof, summed_leaf
from vault.weights import PROOF_MAX, leaf

AAD: Final = b"coffer/settlement/v1"
SHOWN_MIN: Final = 5  # times that a passage has to be shown in an epoch to be told of by itself
LINES_MAX: Final = 1 << 14
CURRENCIES_MAX: Final = 256
PAYMENTS_MAX: Final = 2 * CHARGES_MAX  # an epoch that is full closes with the next entry for which there is room
STATEMENT_BYTES_MAX: Final = 32 << 20
THE_REST: Final = bytes(32)
_PAIR_BYTES: Final = 64
_ACCOUNT = re.compile(rf"(?:{'|'.join(PAYEES)})0x([0-9a-f]{{40}})/{CURRENCY}")  # spelled in one way: else two for one
_PAYMENT: Final = b"coffer/payment/v1"
_AMOUNT: Final = b"coffer/payment-amount/v1"


@record
class Line(Record):
    """What one passage earned, or all the rest together."""

    passage: Digest  # blinded; zeros for the rest
    count: int  # answers
    amount: int  # micro-units


@record
class Statement(Record):
    """One account's part of one epoch."""

    TYPE: ClassVar[str] = "coffer/statement/v1"

    genesis: Cid
    ledger: Digest
    epoch: int
    account: Annotated[str, Length(1, 80)]
    salt: Digest  # hides the leaf from those who see only hashes
    earned: int  # micro-units, of charges that stand
    refunded: int  # of charges of earlier epochs that were given back
    owed_before: int
    owed: int  # to the epochs that follow
    amount: int  # due for this epoch
    total: int  # of the amounts of all epochs up to this one
    claim: int  # of the totals of all this address's accounts in this currency
    lines: Annotated[tuple[Line, ...], Length(0, LINES_MAX + 1)]  # by passage, ascending
    payments: Annotated[bytes, Length(0, PAYMENTS_MAX * _PAIR_BYTES)]  # id ‖ seal of each, ids ascending
    refunds: Annotated[bytes, Length(0, PAYMENTS_MAX * 32)]  # ids of payments of earlier epochs, ascending

    def check(self) -> None:
        """Refuse amounts that do not add up, and lists that could hold something twice."""
        if self.earned + self.owed != self.amount + self.refunded + self.owed_before or self.amount * self.owed:
            raise MalformedObject("a statement's amounts do not add up")
        if not self.amount <= self.total <= self.claim:
            raise MalformedObject("a statement's total is less than its amount, or more than its claim")
        if not _ACCOUNT.fullmatch(self.account):
            raise MalformedObject("a statement is of an owner's, a treasury's or an operator's account")
        if sum(line.amount for line in self.lines) != self.earned:
            raise MalformedObject("a statement's passages do not add up to what was earned")
        passages = [line.passage for line in self.lines]
        if passages != sorted(set(passages)):
            raise MalformedObject("a statement's passages stand once each, in ascending order")
        if len(self.payments) % _PAIR_BYTES or len(self.refunds) % 32:
            raise MalformedObject("a statement holds part of a payment")
        for ids in ([id for id, _ in self.pairs()], list(self.refund_ids())):
            if any(before >= after for before, after in pairwise(ids)):
                raise MalformedObject("a statement's payments stand once each, in ascending order")

    @property
    def address(self) -> bytes:
        """Return whose account it is."""
        return address_of(self.account)

    @property
    def currency(self) -> str:
        """Return the account's currency."""
        return currency_of(self.account)

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each payment's id and the seal of its amount."""
        for pair in _pieces(self.payments, _PAIR_BYTES):
            yield pair[:32], pair[32:]

    def refund_ids(self) -> Iterator[bytes]:
        """Yield the ids of payments of earlier epochs that were taken back."""
        yield from _pieces(self.refunds, 32)

    def leaf(self) -> Summed:
        """Return the statement's leaf in the sum tree."""
        return summed_leaf(self.amount, sha256(self.encoded()).digest())


@record
class CurrencySettled(Record):
    """What an epoch came to in one currency."""

    currency: Annotated[str, Length(1, 12)]
    charged: int  # micro-units, of charges that stand
    refunded: int  # of charges of earlier epochs
    owed_before: int
    owed: int
    total: int  # due to all accounts: the sum tree's
    accounts: int  # leaves of the sum tree
    sum_root: Digest
    claims_root: Digest  # OpenZeppelin standard tree over (address, claim); zeros where nobody has a claim

    def check(self) -> None:
        """Refuse what does not add up, and what is no currency."""
        check_currency(self.currency)
        if self.charged + self.owed != self.total + self.refunded + self.owed_before:
            raise MalformedObject("a settlement's amounts do not add up")


@record
class Settlement(Record):
    """What one epoch came to."""

    TYPE: ClassVar[str] = "coffer/settlement/v1"

    genesis: Cid
    ledger: Digest
    epoch: int
    first: int  # sequence of the first ledger entry in it
    last: int  # of the entry that closed it: the log had as many leaves then
    began_at: int  # UTC seconds
    at: int
    log_root: Digest
    currencies: Annotated[tuple[CurrencySettled, ...], Length(1, CURRENCIES_MAX)]  # by name

    def check(self) -> None:
        """Refuse bounds that are none, and a currency that stands twice."""
        names = [one.currency for one in self.currencies]
        if not 1 <= self.first < self.last or not self.epoch or names != sorted(set(names)):
            raise MalformedObject("a settlement's epoch, entries or currencies are none")

    def currency(self, name: str) -> CurrencySettled:
        """Return what it came to in one currency."""
        for one in self.currencies:
            if one.currency == name:
                return one
        raise MalformedObject(f"epoch {self.epoch} settles nothing in {name}")


@record
class Vouched(Record):
    """A settlement, and the attested instance that stands for it."""

    TYPE: ClassVar[str] = "coffer/vouched-settlement/v1"

    settlement: Settlement
    instance: PublicKey
    evidence: Digest
    head: Cid
    at: int  # UTC seconds by the leases

    def signed(self, key: MachineKey) -> bytes:
        """Return the COSE_Sign1 message over it."""
        return sign1(key, self.encoded(), external_aad=AAD)


@record
class Proven(Record):
    """A statement with its proofs: what an enclave hands out to the account's holder."""

    TYPE: ClassVar[str] = "coffer/proven-statement/v1"

    message: Annotated[bytes, Length(64, MESSAGE_BYTES_MAX)]  # over `Vouched`
    statement: Statement
    sum_proof: SumProof
    claim_proof: Annotated[tuple[Digest, ...], Length(0, PROOF_MAX)]


def verified_settlement(message: bytes, instance: bytes) -> Vouched:
    """Return what `instance` vouches for; raise `InvalidSignature` or `MalformedObject`."""
    payload = verified_payload(message, instance, external_aad=AAD)
    return Vouched.from_bytes(payload, bytes_max=MESSAGE_BYTES_MAX)


def payment_id(request: bytes, receipt: bytes, account: str) -> bytes:
    """Return what one receipt's payment to one account is called; `receipt` is its digest."""
    return sha256(_PAYMENT + request + receipt + account.encode()).digest()


def amount_seal(request: bytes, receipt: bytes, account: str, amount: int) -> bytes:
    """Return the commitment to how much that was."""
    return sha256(_AMOUNT + request + receipt + amount.to_bytes(8, "big") + account.encode()).digest()


def claim_leaf(address: bytes, claim: int) -> bytes:
    """Return the leaf of what an address may claim in all, as OpenZeppelin's standard tree has it."""
    return leaf(address, claim)


def passage_key(epoch_secret: bytes, account: str) -> bytes:
    """Return the key under which one account's passages are blinded in one epoch; its holder may have it."""
    return hmac.digest(epoch_secret, b"passages" + account.encode(), "sha256")


def blinded(key: bytes, manifest: Cid, index: int) -> bytes:
    """Return what a passage is called in a statement."""
    return hmac.digest(key, manifest.binary + index.to_bytes(8, "big"), "sha256")


def statement_salt(epoch_secret: bytes, account: str) -> bytes:
    """Return the salt of an account's statement."""
    return hmac.digest(epoch_secret, b"salt" + account.encode(), "sha256")


def address_of(account: str) -> bytes:
    """Return the address in a payee's account, or raise `MalformedObject`."""
    found = _ACCOUNT.fullmatch(account)
    if found is None:
        raise MalformedObject("not an account of a payee")
    return bytes.fromhex(found[1])


def currency_of(account: str) -> str:
    """Return the currency in an account's name."""
    return account.rsplit("/", 1)[-1]


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
