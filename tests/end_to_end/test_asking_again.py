"""What both clients ask again, after what, and what they do not (against a real enclave)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from enclave.client import Answer
from tests.builders import seeded
from tests.clients import restart
from tests.deployment import Deployment
from tests.enclaves import PRICE, attester
from tests.end_to_end.drivers import CREDIT, Make, credit, refusing
from vault.errors import AccessDenied, InvalidReceipt, ServiceUnavailable
from vault.question import Query
from vault.wire import status_of


class TestAskingAgain:
    def test_an_enclave_that_restarted_is_verified_anew_and_asked(self, make: Make, deployment: Deployment) -> None:
        client = make()
        first = client.search("tide", k=1)
        restart(deployment)
        again = client.search("tide", k=1)
        assert again.receipt.instance != first.receipt.instance
        assert again.results == first.results
        assert client.describe().k_max == deployment.world.policy.k_max
        assert credit(deployment) == CREDIT - 2 * PRICE == CREDIT - client.spent

    def test_one_that_does_not_prove_itself_is_not_asked(self, make: Make, deployment: Deployment) -> None:
        client = make()
        client.search("tide", k=1)
        deployment.enclave.close()
        address = deployment.enclave.address
        deployment.enclave = deployment.start_enclave(
            machine=other_machine(), custodians=deployment.services(), listen=address
        )
        deployment.enclave.settle()
        with pytest.raises((ServiceUnavailable, AccessDenied)):
            client.search("rain", k=1, timeout_s=1.0)

    def test_where_nobody_answers_it_says_so_in_time(self, make: Make, deployment: Deployment) -> None:
        client = make()
        deployment.enclave.close()
        with pytest.raises(ServiceUnavailable):
            client.search("tide", k=1, timeout_s=0.5)

    def test_an_answer_lost_on_its_way_comes_again_uncharged(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, service = make(), deployment.enclave.service
        genuine, lost = service.search, []

        async def losing(*asked: Any) -> Any:
            answered = await genuine(*asked)
            if not lost:
                lost.append(answered)
                raise ServiceUnavailable("the answer was lost")
            return answered

        monkeypatch.setattr(service, "search", losing)
        answer = client.search("tide", k=1)
        assert lost and answer.is_repeat
        assert credit(deployment) == CREDIT - PRICE == CREDIT - client.spent

    def test_refused_for_now_it_comes_again_when_told_to(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, refused = make(), refusing(deployment, monkeypatch, "OVERLOADED", 3)
        assert client.search("tide", k=1).results
        assert len(refused) == 3
        assert credit(deployment) == CREDIT - PRICE

    def test_in_a_batch_only_the_refused_ones_are_asked_again(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, refused = make(), refusing(deployment, monkeypatch, "OVERLOADED", 2)
        outcomes = client.search_batch(["tide", "rain", "gulls", "noon"], k=1)
        assert [type(one) for one in outcomes] == [Answer] * 4
        assert len(refused) == 2
        assert credit(deployment) == CREDIT - 4 * PRICE

    @pytest.mark.parametrize("reason", ["ACCESS_DENIED", "BUDGET_EXHAUSTED", "RATE_EXCEEDED", "MALFORMED", "STALE"])
    def test_what_asking_again_does_not_help_is_not_asked_again(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, reason: str
    ) -> None:
        client, refused = make(), refusing(deployment, monkeypatch, reason, 10)
        with pytest.raises(Exception) as error:  # which one, the table says
            client.search("tide", k=1)
        assert status_of(error.value)[1] == reason
        assert len(refused) == 1

    def test_a_session_that_was_forgotten_is_opened_anew(self, make: Make, deployment: Deployment) -> None:
        client = make()
        client.search("tide", k=1)
        deployment.enclave.on_loop(deployment.enclave.service._admission._sessions.clear)
        assert client.search("tide", k=1).results

    def test_so_is_one_that_ends(self, make: Make, deployment: Deployment) -> None:
        client = make()
        client.search("tide", k=1)
        for _ in range(8):
            deployment.world.clock.advance(deployment.world.dao.charter.lease_s - 1)
            deployment.enclave.step()
        assert client.search("tide", k=1).results

    def test_a_broken_stream_goes_on_in_the_next(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, service = make(), deployment.enclave.service
        genuine, calls = service.authenticated, []

        def breaking(*args: Any, **options: Any) -> Any:
            calls.append(args)
            if len(calls) == 40:
                raise ServiceUnavailable("the stream breaks")
            return genuine(*args, **options)

        monkeypatch.setattr(service, "authenticated", breaking)
        asked = [client.question(f"tide {n}", k=1) for n in range(100)]
        outcomes = client.stream(iter(asked))
        assert [type(outcomes[one]) for one in asked] == [Answer] * 100
        assert credit(deployment) == CREDIT - 100 * PRICE == CREDIT - client.spent

    def test_what_the_questions_end_with_ends_the_stream(self, make: Make) -> None:
        client = make()

        def questions() -> Iterator[Query]:
            yield client.question("tide", k=1)
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            client.stream(questions())

    def test_a_repeat_that_is_older_than_its_question_is_refused(
        self, make: Make, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Leases of then would do for it: an enclave that was replaced could answer on."""
        client, service, clock = make(), deployment.enclave.service, deployment.world.clock
        genuine, lost = service.search, []

        async def losing(session: Any, query: Any, last: Any) -> Any:
            metered, answer, _ = await genuine(session, query, last)
            if not lost:
                lost.append(answer)
                clock.advance(0)
                raise ServiceUnavailable("the answer was lost")
            return metered, answer, True

        monkeypatch.setattr(service, "search", losing)
        monkeypatch.setattr(client.client, "_fresh", later(client.client._fresh, by_s=31))
        with pytest.raises(InvalidReceipt, match="older than its question"):
            client.search("tide", k=1)


def other_machine() -> Any:
    return attester(measurement=seeded("another", 48))


def later(genuine: Any, *, by_s: int) -> Any:
    """Return `_fresh` of a client whose clock is ahead."""

    def fresh(*args: Any) -> Any:
        pending = genuine(*args)
        pending.first_asked += by_s
        return pending

    return fresh
