"""Attacks that cost their sender little, and a custodian or a board much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage.cid import Cid
from tests.builders import adopting, carried, decided, policy
from tests.people import dao
from tests.voting import VOTING, Electorate, voting_dao
from vault.ballot import Support
from vault.decision import Bundle
from vault.errors import ForkedHistory, NotYet, RateExceeded
from vault.history import advanced
from vault.leading import Leading

MEMBERS = 900  # their ballots are more than is verified on the event loop
DAY_S = 86_400


class Recording:
    """How to get blocks, and which were asked for."""

    def __init__(self, get: Callable[[Cid], bytes]) -> None:
        self._get = get
        self.asked: list[Cid] = []

    def __call__(self, cid: Cid) -> bytes:
        self.asked.append(cid)
        return self._get(cid)


def queued(made: Electorate) -> Bundle:
    """Have every custodian keep a decision that all members voted for."""
    on = made.opened()
    bundle = decided(made.history, on, [Support.FOR] * made.dao.charter.members)
    made.end(on)
    for custody in made.custodies:
        custody.voting.outcomes.queue(bundle.decision, bundle.blocks)
    return bundle


def test_no_ballot_is_looked_at_before_the_timelock_ends() -> None:
    made = dao(5, timelock_s=DAY_S)
    adopted = policy(made.genesis)
    bundle = carried(made.history, adopting(adopted), adopted)
    fetch = Recording(bundle.blocks.__getitem__)
    with pytest.raises(NotYet, match="timelock"):
        advanced(made.history, bundle.decision, fetch, at=bundle.decision.proposal.closes_at + DAY_S - 1)
    assert not fetch.asked
    assert advanced(made.history, bundle.decision, fetch, at=bundle.decision.proposal.closes_at + 2 * DAY_S).head.epoch


def test_a_decision_is_counted_once_whatever_heads_are_made_of_it() -> None:
    made = dao(5)
    adopted = policy(made.genesis)
    bundle = carried(made.history, adopting(adopted), adopted)
    at = bundle.decision.proposal.closes_at + DAY_S
    true = advanced(made.history, bundle.decision, bundle.blocks.__getitem__, at=at).head
    leading = Leading()
    for n in range(3):
        forged = replace(true, policies=(Cid.of(0x71, str(n).encode()),))
        blocks = {**bundle.blocks, bundle.decision.cid(): bundle.decision.encoded(), forged.cid(): forged.encoded()}
        fetch = Recording(blocks.__getitem__)
        with pytest.raises(ForkedHistory, match="not what its cause leads to"):
            leading.after(made.history, forged.cid(), fetch, at=at)
        assert bool(set(fetch.asked) & set(bundle.decision.pages())) == (n == 0)


def test_a_decision_that_is_kept_is_not_verified_again(tmp_path: Path) -> None:
    with Electorate(tmp_path, voting_dao(1)) as made:
        bundle = queued(made)
        outcomes = made.custodies[0].voting.outcomes
        known = outcomes.queued(made.genesis)[0]
        for page in bundle.decision.pages():
            made.blobs[0].delete(page)  # so verifying it would fail
        assert outcomes.queue(bundle.decision, {}) == known


def test_a_small_message_about_a_large_decision_does_not_keep_the_loop(tmp_path: Path) -> None:
    large = dao(MEMBERS, custodians=1, **(VOTING | {"signatures": 1, "shares": 1, "liars": 0}))
    with Electorate(tmp_path, large) as made:
        bundle = queued(made)
        custody = made.custodies[0]
        made.clock.seconds += DAY_S
        late = advanced(made.history, bundle.decision, bundle.blocks.__getitem__, at=made.clock())
        small = {late.heads[-1]: late.head.encoded(), bundle.decision.cid(): bundle.decision.encoded()}
        assert sum(map(len, small.values())) < 8192

        async def twice() -> list[object]:
            calls = (custody.submit_head_aside(late.heads[-1], small, peer="one") for _ in range(2))
            return list(await asyncio.gather(*calls, return_exceptions=True))

        answers = asyncio.run(twice())
        assert any(isinstance(one, RateExceeded) for one in answers), answers  # the first is verified in a thread
        assert 1 in answers
