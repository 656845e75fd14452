"""What is booked and not on the disk yet: nobody is told of it, and if it never gets there it never was (rule L3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from enclave.client import EnclaveClient
from tests.attacks.ledger.failing import FailingJournal
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential, deposit, world
from tests.loops import WAIT_S
from tests.migrated import opened_records
from vault.errors import ForkedHistory, RecordsUnavailable, RequestConflict
from vault.lease import Anchor, ledger_id
from vault.receipt import verified_receipt
from vault.records.journal import Journal

WORLD = world()
LEDGER = ledger_id(WORLD.genesis)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with opened_records(tmp_path / "journal.db") as records:
        journal = FailingJournal(Journal(records, LEDGER))
        with deployed(tmp_path, WORLD, journal=journal) as deployment:
            deployment.add_credit(1_000)
            yield deployment
            journal.let_go()
            journal.leave(False)


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def journal_of(deployment: Deployment) -> Any:
    return deployment.enclave.journal


def ids(name: str = "request") -> dict[str, bytes]:
    return {"request_id": seeded(name), "salt": seeded("salt")}


def held(deployment: Deployment, asked: Future[Any]) -> None:
    """Wait until the answer's entry waits for the disk."""
    assert journal_of(deployment).held.wait(WAIT_S)
    assert not asked.done()


def booked(deployment: Deployment) -> int:
    return deployment.enclave.on_loop(lambda: deployment.enclave.instance.meter().books.last_sequence)


def anchor(deployment: Deployment) -> Anchor:
    return deployment.enclave.on_loop(lambda: deployment.enclave.instance.meter().anchor)


def until_booked(deployment: Deployment, sequence: int) -> None:
    deployment.until(lambda: deployment.enclave.instance.meter().books.last_sequence >= sequence)


def asking(deployment: Deployment, name: str = "licensee") -> EnclaveClient:
    person = wallet(name)
    return deployment.client(credential(deployment.world, person, seed=seeded(f"key of {name}")))


def test_no_answer_leaves_and_no_custodian_hears_before_the_disk_has_it(
    deployment: Deployment, elsewhere: ThreadPoolExecutor
) -> None:
    before = anchor(deployment)
    with asking(deployment) as client:
        journal_of(deployment).hold()
        asked = elsewhere.submit(client.search, "tide table", k=2)
        held(deployment, asked)
        assert booked(deployment) == before.sequence + 1
        assert anchor(deployment) == before
        deployment.enclave.step()  # a renewal: the custodians remember what is durable, no more
        (custodian,) = deployment.custodies.all
        assert custodian.station.store.kept(LEDGER, ()).anchor == (before.sequence, before.mac)
        assert not asked.done()
        journal_of(deployment).let_go()
        assert len(asked.result(WAIT_S).results) == 2
    assert anchor(deployment).sequence == before.sequence + 1


def test_asked_again_meanwhile_it_waits_for_the_same_entry(
    deployment: Deployment, elsewhere: ThreadPoolExecutor
) -> None:
    with asking(deployment) as client, deployment.client() as again:
        journal_of(deployment).hold()
        first = elsewhere.submit(client.search, "tide table", k=2, **ids())
        held(deployment, first)
        second = elsewhere.submit(again.search, "tide table", k=2, **ids())
        with pytest.raises(TimeoutError):
            second.result(0.3)
        journal_of(deployment).let_go()
        assert second.result(WAIT_S).receipt == first.result(WAIT_S).receipt
        assert second.result().is_repeat
        assert client.account().credit == 1_000 - PRICE


@pytest.mark.parametrize("when", ["before", "after"])
def test_asked_again_meanwhile_it_fails_along(deployment: Deployment, elsewhere: ThreadPoolExecutor, when: str) -> None:
    with asking(deployment) as client, deployment.client() as again:
        journal_of(deployment).hold()
        journal_of(deployment).fail(when)
        first = elsewhere.submit(client.search, "tide table", k=2, **ids())
        held(deployment, first)
        second = elsewhere.submit(again.search, "tide table", k=2, **ids())
        with pytest.raises(TimeoutError):
            second.result(0.3)
        journal_of(deployment).let_go()
        for asked in (first, second):
            with pytest.raises(RecordsUnavailable, match="ask again"):
                asked.result(WAIT_S)
        assert client.search("tide table", k=2, **ids()).is_repeat == (when == "after")
        assert client.account().credit == 1_000 - PRICE


def test_answers_booked_behind_a_failed_one_were_never_booked(
    deployment: Deployment, elsewhere: ThreadPoolExecutor
) -> None:
    names = ("licensee", "second", "third")
    for name in names[1:]:
        deployment.add_credit(1_000, wallet(name))
    start = booked(deployment)
    clients = [asking(deployment, name) for name in names]
    journal_of(deployment).hold()
    journal_of(deployment).fail("before")
    asked = [elsewhere.submit(clients[0].search, "tide table", k=2)]
    held(deployment, asked[0])
    asked += [elsewhere.submit(client.search, "rain", k=1) for client in clients[1:]]
    until_booked(deployment, start + 3)
    journal_of(deployment).let_go()
    for one in asked:
        with pytest.raises(RecordsUnavailable, match="ask again"):
            one.result(WAIT_S)
    assert [row.sequence for row in journal_of(deployment).rows()] == list(range(1, start + 1))
    receipts = [client.search("rain", k=1).receipt for client in clients]
    assert [(one.entry, one.sequence) for one in receipts] == [(start + n, 1) for n in (1, 2, 3)]
    assert [client.account().credit for client in clients] == [1_000 - PRICE] * 3
    for client in clients:
        client.close()


def test_those_that_become_durable_together_share_a_signature(
    deployment: Deployment, elsewhere: ThreadPoolExecutor
) -> None:
    names = ("licensee", "second", "third")
    for name in names[1:]:
        deployment.add_credit(1_000, wallet(name))
    start = booked(deployment)
    clients = [asking(deployment, name) for name in names]
    journal_of(deployment).hold()
    asked = [elsewhere.submit(clients[0].search, "rain", k=1)]
    held(deployment, asked[0])
    asked += [elsewhere.submit(client.search, "rain", k=1) for client in clients[1:]]
    until_booked(deployment, start + 3)
    journal_of(deployment).let_go()
    messages = [one.result(WAIT_S).file.message for one in asked]  # each was checked by its client
    assert [message[:1] == b"\xd2" for message in messages] == [True, False, False]
    key = deployment.enclave.keys.receipt.public
    assert [verified_receipt(message, key).entry for message in messages] in (
        [start + 1, start + 2, start + 3],
        [start + 1, start + 3, start + 2],
    )
    for client in clients:
        client.close()


def test_while_the_database_is_away_everything_is_refused_and_then_it_goes_on(deployment: Deployment) -> None:
    with asking(deployment) as client:
        journal_of(deployment).leave()
        for _ in range(3):
            with pytest.raises(RecordsUnavailable):
                client.search("tide table", k=2, **ids())
        for refused in (client.account, lambda: deployment.add_credit(5)):
            with pytest.raises(RecordsUnavailable):
                refused()
        deployment.enclave.step()  # leases are renewed all the same: the anchor has not moved
        journal_of(deployment).leave(False)
        assert not client.search("tide table", k=2, **ids()).is_repeat
        assert client.account().credit == 1_000 - PRICE


def test_a_renewal_alone_brings_the_books_back(deployment: Deployment) -> None:
    with asking(deployment) as client:
        journal_of(deployment).leave()
        with pytest.raises(RecordsUnavailable):
            client.search("rain", k=1)
        journal_of(deployment).leave(False)
        deployment.enclave.step()
        assert client.account().credit == 1_000


def test_rows_that_vanish_under_a_failure_are_a_fork(deployment: Deployment, tmp_path: Path) -> None:
    """A host that rolls back and fails an append at once does not get the books of before."""
    with asking(deployment) as client:
        lost = client.search("rain", k=1).receipt.entry
        journal_of(deployment).fail("before")
        with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f"DROP TRIGGER {name}")
            database.execute("DELETE FROM journal WHERE sequence >= ?", (lost,))
            database.commit()
        with pytest.raises(RecordsUnavailable):
            client.search("tide table", k=2)
        with pytest.raises(ForkedHistory, match="restore the newer"):
            client.search("tide table", k=2)


def test_a_deposit_handed_in_twice_at_once_is_told_so_only_once_the_first_counts(
    deployment: Deployment, elsewhere: ThreadPoolExecutor
) -> None:
    paid = deposit(WORLD, 50)
    journal_of(deployment).hold()
    journal_of(deployment).fail("before")
    first = elsewhere.submit(deployment.hand_in, paid)
    held(deployment, first)
    second = elsewhere.submit(deployment.hand_in, paid)
    with pytest.raises(TimeoutError):
        second.result(0.3)
    journal_of(deployment).let_go()
    for handed in (first, second):
        with pytest.raises(RecordsUnavailable):
            handed.result(WAIT_S)
    assert deployment.hand_in(paid) == 1_050
    with pytest.raises(RequestConflict):
        deployment.hand_in(paid)


def test_a_window_counts_only_what_is_durable(deployment: Deployment) -> None:
    """Failed bookings use up no window: else a host that fails appends would keep licensees from what they paid for."""
    window = WORLD.dao.charter.window
    assert window is not None
    with asking(deployment) as client:
        for _ in range(5):
            journal_of(deployment).fail("before")
            with pytest.raises(RecordsUnavailable):
                client.search("rain", k=1)
        answered = client.search("rain", k=1).receipt.entry
        allowance = deployment.enclave.instance.meter()._allowance
        uses = deployment.enclave.on_loop(lambda: [use.sequence for use in allowance._uses])
        assert uses == [answered]


def test_a_hand_back_names_the_last_entry_and_nothing_follows(
    deployment: Deployment, elsewhere: ThreadPoolExecutor
) -> None:
    with asking(deployment) as client:
        journal_of(deployment).hold()
        asked = elsewhere.submit(client.search, "rain", k=1)
        held(deployment, asked)
        closed = elsewhere.submit(deployment.loop.call, deployment.enclave.instance.close())
        with pytest.raises(TimeoutError):
            closed.result(0.3)
        journal_of(deployment).let_go()
        closed.result(WAIT_S)
        asked.result(WAIT_S)
    (custodian,) = deployment.custodies.all
    last = journal_of(deployment).last()
    assert custodian.station.store.kept(LEDGER, ()).anchor == (last.sequence, last.mac)
