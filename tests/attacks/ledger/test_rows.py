"""A host that edits, cuts or rearranges the rows of its own database (rule L1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from enclave.metering import Meter, claimed_anchor
from tests.attacks.ledger.held_rows import ACCOUNT, LEDGER, STATE_KEY, WORLD, Rows, meter
from tests.builders import seeded, wallet
from tests.enclaves import deposit
from vault.errors import ForkedHistory, LedgerTampered
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor
from vault.ledger_seal import SALT_ROWS, LedgerSeal
from vault.machine import MachineKey
from vault.records.model import JournalRow


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


TOGETHER_EDITS: dict[str, Callable[[JournalRow], JournalRow]] = {
    "one entry fewer": lambda row: replace(row, entries=row.entries - 1),
    "one entry fewer, and renumbered": lambda row: replace(row, entries=row.entries - 1, sequence=row.sequence - 1),
    "one entry more": lambda row: replace(row, entries=row.entries + 1, sequence=row.sequence + 1),
    "no entry": lambda row: replace(row, entries=0, sequence=4),
    "less than none": lambda row: replace(row, entries=-3, sequence=1),
    "more than a row holds": lambda row: replace(row, entries=1 << 62, sequence=(1 << 62) + 4),
    "cut": lambda row: replace(row, sealed=row.sealed[:-1]),
}


@pytest.fixture
async def together(rows: Rows) -> Rows:
    """Return a row for each of four deposits, and one for three that were booked at once."""
    books = meter(rows)
    await asyncio.gather(*(books.add_credit(deposit(WORLD, number * 10), at=0) for number in range(5, 8)))
    assert [row.entries for row in rows.held] == [1, 1, 1, 1, 3]
    return rows


def test_entries_sealed_together_are_read_one_by_one(together: Rows) -> None:
    again = meter(together)
    assert again.books.balance(ACCOUNT) == 280
    assert again.anchor == claimed_anchor(together)
    for first in range(1, 8):
        for last in range(first, 8):
            entries = [*again.royalties.entries(first, last)]
            assert [entry.sequence for entry in entries] == [*range(first, last + 1)]
            assert [entry.transfers[0].amount for entry in entries] == [10 * n for n in range(first, last + 1)]


def test_an_anchor_is_where_a_row_ends(together: Rows) -> None:
    again, last = meter(together), together.held[-1]
    assert again.has_come_by(EMPTY_ANCHOR)
    for row in together.held:
        assert again.has_come_by(Anchor(sequence=row.sequence, mac=row.mac))
        assert not again.has_come_by(Anchor(sequence=row.sequence, mac=bytes(32)))
    for sequence in (5, 6, 8):
        assert not again.has_come_by(Anchor(sequence=sequence, mac=last.mac))


@pytest.mark.parametrize("edit", TOGETHER_EDITS)
def test_a_row_holds_what_it_says(together: Rows, edit: str) -> None:
    together.held[-1] = TOGETHER_EDITS[edit](together.held[-1])
    with pytest.raises(LedgerTampered):
        meter(together)


def test_a_row_of_one_is_no_part_of_another(together: Rows) -> None:
    """Sealed with the right key and chained, entries that do not follow are refused all the same."""
    seal, anchor = LedgerSeal(STATE_KEY, LEDGER), Anchor(sequence=4, mac=together.held[3].mac)
    entries = [entry.encoded() for entry in meter(together).royalties.entries(5, 7)]
    assert len(seal.open(seal.sealed(entries, anchor), anchor)[0]) == 3
    with pytest.raises(LedgerTampered):
        seal.open(replace(together.held[4], entries=0, sequence=4, mac=b""), anchor)
    for wrong in (entries[1:], entries[::-1], [*entries, entries[0]], [entries[0], b"entry"], []):
        with pytest.raises(LedgerTampered):
            seal.open(seal.sealed(wrong, anchor), anchor)


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
    heads = [seal.sealed([b"entry"], EMPTY_ANCHOR).sealed[:34] for seal in seals for _ in range(SALT_ROWS + 1)]
    assert len(set(heads)) == len(heads)  # also after a row that turned out not to be durable
    assert len({head[:32] for head in heads}) == 4


def test_a_cut_ledger_is_sound_in_itself_and_so_custodians_have_to_remember(rows: Rows) -> None:
    rows.held = rows.held[:2]
    assert meter(rows).anchor.sequence == 2
