"""Questions through TLS, sessions, policy, metering and receipts, against the bare engine and Chroma in this process.

The bare engine has a process of its own, set up as the enclave's engine is (`benchmarks.bare`). The vectors are those
of `coffer bench retrieve`: SciFact's sentences and, beyond them, the same with noise. Passages have a kilobyte of text.
Two machines' worth of work shares these cores: the asking side builds requests and parses answers on them too. It
checks no receipts where the row does not say so: that is the asking app's time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bare import BareEngine, bare_engine, bare_text_engine
from benchmarks.harness import Row, result, row, tell
from benchmarks.peer_documents import chroma_with_documents
from benchmarks.retrieve import vectors_of
from benchmarks.sentences import sentences
from benchmarks.synthetic import VECTORS_VARIABLE, passage
from cli.stage import Stage
from cli.stage_policy import Terms
from enclave.client import Answer, EnclaveClient
from enclave.credential import Credential
from enclave.v1 import retrieval_pb2 as pb
from vault.ballot import Support
from vault.envelope import Passage
from vault.policy import Policy

SMALL = 46_000
LARGE = 500_000
BATCH_GOALS = {SMALL: 0.5, LARGE: 0.8}
CHROMA_GOALS = {"exact": 1 / 1.3, "hnsw": 1 / 0.8}
TEXT_GOAL = 0.6
K = 10
BATCH = 64
IN_FLIGHT = 2
BATCHES = 24
ROUNDS = 3
SINGLE = 100  # questions of a round, one at a time
CONCURRENT = 32
TEXT_PASSAGES = 2000
TEXT_S = 6.0
TEXT_BATCHES = 60  # of the bare engine, a round
UNBOUNDED = 10**9
PRICE = 250
QUESTIONS = ("where is the archive of the ledger", "which digest does the header name", "how does a filter index work")
HNSW = {"COFFER_INDEX": "hnsw", "COFFER_INDEX_FROM": "1000", "COFFER_INDEX_RECALL": "97%"}
Queries = NDArray[np.float32]


def run() -> dict[str, Any]:
    """Measure batches and single questions by vector at two sizes, and concurrent questions by text."""
    real = sentences()
    rows: list[Row] = _by_text()
    for count in (SMALL, LARGE):
        rows += _by_vector(vectors_of(real.vectors, count), real.queries)
    rows += _by_graph(vectors_of(real.vectors, SMALL), real.queries)
    return result("serve", rows)


def _by_vector(vectors: NDArray[np.float32], queries: Queries) -> list[Row]:
    count = len(vectors)
    name = f"{count // 1000} k passages"
    rates: list[list[float]] = [[], [], []]
    with bare_engine(vectors) as bare_one, _serving(vectors) as (stage, credential):
        for number in range(ROUNDS):  # in turns, so that a slow minute slows all of them
            tell(f"{name}: batches, round {number + 1} of {ROUNDS}")
            rates[0].append(bare_one.rate([_batch(queries, number) for number in range(BATCHES)], k=K))
            rates[1].append(_batch_rate(stage, credential, queries))
            rates[2].append(_checked_rate(stage, credential, queries))
        bare, whole, checked = map(statistics.median, rates)
        against = "the bare engine, batch 64"
        what = f"SearchBatch of 64 vectors, {name}"
        rows = [
            row(what, "queries/s", whole, against, bare, goal=BATCH_GOALS[count], less=False),
            row(f"the same, checked by one client, {name}", "queries/s", checked, against, bare, goal=None, less=False),
        ]
        goal = CHROMA_GOALS["exact"] if count == SMALL else None
        rows += _singles(stage, credential, vectors, queries, name=f"exact, {name}", goal=goal, alone=bare_one)
    return rows


def _by_graph(vectors: NDArray[np.float32], queries: Queries) -> list[Row]:
    name = f"HNSW, {len(vectors) // 1000} k passages"
    with _serving(vectors, **HNSW) as (stage, credential):
        with stage.connect(credential) as client:
            (described,) = client.describe().datasets
        name += f", recall {described.recall_ppm / 1e6:.3f}"
        return _singles(stage, credential, vectors, queries, name=name, goal=CHROMA_GOALS["hnsw"], alone=None)


def _singles(
    stage: Stage,
    credential: Credential,
    vectors: NDArray[np.float32],
    queries: Queries,
    *,
    name: str,
    goal: float | None,
    alone: BareEngine | None,
) -> list[Row]:
    """Measure one question at a time, beside Chroma with the same vectors and documents, and the bare index."""
    texts = [passage(number).text for number in range(len(vectors))] if goal is not None else []
    asks: dict[str, Callable[[Queries], float]] = {}
    with stage.connect(credential) as client, chroma_with_documents(vectors, texts) as peer:
        asks["ours"] = _timed(lambda query: client.search(k=K, vector=query.tobytes()))
        asks["unchecked"] = _timed(lambda query: client.unchecked(client.question(k=K, vector=query.tobytes())))
        if peer is not None:
            asks[peer.name] = _timed(peer.ask)
        if alone is not None:
            asks["the bare engine"] = partial(alone.ask, k=K)
        tell(f"{name}: single questions")
        ms = _medians_ms(asks, queries)
    ours, unchecked = ms.pop("ours"), ms.pop("unchecked")
    rows = []
    for against, theirs in ms.items():
        aimed = goal if peer is not None and against == peer.name else None
        rows.append(row(f"Search by vector, {name}, p50", "ms", ours, against, theirs, goal=aimed, less=True))
        what = f"the same, receipt not checked, {name}, p50"
        rows.append(row(what, "ms", unchecked, against, theirs, goal=None, less=True))
    return rows


def _timed(ask: Callable[[Queries], object]) -> Callable[[Queries], float]:
    def asked(query: Queries) -> float:
        started = time.perf_counter()
        ask(query)
        return 1000 * (time.perf_counter() - started)

    return asked


def _medians_ms(asks: dict[str, Callable[[Queries], float]], queries: Queries) -> dict[str, float]:
    """Return each one's median milliseconds; they take turns, query by query."""
    taken: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(-10, ROUNDS * SINGLE):  # the first ones warm up
        for name, ask in asks.items():
            ms = ask(queries[number % len(queries)])
            if number >= 0:
                taken[name].append(ms)
    return {name: statistics.median(times) for name, times in taken.items()}


def _by_text() -> list[Row]:
    """Measure single questions by text, many at once, against embedding and searching in one process."""
    made = [passage(number) for number in range(TEXT_PASSAGES)]
    with (
        bare_text_engine([one.text for one in made]) as bare_one,
        _staged(made, module="cli.entry") as (stage, credential),
    ):
        whole, bare = [], []
        for number in range(ROUNDS):
            tell(f"{CONCURRENT} questions by text at once, round {number + 1} of {ROUNDS}")
            whole.append(_text_rate(stage, credential))
            bare.append(bare_one.text_rate([_texts(asked) for asked in range(TEXT_BATCHES)], k=K))
    ours, theirs = statistics.median(whole), statistics.median(bare)
    what = f"{CONCURRENT} single questions by text at once"
    against = f"embedding and searching {CONCURRENT} at a time in one process"
    return [row(what, "queries/s", ours, against, theirs, goal=TEXT_GOAL, less=False)]


@contextmanager
def _serving(vectors: NDArray[np.float32], **environment: str) -> Iterator[tuple[Stage, Credential]]:
    """Serve as many passages as there are vectors, by these vectors."""
    made = [passage(number) for number in range(len(vectors))]
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors)
        with (
            _environment(**{VECTORS_VARIABLE: str(path)}, **environment),
            _staged(made, module="benchmarks.synthetic") as served,
        ):
            del made
            yield served


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _staged(passages: Sequence[Passage], *, module: str) -> Iterator[tuple[Stage, Credential]]:
    """Start custodian and enclave over these passages, and license an app that can pay for everything."""
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder, Stage(Path(folder)) as stage:
        tell(f"sealing {len(passages):,} passages")
        stage.found(1, lease_s=60)
        sealed = stage.seal("owner", "", passages, lambda _: None)
        stage.publish("owner", sealed, lambda _: None)
        terms = Terms(price=PRICE, k_max=K, passages_max=UNBOUNDED, queries_per_minute=UNBOUNDED)
        policy: Policy = stage.policy("benchmark", terms)
        stage.adopt(policy, {"member-1": Support.FOR})
        stage.deposit()
        tell("opening them in an enclave")
        stage.start_enclave(lambda _, __: None, module=module)
        credential = stage.license("app", policy)
        stage.credit("app", 10**9, policy.currency)
        yield stage, credential


def _batch(queries: Queries, number: int) -> Queries:
    return np.take(queries, range(number * BATCH, (number + 1) * BATCH), axis=0, mode="wrap")


def _batch_rate(stage: Stage, credential: Credential, queries: Queries) -> float:
    """Return queries a second with several batches in flight, each in a session of its own."""

    def ask(asker: int) -> None:
        with stage.connect(credential) as client:
            _send(client, _batch(queries, asker))
            ready.wait()
            for number in range(BATCHES // IN_FLIGHT):
                _send(client, _batch(queries, number * IN_FLIGHT + asker))

    ready = threading.Barrier(IN_FLIGHT + 1)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        asking = [pool.submit(ask, asker) for asker in range(IN_FLIGHT)]
        ready.wait()
        started = time.perf_counter()
        for one in asking:
            one.result()
    return BATCHES * BATCH / (time.perf_counter() - started)


def _send(client: EnclaveClient, queries: Queries) -> None:
    batch = [client.question(k=K, vector=vector.tobytes()) for vector in queries]
    response: pb.SearchBatchResponse = client.unchecked_batch(batch)
    refused = next((one.refusal for one in response.outcomes if one.HasField("refusal")), None)
    if refused is not None:
        raise RuntimeError(str(refused))


def _checked_rate(stage: Stage, credential: Credential, queries: Queries) -> float:
    with stage.connect(credential) as client:
        started = time.perf_counter()
        for number in range(BATCHES // 4):
            batch = [client.question(k=K, vector=vector.tobytes()) for vector in _batch(queries, number)]
            if not all(isinstance(one, Answer) for one in client.search_batch(batch)):
                raise RuntimeError("a question was refused")
        return BATCHES // 4 * BATCH / (time.perf_counter() - started)


def _text_rate(stage: Stage, credential: Credential) -> float:
    """Return questions a second of many clients that each wait for their answer."""

    def ask(asker: int) -> int:
        asked = 0
        with stage.connect(credential) as client:
            ready.wait()
            until = time.perf_counter() + TEXT_S
            while time.perf_counter() < until:
                client.unchecked(client.question(f"{QUESTIONS[asked % 3]} {asker} {asked}", k=K))
                asked += 1
        return asked

    ready = threading.Barrier(CONCURRENT)
    with ThreadPoolExecutor(CONCURRENT) as pool:
        return sum(pool.map(ask, range(CONCURRENT))) / TEXT_S


def _texts(asked: int) -> list[str]:
    return [f"{QUESTIONS[asked % 3]} {number} {asked}" for number in range(CONCURRENT)]
