"""Votes over real servers: handed in, handed on among custodians, closed, queued, carried out (rules F4, G2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.governing import delegate_vote
from tests.loops import WAIT_S, Loop
from tests.voting import TIMELOCK_S, Electorate, carried_out, pages, proposal, vote, voting_dao
from vault.acknowledgment import Acknowledgment, arrivals
from vault.action import adoption
from vault.acts import emergency_revocation
from vault.ballot import Proposal, Support
from vault.balloting import VOTES_AT_ONCE
from vault.client import CustodyClient
from vault.closing import Period, deadline
from vault.collecting import decided, handed_in_proposal, handed_in_vote, queued
from vault.custody_server import custody_server
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject, NotYet, StaleState
from vault.guardian import GuardianAct, GuardianSignature
from vault.history import advanced
from vault.rate import PeerLimit
from vault.tls import TlsIdentity
from vault.vote_delegation import DelegationBatch
from vault.vote_sync import VoteSync

SOON_S = 0.1


class Served:
    """Custodians of one DAO behind real servers."""

    def __init__(self, made: Electorate, closing: ExitStack) -> None:
        self.made = made
        self.loop = Loop()
        self.addresses: list[str] = []
        self._servers: list[Any] = []
        self._closing = closing
        self._syncs: list[VoteSync] = []
        for index in range(len(made.custodies)):
            self.addresses.append("127.0.0.1:0")
            self._servers.append(None)
            self.start(index)

    def start(self, index: int) -> None:
        limit = PeerLimit(per_s=1e6, burst=1e6)  # all custodians and voters share one address here
        starting = custody_server(self.made.custodies[index], TlsIdentity.fresh(), self.addresses[index], limit=limit)
        self._servers[index], port = self.loop.call(starting)
        self.addresses[index] = f"127.0.0.1:{port}"

    def stop(self, index: int) -> None:
        if self._servers[index] is not None:
            self.loop.call(self._servers[index].stop(0))
            self._servers[index] = None

    def client(self, index: int) -> CustodyClient:
        return self._closing.enter_context(CustodyClient.connect(self.addresses[index]))

    def places(self) -> dict[bytes, CustodyClient]:
        clients = [self.client(index) for index in range(len(self.addresses))]
        return {client.custodian.key: client for client in clients}

    def gossip(self, peers: dict[int, Sequence[int]] | None = None, *, every_s: float = WAIT_S) -> None:
        """Have custodians keep in touch: all with all, or as `peers` says."""
        everyone = range(len(self.addresses))
        for index in everyone:
            named = [other for other in everyone if other != index] if peers is None else peers.get(index, ())
            sync = VoteSync(self.made.custodies[index], [self.addresses[other] for other in named], every_s=every_s)
            self._syncs.append(sync)
            self.loop.call(sync.start())

    def until(self, ready: Callable[[], bool]) -> None:
        """Let the servers' loop turn until `ready` holds."""

        async def work() -> None:
            async with asyncio.timeout(WAIT_S):
                while not ready():
                    await asyncio.sleep(0.005)

        self.loop.call(work())

    def on_loop(self, call: Callable[[], Any]) -> Any:
        async def work() -> Any:
            return call()

        return self.loop.call(work())

    def close(self) -> None:
        for sync in self._syncs:
            self.loop.call(sync.close())
        for index in range(len(self.addresses)):
            self.stop(index)
        self.loop.close()


def served_by(folder: Path, **fields: Any) -> Iterator[Served]:
    with ExitStack() as closing:
        made = closing.enter_context(Electorate(folder, voting_dao(3, **fields)))
        served = Served(made, closing)
        closing.callback(served.close)
        yield served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from served_by(tmp_path)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    names = sorted(builders.wallet(f"guardian {n}").address for n in range(3))
    yield from served_by(tmp_path, guardians=tuple(names), guardian_signatures=2)


def held(served: Served, on: Proposal, index: int) -> dict[bytes, int]:
    """Return the ballots that a custodian holds, and how many words on each."""
    try:
        found = list(pages(served.made.custodies[index], on))
    except StaleState:  # it has not heard of the proposal yet
        return {}
    return {one.vote.ballot.digest(): len(one.acknowledgments) for one in found}


class TestGossip:
    def test_a_vote_that_reaches_one_custodian_is_with_all_at_once_and_each_hears_every_word(
        self, served: Served
    ) -> None:
        on = served.made.opened()
        served.gossip()
        cast = vote(served.made.history, on)
        served.client(1).submit_vote(served.made.genesis, cast)
        served.until(lambda: all(held(served, on, index) == {cast.ballot.digest(): 3} for index in range(3)))

    def test_at_the_last_second_too_and_then_all_close_with_one_set(self, served: Served) -> None:
        made = served.made
        on = made.opened()
        served.gossip()
        made.clock.seconds = deadline(on, made.dao.charter.voting, Period.EXTENDED)
        cast = vote(made.history, on)
        served.client(2).submit_vote(made.genesis, cast)
        served.until(lambda: all(held(served, on, index) for index in range(3)))
        made.end(on)
        closings = [served.client(index).close_vote(made.genesis, on.cid().digest) for index in range(3)]
        assert len({one.pages for one in closings}) == 1

    def test_a_proposal_that_reaches_one_is_with_all_and_so_is_what_it_names(self, served: Served) -> None:
        made = served.made
        served.gossip()
        policy = builders.policy(made.genesis)
        on = proposal(made.history, adoption(policy.cid()))
        said = served.client(0).submit_proposal(on, {policy.cid(): policy.encoded()})
        arrivals([said], made.dao.charter, genesis=made.genesis, subject=on.cid().digest)
        served.until(
            lambda: all(custody.voting.balloting.proposals.page(made.genesis, 0) for custody in made.custodies)
        )
        for index in range(3):
            assert served.client(index).blocks(made.genesis, [policy.cid()]) == {policy.cid(): policy.encoded()}

    def test_who_is_reached_by_nobody_is_asked_and_told(self, served: Served) -> None:
        on = served.made.opened()
        served.gossip({0: (1, 2)}, every_s=SOON_S)
        cast = vote(served.made.history, on)
        served.client(1).submit_vote(served.made.genesis, cast)
        served.until(lambda: all(held(served, on, index) for index in range(3)))

    def test_one_that_was_away_hears_of_all_when_it_is_back(self, served: Served) -> None:
        made = served.made
        on = proposal(made.history)
        served.stop(2)
        served.gossip(every_s=SOON_S)
        served.client(0).submit_proposal(on, {})
        made.clock.seconds = on.opens_at - 31
        votes = [vote(made.history, on, member) for member in range(5)]
        served.until(lambda: bool(made.custodies[1].voting.balloting.proposals.page(made.genesis, 0)))
        made.clock.seconds = on.opens_at
        for cast in votes:
            served.client(1).submit_vote(made.genesis, cast)
        served.until(lambda: len(held(served, on, 0)) == 5)
        served.start(2)
        made.clock.seconds += 1
        served.until(lambda: len(held(served, on, 2)) == 5)

    def test_more_votes_than_fit_a_message_go_over(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vault.vote_sync.VOTES_AT_ONCE", 2)
        made = served.made
        on = made.opened()
        votes = [vote(made.history, on, member) for member in range(5)]
        served.client(0).submit_votes(made.genesis, [(cast, ()) for cast in votes])
        served.gossip()
        served.until(lambda: all(len(held(served, on, index)) == 5 for index in range(3)))

    def test_guardians_that_reach_different_custodians_act_together(self, guarded: Served) -> None:
        made = guarded.made
        guarded.gossip()
        act = emergency_revocation(made.history, builders.Scope.DAO, b"")
        states = []
        for index in range(2):
            guardian = builders.wallet(f"guardian {index}")
            signed = GuardianAct(act=act, signatures=(GuardianSignature.made(act, guardian, made.dao.charter),))
            states.append(guarded.client(index).submit_act(signed).epoch)
        assert states[0] is None
        guarded.until(lambda: any(1 in custody.succession.contest(made.genesis).own for custody in made.custodies))


class TestWire:
    def test_a_vote_from_its_proposal_to_its_outcome(self, served: Served) -> None:
        made = served.made
        places = served.places()
        policy = builders.policy(made.genesis)
        on = proposal(made.history, adoption(policy.cid()))
        collected = handed_in_proposal(places, made.dao.charter, on, {policy.cid(): policy.encoded()})
        assert collected.is_enough
        made.clock.seconds = on.opens_at
        for member in range(4):
            cast = vote(made.history, on, member)
            assert handed_in_vote(places, made.dao.charter, made.genesis, cast).is_enough
        with pytest.raises(NotYet, match="custodians close the vote from"):
            decided(places, made.history, made.dao.roll, on)
        made.end(on)
        bundle = decided(places, made.history, made.dao.roll, on)
        assert queued(places, bundle) == {}
        listed = next(iter(places.values())).queued(made.genesis)
        assert [(one.decision, one.free_at) for one in listed] == [(bundle.decision.cid(), on.closes_at + TIMELOCK_S)]
        made.clock.seconds = on.closes_at + TIMELOCK_S
        blocks = {**bundle.blocks, policy.cid(): policy.encoded()}
        after = advanced(made.history, bundle.decision, blocks.__getitem__, at=made.clock())
        assert served.on_loop(lambda: carried_out(made.custodies, after, blocks)) == {1}

    def test_a_large_decision_goes_over_in_parts(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vault.voting_client.MESSAGE_BYTES", 100)
        made, places = served.made, served.places()
        on = made.opened()
        for member in range(4):
            handed_in_vote(places, made.dao.charter, made.genesis, vote(made.history, on, member))
        made.end(on)
        assert queued(places, decided(places, made.history, made.dao.roll, on)) == {}

    def test_what_is_wrong_with_a_vote_is_told_as_what_it_is(self, served: Served) -> None:
        made, client = served.made, served.client(0)
        on = made.opened()
        good = vote(made.history, on)
        forged = vote(made.history, on, 1)
        foreign = vote(made.history, proposal(made.history, nonce=bytes(32)), 2)
        answers = client.submit_votes(
            made.genesis,
            [(good, ()), (builders.vote(made.history, forged.ballot), ()), (foreign, ())],
        )
        assert [type(answer) for answer in answers] == [Acknowledgment, Acknowledgment, InvalidDecision]
        with pytest.raises(StaleState, match="no such proposal"):
            client.submit_vote(made.genesis, foreign)
        late = Acknowledgment.made(made.dao.custodians[1].signing, made.genesis, bytes(32), at=on.opens_at)
        with pytest.raises(InvalidSignature):
            client.submit_vote(made.genesis, vote(made.history, on, 3), [late])

    def test_lists_go_on_after_a_position(self, served: Served) -> None:
        made, client = served.made, served.client(0)
        on = made.opened()
        for member in range(3):
            client.submit_vote(made.genesis, vote(made.history, on, member))
        first = client.votes(made.genesis, on.cid().digest, 0)
        assert len(first) == 3
        assert client.votes(made.genesis, on.cid().digest, first[1].position) == first[2:]
        assert [one.proposal for one in client.proposals(made.genesis, 0)] == [on]
        assert client.proposals(made.genesis, client.proposals(made.genesis, 0)[0].position) == []
        with pytest.raises(MalformedObject, match="no list has so many"):
            client.votes(made.genesis, on.cid().digest, (1 << 64) - 1)

    def test_too_many_votes_or_blocks_at_once_are_refused(self, served: Served) -> None:
        made, client = served.made, served.client(0)
        on = made.opened()
        with pytest.raises(MalformedObject, match=f"at most {VOTES_AT_ONCE}"):
            client.submit_votes(made.genesis, [(vote(made.history, on), ())] * (VOTES_AT_ONCE + 1))
        assert client.blocks(made.genesis, [made.genesis] * 1000) == {made.genesis: made.dao.charter.encoded()}

    def test_delegations(self, served: Served) -> None:
        made = served.made
        voters = builders.voters(made.history)
        one = delegate_vote(made.history, made.dao.roll, voters[0], voters[1].address, sequence=1)
        served.client(0).submit_delegations(DelegationBatch(genesis=made.genesis, delegations=(one,)))
        assert served.on_loop(lambda: 1 in made.custodies[0].succession.contest(made.genesis).own)

    def test_supports_reach_the_set_as_they_were_cast(self, served: Served) -> None:
        made, places = served.made, served.places()
        on = made.opened()
        for member, support in enumerate([Support.FOR] * 3 + [Support.AGAINST, Support.ABSTAIN]):
            handed_in_vote(places, made.dao.charter, made.genesis, vote(made.history, on, member, support))
        made.end(on)
        bundle = decided(places, made.history, made.dao.roll, on)
        tally = made.history.counted(bundle.decision, bundle.blocks.__getitem__)
        assert (tally.weight_for, tally.weight_against, tally.weight_abstain) == (3, 1, 1)
