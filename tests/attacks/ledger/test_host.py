"""A host that rolls its database back, or loses it for a moment (rules L1, F3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.attacks.ledger.failing import FailingJournal
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential, deposit, world
from tests.migrated import opened_records
from vault.errors import CreditExhausted, ForkedHistory, LedgerTampered, RecordsUnavailable, RequestConflict
from vault.lease import EMPTY_ANCHOR, ledger_id
from vault.ledger import Books
from vault.ledger_seal import LedgerSeal
from vault.records.journal import Journal

WORLD = world()
LEDGER = ledger_id(WORLD.genesis)
ACCOUNT = "licensee/0x" + wallet("licensee").address.hex() + "/USDC"


class TestRollback:
    """Custodians anchor how far the ledger had come; an enclave does not open below that."""

    @pytest.fixture
    def deployment(self, tmp_path: Path) -> Iterator[Deployment]:
        with deployed(tmp_path, WORLD) as deployment:
            for amount in (100, 200, 300):
                deployment.add_credit(amount)
            deployment.enclave.step()  # a renewal anchors entry 3
            deployment.enclave.close()
            yield deployment

    def reopened(self, deployment: Deployment) -> BaseException | None:
        deployment.enclave = deployment.start_enclave()
        return deployment.enclave.failure()

    @pytest.mark.parametrize("kept", [0, 2])
    def test_a_ledger_cut_below_the_anchor_is_refused(self, deployment: Deployment, kept: int) -> None:
        edit(deployment, "DELETE FROM journal WHERE sequence > ?", kept)
        failure = self.reopened(deployment)
        assert isinstance(failure, ForkedHistory)
        assert "anchored" in str(failure)

    def test_an_edited_row_is_refused(self, deployment: Deployment) -> None:
        edit(
            deployment,
            "UPDATE journal SET sealed = CAST(substr(sealed, 2) || x'00' AS BLOB) WHERE sequence = ?",
            2,
        )
        assert isinstance(self.reopened(deployment), LedgerTampered)

    def test_rows_without_any_state_key_are_refused(self, deployment: Deployment, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        with deployed(tmp_path / "other", WORLD, is_started=False) as other:
            Journal(other.records, LEDGER).append(list(deployment.journal().rows()))
            failure = other.start_enclave().failure()
        assert isinstance(failure, LedgerTampered)
        assert "no custodian holds" in str(failure)

    def test_left_alone_it_opens_again_with_the_same_books(self, deployment: Deployment) -> None:
        assert self.reopened(deployment) is None
        assert deployment.enclave.instance.meter().books.balances() == {"paid-in/USDC": -600, ACCOUNT: 600}


class TestFailingDatabase:
    """Nothing leaves before its entry is durable; nothing is lost or charged twice, whenever the database fails."""

    @pytest.fixture
    def deployment(self, tmp_path: Path) -> Iterator[Deployment]:
        with opened_records(tmp_path / "journal.db") as records:
            journal = FailingJournal(Journal(records, LEDGER))
            with deployed(tmp_path, WORLD, journal=journal) as deployment:
                deployment.add_credit(1_000)
                yield deployment

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_query_is_charged_once_however_often_it_is_retried(self, deployment: Deployment, when: str) -> None:
        ids = {"request_id": seeded("request"), "salt": seeded("salt")}
        with deployment.client() as client:
            deployment.enclave.journal.fail(when)
            with pytest.raises(RecordsUnavailable):
                client.search("tide table", k=2, **ids)
            answer = client.search("tide table", k=2, **ids)
            assert answer.is_repeat == (when == "after")
            assert len(answer.results) == 2
            client.search("rain", k=1)  # and the chain goes on
            assert client.account().credit == 1_000 - 2 * PRICE
        assert read_again(deployment) == deployment.enclave.instance.meter().books.balances()

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_another_question_in_between_loses_nothing(self, deployment: Deployment, when: str) -> None:
        ids = {"request_id": seeded("request"), "salt": seeded("salt")}
        with deployment.client() as client:
            deployment.enclave.journal.fail(when)
            with pytest.raises(RecordsUnavailable):
                client.search("tide table", k=2, **ids)
            client.search("rain", k=1)
            client.search("tide table", k=2, **ids)
            assert client.account().credit == 1_000 - 2 * PRICE

    def test_an_unknown_outcome_counts_before_credit_is_judged(self, deployment: Deployment) -> None:
        """A charge that was recorded must not be spent again while the enclave believes that it was not."""
        licensee = wallet("poor")
        deployment.add_credit(PRICE, licensee)
        with deployment.client(credential(WORLD, licensee)) as client:
            deployment.enclave.journal.fail("after")
            with pytest.raises(RecordsUnavailable):
                client.search("tide table", k=2)
            with pytest.raises(CreditExhausted, match="credit is 0"):
                client.search("rain", k=1)

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_deposit_is_booked_once(self, deployment: Deployment, when: str) -> None:
        paid = deposit(WORLD, 50)
        deployment.enclave.journal.fail(when)
        with pytest.raises(RecordsUnavailable):
            deployment.hand_in(paid)
        if when == "before":
            assert deployment.hand_in(paid) == 1_050
        with pytest.raises(RequestConflict):
            deployment.hand_in(paid)
        assert deployment.licensee_credit(wallet("licensee")) == 1_050


def edit(deployment: Deployment, statement: str, value: int) -> None:
    """Change the database as its host can: the triggers that forbid it go first."""
    with closing(sqlite3.connect(deployment.folder / "enclave.db")) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        assert database.execute(statement, (value,)).rowcount > 0
        database.commit()


def read_again(deployment: Deployment) -> dict[str, int]:
    """Return the balances that the rows add up to, from the first one on."""
    seal: LedgerSeal = deployment.enclave.instance.meter()._seal
    books, anchor = Books(), EMPTY_ANCHOR
    for row in deployment.enclave.journal.rows():
        entries, anchor = seal.open(row, anchor)
        for entry in entries:
            books.book(entry)
    return books.balances()
