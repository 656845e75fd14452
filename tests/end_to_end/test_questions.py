"""Every kind of question through client, TLS, enclave and books: batches, streams, vectors, quotes, options."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from enclave.client import Answer, EnclaveClient
from enclave.status import State
from enclave.v1 import retrieval_pb2 as pb
from storage.cid import RAW, Cid
from tests.attacks.session.machine import Machine
from tests.builders import wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential, world
from tests.toy import ToyEmbedder
from vault.codec import encode
from vault.errors import (
    AccessDenied,
    CreditExhausted,
    MalformedObject,
    RateExceeded,
    RequestConflict,
    VaultError,
)
from vault.question import BATCH_MAX, PLAIN, Mode, batch_digest
from vault.session import request_mac

CREDIT = 1_000_000
SETTING = world(policy={"queries_per_minute": 10_000, "passages_max": 1_000})


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), SETTING) as deployment:
        deployment.add_credit(CREDIT)
        yield deployment


@pytest.fixture
def client(deployment: Deployment) -> Iterator[EnclaveClient]:
    with deployment.client(credential(SETTING, spend_cap=CREDIT)) as client:
        yield client


def credit(deployment: Deployment) -> int:
    return deployment.licensee_credit(wallet("licensee"))


def entries(deployment: Deployment) -> int:
    last = deployment.journal().last()
    return last.sequence if last else 0


def answers(outcomes: list[Answer | VaultError]) -> list[Answer]:
    return [one for one in outcomes if isinstance(one, Answer)]


class TestBatches:
    def test_every_question_gets_its_own_answer_receipt_and_charge(
        self, client: EnclaveClient, deployment: Deployment
    ) -> None:
        before, booked = credit(deployment), entries(deployment)
        texts = [f"tide table {n}" for n in range(BATCH_MAX)]
        outcomes = client.search_batch([client.question(text, k=2) for text in texts])
        assert [one.file.query.text for one in answers(outcomes)] == texts
        receipts = [one.receipt for one in answers(outcomes)]
        assert sorted(one.sequence for one in receipts) == list(
            range(receipts[0].sequence, receipts[0].sequence + BATCH_MAX)
        )
        assert credit(deployment) == before - BATCH_MAX * PRICE
        assert entries(deployment) == booked + BATCH_MAX

    def test_they_are_answered_as_they_would_be_alone(self, client: EnclaveClient) -> None:
        texts = ["tide", "harbor at noon", "rain", "gulls"]
        together = answers(client.search_batch([client.question(text, k=3) for text in texts]))
        for text, one in zip(texts, together, strict=True):
            assert client.search(text, k=3).results == one.results

    def test_a_refused_one_costs_nothing_and_stops_no_other(
        self, client: EnclaveClient, deployment: Deployment
    ) -> None:
        before = credit(deployment)
        asked = [
            client.question("tide", k=1),
            client.question("tide", k=99),
            client.question("tide", k=1, price_max=PRICE - 1),
            client.question("tide", k=1, datasets=[Cid.of(RAW, b"no dataset")]),
            client.question("", k=1, vector=bytes(4)),
            client.question("rain", k=1),
        ]
        outcomes = client.search_batch(asked)
        kinds = [type(one) for one in outcomes]
        assert kinds == [Answer, AccessDenied, CreditExhausted, AccessDenied, MalformedObject, Answer]
        assert credit(deployment) == before - 2 * PRICE

    def test_repeated_with_the_same_ids_it_costs_nothing_more(
        self, client: EnclaveClient, deployment: Deployment
    ) -> None:
        asked = [client.question(text, k=2) for text in ("tide", "rain")]
        first, before = client.search_batch(asked), credit(deployment)
        again = client.search_batch(asked)
        assert [one.results for one in answers(again)] == [one.results for one in answers(first)]
        assert all(one.is_repeat for one in answers(again))
        assert credit(deployment) == before

    @pytest.mark.parametrize("number", [0, BATCH_MAX + 1])
    def test_none_and_too_many_are_refused(self, client: EnclaveClient, number: int) -> None:
        with pytest.raises(MalformedObject):
            client.unchecked_batch([client.question("tide", k=1) for _ in range(number)])

    def test_one_request_id_twice_is_refused(self, client: EnclaveClient) -> None:
        one = client.question("tide", k=1)
        with pytest.raises(MalformedObject, match="a request id of its own"):
            client.search_batch([one, one])

    @pytest.mark.parametrize("change", ["other question", "one left out", "another order", "a single question's mac"])
    def test_its_mac_covers_every_question(self, deployment: Deployment, change: str) -> None:
        with Machine(deployment, credential(SETTING)) as machine:
            machine.open()
            queries = [machine.query("tide"), machine.query("rain")]
            covered = batch_digest(queries) if change != "a single question's mac" else queries[0].body_digest()
            mac = request_mac(
                machine.mac_key,
                session=machine.session,
                sequence=1,
                body=covered,
                previous_receipt=machine.last_receipt,
            )
            questions = [machine.request(query).question for query in queries]
            match change:
                case "other question":
                    questions[1].text = "another"
                case "one left out":
                    questions.pop()
                case "another order":
                    questions.reverse()
                case _:
                    questions.pop()
            before = entries(deployment)
            request = pb.SearchBatchRequest(
                session=machine.session, sequence=1, mac=mac, questions=questions, last_receipt=machine.last_receipt
            )
            with pytest.raises(AccessDenied):
                machine.channel.call(machine.stub.SearchBatch, request)
            assert entries(deployment) == before


class TestStreams:
    def test_each_is_answered_as_it_comes(self, client: EnclaveClient, deployment: Deployment) -> None:
        before = credit(deployment)
        asked = [client.question(f"tide table {n}", k=1) for n in range(150)]
        outcomes = dict(client.stream(asked))
        assert outcomes.keys() == set(asked)
        assert all(isinstance(one, Answer) for one in outcomes.values())
        assert credit(deployment) == before - 150 * PRICE

    def test_a_refused_one_does_not_end_it(self, client: EnclaveClient) -> None:
        asked = [client.question("tide", k=1), client.question("tide", k=99), client.question("rain", k=1)]
        outcomes = dict(client.stream(iter(asked)))
        assert [type(outcomes[one]) for one in asked] == [Answer, AccessDenied, Answer]

    def test_left_early_it_charges_for_no_more_than_was_asked(
        self, client: EnclaveClient, deployment: Deployment
    ) -> None:
        before = entries(deployment)
        for _ in client.stream(client.question("tide", k=1) for _ in range(500)):
            break
        client.search("tide", k=1)  # the session is good for more
        assert entries(deployment) <= before + 200

    def test_a_wrong_mac_ends_it(self, deployment: Deployment) -> None:
        with Machine(deployment, credential(SETTING)) as machine:
            machine.open()
            good, bad = machine.request(machine.query()), machine.request(machine.query(), mac=bytes(32))
            responses = []
            with pytest.raises(AccessDenied):
                for response in machine.channel.stream(machine.stub.SearchStream, iter([good, bad]), timeout_s=30):
                    responses.append(response)
            assert len(responses) <= 1

    def test_several_at_once_share_the_engine(self, deployment: Deployment) -> None:
        asking = credential(SETTING, spend_cap=CREDIT)
        with deployment.client(asking) as one, deployment.client(asking) as other, ThreadPoolExecutor(2) as pool:
            counts = pool.map(
                lambda client: sum(
                    isinstance(outcome, Answer)
                    for _, outcome in client.stream([client.question("tide", k=1) for _ in range(100)])
                ),
                [one, other],
            )
            assert list(counts) == [100, 100]


class TestVectors:
    def test_a_texts_vector_asks_as_the_text_does(self, client: EnclaveClient, deployment: Deployment) -> None:
        before = credit(deployment)
        made = client.embed("tide table")
        assert made.receipt.passages == ()
        assert credit(deployment) == before - SETTING.policy.price_of(0)
        by_vector, by_text = client.search(k=3, vector=made.vector), client.search("tide table", k=3)
        assert by_vector.results == by_text.results
        assert by_vector.file.query.text == ""
        assert by_vector.file.query_vector == by_vector.file.query.vector == made.vector

    @pytest.mark.parametrize("vector", [bytes(4 * 64), bytes(8), b"\x00\x00\xc0\x7f" * 64])
    def test_one_that_is_no_unit_vector_is_refused_and_free(
        self, client: EnclaveClient, deployment: Deployment, vector: bytes
    ) -> None:
        before = entries(deployment)
        with pytest.raises(MalformedObject):
            client.search(k=1, vector=vector)
        assert entries(deployment) == before


class TestTerms:
    def test_a_quote_bounds_the_price_searches_nothing_and_is_free(
        self, client: EnclaveClient, deployment: Deployment
    ) -> None:
        searches, booked = deployment.enclave.engine.searches, entries(deployment)
        quote = client.quote(k=2)
        assert (deployment.enclave.engine.searches, entries(deployment)) == (searches, booked)
        answer = client.search("tide", k=2)
        assert quote.price_min <= answer.receipt.price <= quote.price_max
        assert quote.credit == credit(deployment) + answer.receipt.price
        assert quote.passages_left >= answer.receipt.budget_left
        assert quote.spend_left == client.quote(k=2).spend_left + answer.receipt.price
        assert client.quote(k=1, neighbors=1).price_max == client.quote(k=3).price_max

    def test_what_may_cost_more_than_the_request_allows_is_refused(
        self, client: EnclaveClient, deployment: Deployment
    ) -> None:
        most = client.quote(k=2).price_max
        before = entries(deployment)
        with pytest.raises(CreditExhausted, match="the request allows"):
            client.search("tide", k=2, price_max=most - 1)
        assert entries(deployment) == before
        client.search("tide", k=2, price_max=most)

    def test_a_description_says_what_may_be_asked(self, client: EnclaveClient) -> None:
        said = client.describe()
        manifest = SETTING.dataset.manifest
        (dataset,) = said.datasets
        assert (dataset.manifest, dataset.passages, dataset.owner) == (
            manifest.cid(),
            manifest.passages,
            manifest.owner,
        )
        assert (said.k_max, said.currency) == (SETTING.policy.k_max, SETTING.policy.currency)
        assert client.search("tide", k=1, datasets=[dataset.manifest]).results


class TestOptions:
    def test_words_rank_where_they_are_asked_to(self, client: EnclaveClient) -> None:
        options = replace(PLAIN, mode=Mode.KEYWORD)
        answer = client.search("harbor", k=3, options=options)
        assert all("harbor" in result.passage.text.lower() for result in answer.results)
        assert answer.file.query_vector == b""

    def test_a_filter_leaves_only_what_meets_it(self, client: EnclaveClient) -> None:
        where = encode({"key": "document", "equals": "0.txt"})
        answer = client.search("tide", k=3, options=replace(PLAIN, where=where))
        assert {result.passage.document for result in answer.results} == {"0.txt"}

    def test_neighbors_are_charged_and_count_toward_k(self, deployment: Deployment) -> None:
        with deployment.client() as client, pytest.raises(AccessDenied):
            client.search("tide", k=SETTING.policy.k_max, options=replace(PLAIN, neighbors=1))

    def test_a_repeat_has_the_scores_of_the_first(self, client: EnclaveClient) -> None:
        options = replace(PLAIN, mode=Mode.HYBRID)
        ids = {"request_id": bytes(31) + b"h", "salt": bytes(32)}
        first = client.search("tide at noon", k=3, options=options, **ids)
        again = client.search("tide at noon", k=3, options=options, **ids)
        assert again.is_repeat
        assert again.results == first.results
        with pytest.raises(RequestConflict):
            client.search("tide at noon", k=3, **ids)


def test_rates_count_every_question_of_a_batch(tmp_path: Path) -> None:
    with deployed(tmp_path, world(policy={"queries_per_minute": 5})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            outcomes = client.search_batch([client.question("tide", k=1) for _ in range(8)])
            assert sum(isinstance(one, Answer) for one in outcomes) == 5
            assert sum(isinstance(one, RateExceeded) for one in outcomes) == 3


def test_an_enclave_that_restarts_embeds_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(1_000)
        with deployment.client() as client:
            first = client.search("tide table", k=3)
        deployment.enclave.close()

        def embeds(*_: object, **__: object) -> None:
            raise AssertionError("embedded anew")

        monkeypatch.setattr(ToyEmbedder, "embed_passages", embeds)
        deployment.enclave = deployment.start_enclave()
        assert deployment.enclave.settle() is State.SERVING, deployment.enclave.failure()
        with deployment.client() as client:
            assert client.search("tide table", k=3).results == first.results
