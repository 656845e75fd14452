"""Credit held for answers on their way: nobody spends it twice, in whatever order questions come and go (rule L3).

A hold is what double-entry ledgers call a pending transfer: it is posted with the answer's charge, which may be less,
or voided when the question ends without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enclave.asked import Asked
from enclave.metering import Meter
from enclave.selection import Room
from tests import metered_load
from tests.builders import seeded, wallet
from tests.enclaves import deposit, license_of
from vault.errors import CreditExhausted
from vault.lease import EMPTY_ANCHOR, ledger_id
from vault.limits import coverage
from vault.machine import MachineKey
from vault.pricing import Tier
from vault.question import Query
from vault.records.model import JournalRow
from vault.royalty import licensee_account

WORLD = metered_load.setting()
LEDGER = ledger_id(WORLD.genesis)
KEY = MachineKey(seeded("instance"))
GROUNDS = metered_load.grounds_of(WORLD, KEY)
FOUND = metered_load.passages_of(WORLD)
NAMES = ("one", "other")
LICENSES = {name: license_of(WORLD, wallet(name)) for name in NAMES}
POLICIES = {
    "plain": replace(WORLD.policy, price_per_query=10, price_per_passage=7),
    "dearer with volume": replace(
        WORLD.policy,
        price_per_query=10,
        price_per_passage=7,
        free_queries=2,
        tiers=(
            Tier(after=4, price_per_query=40, price_per_passage=0),
            Tier(after=6, price_per_query=5, price_per_passage=1),
        ),
    ),
}
CAP = 300


class Rows:
    """A journal in memory."""

    def __init__(self) -> None:
        self.held: list[JournalRow] = []

    def append(self, rows: Sequence[JournalRow]) -> None:
        self.held += rows

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        return iter(self.held[after:])

    def last(self) -> JournalRow | None:
        return self.held[-1] if self.held else None


class Run:
    """Questions of two licensees, each with a hold from when it is asked until it ends."""

    def __init__(self, policy: str) -> None:
        self._policy = POLICIES[policy]
        self._covered = coverage(self._policy, [WORLD.dataset.manifest])
        self.meter = Meter(Rows(), metered_load.state_key(), LEDGER, KEY, EMPTY_ANCHOR)
        self.open: list[tuple[Asked, Room, ExitStack]] = []
        self.paid = {name: 0 for name in NAMES}
        self._numbers = iter(range(10**6))

    async def pay(self, name: str, amount: int) -> None:
        await self.meter.add_credit(
            deposit(WORLD, amount, wallet(name), id=seeded(f"deposit {next(self._numbers)}")), at=0
        )
        self.paid[name] += amount
        self.meter.grant(
            replace(GROUNDS, terms=replace(GROUNDS.terms, anchor=self.meter.anchor))
        )  # custodians anchored it

    def ask(self, name: str, k: int) -> None:
        license, policy = LICENSES[name], self._policy
        before, racing = self.meter.answers(license.licensee)
        asked = Asked(
            license=license,
            delegation=seeded(name),
            policy=policy,
            permit=policy.admit(
                replace(license, policy=policy.cid()), k=k, at=metered_load.NOW, before=before, racing=racing
            ),
            coverage=self._covered,
            query=Query(
                request=seeded(f"request {next(self._numbers)}"), policy=policy.cid(), text="q", k=k, salt=bytes(32)
            ),
            spend_cap=CAP,
        )
        stack = ExitStack()
        try:
            room = stack.enter_context(self.meter.reserved(asked, at=metered_load.NOW))
        except CreditExhausted:
            return
        self.open.append((asked, room, stack))

    def end(self, which: int, found: int | None) -> bool:
        """End a question, with an answer or without; say whether its hold was honored."""
        asked, room, stack = self.open.pop(which % len(self.open))
        with stack:
            if found is None:
                return True
            try:
                self.meter.book_answer(asked, FOUND[: min(found, asked.query.k)], b"", GROUNDS, at=0, room=room)
            except CreditExhausted:
                now = self._policy.price_of(asked.permit.k, before=self.meter.answers(asked.license.licensee)[0])
                return now > asked.permit.price_max  # others came first, and it has become dearer than was held
        return True

    def check(self) -> None:
        books = self.meter.books
        assert sum(books.balances().values()) == 0
        for name in NAMES:
            account, held = licensee_account(wallet(name).address, "USDC"), 0
            for asked, _, _ in self.open:
                if asked.license.licensee == wallet(name).address:
                    held += asked.permit.price_max
            assert books.balance(account) == self.paid[name] - books.spent(seeded(name))
            assert books.balance(account) >= held
            assert books.spent(seeded(name)) + held <= CAP


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.sampled_from(NAMES), st.integers(1, 200)),
        st.tuples(st.just("ask"), st.sampled_from(NAMES), st.integers(1, 8)),
        st.tuples(st.just("end"), st.integers(0, 9), st.none() | st.integers(0, 8)),
    ),
    max_size=40,
)


OVER_THE_CAP = [("pay", "one", 200)] * 2 + [("ask", "one", 8)] * 6
DEARER_THAN_HELD = [  # the first question is free when it is asked, and not any more when its answer comes
    ("pay", "one", 57),
    *[("ask", "one", 1)] * 3,
    *[("end", 1, 1)] * 2,
    *[("ask", "one", 1)] * 2,
    ("end", 0, 1),
]


@pytest.mark.parametrize("policy", POLICIES)
@example(steps=OVER_THE_CAP)
@example(steps=DEARER_THAN_HELD)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_what_is_held_is_there_when_the_answer_comes_and_for_nothing_else(policy: str, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    async def play() -> None:
        run = Run(policy)
        await run.meter.open(KEY.public, (), at=0)
        run.meter.grant(GROUNDS)
        for kind, *step in steps:
            if kind == "pay":
                await run.pay(*step)
            elif kind == "ask":
                run.ask(*step)
            elif run.open:
                assert run.end(*step)
            run.check()
        while run.open:
            run.end(0, None)
        assert all(run.meter.answers(wallet(name).address)[1] == 0 for name in NAMES)
        await run.meter.close()

    asyncio.run(play())
