"""Many sessions on one meter over a real database, in a process that a test may kill at any moment.

    with Loads() as loads:
        load = loads.start(url, seed=7, said=tmp_path / "said")
        load.until(answers=20)
        load.kill()

Whatever a session was told stands in the file `said` by then, one JSON line each: written before the next step, and
kept by the kernel when the process is gone. One process is started once and forks for each load, which takes a moment.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from enclave.asked import Asked
from enclave.found import AS_IT_IS, Found
from enclave.grounds import Grounds
from enclave.metering import Meter, claimed_anchor
from enclave.output import PassageWriter
from tests.builders import seeded, wallet
from tests.enclaves import World, attester, deposit, license_of, opening, world
from tests.people import NOW
from vault.charter import Window
from vault.entry import Entry
from vault.envelope import Passage
from vault.errors import CreditExhausted, NotYet, RecordsUnavailable, RequestConflict
from vault.evidence import SERVE, Nonce
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Terms, ledger_id
from vault.ledger_seal import LedgerSeal
from vault.license import License
from vault.limits import coverage
from vault.machine import MachineKey
from vault.merkle import EMPTY_ROOT
from vault.question import Query
from vault.receipt import verified_receipt
from vault.records.database import open_records
from vault.records.journal import Journal

ROOT = Path(__file__).parents[1]
SESSIONS = 24
LICENSEES = 12
CREDIT = 10**9
WAIT_S = 30.0
PASSAGES = 8
JUMP_S = 10**8  # how far the clock jumps, either way
WIDE = Window(entries=1 << 20, passages=1 << 20, spend=10**15)


def state_key() -> SecretKey:
    """Return the ledger's key; anew, since a forked process gets none."""
    return SecretKey(seeded("state key"))


def setting() -> World:
    """Return a DAO in which a load is bounded by nothing but its time."""
    return world(policy={"passages_max": 10**9, "queries_per_minute": 10**9, "price_per_passage": 7}, window=WIDE)


def grounds_of(made: World, key: MachineKey) -> Grounds:
    """Return what an instance serves on, its leases aside: a meter reads the terms alone."""
    binding, evidence = opening(made, []).attested(SERVE, [Nonce(challenger=b"", nonce=seeded("nonce"))])
    terms = Terms(
        genesis=made.genesis,
        head=made.history.head.cid(),
        epoch=1,
        manifests=(made.dataset.manifest.cid(),),
        ledger=ledger_id(made.genesis),
        anchor=EMPTY_ANCHOR,
        instance=key.public,
        evidence=evidence.digest(),
        window=WIDE,
        log=EMPTY_ROOT,
    )
    return Grounds(
        binding=binding,
        evidence=evidence,
        leases=(),
        terms=terms,
        history=made.history,
        manifests=(made.dataset.manifest,),
        time_base=NOW,
        asked_at=0.0,
        lifetime_s=600,
        lost=(),
        reported=(),
    )


def passages_of(made: World) -> tuple[Found, ...]:
    """Return passages as an engine finds them."""
    manifest = made.dataset.manifest
    writer = PassageWriter(manifest.cid(), manifest.owner)
    texts = [f"passage {number} of the harbor" for number in range(PASSAGES)]
    return tuple(
        writer.found(
            number,
            1.0 - number / 10,
            AS_IT_IS,
            body=Passage("document", 0, len(text), text).encoded(),
            salt=seeded(f"salt {number}"),
            commitment=seeded(f"commitment {number}"),
            path=(seeded("sibling"), seeded("uncle")),
        )
        for number, text in enumerate(texts)
    )


class Load:
    """What a killed process was: sessions that ask, ask again, pay in and take back, at a clock that jumps."""

    def __init__(self, made: World, licenses: list[License], job: dict[str, Any]) -> None:
        self._world = made
        self._licenses = licenses
        self._random = random.Random(job["seed"])  # noqa: S311  # a test's choices
        self._said = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._key = MachineKey(seeded(f"instance {job['seed']} {job['said']}"))
        self._job = job
        self._covered = coverage(made.policy, [made.dataset.manifest])
        self._found = passages_of(made)
        self._grounds = grounds_of(made, self._key)
        self._answers = 0

    async def run(self) -> None:
        """Open the books, settle what an earlier run left open, and ask until killed."""
        ledger = ledger_id(self._world.genesis)
        with open_records(self._job["url"]) as records:
            journal = Journal(records, ledger)
            self._meter = Meter(journal, state_key(), ledger, self._key, claimed_anchor(journal))
            await self._meter.open(self._key.public, (), at=self._now())
            self._meter.grant(self._grounds)
            for licensee, request in self._job["open"]:
                await self._settle(licensee, bytes.fromhex(request))
            self._say("ready", instance=self._key.public.hex())
            if self._job["room"]:
                self._limit()
            await asyncio.gather(*(self._session(number % LICENSEES) for number in range(SESSIONS)))

    def _limit(self) -> None:
        """Let no file grow any more: a disk that is full; until `_has_room`."""
        size = max(path.stat().st_size for path in Path(self._job["said"]).parent.iterdir() if "db" in path.name)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + self._job["room"], resource.RLIM_INFINITY))

    async def _session(self, licensee: int) -> None:
        request = b""
        while True:
            choice = self._random.random()
            if choice < 0.02:
                await self._tried(self._pay, licensee, self._random.randbytes(32))
            elif choice < 0.05 and request:
                await self._tried(self._take_back, licensee, request)
            elif choice < 0.10 and request:
                await self._tried(self._ask, licensee, request)
            else:
                request = self._random.randbytes(32)
                self._say("asks", licensee=licensee, request=request.hex())
                await self._tried(self._ask, licensee, request)

    async def _tried(self, step: Any, licensee: int, what: bytes) -> None:
        while True:
            try:
                await step(licensee, what)
            except RecordsUnavailable:
                self._say("refused", licensee=licensee)
                if self._job["room"]:  # somebody makes room
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                await asyncio.sleep(0.02)
            except (RequestConflict, CreditExhausted, NotYet):
                return
            else:
                return

    async def _ask(self, licensee: int, request: bytes) -> None:
        asked = self._asked(licensee, request)
        query = asked.query
        before = await self._meter.answered(asked.license.licensee, query.request, query.body_digest())
        if before is not None:
            receipt = await self._meter.receipt(before)
        else:
            with self._meter.reserved(asked, at=NOW) as room:
                booked = self._meter.book_answer(
                    asked, self._found[: query.k], bytes(64), self._grounds, at=self._now(), room=room
                )
            receipt = (await self._meter.metered(booked)).receipt
        self._say("answered", licensee=licensee, request=request.hex(), receipt=receipt.hex())

    async def _pay(self, licensee: int, id: bytes) -> None:
        paid = deposit(self._world, 1_000, wallet(f"licensee {licensee}"), id=id)
        await self._meter.add_credit(paid, at=self._now())
        self._say("paid", licensee=licensee, id=paid.id.hex(), amount=paid.amount)

    async def _take_back(self, licensee: int, request: bytes) -> None:
        query = self._asked(licensee, request).query
        address = self._licenses[licensee].licensee
        before = await self._meter.answered(address, request, query.body_digest())
        if before is not None:
            await self._meter.void(before, at=self._now())
            self._say("refunded", licensee=licensee, request=request.hex())

    async def _settle(self, licensee: int, request: bytes) -> None:
        """Ask again what an earlier run was asked and did not answer: it is refunded if it was charged."""
        with suppress(RequestConflict):
            await self._take_back(licensee, request)

    def _asked(self, licensee: int, request: bytes) -> Asked:
        """Return a question; the same for the same request id."""
        policy, license = self._world.policy, self._licenses[licensee]
        k = 1 + request[0] % PASSAGES
        return Asked(
            license=license,
            delegation=seeded(f"delegation {licensee}"),
            policy=policy,
            permit=policy.admit(license, k=k, at=NOW),
            coverage=self._covered,
            query=Query(request=request, policy=license.policy, text="harbor", k=k, salt=seeded("salt")),
            spend_cap=CREDIT,
        )

    def _now(self) -> int:
        return NOW + self._random.randint(-JUMP_S, JUMP_S)

    def _say(self, what: str, **facts: Any) -> None:
        os.write(self._said, json.dumps({"what": what, **facts}).encode() + b"\n")


class Running:
    """A load in a process of its own."""

    def __init__(self, loads: Loads, pid: int, said: Path) -> None:
        self._loads = loads
        self.pid = pid
        self._said = said

    def said(self) -> list[dict[str, Any]]:
        """Return everything that sessions of this and earlier loads over the same file were told."""
        lines = self._said.read_bytes().split(b"\n")[:-1] if self._said.exists() else []  # the last may be cut short
        return [json.loads(line) for line in lines]

    def until(self, **least: int) -> None:
        """Wait until sessions were told so many things of each kind."""
        deadline = time.monotonic() + WAIT_S
        while True:
            kinds = [line["what"] for line in self.said()]
            if all(kinds.count(what) >= number for what, number in least.items()):
                return
            assert self.is_alive, "the load ended by itself"
            assert time.monotonic() < deadline, (
                f"the load came to a stop: { ({kind: kinds.count(kind) for kind in kinds}) }"
            )
            time.sleep(0.01)

    @property
    def is_alive(self) -> bool:
        """Say whether it has not ended by itself."""
        return "(Z" not in Path(f"/proc/{self.pid}/stat").read_text().replace(" ", "(")

    def kill(self) -> None:
        """End it as `kill -9` does."""
        os.kill(self.pid, signal.SIGKILL)
        self._loads.reap()


class Loads:
    """The process that loads are forked from."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.metered_load"],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=WAIT_S)

    def start(self, url: str, *, seed: int, said: Path, open: list[tuple[int, str]] = (), room: int = 0) -> Running:  # type: ignore[assignment]
        """Start a load.

        Args:
            open: licensee and request of questions that an earlier run left open.
            room: bytes that its disk has left at first; 0 for no bound.
        """
        job = {"url": url, "seed": seed, "said": str(said), "open": open, "room": room}
        return Running(self, int(self._told(json.dumps(job))), said)

    def reap(self) -> None:
        """Wait for a killed load to be gone."""
        assert self._told("reap") == "gone"

    def _told(self, line: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


def entries_of(url: str, ledger: bytes) -> Iterator[Entry]:
    """Yield what the rows of a ledger hold, along the unbroken chain."""
    seal, anchor = LedgerSeal(state_key(), ledger), EMPTY_ANCHOR
    with open_records(url) as records:
        for row in Journal(records, ledger).rows():
            entries, anchor = seal.open(row, anchor)
            yield from entries


def receipt_of(line: dict[str, Any], instances: list[bytes]) -> Any:
    """Return the receipt that a session was given, by whichever run signed it."""
    message = bytes.fromhex(line["receipt"])
    for instance in instances:
        with suppress(Exception):
            return verified_receipt(message, instance)
    raise AssertionError("nobody signed this receipt")


def _main() -> None:
    made = setting()
    licenses = [license_of(made, wallet(f"licensee {number}")) for number in range(LICENSEES)]
    attester()
    for line in sys.stdin:
        if line.strip() == "reap":
            os.waitpid(-1, 0)
            print("gone", flush=True)  # noqa: T201  # the protocol
            continue
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(Load(made, licenses, json.loads(line)).run())
            except BaseException:  # noqa: BLE001  # a load ends by being killed; whatever else it was, say it
                traceback.print_exc()
            os._exit(1)
        print(pid, flush=True)  # noqa: T201  # the protocol


if __name__ == "__main__":
    _main()
