"""Questions through TLS, sessions, policy, metering and receipts, against the bare engine on the same vectors.

Two machines' worth of work shares these cores: the asking side builds requests and parses answers on them too. It
checks no receipts where the row does not say so: that is the asking app's time, not the enclave's.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Row, result, row
from benchmarks.synthetic import passage, random_vectors, vectors_of
from cli import wiring
from cli.stage import Stage, Terms
from enclave.client import Answer, EnclaveClient
from enclave.credential import Credential
from enclave.v1 import retrieval_pb2 as pb
from rag.chosen import made_index
from vault.ballot import Support
from vault.envelope import Passage
from vault.policy import Policy

SIZES = {46_000: 0.5, 500_000: 0.8}  # passages, and the goal of a batch
K = 10
BATCH = 64
IN_FLIGHT = 2
BATCHES = 40
SINGLE = 200
CONCURRENT = 32
TEXT_PASSAGES = 2000
TEXT_S = 8.0
UNBOUNDED = 10**9
PRICE = 250
QUESTIONS = ("where is the archive of the ledger", "which digest does the header name", "how does a filter index work")


def run() -> dict[str, Any]:
    """Measure batches and single questions by vector at two sizes, and concurrent questions by text."""
    rows: list[Row] = []
    for passages, goal in SIZES.items():
        rows += _by_vector(passages, goal)
    rows += _by_text()
    return result("serve", rows)


def _by_vector(passages: int, goal: float) -> list[Row]:
    made = [passage(number) for number in range(passages)]
    index = made_index(vectors_of([one.text for one in made]))
    queries = random_vectors(BATCH * 8, seed=1)
    with _serving(made, module="benchmarks.synthetic") as (stage, credential):
        del made
        bare, whole, checked = [], [], []
        for _ in range(3):  # in turns, so that a slow minute slows all of them
            bare.append(_bare_rate(index, queries))
            whole.append(_batch_rate(stage, credential, queries))
            checked.append(_checked_rate(stage, credential, queries))
        single = _single_ms(stage, credential, queries)
    alone = statistics.median(_bare_single_ms(index, queries))
    against = "the bare engine, batch 64"
    name = f"{passages // 1000} k passages"
    rate, best = statistics.median(whole), statistics.median(bare)
    return [
        row(f"SearchBatch of 64 vectors, {name}", "queries/s", rate, against, best, goal=goal, less=False),
        row(
            f"the same, every receipt checked by one client, {name}",
            "queries/s",
            statistics.median(checked),
            against,
            best,
            goal=None,
            less=False,
        ),
        row(f"Search by vector, p50, {name}", "ms", single, "the bare engine, batch 1", alone, goal=None, less=True),
    ]


def _by_text() -> list[Row]:
    """Measure single questions by text, many at once, against embedding and searching in one process."""
    made = [passage(number) for number in range(TEXT_PASSAGES)]
    embedder = wiring.make_embedder(wiring.Settings())
    index = made_index(embedder.embed_passages([one.text for one in made]))
    with _serving(made, module="cli.entry") as (stage, credential):
        whole, bare = [], []
        for _ in range(2):
            whole.append(_text_rate(stage, credential))
            bare.append(_embedded_rate(embedder, index))
    ours, theirs = statistics.median(whole), statistics.median(bare)
    what = f"{CONCURRENT} single questions by text at once"
    against = f"embedding and searching {CONCURRENT} at a time in one process"
    return [row(what, "queries/s", ours, against, theirs, goal=0.6, less=False)]


@contextmanager
def _serving(passages: Sequence[Passage], *, module: str) -> Iterator[tuple[Stage, Credential]]:
    """Start custodian and enclave over these passages, and license an app that can pay for everything."""
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder, Stage(Path(folder)) as stage:
        stage.found(1, lease_s=60)
        sealed = stage.seal("owner", "", passages, lambda _: None)
        stage.publish("owner", sealed, lambda _: None)
        terms = Terms(price=PRICE, k_max=K, passages_max=UNBOUNDED, queries_per_minute=UNBOUNDED)
        policy: Policy = stage.policy("benchmark", terms)
        stage.adopt(policy, {"member-1": Support.FOR})
        stage.deposit()
        stage.start_enclave(lambda _, __: None, module=module)
        credential = stage.license("app", policy)
        stage.credit("app", 10**9, policy.currency)
        yield stage, credential


def _bare_rate(index: Any, queries: NDArray[np.float32]) -> float:
    started = time.perf_counter()
    for number in range(BATCHES):
        start = number * BATCH % len(queries)
        index.search(queries[start : start + BATCH], k=K, allowed=None)
    return BATCHES * BATCH / (time.perf_counter() - started)


def _bare_single_ms(index: Any, queries: NDArray[np.float32]) -> list[float]:
    taken = []
    for number in range(SINGLE):
        started = time.perf_counter()
        index.search(queries[number % len(queries)][None], k=K, allowed=None)
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def _batch_rate(stage: Stage, credential: Credential, queries: NDArray[np.float32]) -> float:
    """Return queries a second with several batches in flight, each in a session of its own."""

    def ask(number: int) -> None:
        with stage.connect(credential) as client:
            send = _unchecked_batches(client, queries)
            send()
            ready.wait()
            for _ in range(BATCHES // IN_FLIGHT):
                send()

    ready = threading.Barrier(IN_FLIGHT + 1)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        asking = [pool.submit(ask, number) for number in range(IN_FLIGHT)]
        ready.wait()
        started = time.perf_counter()
        for one in asking:
            one.result()
    return BATCHES * BATCH / (time.perf_counter() - started)


def _unchecked_batches(client: EnclaveClient, queries: NDArray[np.float32]) -> Callable[[], None]:
    at = iter(range(10**9))

    def send() -> None:
        start = next(at) * BATCH % len(queries)
        batch = [client.question(k=K, vector=vector.tobytes()) for vector in queries[start : start + BATCH]]
        response: pb.SearchBatchResponse = client.unchecked_batch(batch)
        if any(not outcome.HasField("answer") for outcome in response.outcomes):
            raise RuntimeError(str(next(one.refusal for one in response.outcomes if one.HasField("refusal"))))

    return send


def _checked_rate(stage: Stage, credential: Credential, queries: NDArray[np.float32]) -> float:
    with stage.connect(credential) as client:
        started = time.perf_counter()
        for number in range(BATCHES // 4):
            start = number * BATCH % len(queries)
            batch = [client.question(k=K, vector=vector.tobytes()) for vector in queries[start : start + BATCH]]
            if not all(isinstance(one, Answer) for one in client.search_batch(batch)):
                raise RuntimeError("a question was refused")
        return BATCHES // 4 * BATCH / (time.perf_counter() - started)


def _single_ms(stage: Stage, credential: Credential, queries: NDArray[np.float32]) -> float:
    taken = []
    with stage.connect(credential) as client:
        for number in range(SINGLE):
            started = time.perf_counter()
            client.search(k=K, vector=queries[number % len(queries)].tobytes())
            taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def _text_rate(stage: Stage, credential: Credential) -> float:
    """Return questions a second of many clients that each wait for their answer."""
    until = time.perf_counter() + TEXT_S
    started = time.perf_counter()

    def ask(number: int) -> int:
        asked = 0
        with stage.connect(credential) as client:
            while time.perf_counter() < until:
                client.unchecked(client.question(f"{QUESTIONS[asked % 3]} {number} {asked}", k=K))
                asked += 1
        return asked

    with ThreadPoolExecutor(CONCURRENT) as pool:
        answered = sum(pool.map(ask, range(CONCURRENT)))
    return answered / (time.perf_counter() - started)


def _embedded_rate(embedder: Any, index: Any) -> float:
    until, asked, started = time.perf_counter() + TEXT_S / 2, 0, time.perf_counter()
    while time.perf_counter() < until:
        texts = [f"{QUESTIONS[asked % 3]} {number} {asked}" for number in range(CONCURRENT)]
        index.search(embedder.embed_queries(texts), k=K, allowed=None)
        asked += CONCURRENT
    return asked / (time.perf_counter() - started)
