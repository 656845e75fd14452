"""Answers paid for by vouchers, over real servers: neither side ever risks more than was agreed (rule L5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from enclave.answers import Answer
from enclave.tallies import TallyFolder
from tests.channels import UNPAID, channel_of, opened, voucher_world
from tests.clients import connected, connected_async, restart
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential
from vault.errors import CreditExhausted, MalformedObject, VoucherDue
from vault.promises import Standing
from vault.question import Query
from vault.unpaid import Debt, debt_of

WORLD = voucher_world()
ACCOUNT = "licensee/0x" + credential(WORLD).license.licensee.hex() + "/USDC"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path, voucher_world()) as deployment:
        opened(deployment)
        yield deployment


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment in which three answers may be unpaid."""
    with deployed(tmp_path, voucher_world(unpaid_queries_max=3)) as deployment:
        opened(deployment)
        yield deployment


def standing(deployment: Deployment) -> Standing:
    found = deployment.enclave.instance.meter().books.promises.of(ACCOUNT)
    assert found is not None
    return found


def owed(deployment: Deployment) -> Debt:
    found = debt_of(deployment.enclave.instance.meter().books, ACCOUNT)
    assert found is not None
    return found


def questions(count: int) -> list[str]:
    return [f"tide table {number}" for number in range(count)]


def test_questions_are_paid_for_as_their_receipts_come(deployment: Deployment) -> None:
    with connected(deployment, tallies=None) as client:
        for asked, text in enumerate(questions(25), 1):
            assert client.search(text).price == PRICE
            assert 0 <= asked * PRICE - standing(deployment).amount <= UNPAID  # neither side risks more
        paid = client.pay()
    assert paid is not None
    assert paid.voucher is not None
    assert (paid.voucher.amount, paid.unpaid, client.spent) == (25 * PRICE, 0, 25 * PRICE)
    assert sum(deployment.enclave.instance.meter().books.balances().values()) == 0


def test_few_vouchers_pay_for_many_questions(deployment: Deployment) -> None:
    before = deployment.enclave.instance.meter().books.last_sequence
    with connected(deployment, tallies=None) as client:
        for text in questions(30):
            client.search(text)
    booked = deployment.enclave.instance.meter().books.last_sequence - before
    assert 30 < booked <= 30 + 30 * PRICE // (UNPAID // 2)


def test_so_many_answers_may_be_unpaid_and_no_more(narrow: Deployment) -> None:
    with connected(narrow, tallies=None) as client:
        for text in questions(10):
            client.search(text)
            assert owed(narrow).queries <= 3


def test_a_batch_is_paid_for_as_it_goes(narrow: Deployment) -> None:
    with connected(narrow, tallies=None) as client:
        outcomes = client.search_batch(questions(20))
        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        assert client.spent == 20 * PRICE
    assert owed(narrow).queries <= 3


def test_a_stream_is_paid_for_as_it_goes(narrow: Deployment) -> None:
    with connected(narrow, tallies=None) as client:
        streamed = dict(client.stream([client.question(text) for text in questions(20)]))
    assert len(streamed) == 20
    assert all(isinstance(outcome, Answer) for outcome in streamed.values())


def test_an_event_loops_client_pays_likewise(narrow: Deployment) -> None:
    async def play() -> tuple[list[object], dict[Query, object], int]:
        async with await connected_async(narrow, tallies=None) as client:
            for text in questions(5):
                await client.search(text)
            batch = await client.search_batch(questions(8))

            async def asked() -> AsyncIterator[Query]:
                for text in questions(8):
                    yield client.question(text)

            streamed = {query: outcome async for query, outcome in client.stream(asked())}
            at_once = await asyncio.gather(*(client.search(text) for text in questions(6)))
            paid = await client.pay()
            assert paid == await client.standing()
            assert paid is not None
            return [*batch, *at_once], {**streamed}, paid.due

    answers, streamed, due = asyncio.run(play())
    assert all(isinstance(outcome, Answer) for outcome in [*answers, *streamed.values()])
    assert due == standing(narrow).amount == (5 + 8 + 8 + 6) * PRICE


def test_what_is_paid_in_advance_is_used_and_needs_no_voucher(deployment: Deployment) -> None:
    deployment.add_credit(500)
    with connected(deployment, tallies=None) as client:
        for text in questions(8):
            client.search(text)
        paid = client.pay()
    assert paid is not None
    assert paid.due == 300


def test_a_channel_is_used_up_and_raised(tmp_path: Path) -> None:
    setting = voucher_world()
    with deployed(tmp_path, setting) as deployment:
        opened(deployment, channel_of(setting, limit=300))
        with connected(deployment, tallies=None) as client:
            for text in questions(3):
                client.search(text)
            with pytest.raises(CreditExhausted, match="raise its limit"):
                client.search("harbor lights")
            opened(deployment, channel_of(setting, limit=500))
            client.search("harbor lights")
            paid = client.pay()
        assert paid is not None
        assert paid.voucher is not None
        assert paid.voucher.amount == 400


def test_without_a_channel_credit_is_prepaid_as_ever(tmp_path: Path) -> None:
    with deployed(tmp_path, voucher_world()) as deployment:
        deployment.add_credit(PRICE)
        with connected(deployment, tallies=None) as client:
            assert client.standing() is None
            assert client.pay() is None
            client.search("tide table")
            with pytest.raises(CreditExhausted) as refused:
                client.search("harbor lights")
            assert not isinstance(refused.value, VoucherDue)


def test_a_channel_that_is_opened_later_is_found_once_it_is_needed(tmp_path: Path) -> None:
    with deployed(tmp_path, voucher_world()) as deployment:
        deployment.add_credit(PRICE)
        with connected(deployment, tallies=None) as client:
            client.search("tide table")
            opened(deployment)
            for text in questions(2 * UNPAID // PRICE):
                client.search(text)
            paid = client.pay()
        assert paid is not None
        assert paid.due == 2 * UNPAID


class TestMemory:
    """What was received and promised outlives the client."""

    def test_a_new_client_pays_what_an_earlier_one_received(self, deployment: Deployment, tmp_path: Path) -> None:
        for _ in range(2):
            with connected(deployment, tallies=tmp_path / "tallies") as client:
                for text in questions(3):
                    client.search(text)
        with connected(deployment, tallies=tmp_path / "tallies") as client:
            client.search("harbor lights")
            assert standing(deployment).amount == 6 * PRICE

    def test_one_that_remembers_nothing_pays_no_more_than_may_be_unpaid(self, deployment: Deployment) -> None:
        with connected(deployment, tallies=None) as client:
            for text in questions(4):
                client.search(text)
        with connected(deployment, tallies=None) as client:
            client.search("harbor lights")
            assert standing(deployment).amount == 0  # it received none of these four, and nothing forces it yet
            for text in questions(9):
                client.search(text)
            paid = client.pay()
        assert paid is not None
        assert paid.due <= 14 * PRICE

    def test_a_person_may_pay_what_no_receipt_here_shows(self, deployment: Deployment) -> None:
        with connected(deployment, tallies=None) as client:
            for text in questions(4):
                client.search(text)
        with connected(deployment, tallies=None) as client:
            paid = client.pay(is_accepting=True)
        assert paid is not None
        assert (paid.unpaid, standing(deployment).amount) == (0, 4 * PRICE)

    def test_vouchers_survive_the_enclave(self, deployment: Deployment, tmp_path: Path) -> None:
        with connected(deployment, tallies=tmp_path / "tallies") as client:
            for text in questions(7):
                client.search(text)
            restart(deployment)
            for text in questions(7):
                client.search(text)
            client.pay()
        assert standing(deployment).amount == 14 * PRICE

    def test_a_damaged_tally_is_no_tally(self, deployment: Deployment, tmp_path: Path) -> None:
        channel = channel_of(deployment.world)
        (tmp_path / f"{channel.id.hex()}.tally").write_bytes(b"garbage")
        with connected(deployment, tallies=tmp_path) as client, pytest.raises(MalformedObject):
            client.search("tide table")

    def test_tallies_are_private_and_shared_among_processes(self, deployment: Deployment, tmp_path: Path) -> None:
        with (
            connected(deployment, tallies=tmp_path / "t") as one,
            connected(deployment, tallies=tmp_path / "t") as other,
        ):
            for text in questions(4):
                one.search(text)
                other.search(text)
            one.pay()
            other.pay()
        channel = channel_of(deployment.world).id
        tally = TallyFolder(tmp_path / "t").changed(channel, lambda tally: tally)
        assert (tally.received, tally.signed, tally.amount) == (8 * PRICE, 8 * PRICE, 8 * PRICE)
        files = [path for path in (tmp_path / "t").iterdir()]
        assert {path.stat().st_mode & 0o077 for path in files} == {0}
