"""Entries as they are made, other than answers': each follows the last one in the books."""

from __future__ import annotations

from vault.codec import INTEGER_MAX
from vault.entry import Entry, Kind, SealedVectors
from vault.errors import AccessDenied, RequestConflict
from vault.ledger import Books
from vault.license import Deposit
from vault.royalty import Transfer, licensee_account, paid_in
from vault.window import OpenWindow


def deposit_entry(books: Books, deposit: Deposit, *, at: int) -> Entry:
    """Return the entry that books a verified deposit.

    Raises: `RequestConflict` if it was booked before; `AccessDenied` where what was ever paid in could be told no more.
    """
    if books.has_deposit(deposit.id):
        raise RequestConflict("this deposit is in the books already; it counts once")
    currency = deposit.currency
    if deposit.amount - books.balance(paid_in(currency)) > INTEGER_MAX:
        raise AccessDenied(f"the books hold no more than {INTEGER_MAX} micro-{currency} in all; pay in less")
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


def snapshot_entry(books: Books, vectors: SealedVectors, *, at: int) -> Entry:
    """Return the entry that names a dataset version's sealed vectors."""
    return Entry(
        sequence=books.last_sequence + 1,
        kind=Kind.SNAPSHOT,
        at=at,
        licensee=bytes(20),
        reference=vectors.root.digest,
        transfers=(),
        query=None,
        vectors=vectors,
    )


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
