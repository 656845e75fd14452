"""Books that are added up again while they are served on: whatever the rows do not say is named (rules L1, L2)."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from enclave.metering import Meter
from tests.attacks.ledger.held_rows import ACCOUNT, WORLD, Rows, meter
from tests.builders import seeded
from tests.enclaves import deposit
from vault.errors import ForkedHistory, LedgerTampered, RecordsUnavailable, ServiceUnavailable, VaultError
from vault.records.model import JournalRow
from vault.sums import Sums

WAIT_S = 20
SUMS = Sums(
    sequence=3,
    balances={"paid-in/USDC": -9, ACCOUNT: 9, "paid-in/EURC": 0},
    spent={seeded("delegation"): 4},
    shown={seeded("holder"): (3, 4)},
    receipts={seeded("licensee"): (1, seeded("receipt"))},
    answered=1,
    deposits=1,
    voided=0,
    promised={ACCOUNT: (5, 9)},
    earned={"owner/0x00/USDC": (4, 0)},
    log_root=seeded("root"),
)
OTHERWISE = {
    "sequence": 4,
    "balances": {"paid-in/USDC": -8, ACCOUNT: 8},
    "spent": {},
    "shown": {seeded("holder"): (2, 4)},
    "receipts": {seeded("licensee"): (1, seeded("another receipt"))},
    "answered": 2,
    "deposits": 0,
    "voided": 1,
    "promised": {ACCOUNT: (6, 9)},
    "earned": {"owner/0x00/USDC": (4, 1)},
    "log_root": seeded("another root"),
}


@pytest.fixture
def rows() -> Rows:
    return Rows([])


async def paid(books: Meter, *numbers: int) -> None:
    for number in numbers:
        await books.add_credit(deposit(WORLD, number * 10), at=0)


async def test_books_that_are_as_their_rows_say_are_the_same(rows: Rows) -> None:
    books = meter(rows)
    assert (await books.checked()).sums.sequence == 0
    await paid(books, 1, 2, 3, 4)
    sums, anchor = await books.checked()
    assert (sums.sequence, sums.balances[ACCOUNT], sums.deposits, anchor) == (4, 100, 4, books.anchor)
    assert sums.log_root == books.log._kept.log.root(4)
    assert (await meter(rows).checked()).sums == sums  # and so says who begins with these rows


async def test_what_is_booked_meanwhile_is_in_nobodys_way(rows: Rows) -> None:
    books = meter(rows)
    outcomes = await asyncio.gather(paid(books, 1, 2), books.checked(), paid(books, 3, 4), books.checked())
    assert outcomes[1] is outcomes[3]  # one check at a time
    assert outcomes[1].sums.sequence <= outcomes[1].anchor.sequence
    assert (await books.checked()).sums.sequence == 4


BENEATH: dict[str, tuple[Callable[[list[JournalRow]], list[JournalRow]], type[VaultError]]] = {
    "the last one gone": (lambda held: held[:-1], ForkedHistory),
    "all gone": (lambda _: [], ForkedHistory),
    "the first one gone": (lambda held: held[1:], LedgerTampered),
    "one changed": (lambda held: [replace(held[0], sealed=held[0].sealed[:-1] + b"x"), *held[1:]], LedgerTampered),
    "one from another day": (lambda held: [held[0], replace(held[0], sequence=2), *held[2:]], LedgerTampered),
}


@pytest.mark.parametrize("change", BENEATH)
async def test_rows_changed_beneath_a_running_enclave_are_noticed(rows: Rows, change: str) -> None:
    books = meter(rows)
    await paid(books, 1, 2, 3)
    changed, error = BENEATH[change]
    rows.held = changed(rows.held)
    with pytest.raises(error):
        await books.checked()


async def test_sums_that_drifted_from_their_rows_are_named(rows: Rows) -> None:
    books = meter(rows)
    await paid(books, 1, 2)
    books.books._balances[ACCOUNT] += 1
    with pytest.raises(LedgerTampered, match=r"^balances: the rows up to entry 2 do not add up"):
        await books.checked()


async def test_rows_that_cannot_be_read_are_no_finding(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    books = meter(rows)
    await paid(books, 1)

    def away(*, after: int = 0) -> None:
        raise RecordsUnavailable("away")

    with monkeypatch.context() as context:
        context.setattr(rows, "rows", away)
        with pytest.raises(RecordsUnavailable):
            await books.checked()
    assert (await books.checked()).sums.sequence == 1


async def test_closing_the_books_ends_a_check_that_runs() -> None:
    slow = _Slow([])
    books = meter(slow)
    await paid(books, 1, 2, 3)
    checking = asyncio.create_task(books.checked())
    await asyncio.to_thread(slow.began.wait, WAIT_S)
    closing = asyncio.create_task(books.close())
    await asyncio.sleep(0)
    slow.goes_on.set()
    await closing
    assert slow.read == 2  # the third row was left where it is
    with pytest.raises(ServiceUnavailable, match="ended the check"):
        await checking


class _Slow(Rows):
    """Rows of which a check gets the second one when told to."""

    def __init__(self, rows: list[JournalRow]) -> None:
        super().__init__(rows)
        self.began, self.goes_on, self.read = threading.Event(), threading.Event(), 0

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        for row in super().rows(after=after):
            if self.read:
                self.began.set()
                self.goes_on.wait(WAIT_S)
            self.read += 1
            yield row


def finding(readded: Sums) -> str | None:
    """Return what is found to differ, if anything is."""
    try:
        SUMS.require_equal(readded)
    except LedgerTampered as error:
        return str(error)
    return None


def test_equal_sums_are_equal() -> None:
    readded = copy.deepcopy(SUMS)
    assert readded.balances is not SUMS.balances
    assert finding(readded) is None
    more = readded._replace(balances={**readded.balances, ACCOUNT: 10})
    assert str(finding(more)).startswith("balances: ")


@pytest.mark.parametrize("field", Sums._fields)
def test_every_sum_that_differs_is_named(field: str) -> None:
    with pytest.raises(LedgerTampered, match=f"^{field.replace('_', ' ')}: "):
        SUMS.require_equal(SUMS._replace(**{field: OTHERWISE[field]}))


def test_accounts_of_each_currency_add_up_to_zero() -> None:
    for balances in ({"paid-in/USDC": -9, ACCOUNT: 8}, {"paid-in/EURC": -9, ACCOUNT: 9}):
        wrong = SUMS._replace(balances=balances)
        with pytest.raises(LedgerTampered, match="and not to zero"):
            wrong.require_equal(wrong)
