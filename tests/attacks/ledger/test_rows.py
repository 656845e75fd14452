"""A host that edits, cuts or rearranges the rows of its own database (rule L1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from enclave.metering import Meter, claimed_anchor
from tests.builders import seeded, wallet
from tests.enclaves import deposit, world
from vault.errors import ForkedHistory, LedgerTampered
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, ledger_id
from vault.ledger_seal import SALT_ROWS, LedgerSeal
from vault.machine import MachineKey
from vault.records.model import JournalRow

WORLD = world()
LEDGER = ledger_id(WORLD.genesis)
STATE_KEY = SecretKey(seeded("state key"))
ACCOUNT = "licensee/0x" + wallet("licensee").address.hex() + "/USDC"


class Rows:
    """A host's rows, as a list that a test rearranges."""

    def __init__(self, rows: list[JournalRow]) -> None:
        self.held = rows

    def append(self, rows: Sequence[JournalRow]) -> None:
        self.held += rows

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        return iter([row for row in self.held if row.sequence > after])

    def last(self) -> JournalRow | None:
        return self.held[-1] if self.held else None


def meter(rows: Rows, key: SecretKey = STATE_KEY, ledger: bytes = LEDGER) -> Meter:
    return Meter(rows, key, ledger, MachineKey(seeded("receipt key")), claimed_anchor(rows))


@pytest.fixture
async def rows() -> Rows:
    """Return four booked deposits of rising amounts."""
    made = Rows([])
    books = meter(made)
    for number in range(1, 5):
        await books.add_credit(deposit(WORLD, number * 10), at=0)
    return made


def test_read_again_the_books_are_the_same(rows: Rows) -> None:
    again = meter(rows)
    assert again.books.balances() == {"paid-in/USDC": -100, ACCOUNT: 100}
    assert again.anchor == claimed_anchor(rows)


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


EDITS: dict[str, Callable[[list[JournalRow]], list[JournalRow]]] = {
    "first deleted": lambda held: held[1:],
    "second deleted": lambda held: held[:1] + held[2:],
    "deleted and renumbered": lambda held: [replace(row, sequence=row.sequence - 1) for row in held[1:]],
    "two swapped": lambda held: [held[1], held[0], *held[2:]],
    "two swapped and renumbered": lambda held: [
        replace(held[1], sequence=1),
        replace(held[0], sequence=2),
        *held[2:],
    ],
    "last repeated": lambda held: [*held, held[-1]],
    "last repeated as the next": lambda held: [*held, replace(held[-1], sequence=5)],
    "body of another": lambda held: [replace(held[0], sealed=held[1].sealed), *held[1:]],
    "body and mac of another": lambda held: [replace(held[1], sequence=1), *held[1:]],
    "mac zeroed": lambda held: [replace(held[0], mac=bytes(32)), *held[1:]],
    "mac emptied": lambda held: [replace(held[0], mac=b""), *held[1:]],
    "body of one byte": lambda held: [replace(held[0], sealed=b"x"), *held[1:]],
    "salt flipped": lambda held: [replace(held[0], sealed=flipped(held[0].sealed, 0)), *held[1:]],
    "tag flipped": lambda held: [replace(held[0], sealed=flipped(held[0].sealed, -1)), *held[1:]],
    "renumbered": lambda held: [replace(held[0], sequence=2), *held[1:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_any_edit_is_noticed(rows: Rows, edit: str) -> None:
    rows.held = EDITS[edit](rows.held)
    with pytest.raises(LedgerTampered):
        meter(rows)


def test_rows_of_another_ledger_or_key_are_no_rows_of_this_one(rows: Rows) -> None:
    with pytest.raises(LedgerTampered):
        meter(rows, ledger=seeded("another ledger"))
    with pytest.raises(LedgerTampered):
        meter(rows, key=SecretKey(seeded("another key")))


def test_rows_that_change_during_opening_are_a_fork(rows: Rows) -> None:
    claimed = claimed_anchor(rows)
    with pytest.raises(ForkedHistory):
        Meter(Rows(rows.held[:2]), STATE_KEY, LEDGER, MachineKey(seeded("receipt key")), claimed)


def test_rows_say_nothing_in_the_clear_and_never_share_key_and_nonce(rows: Rows) -> None:
    address = wallet("licensee").address
    assert not any(address in row.sealed or b"deposit" in row.sealed for row in rows.held)
    assert len({row.sealed[:34] for row in rows.held}) == len(rows.held)


def test_a_salt_serves_so_many_rows_and_no_other_run(rows: Rows) -> None:
    seals = [LedgerSeal(STATE_KEY, LEDGER) for _ in range(2)]
    heads = [seal.sealed(b"entry", EMPTY_ANCHOR)[0][:34] for seal in seals for _ in range(SALT_ROWS + 1)]
    assert len(set(heads)) == len(heads)  # also after a row that turned out not to be durable
    assert len({head[:32] for head in heads}) == 4


def test_a_cut_ledger_is_sound_in_itself_and_so_custodians_have_to_remember(rows: Rows) -> None:
    rows.held = rows.held[:2]
    assert meter(rows).anchor.sequence == 2
