"""Channels and vouchers in a ledger, over SQLite and PostgreSQL: what is booked is durable, and read again the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from enclave.asked import Asked
from enclave.metering import Meter, claimed_anchor
from tests.builders import seeded
from tests.channels import RULES, UNPAID, channel_of, voucher_on
from tests.enclaves import PRICE, credential
from tests.metered_load import grounds_of, passages_of, setting, state_key
from tests.people import NOW
from vault.errors import CreditExhausted, VoucherDue
from vault.lease import ledger_id
from vault.limits import coverage
from vault.machine import MachineKey
from vault.question import Query
from vault.records.database import Records
from vault.records.journal import Journal
from vault.royalty import licensee_account
from vault.unpaid import Debt

pytest_plugins = ["tests.records"]

WORLD = setting()
POLICY = replace(WORLD.policy, vouchers=RULES)
LEDGER = ledger_id(WORLD.genesis)
ASKING = credential(WORLD)
LICENSE = replace(ASKING.license, policy=POLICY.cid())
ACCOUNT = licensee_account(LICENSE.licensee, "USDC")
CHANNEL = channel_of(WORLD, ASKING)
COVERED = coverage(POLICY, [WORLD.dataset.manifest])


class Run:
    """One run of an enclave over a database."""

    def __init__(self, records: Records, name: str) -> None:
        self.key = MachineKey(seeded(name))
        self.journal = Journal(records, LEDGER)
        self.meter = Meter(self.journal, state_key(), LEDGER, self.key, claimed_anchor(self.journal))
        self.grounds = grounds_of(WORLD, self.key)

    async def begin(self) -> None:
        await self.meter.open(self.key.public, (), at=NOW)
        self.renew()

    def renew(self) -> None:
        """Take in that custodians anchored what is durable."""
        self.meter.grant(replace(self.grounds, terms=replace(self.grounds.terms, anchor=self.meter.anchor)))

    async def ask(self, name: str, *, at: int = NOW) -> None:
        asked = Asked(
            license=LICENSE,
            delegation=seeded("delegation"),
            policy=POLICY,
            permit=POLICY.admit(LICENSE, k=2, at=NOW),
            coverage=COVERED,
            query=Query(request=seeded(name), policy=LICENSE.policy, text="harbor", k=2, salt=seeded("salt")),
            spend_cap=10**9,
        )
        with self.meter.reserved(asked, at=at) as room:
            booked = self.meter.book_answer(asked, passages_of(WORLD)[:2], bytes(64), self.grounds, at=at, room=room)
        await self.meter.metered(booked)

    async def pay(self, amount: int) -> None:
        await self.meter.channels.pay(ACCOUNT, voucher_on(CHANNEL, amount, ASKING), RULES, at=NOW)

    @property
    def debt(self) -> Debt:
        debt = self.meter.channels.debt(ACCOUNT)
        assert debt is not None
        return debt


def on_loop(work: Callable[[], Awaitable[Any]]) -> None:
    async def run() -> None:
        await work()

    asyncio.run(run())


def test_a_run_that_starts_anew_knows_the_highest_voucher_and_what_is_unpaid(records: Records) -> None:
    async def work() -> None:
        first = Run(records, "first")
        await first.begin()
        await first.meter.channels.open(CHANNEL, RULES, at=NOW)
        first.renew()
        for number in range(3):
            await first.ask(f"question {number}")
        for amount in (100, 200):
            await first.pay(amount)
        before, balances = first.debt, first.meter.books.balances()
        assert (before.due, before.unpaid) == (3 * POLICY.price_of(2), 3 * POLICY.price_of(2) - 200)
        await first.meter.close()
        second = Run(records, "second")
        assert second.debt == before
        assert second.meter.books.balances() == balances
        assert second.meter.channels.redeemable() == first.meter.channels.redeemable()

    on_loop(work)


def test_what_is_answered_for_a_voucher_is_durable(records: Records) -> None:
    async def work() -> None:
        run = Run(records, "first")
        await run.begin()
        await run.meter.channels.open(CHANNEL, RULES, at=NOW)
        await run.pay(100)
        last = run.journal.last()
        assert last is not None
        assert last.sequence == run.meter.books.last_sequence
        rows = last.sequence
        await run.pay(100)  # the same one again
        last = run.journal.last()
        assert last is not None
        assert last.sequence == rows

    on_loop(work)


def test_credit_by_a_voucher_counts_once_it_is_anchored(records: Records) -> None:
    async def work() -> None:
        run = Run(records, "first")
        await run.begin()
        await run.meter.channels.open(CHANNEL, RULES, at=NOW)
        assert run.meter.has_fresh_credit(LICENSE.licensee, "USDC")
        run.renew()
        await run.ask("question")
        await run.pay(500)
        assert run.meter.has_fresh_credit(LICENSE.licensee, "USDC")
        run.renew()
        assert not run.meter.has_fresh_credit(LICENSE.licensee, "USDC")

    on_loop(work)


def test_a_channel_that_has_ended_pays_for_nothing(records: Records) -> None:
    async def work() -> None:
        run = Run(records, "first")
        await run.begin()
        await run.meter.channels.open(CHANNEL, RULES, at=NOW)
        run.renew()
        with pytest.raises(CreditExhausted, match="ended"):
            await run.ask("question", at=(1 << 63) - 1)
        for number in range(UNPAID // POLICY.price_of(2)):
            await run.ask(f"question {number}")
        with pytest.raises(VoucherDue):
            await run.ask("one too many")
        assert POLICY.price_of(2) >= PRICE

    on_loop(work)
