"""What it costs to judge a question by its licensee's extraction budget, on a corpus of ten million passages.

The licensee has seen a million of them. Every kind of quota applies at once: the policy's budget, a share of the
dataset and a share of its owner's passages.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from benchmarks import meter
from benchmarks.harness import result, row
from enclave.asked import Asked
from enclave.selection import room_for, selected
from vault.charter import BASIS_POINTS
from vault.keys import SecretKey
from vault.ledger import Books
from vault.ledger_seal import LedgerSeal
from vault.license import License
from vault.limits import Coverage, Place, Quota
from vault.question import Query
from vault.signing import BLANK_SIGNATURE

CORPUS = 10_000_000
SEEN = 1_000_000
CHECKS = 2_000
K = 10
GOAL_US = 20.0
SHARES_BPS = (2_000, 2_500, 3_000)  # of the whole, the dataset, the owner's part


def run() -> dict[str, Any]:
    """Measure the check before a search and the cut after it, and what naming the passages adds."""
    books, asked = Books(), _asked()
    books.seen.note(asked.permit.holder, ((_identity(number), meter.LINEAGE) for number in range(SEEN)))
    answers = [[_identity(7_919 * number + 499_979 * rank) for rank in range(K)] for number in range(CHECKS)]
    found, seal = meter.FOUND[:K], LedgerSeal(SecretKey(bytes(32)), meter.LEDGER)
    room_for(books, asked)  # counts what was seen once; notes keep the counts up from here on
    judged = _microseconds(lambda number: selected(books, asked, found, answers[number], room_for(books, asked)))
    named = _microseconds(lambda number: [seal.passage_identity(meter.FOUND[number + at].lasting) for at in range(K)])
    what = f"budget of a question of {K} passages, {SEEN:,} of {CORPUS:,} seen, 3 quotas, p50"
    both = f"the same, and the names of the {K} passages, p50"
    return result(
        "budget",
        [
            row(what, "µs", judged, "the goal", GOAL_US, goal=1.0, less=True),
            row(both, "µs", judged + named, "the same goal", GOAL_US, goal=None, less=True),
        ],
    )


def _microseconds(work: Callable[[int], object]) -> float:
    taken = []
    for number in range(CHECKS):
        started = time.perf_counter()
        work(number)
        taken.append(1e6 * (time.perf_counter() - started))
    return statistics.median(taken)


def _asked() -> Asked:
    owner = meter.FOUND[0].owner
    whole, of_dataset, of_owner = (
        Quota(frozenset({meter.LINEAGE}), CORPUS * bps // BASIS_POINTS) for bps in SHARES_BPS
    )
    license = License(
        genesis=meter.GENESIS,
        policy=meter.POLICY_CID,
        issuer=meter.POLICY.licensees.signer_of(bytes(20)),
        licensee=bytes(20),
        epoch=0,
        issued_at=meter.AT - 1,
        expires_at=meter.AT + 86_400,
        signature=BLANK_SIGNATURE,
    )
    return Asked(
        license=license,
        delegation=license.cid().digest,
        policy=meter.POLICY,
        permit=meter.POLICY.admit(license, k=K, at=meter.AT),
        coverage=Coverage(whole, {meter.MANIFEST: Place(meter.LINEAGE, owner, (of_dataset, of_owner))}),
        query=Query(request=bytes(32), policy=meter.POLICY_CID, text=meter.TEXT, k=K, salt=bytes(32)),
        spend_cap=10**12,
    )


def _identity(number: int) -> bytes:
    return sha256(b"%d" % (number % CORPUS)).digest()
