"""Attacks on a session's requests: forged, replayed, reordered, repeated with another body (rules E6, L3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from enclave.v1 import retrieval_pb2 as pb
from tests.attacks.session.machine import Machine
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential, world
from vault.errors import (
    AccessDenied,
    BudgetExhausted,
    CreditExhausted,
    MalformedObject,
    Overloaded,
    RateExceeded,
    RequestConflict,
    ServiceUnavailable,
    VaultError,
)
from vault.question import account_digest, describe_digest, quote_digest
from vault.wire import REASON_KEY

WORLD = world(policy={"queries_per_minute": 1000})


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), WORLD) as deployment:
        deployment.add_credit(100_000)
        deployment.add_credit(100_000, wallet("another licensee"))
        yield deployment


@pytest.fixture
def machine(deployment: Deployment) -> Iterator[Machine]:
    with Machine(deployment) as machine:
        yield machine.open()


def entries(deployment: Deployment) -> int:
    last = deployment.journal().last()
    return last.sequence if last else 0


class TestAuthentication:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("mac", bytes(32)),
            ("mac", b""),
            ("sequence", 99),
            ("request_id", seeded("another request")),
            ("text", "another text"),
            ("k", 1),
            ("salt", seeded("another salt")),
            ("price_max", 10**6),
            ("datasets", [WORLD.dataset.manifest.cid().binary]),
            ("options", pb.Options(neighbors=1)),
            ("last_receipt", seeded("another receipt")),
            ("session", bytes(16)),
            ("policy", WORLD.dataset.manifest.cid().binary),
        ],
    )
    def test_one_changed_field_is_refused_and_free(self, machine: Machine, field: str, value: Any) -> None:
        before = entries(machine.deployment)
        with pytest.raises(AccessDenied):
            machine.ask(**{field: value})
        assert entries(machine.deployment) == before
        machine.sequence -= 1
        machine.ask()  # the place in the session was not used up

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("policy", b"no cid"),
            ("text", ""),
            ("text", "x" * 4097),
            ("salt", b""),
            ("request_id", b"short"),
            ("vector", bytes(4)),  # beside a text
            ("datasets", [b"no cid"]),
            ("datasets", [WORLD.dataset.manifest.cid().binary] * 2),
            ("price_max", 2**63),
            ("options", pb.Options(mode=9)),  # type: ignore[arg-type]
            ("options", pb.Options(diversity=1001)),
            ("options", pb.Options(neighbors=9)),
            ("options", pb.Options(where=bytes(1 << 15))),
        ],
    )
    def test_fields_out_of_form_are_malformed(self, machine: Machine, field: str, value: Any) -> None:
        with pytest.raises(MalformedObject):
            machine.ask(**{field: value})

    def test_a_sequence_no_integer_of_ours_holds_is_malformed(self, machine: Machine) -> None:
        with pytest.raises(MalformedObject):
            machine.ask(sequence=2**64 - 1)

    def test_a_replayed_request_is_refused(self, machine: Machine) -> None:
        request = machine.request(machine.query())
        machine.send(request)
        with pytest.raises(AccessDenied, match="was sent before"):
            machine.send(request)

    def test_requests_out_of_order_are_refused(self, machine: Machine) -> None:
        first, second = machine.request(machine.query()), machine.request(machine.query())
        machine.send(second)
        with pytest.raises(AccessDenied, match="was sent before"):
            machine.send(first)

    def test_one_sessions_request_is_nothing_in_another(self, machine: Machine, deployment: Deployment) -> None:
        with Machine(deployment) as other:
            other.open()
            request = machine.request(machine.query())
            request.session = other.session
            with pytest.raises(AccessDenied, match="not authenticated"):
                machine.send(request)

    def test_a_session_ends(self, machine: Machine) -> None:
        machine.open(expires_at=WORLD.clock() + 5)
        machine.ask()
        WORLD.clock.advance(5)
        with pytest.raises(AccessDenied, match="session is unknown or over"):
            machine.ask()

    def test_an_account_request_is_authenticated_too(self, machine: Machine) -> None:
        mac = machine.mac(account_digest())
        request = pb.GetAccountRequest(session=machine.session, sequence=1, mac=mac)
        machine.channel.call(machine.stub.GetAccount, request)
        with pytest.raises(AccessDenied, match="was sent before"):
            machine.channel.call(machine.stub.GetAccount, request)
        request.mac = bytes(32)
        with pytest.raises(AccessDenied, match="not authenticated"):
            machine.channel.call(machine.stub.GetAccount, request)

    def test_what_authenticates_one_kind_of_call_is_nothing_to_another(self, machine: Machine) -> None:
        """Or whoever relays calls could have one answered as the other."""
        for body, method, kind in (
            (account_digest(), machine.stub.Describe, pb.DescribeRequest),
            (describe_digest(), machine.stub.GetAccount, pb.GetAccountRequest),
            (bytes(32), machine.stub.Describe, pb.DescribeRequest),
            (quote_digest(1, 0), machine.stub.GetAccount, pb.GetAccountRequest),
        ):
            request = kind(session=machine.session, sequence=1, mac=machine.mac(body))
            with pytest.raises(AccessDenied, match="not authenticated"):
                machine.channel.call(method, request)
        request = pb.DescribeRequest(session=machine.session, sequence=1, mac=machine.mac(describe_digest()))
        assert machine.channel.call(machine.stub.Describe, request).k_max == WORLD.policy.k_max

    def test_bytes_that_are_no_message_are_told_so_without_being_quoted(self, machine: Machine) -> None:
        channel = machine.channel.channel
        for call in ("unary_unary", "stream_stream"):
            name = "Search" if call == "unary_unary" else "SearchStream"
            method = getattr(channel, call)(f"/enclave.v1.RetrievalService/{name}")  # takes bytes as they are
            garbage = b"\xff secret words"
            with pytest.raises(grpc.RpcError) as failure:
                list(method(iter([garbage]), timeout=20)) if call == "stream_stream" else method(garbage, timeout=20)
            assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "call it with its own type" in failure.value.details()
            assert dict(failure.value.trailing_metadata())[REASON_KEY] == "MALFORMED"
        machine.ask()


class TestRetries:
    def test_the_same_request_again_gives_the_same_answer_and_one_charge(self, machine: Machine) -> None:
        query, before = machine.query(), entries(machine.deployment)
        first, again = machine.ask(query), machine.ask(query)
        assert (first.is_repeat, again.is_repeat) == (False, True)
        assert first.receipt == again.receipt
        assert [found.body for found in first.passages] == [found.body for found in again.passages]
        assert first.query_vector == again.query_vector
        assert entries(machine.deployment) == before + 1

    def test_also_from_another_session(self, machine: Machine, deployment: Deployment) -> None:
        query = machine.query()
        first = machine.ask(query)
        with Machine(deployment) as later:
            again = later.open().ask(query)
        assert (again.is_repeat, again.receipt) == (True, first.receipt)

    def test_also_at_the_very_same_time(self, machine: Machine, deployment: Deployment) -> None:
        query, engine, before = machine.query(), deployment.enclave.engine, entries(deployment)
        searches = engine.searches
        deployment.enclave.on_loop(engine.hold)
        pending = [machine.send_later(machine.request(query)) for _ in range(4)]
        deployment.until(lambda: deployment.enclave.service.under_way == 4)
        deployment.enclave.on_loop(engine.let_go)
        answers = [one.result() for one in pending]
        assert {answer.receipt for answer in answers} == {answers[0].receipt}
        assert sorted(answer.is_repeat for answer in answers) == [False, True, True, True]
        assert entries(deployment) == before + 1
        assert engine.searches == searches + 4

    @pytest.mark.parametrize(("field", "value"), [("text", "rain"), ("k", 1), ("salt", seeded("other salt"))])
    def test_the_same_id_for_another_question_is_a_conflict(self, machine: Machine, field: str, value: Any) -> None:
        query, before = machine.query(), entries(machine.deployment)
        machine.ask(query)
        with pytest.raises(RequestConflict):
            machine.ask(machine.query(**({"request": query.request, field: value})))
        assert entries(machine.deployment) == before + 1

    def test_also_where_both_were_asked_at_once(self, machine: Machine, deployment: Deployment) -> None:
        one = machine.query()
        other = machine.query("rain", request=one.request)
        engine, before = deployment.enclave.engine, entries(deployment)
        deployment.enclave.on_loop(engine.hold)
        pending = [machine.send_later(machine.request(query)) for query in (one, other)]
        deployment.until(lambda: deployment.enclave.service.under_way == 2)
        deployment.enclave.on_loop(engine.let_go)
        failures = [future.exception() for future in pending]
        assert sorted(failure is None for failure in failures) == [False, True]
        assert entries(deployment) == before + 1

    def test_another_licensees_same_id_is_another_request(self, machine: Machine, deployment: Deployment) -> None:
        query = machine.query()
        machine.ask(query)
        with Machine(deployment, credential(WORLD, wallet("another licensee"))) as other:
            assert not other.open().ask(query).is_repeat


class TestLimits:
    """What is refused is free: nothing is booked, and the engine is not even asked."""

    def refused(self, machine: Machine, expected: type[VaultError], query: Any = None) -> None:
        deployment = machine.deployment
        before, searches = entries(deployment), deployment.enclave.engine.searches
        with pytest.raises(expected):
            machine.ask(query)
        assert (entries(deployment), deployment.enclave.engine.searches) == (before, searches)

    def licensee(self, deployment: Deployment, name: str, credit: int, **terms: Any) -> Machine:
        licensee = wallet(name)
        if credit:
            deployment.add_credit(credit, licensee)
        return Machine(deployment, credential(deployment.world, licensee, **terms))

    def test_credit(self, deployment: Deployment) -> None:
        with self.licensee(deployment, "poor", PRICE * 2 - 1) as machine:
            machine.open().ask()
            self.refused(machine, CreditExhausted)
            assert deployment.licensee_credit(wallet("poor")) == PRICE - 1

    def test_a_delegations_spend_cap_over_all_its_sessions(self, deployment: Deployment) -> None:
        with self.licensee(deployment, "capped", 10_000, spend_cap=2 * PRICE) as machine:
            machine.open().ask()
            machine.open().ask()
            self.refused(machine, CreditExhausted)
            self.refused(machine.open(), CreditExhausted)
            assert deployment.licensee_credit(wallet("capped")) == 10_000 - 2 * PRICE

    def test_a_sessions_own_cap(self, deployment: Deployment) -> None:
        with self.licensee(deployment, "careful", 10_000) as machine:
            machine.open(spend_cap=PRICE).ask()
            self.refused(machine, CreditExhausted)
            machine.open(spend_cap=PRICE).ask()  # another session, with a cap of its own
            self.refused(machine, CreditExhausted)
            assert deployment.licensee_credit(wallet("careful")) == 10_000 - 2 * PRICE

    def test_more_passages_than_the_policy_gives_at_once(self, machine: Machine) -> None:
        for k in (WORLD.policy.k_max + 1, 2**32 - 1):
            self.refused(machine, AccessDenied, machine.query(k=k))


def test_the_extraction_budget_first_cuts_an_answer_then_refuses(tmp_path: Any) -> None:
    with deployed(tmp_path, world(policy={"passages_max": 2})) as deployment:
        deployment.add_credit(1_000)
        with Machine(deployment) as machine:
            machine.open()
            whole = machine.ask(machine.query(k=1))
            cut = machine.ask(machine.query(k=3))
            assert (whole.is_partial, len(whole.passages), cut.is_partial, len(cut.passages)) == (False, 1, True, 2)
            with pytest.raises(BudgetExhausted):
                machine.ask(machine.query(k=1))
        assert deployment.licensee_credit(wallet("licensee")) == 1_000 - 2 * PRICE


def test_queries_beyond_the_rate_are_refused_until_a_minute_has_passed(tmp_path: Any) -> None:
    with deployed(tmp_path, world(policy={"queries_per_minute": 2})) as deployment:
        deployment.add_credit(1_000)
        with Machine(deployment) as machine:
            machine.open().ask()
            machine.ask()
            with pytest.raises(RateExceeded):
                machine.ask()
            with pytest.raises(RateExceeded):
                machine.open().ask()  # a new session resets nothing
            assert deployment.licensee_credit(wallet("licensee")) == 1_000 - 2 * PRICE
            deployment.world.clock.advance(60)
            machine.ask()


def test_answers_given_again_have_a_rate_of_their_own(tmp_path: Any) -> None:
    """They are free, so nothing else bounds what they take of the engine."""
    with deployed(tmp_path, world(policy={"queries_per_minute": 2})) as deployment:
        deployment.add_credit(1_000)
        with Machine(deployment) as machine:
            query = machine.open().query()
            machine.ask(query)
            assert machine.ask(query).is_repeat
            assert machine.ask(query).is_repeat
            with pytest.raises(RateExceeded):
                machine.ask(query)
            with pytest.raises(RateExceeded):
                machine.open().ask(query)
            assert not machine.ask().is_repeat  # they are not in the way of what is new
            with pytest.raises(RateExceeded):
                machine.ask()
            deployment.world.clock.advance(60)
            assert machine.ask(query).is_repeat
        assert deployment.licensee_credit(wallet("licensee")) == 1_000 - 2 * PRICE


def test_answers_given_again_wait_in_line_with_all_others(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with deployed(tmp_path, WORLD) as deployment:
        deployment.add_credit(1_000)
        with Machine(deployment) as machine:
            query, engine = machine.open().query(), deployment.enclave.engine
            machine.ask(query)
            monkeypatch.setattr("enclave.batching.SESSION_WAITING_MAX", 1)
            deployment.enclave.on_loop(engine.hold)
            first = machine.send_later(machine.request(query))
            deployment.until(lambda: deployment.enclave.service.under_way == 1)
            second = machine.send_later(machine.request(query))
            deployment.until(lambda: deployment.enclave.service.under_way == 2)
            with pytest.raises(Overloaded):
                machine.ask(query)
            deployment.enclave.on_loop(engine.let_go)
            assert first.result().is_repeat
            assert second.result().is_repeat


class TestStreams:
    def test_one_that_says_nothing_is_ended(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or whoever has no license could hold all of them."""
        monkeypatch.setattr("enclave.streaming.FIRST_S_MAX", 0.1)
        said = threading.Event()

        def silent() -> Iterator[pb.SearchRequest]:
            said.wait(20)
            yield from ()

        with Machine(deployment) as machine:
            with pytest.raises(ServiceUnavailable, match="nothing came on this stream"):
                list(machine.channel.stream(machine.stub.SearchStream, silent(), timeout_s=20))
            said.set()
