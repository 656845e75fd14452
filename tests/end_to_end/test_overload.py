"""More than an enclave can answer: it refuses the rest in words, charges nothing for it, and is well afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from enclave import batching
from enclave.batching import BATCH_MAX, SESSION_WAITING_MAX, WAITING_MAX
from enclave.client import EnclaveClient
from enclave.found import Answer, Ask
from enclave.server import PEER_CALLS_MAX
from tests.attacks.session.machine import Machine
from tests.builders import wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, World, credential, world
from tests.toy import InProcessEngine
from vault.charter import Window
from vault.errors import RateExceeded, VaultError
from vault.wire import GRPC_LIMIT, REASON_KEY, RETRY_AFTER_KEY, error_from

CREDIT = 10**9
BATCH_S = 0.5  # of the slow engine; so it answers 128 questions a second, which any machine can exceed
WAITING = 256  # questions, for that engine
CLIENTS = 12  # with a batch each: more than twice what may wait
AGAIN_S = 0.02  # the clients come again long before they are told to
GROWTH_BYTES_MAX = 256 << 20
POLICY = {"queries_per_minute": 10**6, "passages_max": 10**6}


def setting() -> World:
    return world(policy=POLICY, window=Window(entries=10**6, passages=10**6, spend=10**9))


class SlowEngine(InProcessEngine):
    """One that needs its time for a batch, however small."""

    async def search(self, asks: Sequence[Ask]) -> list[Answer | VaultError]:
        await asyncio.sleep(BATCH_S)
        return await super().search(asks)


@contextmanager
def overloaded(folder: Path, made: World | None = None, **enclave: Any) -> Iterator[Deployment]:
    with deployed(folder, made or setting(), **enclave) as deployment:
        deployment.add_credit(CREDIT)
        yield deployment


def spent(deployment: Deployment) -> int:
    return CREDIT - deployment.licensee_credit(wallet("licensee"))


def entries(deployment: Deployment) -> int:
    last = deployment.journal().last()
    assert last is not None
    return last.sequence


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


class Load:
    """Clients that ask batch after batch and do not wait when they are refused."""

    def __init__(self, clients: Sequence[EnclaveClient]) -> None:
        self._clients = clients
        self._is_over = threading.Event()
        self._counting = threading.Lock()
        self.outcomes: Counter[str] = Counter()  # "answered", or the reason of a refusal
        self.hints_ms: list[int] = []

    def run(self, seconds: float) -> None:
        """Ask for so long, and return once every call has its answer."""
        with ThreadPoolExecutor(len(self._clients)) as pool:
            running = [pool.submit(self._ask, client) for client in self._clients]
            time.sleep(seconds)
            self._is_over.set()
            for one in running:
                one.result(60)

    def _ask(self, client: EnclaveClient) -> None:
        while not self._is_over.is_set():
            response = client.unchecked_batch([client.question("tide table", k=1) for _ in range(BATCH_MAX)])
            refusals = [outcome.refusal for outcome in response.outcomes if outcome.HasField("refusal")]
            with self._counting:
                self.outcomes["answered"] += len(response.outcomes) - len(refusals)
                self.outcomes.update(refusal.reason for refusal in refusals)
                self.hints_ms += [refusal.retry_after_ms for refusal in refusals]
            if refusals:
                self._is_over.wait(AGAIN_S)


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_under_more_than_four_times_what_it_can_answer_it_refuses_the_rest_and_is_well_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(batching, "WAITING_MAX", WAITING)
    made = setting()
    with overloaded(tmp_path, made, start_engine=lambda: SlowEngine(made.blobs)) as deployment, ExitStack() as closing:
        asking = credential(deployment.world, spend_cap=CREDIT)
        load = Load([closing.enter_context(deployment.client(asking)) for _ in range(CLIENTS)])
        before, resident = entries(deployment), resident_bytes()
        load.run(seconds)
        answered = load.outcomes["answered"]
        assert answered >= BATCH_MAX * seconds / BATCH_S / 4  # it did its work meanwhile
        assert load.outcomes.total() >= 4 * answered
        assert load.outcomes.keys() == {"answered", "OVERLOADED"}
        assert all(hint > 0 for hint in load.hints_ms)
        assert spent(deployment) == answered * PRICE
        assert entries(deployment) == before + answered
        assert resident_bytes() - resident < GROWTH_BYTES_MAX
        with deployment.client(asking) as client:
            began = time.monotonic()
            assert client.search("tide table", k=1).results
            assert time.monotonic() - began < 5
        assert deployment.enclave.service.under_way == 0


def test_calls_past_what_one_address_may_have_open_are_refused_with_reason_and_hint(tmp_path: Path) -> None:
    with overloaded(tmp_path) as deployment, ExitStack() as closing:
        asking, engine = credential(deployment.world, spend_cap=CREDIT), deployment.enclave.engine
        machines = [closing.enter_context(Machine(deployment, asking)).open() for _ in range(4)]
        deployment.enclave.on_loop(engine.hold)
        calls = [machine.send_later(machine.request(machine.query())) for machine in machines[:3] for _ in range(60)]
        refused = 3 * 60 - PEER_CALLS_MAX
        deployment.until(lambda: sum(call.done() for call in calls) == refused)
        for call in calls:
            if call.done():
                said = dict(call.trailing_metadata())
                assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert said[REASON_KEY] == "RATE_EXCEEDED"
                assert int(said[RETRY_AFTER_KEY]) > 0
                told = error_from(call, "enclave")
                assert isinstance(told, RateExceeded) and told.wait_s > 0
        deployment.enclave.on_loop(engine.let_go)
        answered = sum(call.code() is grpc.StatusCode.OK for call in calls)
        assert answered == PEER_CALLS_MAX
        assert spent(deployment) == answered * PRICE
        assert machines[3].ask().passages


def test_questions_past_what_may_wait_are_refused_at_the_door(tmp_path: Path) -> None:
    with overloaded(tmp_path) as deployment, ExitStack() as closing:
        asking, engine = credential(deployment.world, spend_cap=CREDIT), deployment.enclave.engine
        full = BATCH_MAX + WAITING_MAX
        clients = [closing.enter_context(deployment.client(asking)) for _ in range(full // BATCH_MAX + 1)]
        pool = closing.enter_context(ThreadPoolExecutor(len(clients)))
        deployment.enclave.on_loop(engine.hold)
        calls = []
        for number, client in enumerate(clients):
            batch = [client.question("tide table", k=1) for _ in range(BATCH_MAX)]
            calls.append(pool.submit(client.unchecked_batch, batch))
            deployment.until(
                lambda number=number: (
                    calls[-1].done() or deployment.enclave.service.under_way == BATCH_MAX * (number + 1)
                )
            )
        assert [call.done() for call in calls] == [False] * (len(clients) - 1) + [True]
        refusals = [outcome.refusal for outcome in calls[-1].result().outcomes]
        assert {refusal.reason for refusal in refusals} == {"OVERLOADED"}
        assert all(refusal.retry_after_ms > 0 for refusal in refusals)
        deployment.enclave.on_loop(engine.let_go)
        assert sum(outcome.HasField("answer") for call in calls for outcome in call.result(60).outcomes) == full
        assert spent(deployment) == full * PRICE


def test_one_session_cannot_take_all_the_room(tmp_path: Path) -> None:
    with overloaded(tmp_path) as deployment, ExitStack() as closing:
        asking, engine = credential(deployment.world, spend_cap=CREDIT), deployment.enclave.engine
        greedy = closing.enter_context(Machine(deployment, asking)).open()
        modest = closing.enter_context(deployment.client(asking))
        pool = closing.enter_context(ThreadPoolExecutor(1))
        deployment.enclave.on_loop(engine.hold)
        assert SESSION_WAITING_MAX + BATCH_MAX < WAITING_MAX
        calls = [greedy.send_later(greedy.request(greedy.query())) for _ in range(PEER_CALLS_MAX // 2)]
        deployment.until(lambda: deployment.enclave.service.under_way == PEER_CALLS_MAX // 2)
        one = pool.submit(modest.search, "tide table", k=1)
        deployment.until(lambda: deployment.enclave.service.under_way == PEER_CALLS_MAX // 2 + 1)
        deployment.enclave.on_loop(engine.let_go)
        assert one.result(20).results
        assert all(call.code() is grpc.StatusCode.OK for call in calls)


def test_what_grpc_itself_refuses_is_told_as_ours() -> None:
    """Past calls that are being refused, grpcio answers before anything of ours runs."""

    class Refused(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # grpcio is untyped
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.RESOURCE_EXHAUSTED

        def details(self) -> str:
            return GRPC_LIMIT

        def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
            return ()

        initial_metadata = trailing_metadata

        def is_active(self) -> bool:
            return False

        def time_remaining(self) -> None:
            return None

        def cancel(self) -> bool:
            return False

        def add_callback(self, callback: Any) -> bool:
            return False

    told = error_from(Refused(), "enclave at 127.0.0.1")
    assert isinstance(told, RateExceeded) and told.wait_s > 0
