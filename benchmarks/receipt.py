"""Receipts verified offline, by one core.

Receipts come from a real enclave. Each is parsed, its signature checked, its passages' paths recomputed, and every link
up to evidence, charter and owners verified: those that many receipts share, once for all of them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ask import WORDS, passages
from benchmarks.harness import Row, result, row
from cli.stage import Stage
from cli.stage_policy import Terms
from enclave.attestation.appraise import EvidenceAppraiser
from enclave.client import Answer, EnclaveClient
from storage.cid import Cid
from vault.ballot import Support
from vault.receipt import FILE_BYTES_MAX, ReceiptFile
from vault.receipt_check import ReceiptCheck
from vault.receipt_message import ReceiptInBurst, verified_message
from vault.receipt_reading import ReceiptReader

GOAL_PER_S = 3_000.0
RECEIPTS = 256
BATCH = 64
K = 5
ROUNDS = 9
UNBOUNDED = 10**9


def run() -> dict[str, Any]:
    """Measure receipts of single answers and of bursts."""
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder, Stage(Path(folder)) as stage:
        genesis, alone, together = _receipts(stage)
    appraiser = EvidenceAppraiser(production=False)
    rows = _compared(alone, "each signed by itself", genesis, appraiser)
    rows += _compared(together, f"signed in bursts of up to {BATCH}", genesis, appraiser)
    few = alone[:16]
    cold = _per_second(lambda: [_verified([one], genesis, appraiser) for one in few], len(few))
    warm = _per_second(lambda: _verified(alone, genesis, appraiser), len(alone))
    alone_each = "receipts verified one by one, nothing shared between them"
    rows.append(row(alone_each, "/s", cold, "verified together", warm, goal=None, less=False))
    return result("receipt", rows)


def _compared(files: Sequence[bytes], signed: str, genesis: Cid, appraiser: EvidenceAppraiser) -> list[Row]:
    whole = _per_second(lambda: _verified(files, genesis, appraiser), len(files))
    bare = _per_second(lambda: _signatures(files), len(files))
    what = f"receipts of {K} passages verified on one core, {signed}"
    return [
        row(what, "/s", whole, "the goal", GOAL_PER_S, goal=1.0, less=False),
        row(what, "/s", whole, "their signatures alone", bare, goal=None, less=False),
    ]


def _receipts(stage: Stage) -> tuple[Cid, list[bytes], list[bytes]]:
    """Return the DAO, and receipt files of single answers and of batches."""
    stage.found(1, lease_s=3_600)
    sealed = stage.seal("owner", "", passages(), lambda _: None)
    stage.publish("owner", sealed, lambda _: None)
    terms = Terms(price=250, k_max=K, passages_max=UNBOUNDED, queries_per_minute=UNBOUNDED)
    policy = stage.policy("benchmark", terms)
    stage.adopt(policy, {"member-1": Support.FOR})
    stage.deposit()
    stage.start_enclave(lambda _, __: None)
    credential = stage.license("app", policy)
    stage.credit("app", 4 * RECEIPTS * policy.price_per_query, policy.currency)
    with stage.connect(credential) as client:
        alone = [client.search(_question(number), k=K).file.encoded() for number in range(RECEIPTS)]
        together = [file for start in range(0, RECEIPTS, BATCH) for file in _batch(client, start)]
    if not any(_is_in_burst(file) for file in together):
        raise RuntimeError("no receipt came in a burst")
    return stage.genesis, alone, together


def _batch(client: EnclaveClient, start: int) -> list[bytes]:
    queries = [client.question(_question(number), k=K) for number in range(start, start + BATCH)]
    return [answer.file.encoded() for answer in client.search_batch(queries) if isinstance(answer, Answer)]


def _question(number: int) -> str:
    return f"{WORDS[number % len(WORDS)]} of the {WORDS[number % 7]} {number}"


def _is_in_burst(data: bytes) -> bool:
    return ReceiptInBurst.TYPE.encode() in data


def _verified(files: Sequence[bytes], genesis: Cid, appraiser: EvidenceAppraiser) -> None:
    reader, check = ReceiptReader(), ReceiptCheck(genesis, appraiser, allow_simulated=True)
    for data in files:
        for _ in check.links(reader.read(data)):
            pass


_PARSED: dict[bytes, ReceiptFile] = {}


def _signatures(files: Sequence[bytes]) -> None:
    for data in files:
        if data not in _PARSED:
            _PARSED[data] = ReceiptFile.from_bytes(data, bytes_max=FILE_BYTES_MAX)
        verified_message(_PARSED[data].message, _PARSED[data].binding.receipt_key)


def _per_second(work: Callable[[], object], count: int) -> float:
    work()
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return count / statistics.median(taken)
