"""A meter killed at any moment, on a disk that fills, with a database that goes away and a clock that jumps.

Whatever was answered is in the books, once; what was not is not charged, or is given back when asked again; the chain
holds, and balances are what the receipts add up to (rules L1 to L3).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.metering import Meter, claimed_anchor
from tests import postgres
from tests.builders import wallet
from tests.metered_load import (
    LICENSEES,
    Loads,
    Running,
    entries_of,
    receipt_of,
    setting,
    state_key,
)
from tests.people import seeded
from vault.entry import Entry, Kind
from vault.lease import ledger_id
from vault.machine import MachineKey
from vault.receipt import FIRST_PREVIOUS, Receipt
from vault.receipt_message import payload_digest
from vault.records.database import open_records
from vault.records.journal import Journal
from vault.royalty import licensee_account

WORLD = setting()
LEDGER = ledger_id(WORLD.genesis)
PER_DATABASE = 4  # kills, one after another
UNDER_LOAD_S = 0.25
AWAY_S = 10.0

pytest_plugins = ["tests.records"]


@pytest.fixture(scope="module")
def loads() -> Iterator[Loads]:
    with Loads() as loads:
        yield loads


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "said"


@pytest.mark.parametrize(
    "kills", [20, pytest.param(200, marks=pytest.mark.slow)], ids=["twenty times", "two hundred times"]
)
def test_killed_at_random_moments_nothing_is_lost_and_nothing_happens_twice(
    loads: Loads, tmp_path: Path, kills: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # to play it again
    choose, answers = random.Random(seed), 0  # noqa: S311  # a test's choices
    for database in range(kills // PER_DATABASE):
        folder = tmp_path / str(database)
        folder.mkdir()
        url, said, still_open = f"sqlite:///{folder}/ledger.db", folder / "said", list[tuple[int, str]]()
        pay_in(url)
        for run in range(PER_DATABASE):
            load = loads.start(url, seed=seed + 1_000 * database + run, said=said, open=still_open)
            if choose.random() < 0.7:  # else while it opens the books
                load.until(ready=1 + [line["what"] for line in load.said()].count("ready"))
            time.sleep(choose.random() * UNDER_LOAD_S)
            load.kill()
            still_open = checked(url, load)
        answers += sum(line["what"] == "answered" for line in load.said())
    assert answers > kills


def test_a_disk_that_fills_loses_nothing(loads: Loads, tmp_path: Path, said: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    pay_in(url)
    load = loads.start(url, seed=1, said=said, room=200_000)
    load.until(refused=1)
    before = Counter(line["what"] for line in load.said())
    load.until(answered=before["answered"] + 50)
    load.kill()
    checked(url, load)


@pytest.mark.parametrize("away_s", [0.5, pytest.param(AWAY_S, marks=pytest.mark.slow)])
def test_a_database_that_goes_away_and_comes_back_loses_nothing(
    loads: Loads, postgres_cluster: postgres.Cluster, said: Path, away_s: float
) -> None:
    url = postgres_cluster.create_database()
    pay_in(url)
    load = loads.start(url, seed=2, said=said)
    load.until(ready=1, answered=20)
    stop(postgres_cluster)
    time.sleep(away_s)
    load.until(refused=1)
    start(postgres_cluster)
    load.until(answered=50 + sum(line["what"] == "answered" for line in load.said()))
    load.kill()
    with open_records(url) as records, records.writing(b"journal" + LEDGER):
        pass  # the server may still be at the dead process's last commit
    checked(url, load)


def pay_in(url: str) -> None:
    """Give every licensee credit, by a meter that ends as it should."""
    import asyncio

    from tests.enclaves import deposit

    async def work() -> None:
        with open_records(url) as records:
            journal = Journal(records, LEDGER)
            meter = Meter(journal, state_key(), LEDGER, MachineKey(seeded("first")), claimed_anchor(journal))
            for number in range(LICENSEES):
                await meter.add_credit(deposit(WORLD, 10**7, wallet(f"licensee {number}")), at=0)

    asyncio.run(work())


def checked(url: str, load: Running) -> list[tuple[int, str]]:
    """Check books against everything that was ever said; return the questions that were asked and not answered."""
    entries = list(entries_of(url, LEDGER))  # along the chain
    with open_records(url) as records:
        journal = Journal(records, LEDGER)
        books = Meter(journal, state_key(), LEDGER, MachineKey(seeded("reader")), claimed_anchor(journal)).books
    said = load.said()
    queries = {(entry.licensee, entry.reference): entry for entry in entries if entry.kind is Kind.QUERY}
    voided = {(entry.licensee, entry.reference) for entry in entries if entry.kind is Kind.VOID}
    assert len(queries) == sum(entry.kind is Kind.QUERY for entry in entries)
    assert len(voided) == sum(entry.kind is Kind.VOID for entry in entries)
    check_receipts(said, queries)
    check_credit(said, entries, voided)
    check_balances(entries, queries, voided, books.balances())
    done = {(line["licensee"], line["request"]) for line in said if line["what"] in ("answered", "refunded")}
    asked = {(line["licensee"], line["request"]) for line in said if line["what"] == "asks"}
    return sorted(asked - done)


def address(licensee: int) -> bytes:
    return wallet(f"licensee {licensee}").address


def check_receipts(said: list[dict[str, Any]], queries: dict[tuple[bytes, bytes], Entry]) -> None:
    """Every receipt that left is the one of its entry, and those of one licensee form a chain without gaps."""
    instances = [bytes.fromhex(line["instance"]) for line in said if line["what"] == "ready"]
    for line in said:
        if line["what"] == "answered":
            entry = queries[address(line["licensee"]), bytes.fromhex(line["request"])]
            assert entry.query is not None
            assert receipt_of(line, instances[::-1]).encoded() == entry.query.receipt
    chains: dict[bytes, tuple[int, bytes]] = {}
    for entry in queries.values():
        assert entry.query is not None
        receipt = Receipt.from_bytes(entry.query.receipt)
        count, previous = chains.get(entry.licensee, (0, FIRST_PREVIOUS))
        assert (receipt.entry, receipt.sequence, receipt.previous) == (entry.sequence, count + 1, previous)
        chains[entry.licensee] = count + 1, payload_digest(entry.query.receipt)


def check_credit(said: list[dict[str, Any]], entries: list[Entry], voided: set[tuple[bytes, bytes]]) -> None:
    """Every deposit and refund that was confirmed is in the books, once."""
    deposits = Counter(entry.reference for entry in entries if entry.kind is Kind.DEPOSIT)
    assert set(deposits.values()) == {1}
    for line in said:
        if line["what"] == "paid":
            assert bytes.fromhex(line["id"]) in deposits
        if line["what"] == "refunded":
            assert (address(line["licensee"]), bytes.fromhex(line["request"])) in voided


def check_balances(
    entries: list[Entry],
    queries: dict[tuple[bytes, bytes], Entry],
    voided: set[tuple[bytes, bytes]],
    balances: dict[str, int],
) -> None:
    """Each licensee has what it paid in less the prices on its receipts, but for those given back."""
    left = Counter[str]()
    for entry in entries:
        if entry.kind is Kind.DEPOSIT:
            left[licensee_account(entry.licensee, "USDC")] += entry.transfers[0].amount
    for key, entry in queries.items():
        if key not in voided:
            assert entry.query is not None
            left[licensee_account(entry.licensee, "USDC")] -= Receipt.from_bytes(entry.query.receipt).price
    held = {name: amount for name, amount in balances.items() if name.startswith(("licensee/", "suspense/"))}
    assert {name: amount for name, amount in held.items() if amount} == {name: n for name, n in left.items() if n}
    assert sum(balances.values()) == 0


def stop(cluster: postgres.Cluster) -> None:
    """End the server as a crash does."""
    pid = int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while (cluster.folder / "data" / "postmaster.pid").exists():
        time.sleep(0.01)


def start(cluster: postgres.Cluster) -> None:
    """Start the server again, as `private_cluster` did."""
    settings = f"-c listen_addresses='' -c unix_socket_directories={cluster.folder} -c shared_buffers=16MB"
    subprocess.run(  # noqa: S603  # found by us, with arguments of ours
        [
            postgres._programs() / "pg_ctl", "start", "--wait", f"--pgdata={cluster.folder}/data",
            f"--log={cluster.folder}/log", f"--options={settings}",
        ],
        cwd=cluster.folder,
        check=True,
        timeout=postgres.START_S_MAX,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        **postgres._identity(),
    )  # fmt: skip
