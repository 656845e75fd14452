"""One query through client, TLS, enclave, meter and receipt: what the vault adds to embedding and searching."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import result, row
from cli.stage import Stage
from cli.stage_policy import Terms
from vault.ballot import Support
from vault.envelope import Passage

PASSAGES = 2000
PASSAGE_WORDS = 60
QUERIES = 200
WARM_UP = 20
K = 10
GOAL_MS = 4.0
UNBOUNDED = 10**9
WORDS = tuple(
    [
        "archive",
        "block",
        "charter",
        "digest",
        "enclave",
        "filter",
        "graph",
        "header",
        "index",
        "journal",
        "kernel",
        "ledger",
        "manifest",
        "nonce",
        "offset",
        "policy",
        "query",
        "receipt",
        "segment",
        "token",
        "update",
        "vector",
        "window",
    ]
)


def run() -> dict[str, Any]:
    """Measure single queries at concurrency one; embedding and searching are timed by the engine itself."""
    total, added, inner = [], [], []
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder, Stage(Path(folder)) as stage:
        stage.found(1, lease_s=60)
        sealed = stage.seal("owner", "", passages(), lambda _: None)
        stage.publish("owner", sealed, lambda _: None)
        policy = stage.policy(
            "benchmark", Terms(price=250, k_max=K, passages_max=UNBOUNDED, queries_per_minute=UNBOUNDED)
        )
        stage.adopt(policy, {"member-1": Support.FOR})
        stage.deposit()
        stage.start_enclave(lambda _, __: None)
        credential = stage.license("app", policy)
        stage.credit("app", (QUERIES + WARM_UP) * policy.price_per_query, policy.currency)
        with stage.connect(credential) as client:
            for number in range(QUERIES + WARM_UP):
                started = time.perf_counter()
                answer = client.search(f"{WORDS[number % len(WORDS)]} of the {WORDS[number % 7]} {number}", k=K)
                taken = time.perf_counter() - started
                if number >= WARM_UP:
                    total.append(1000 * taken)
                    inner.append(1000 * (answer.embed_s + answer.search_s))
                    added.append(1000 * (taken - answer.embed_s - answer.search_s))
    p50, p99 = statistics.median(added), statistics.quantiles(added, n=100)[98]
    whole, bare = statistics.median(total), statistics.median(inner)
    alone = "its embedding + search alone"
    return result(
        "ask",
        [
            row("what the vault adds to one query, p50", "ms", p50, "the goal", GOAL_MS, goal=1.0, less=True),
            row("what the vault adds to one query, p99", "ms", p99, "the same goal", GOAL_MS, goal=None, less=True),
            row("one query, whole secure path, p50", "ms", whole, alone, bare, goal=None, less=True),
        ],
    )


def passages() -> list[Passage]:
    """Return passages that nobody needs to read."""
    made = []
    for number in range(PASSAGES):
        words = [WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(PASSAGE_WORDS)]
        text = f"{number} " + " ".join(words)
        made.append(Passage(f"document-{number // 20}", 0, len(text), text))
    return made
