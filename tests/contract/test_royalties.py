"""Royalty epochs and the public log, over SQLite and PostgreSQL: a run that starts anew tells the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from enclave.asked import Asked
from enclave.metering import Meter, claimed_anchor
from tests.builders import seeded, wallet
from tests.enclaves import deposit, license_of
from tests.metered_load import CREDIT, grounds_of, passages_of, setting, state_key
from tests.people import NOW
from vault.earnings import ClosedEpoch
from vault.errors import AccessDenied, MalformedObject, NotYet
from vault.lease import ledger_id
from vault.limits import coverage
from vault.machine import MachineKey
from vault.question import Query
from vault.receipt_message import payload_digest
from vault.records.database import Records
from vault.records.journal import Journal
from vault.statement import Proven, verified_settlement
from vault.statement_file import verify_proven
from vault.transparency import receipt_leaf, require_extends

pytest_plugins = ["tests.records"]

WORLD = setting()
LEDGER = ledger_id(WORLD.genesis)
LICENSE = license_of(WORLD)
COVERED = coverage(WORLD.policy, [WORLD.dataset.manifest])
OWNER = WORLD.dataset.manifest.owner
EPOCH_S = 60


class Run:
    """One run of an enclave over a database."""

    def __init__(self, records: Records, name: str) -> None:
        self.key = MachineKey(seeded(name))
        journal = Journal(records, LEDGER)
        self.meter = Meter(journal, state_key(), LEDGER, self.key, claimed_anchor(journal), epoch_s=EPOCH_S)
        self.grounds = grounds_of(WORLD, self.key)

    async def begin(self) -> None:
        await self.meter.open(self.key.public, (), at=NOW)
        self.meter.grant(self.grounds)

    async def ask(self, name: str, *, at: int = NOW) -> None:
        """Book an answer of two passages."""
        asked = Asked(
            license=LICENSE,
            delegation=seeded("delegation"),
            policy=WORLD.policy,
            permit=WORLD.policy.admit(LICENSE, k=2, at=NOW),
            coverage=COVERED,
            query=Query(request=seeded(name), policy=LICENSE.policy, text="harbor", k=2, salt=seeded("salt")),
            spend_cap=CREDIT,
        )
        with self.meter.reserved(asked, at=at) as room:
            booked = self.meter.book_answer(asked, passages_of(WORLD)[:2], bytes(64), self.grounds, at=at, room=room)
        await self.meter.metered(booked)

    async def statements(self, epoch: int = 0, *, at: int = NOW, of: bytes = OWNER) -> list[Proven]:
        handed = await self.meter.royalties.handed(epoch, of, self.grounds, at=at)
        return [one.proven for one in handed]


def on_loop(work: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await work()

    return asyncio.run(run())


async def two_epochs(records: Records, name: str = "first") -> Run:
    run = Run(records, name)
    await run.begin()
    await run.meter.add_credit(deposit(WORLD, 10**6), at=NOW)
    run.meter.grant(replace(run.grounds, terms=replace(run.grounds.terms, anchor=run.meter.anchor)))
    for epoch in range(2):
        for number in range(3):
            await run.ask(f"{epoch} {number}", at=NOW + epoch * EPOCH_S)
        await run.meter.royalties.close_due(at=NOW + (epoch + 1) * EPOCH_S)
    return run


def test_a_run_that_starts_anew_tells_the_same_byte_for_byte(records: Records) -> None:
    async def work() -> None:
        first = await two_epochs(records)
        told = [await first.statements(epoch) for epoch in (1, 2)]
        assert [await first.statements(epoch) for epoch in (1, 2)] == told  # asked again
        head = first.meter.log.head(first.grounds, at=NOW)
        await first.meter.close()
        second = Run(records, "second")
        again = [await second.statements(epoch) for epoch in (1, 2)]
        for before, after in zip(chain(*told), chain(*again), strict=True):
            assert after.statement.encoded() == before.statement.encoded()
            assert (after.sum_proof, after.claim_proof) == (before.sum_proof, before.claim_proof)
            vouched = verified_settlement(after.message, second.key.public)
            assert vouched.settlement == verified_settlement(before.message, first.key.public).settlement
            verify_proven(after, vouched)
        await second.begin()
        later = second.meter.log.head(second.grounds, at=NOW)
        assert later.size == head.size + 1  # its opening
        require_extends(later, head, second.meter.log.consistency(head.size, later.size))
        await second.meter.close()

    on_loop(work)


def test_receipts_stand_in_the_log_at_the_place_that_they_name(records: Records) -> None:
    async def work() -> None:
        run = await two_epochs(records)
        head = run.meter.log.head(run.grounds, at=NOW)
        head.verify()
        assert head == run.meter.log.head(run.grounds, at=NOW + 1)  # one signature for one size
        for entry in run.meter.royalties.entries(1, head.size):
            if entry.query is not None:
                leaf = receipt_leaf(entry.query.body, payload_digest(entry.query.receipt))
                head.require_leaf(leaf, entry.sequence - 1, run.meter.log.path(entry.sequence - 1, head.size))
        await run.meter.close()

    on_loop(work)


def test_an_epoch_ends_in_time_or_when_it_is_full(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(run: Run) -> list[ClosedEpoch]:
        return list(run.meter.royalties._kept.earnings.closed.values())

    async def work() -> None:
        run = await two_epochs(records)
        assert [(one.number, one.at) for one in closed(run)] == [(1, NOW + 60), (2, NOW + 120)]
        await run.meter.royalties.close_due(at=NOW + 10**6)  # nothing was charged since
        assert len(closed(run)) == 2
        monkeypatch.setattr("vault.earnings.CHARGES_MAX", 2)
        for number in range(5):
            await run.ask(f"full {number}", at=NOW + 130)
        assert [one.number for one in closed(run)] == [1, 2, 3, 4]
        for proven in await run.statements(4):
            verify_proven(proven, verified_settlement(proven.message, run.key.public))
        await run.meter.close()

    on_loop(work)


def test_what_is_asked_of_an_epoch_that_is_none_is_refused(records: Records) -> None:
    async def work() -> None:
        run = Run(records, "first")
        with pytest.raises(NotYet, match="epoch 1 has not closed yet"):
            await run.statements()
        run = await two_epochs(records)
        with pytest.raises(NotYet, match="epoch 3 has not closed yet"):
            await run.statements(3)
        with pytest.raises(AccessDenied, match="no account in epoch 2"):
            await run.statements(2, of=wallet("licensee").address)
        size = run.meter.anchor.sequence
        for wrong in (
            lambda: run.meter.log.path(size, size),
            lambda: run.meter.log.path(0, size + 1),
            lambda: run.meter.log.path(-1, size),
            lambda: run.meter.log.consistency(size, size - 1),
            lambda: run.meter.log.consistency(1, 2**64 - 1),
            lambda: run.meter.log.refund_place(bytes(32), size + 1),
        ):
            with pytest.raises(MalformedObject):
                wrong()
        assert run.meter.log.refund_place(bytes(32), size) is None
        await run.meter.close()

    on_loop(work)
