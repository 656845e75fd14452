"""Metering alone, in this process: queries booked, durable and receipted per second, and what one costs by itself.

Each session asks, waits for its receipt, and asks again; the journal is SQLite with a sync at every commit. The search
is left out: passages are there before. The loop is the one that enclaves run on. What the meter is held against is a
bare insert of the same bytes in the same groups, a row for every query and nothing else done.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.charters import charter_with
from benchmarks.harness import Row, result, row
from cli.serving import collect_seldom, run_service
from enclave.asked import Asked
from enclave.found import AS_IT_IS, Found
from enclave.grounds import Grounds
from enclave.metering import Meter, claimed_anchor
from enclave.output import PassageWriter
from storage.cid import DAG_CBOR, Cid
from vault.charter import BASIS_POINTS, Window
from vault.dataset import DatasetRef
from vault.envelope import Passage
from vault.evidence import Binding, Evidence, Nonce
from vault.history import History, founded
from vault.hpke import HpkeKeys
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Terms, ledger_id
from vault.license import Deposit, License
from vault.licensees import Licensees
from vault.limits import Coverage, Place, Quota
from vault.machine import MachineKey
from vault.merkle import EMPTY_ROOT
from vault.output_rules import EVERYTHING
from vault.policy import AcceptedTee, Policy
from vault.question import Query
from vault.records.database import open_records
from vault.records.journal import Journal
from vault.records.model import JournalRow
from vault.roll import Roll
from vault.signing import BLANK_SIGNATURE

SESSIONS = 256
QUERIES = 10_000
ROUNDS = 3
ALONE = 1_000
WARM_UP = 100
GOAL_PER_S = 20_000.0
GOAL_RATIO = 0.4
GOAL_MS = 1.5
PASSAGES = 4_096
VECTOR = bytes(1_536)  # 384 dimensions
AT = 1_800_000_000  # UTC seconds
WIDE = Window(entries=1 << 20, passages=1 << 20, spend=10**15)


def run() -> dict[str, Any]:
    """Measure many sessions at once, and one alone."""
    rows: list[Row] = []
    for k in (1, 10):
        pairs = [_together(k) for _ in range(ROUNDS)]
        ours, bare = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
        what = f"metered queries of {k} passage{'s' * (k > 1)}, {SESSIONS} sessions, durable"
        goal = 1.0 if k == 1 else None
        rows.append(row(what, "/s", ours, "the goal", GOAL_PER_S, goal=goal, less=False))
        goal = GOAL_RATIO if k == 1 else None
        rows.append(row(what, "/s", ours, "a bare grouped insert, a row a query", bare, goal=goal, less=False))
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder:
        alone = statistics.median(run_service(_alone(Path(folder), 10)))
    rows.append(row("metering and receipt of one query, p50", "ms", alone, "the goal", GOAL_MS, goal=1.0, less=True))
    return result("meter", rows)


def _together(k: int) -> tuple[float, float]:
    """Return queries per second of all sessions, and rows per second of the bare insert."""
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder:
        seconds, groups = run_service(_metered(Path(folder), k))
        queries = sum(group.entries for group in groups)
        return QUERIES / seconds, queries / _inserted(Path(folder), groups)


async def _metered(folder: Path, k: int) -> tuple[float, list[JournalRow]]:
    """Return how long the queries took, and the rows that they were written in, each a group of them."""
    with open_records(f"sqlite:///{folder}/meter.db") as records:
        desk = Desk(Journal(records, LEDGER), SESSIONS)
        await desk.open()
        asked = iter([desk.asked(number % SESSIONS, k) for number in range(QUERIES)])

        async def session() -> None:
            for one in asked:
                await desk.ask(one)

        desk.groups.clear()
        collect_seldom()  # as an enclave does
        started = time.perf_counter()
        await asyncio.gather(*(session() for _ in range(SESSIONS)))
        return time.perf_counter() - started, desk.groups


async def _alone(folder: Path, k: int) -> list[float]:
    """Return the milliseconds of each query of a single session."""
    taken = []
    with open_records(f"sqlite:///{folder}/meter.db") as records:
        desk = Desk(Journal(records, LEDGER), 1)
        await desk.open()
        for asked in [desk.asked(0, k) for _ in range(WARM_UP + ALONE)]:
            started = time.perf_counter()
            await desk.ask(asked)
            taken.append(1000 * (time.perf_counter() - started))
    return taken[WARM_UP:]


def _inserted(folder: Path, groups: Sequence[JournalRow]) -> float:
    """Return how long the bare insert of the same groups takes, a row for every query."""
    batches, sequence = [], 0
    for group in groups:
        mean = len(group.sealed) // group.entries
        batches.append([JournalRow(sequence + n, bytes(mean), group.mac) for n in range(1, group.entries + 1)])
        sequence += group.entries
    with open_records(f"sqlite:///{folder}/bare.db") as records:
        journal = Journal(records, LEDGER)
        started = time.perf_counter()
        for batch in batches:
            journal.append(batch)
        return time.perf_counter() - started


class Desk:
    """A meter, its journal, and licensees with credit."""

    def __init__(self, journal: Journal, licensees: int) -> None:
        self.groups: list[JournalRow] = []
        self._journal = journal
        self._meter = Meter(_Noting(journal, self.groups), SecretKey(bytes(32)), LEDGER, KEY, claimed_anchor(journal))
        self._licenses = [_license(number) for number in range(licensees)]
        self._permits = [POLICY.admit(license, k=10, at=AT) for license in self._licenses]
        self._numbers = count()

    async def open(self) -> None:
        """Open the books and give everyone credit."""
        await self._meter.open(KEY.public, (), at=AT)
        await asyncio.gather(*(self._meter.add_credit(_deposit(license), at=AT) for license in self._licenses))
        self._meter.grant(GROUNDS)

    def asked(self, licensee: int, k: int) -> tuple[Asked, bytes, tuple[Found, ...]]:
        """Return a question as admission passes it on, its digest, and what the search finds for it."""
        license, number = self._licenses[licensee], next(self._numbers)
        query = Query(request=number.to_bytes(32, "big"), policy=POLICY_CID, text=TEXT, k=k, salt=bytes(32))
        asked = Asked(
            license=license,
            delegation=license.cid().digest,
            policy=POLICY,
            permit=self._permits[licensee],
            coverage=COVERAGE,
            query=query,
            spend_cap=10**12,
        )
        start = number % (PASSAGES - k)
        return asked, query.body_digest(), FOUND[start : start + k]

    async def ask(self, question: tuple[Asked, bytes, tuple[Found, ...]]) -> bytes:
        """Have one question answered and charged for; return its receipt."""
        asked, body, found = question
        licensee, request, meter = asked.license.licensee, asked.query.request, self._meter
        assert await meter.answered(licensee, request, body) is None
        with meter.reserved(asked, at=AT) as room:
            assert await meter.answered(licensee, request, body) is None
            booked = meter.book_answer(asked, found, VECTOR, GROUNDS, at=AT, room=room)
        return (await meter.metered(booked)).receipt


class _Noting:
    """A journal that notes the rows it is given."""

    def __init__(self, journal: Journal, groups: list[JournalRow]) -> None:
        self._groups = groups
        self._append = journal.append
        self.rows, self.last = journal.rows, journal.last

    def append(self, rows: Sequence[JournalRow]) -> None:
        self._append(rows)
        self._groups += rows


def _address(name: str) -> bytes:
    return sha256(name.encode()).digest()[:20]


def _license(number: int) -> License:
    return License(
        genesis=GENESIS,
        policy=POLICY_CID,
        issuer=_address("issuer"),
        licensee=_address(f"licensee {number}"),
        epoch=0,
        issued_at=AT - 1,
        expires_at=AT + 86_400,
        signature=BLANK_SIGNATURE,
    )


def _deposit(license: License) -> Deposit:
    return Deposit(
        id=sha256(license.licensee).digest(),
        genesis=GENESIS,
        ledger=LEDGER,
        licensee=license.licensee,
        amount=10**12,
        currency="USDC",
        treasury=_address("treasury"),
        signature=BLANK_SIGNATURE,
    )


def _history() -> History:
    members = Roll.of({_address("member"): 1})
    machines = [MachineKey(bytes([n]) * 32) for n in range(3)]
    return founded(charter_with(members, machines, treasury=_address("treasury")))


def _policy() -> Policy:
    return Policy(
        genesis=GENESIS,
        title="Benchmark",
        datasets=(DatasetRef(owner=_address("owner"), dataset=sha256(b"dataset").digest(), manifest=MANIFEST),),
        licensees=Licensees.credential(_address("issuer")),
        currency="USDC",
        price_per_query=250,
        price_per_passage=25,
        k_max=10,
        queries_per_minute=10**9,
        passages_max=10**9,
        corpus_bps=BASIS_POINTS,
        owner_bps=BASIS_POINTS,
        tees=(AcceptedTee.simulated(bytes(48), bytes(32)),),
        configurations=(GENESIS,),
        output=EVERYTHING,
        treasury=_address("treasury"),
        operator=_address("operator"),
        treasury_bps=1_000,
        operator_bps=500,
        expires_at=AT + 86_400,
    )


def _found(number: int) -> Found:
    text = f"{number} " + " ".join(sha256(b"%d" % number).hexdigest()[i : i + 6] for i in range(0, 60, 2))
    return PassageWriter(MANIFEST, _address("owner")).found(
        number,
        0.5,
        AS_IT_IS,
        body=Passage("document", 0, len(text), text * 4).encoded(),
        salt=sha256(b"salt %d" % number).digest(),
        commitment=sha256(b"commitment %d" % number).digest(),
        path=tuple(sha256(b"%d/%d" % (number, level)).digest() for level in range(12)),
    )


def _grounds() -> Grounds:
    evidence = Evidence(kind="simulated", document=bytes(64))
    binding = Binding(
        purpose="serve",
        nonces=(Nonce(challenger=b"", nonce=bytes(32)),),
        hpke=HpkeKeys.from_seed(bytes(128)).public,
        tls_key=bytes(32),
        receipt_key=KEY.public,
        gpu_evidence=b"",
        configuration=GENESIS,
        genesis=GENESIS,
    )
    terms = Terms(
        genesis=GENESIS,
        head=HISTORY.head.cid(),
        epoch=0,
        manifests=(MANIFEST,),
        ledger=LEDGER,
        anchor=EMPTY_ANCHOR,
        instance=KEY.public,
        evidence=evidence.digest(),
        window=WIDE,
        log=EMPTY_ROOT,
    )
    return Grounds(
        binding=binding,
        evidence=evidence,
        leases=(),
        terms=terms,
        history=HISTORY,
        manifests=(),
        time_base=AT,
        asked_at=0.0,
        lifetime_s=600,
        lost=(),
        reported=(),
    )


KEY = MachineKey(b"receipt key".ljust(32, b"."))
HISTORY = _history()
GENESIS = HISTORY.genesis
LEDGER = ledger_id(GENESIS)
MANIFEST = Cid.of(DAG_CBOR, b"manifest")
POLICY = _policy()
POLICY_CID = POLICY.cid()
TEXT = "how do the tides at the harbor change over the year"
LINEAGE = sha256(b"lineage").digest()
COVERAGE = Coverage(Quota(frozenset({LINEAGE}), 10**9), {MANIFEST: Place(LINEAGE, _address("owner"), ())})
FOUND = tuple(_found(number) for number in range(PASSAGES))
GROUNDS = _grounds()
