"""Both clients against a real enclave: what is asked again and what is not, what is spent, what is kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from enclave.client import Answer, ReceiptNotKept, connect
from enclave.lines import LINES_MAX
from enclave.proven import ProvenEnclaves
from storage.cid import RAW, Cid
from tests.builders import seeded
from tests.clients import PASSWORD, connected, connected_async, credential_file
from tests.deployment import Deployment
from tests.enclaves import APPRAISER, PRICE
from tests.end_to_end.drivers import CREDIT, Make, credit, refusing
from vault.errors import AccessDenied, CreditExhausted, RequestConflict, ServiceUnavailable, WrongKey
from vault.question import BATCH_MAX, Query
from vault.receipt import ReceiptFile
from vault.receipt_check import verify_receipt_file


class TestBothClients:
    def test_every_kind_of_question(self, make: Make, deployment: Deployment) -> None:
        client = make()
        answer = client.search("tide table", k=2)
        assert next(iter(answer)).text == "The tide table for May."
        assert (len(answer), answer.price, client.spent) == (2, PRICE, PRICE)
        assert client.quote(k=2).price_max == PRICE
        assert client.describe().datasets[0].title == deployment.world.dataset.manifest.title
        made = client.embed("tide table")
        assert client.search(vector=made.vector, k=2).results == answer.results
        assert client.account().credit == credit(deployment) == CREDIT - client.spent
        outcomes = client.search_batch(["tide", "rain", client.question("gulls", k=1)], k=3)
        assert [len(one.results) for one in outcomes] == [3, 3, 1]
        asked = [client.question("tide", k=1), client.question("rain", k=99), client.question("gulls", k=1)]
        streamed = client.stream(iter(asked))
        assert [type(streamed[one]) for one in asked] == [Answer, AccessDenied, Answer]
        assert credit(deployment) == CREDIT - client.spent

    def test_a_batch_of_any_length_goes_in_calls_of_at_most_64(self, make: Make, deployment: Deployment) -> None:
        client = make()
        texts = [f"tide table {n}" for n in range(BATCH_MAX + 6)]
        assert [one.file.query.text for one in client.search_batch(texts, k=1)] == texts
        assert client.search_batch([]) == []
        assert client.spent == len(texts) * PRICE == CREDIT - credit(deployment)

    def test_without_a_k_it_asks_for_what_the_policy_allows(self, make: Make) -> None:
        assert make().question("tide").k == 5

    def test_closed_it_asks_no_more(self, make: Make) -> None:
        client = make()
        client.close()
        with pytest.raises(ValueError, match="closed"):
            client.search("tide")


class TestSpending:
    def test_no_more_than_max_spend_leaves(self, make: Make, deployment: Deployment) -> None:
        client = make(max_spend=2 * PRICE + 1)
        client.search("tide", k=1)
        client.embed("tide")
        assert (client.spent, client.spend_left) == (2 * PRICE, 1)
        for ask in (lambda: client.search("rain", k=1), lambda: client.embed("rain")):
            with pytest.raises(CreditExhausted, match="max_spend"):
                ask()
        assert credit(deployment) == CREDIT - 2 * PRICE

    def test_of_several_as_many_as_it_allows(self, make: Make, deployment: Deployment) -> None:
        client = make(max_spend=3 * PRICE)
        outcomes = client.search_batch(["tide", "rain", "gulls", "noon"], k=1)
        assert [type(one) for one in outcomes] == [Answer] * 3 + [CreditExhausted]
        other = make(max_spend=3 * PRICE)
        streamed = other.stream([other.question("tide", k=1) for _ in range(5)])
        assert sorted(type(one).__name__ for one in streamed.values()) == ["Answer"] * 3 + ["CreditExhausted"] * 2
        assert credit(deployment) == CREDIT - 6 * PRICE

    def test_what_was_refused_costs_nothing(self, make: Make) -> None:
        client = make(max_spend=PRICE)
        with pytest.raises(AccessDenied):
            client.search("tide", k=1, datasets=[Cid.of(RAW, b"no dataset")])
        assert client.spend_left == PRICE
        client.search("tide", k=1)

    def test_what_may_have_been_charged_is_held(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = make(max_spend=PRICE)
        ids = {"request_id": seeded("held"), "salt": seeded("salt")}
        with monkeypatch.context() as patch:
            refusing(deployment, patch, "SERVICE_UNAVAILABLE", 10**6)
            with pytest.raises(ServiceUnavailable):
                client.search("tide", k=1, timeout_s=0.3, **ids)
        assert (client.spent, client.spend_left) == (0, 0)
        with pytest.raises(CreditExhausted):
            client.search("rain", k=1)
        client.search("tide", k=1, **ids)
        assert (client.spent, client.spend_left) == (PRICE, 0)

    def test_an_answer_paid_for_before_costs_nothing(self, make: Make) -> None:
        ids = {"request_id": seeded("paid"), "salt": seeded("salt")}
        make().search("tide", k=1, **ids)
        client = make(max_spend=PRICE)
        assert client.search("tide", k=1, **ids).is_repeat
        assert client.spend_left == PRICE

    def test_a_request_id_used_for_something_else_is_refused(self, make: Make) -> None:
        client = make()
        client.search("tide", k=1, request_id=seeded("one"))
        with pytest.raises(RequestConflict):
            client.search("rain", k=1, request_id=seeded("one"))


class TestReceipts:
    def test_each_is_kept_in_a_folder_and_verifies_offline(
        self, make: Make, deployment: Deployment, tmp_path: Path
    ) -> None:
        client = make(receipts=tmp_path / "receipts")
        client.search("tide", k=1)
        client.embed("rain")
        client.search_batch(["gulls", "noon"], k=1)
        client.stream([client.question("tide", k=1)])
        files = sorted((tmp_path / "receipts").iterdir())
        assert len(files) == 5
        for file in files:
            assert file.stat().st_mode & 0o777 == 0o600
            kept = ReceiptFile.from_bytes(file.read_bytes(), bytes_max=1 << 22)
            links = verify_receipt_file(
                kept, genesis=deployment.world.genesis, appraiser=APPRAISER, allow_simulated=True
            )
            assert len(list(links)) == 9

    def test_whoever_takes_them_gets_each_once(self, make: Make) -> None:
        taken: list[Any] = []
        client = make(receipts=lambda receipt, _: taken.append(receipt))
        answer = client.search("tide", k=1)
        assert taken == [answer.receipt]

    def test_a_receipt_that_cannot_be_kept_does_not_lose_the_answer(self, make: Make) -> None:
        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        client = make(receipts=full)
        with pytest.raises(ReceiptNotKept, match="No space left") as error:
            client.search("tide", k=1)
        assert error.value.paid.results
        (outcome,) = client.search_batch(["tide"], k=1)
        assert isinstance(outcome, ReceiptNotKept) and outcome.paid.results

    def test_by_default_they_go_to_the_home(self, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COFFER_HOME", str(tmp_path / "home"))
        make(receipts="home").search("tide", k=1)
        assert len(list((tmp_path / "home" / "receipts").glob("*.receipt"))) == 1


class TestAtOnce:
    def test_threads_share_a_client(self, deployment: Deployment) -> None:
        with connected(deployment) as client, ThreadPoolExecutor(2 * LINES_MAX) as pool:
            answers = list(pool.map(lambda n: client.search(f"tide {n}", k=1), range(60)))
            assert [one.file.query.text for one in answers] == [f"tide {n}" for n in range(60)]
            assert client.spent == 60 * PRICE == CREDIT - credit(deployment)
        assert threading.active_count() < 100

    async def test_tasks_share_one_too(self, deployment: Deployment) -> None:
        async with await connected_async(deployment) as client:
            answers = await asyncio.gather(*(client.search(f"tide {n}", k=1) for n in range(60)))
            assert [one.file.query.text for one in answers] == [f"tide {n}" for n in range(60)]
            assert client.spent == 60 * PRICE == CREDIT - credit(deployment)

    async def test_a_cancelled_task_leaves_the_client_well(self, deployment: Deployment) -> None:
        async with await connected_async(deployment) as client:
            deployment.enclave.on_loop(deployment.enclave.engine.hold)
            asked = [asyncio.create_task(client.search("tide", k=1)) for _ in range(LINES_MAX)]
            await asyncio.to_thread(deployment.until, lambda: deployment.enclave.engine.searches > 0)
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
            deployment.enclave.on_loop(deployment.enclave.engine.let_go)
            assert (await client.search("rain", k=1)).results

    async def test_a_stream_may_ask_by_what_it_was_answered(self, deployment: Deployment) -> None:
        async with await connected_async(deployment) as client:
            answered = asyncio.Event()

            async def questions() -> AsyncIterator[Query]:
                yield client.question("tide", k=1)
                await answered.wait()
                yield client.question("rain", k=1)

            outcomes = []
            async for _, outcome in client.stream(questions()):
                outcomes.append(outcome)
                answered.set()
            assert [type(one) for one in outcomes] == [Answer, Answer]


class TestConnecting:
    def test_three_lines_with_a_credentials_file(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COFFER_PASSWORD", PASSWORD)
        rules: dict[str, Any] = {"allow_simulated": True, "clock": deployment.world.clock, "receipts": tmp_path}
        with connect(deployment.enclave.address, credential_file(deployment, tmp_path), **rules) as coffer:
            assert coffer.search("tide table", k=1).results[0].text == "The tide table for May."

    @pytest.mark.parametrize("password", [None, "wrong"])
    def test_without_its_password_a_file_stays_closed(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
    ) -> None:
        monkeypatch.delenv("COFFER_PASSWORD", raising=False)
        path = credential_file(deployment, tmp_path)
        with pytest.raises(WrongKey, match="password"):
            connect(deployment.enclave.address, path, password=password, receipts=None)

    def test_a_policy_that_is_not_meant_is_not_asked_under(self, deployment: Deployment) -> None:
        connected(deployment, policy=str(deployment.world.policy.cid())).close()
        with pytest.raises(AccessDenied, match="the credential is for policy"):
            connected(deployment, policy=Cid.of(RAW, b"another"))

    def test_a_simulated_enclave_is_refused_unless_allowed_and_in_production_always(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = (deployment.enclave.address, deployment.credential())
        rules: dict[str, Any] = {"clock": deployment.world.clock, "receipts": None, "proven": ProvenEnclaves()}
        with pytest.raises(AccessDenied, match="allow-simulated"):
            connect(*place, **rules)
        connect(*place, allow_simulated=True, **rules).close()
        monkeypatch.setenv("COFFER_PRODUCTION", "true")
        with pytest.raises(AccessDenied, match="production refuses"):
            connect(*place, allow_simulated=True, **rules)
