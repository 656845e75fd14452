"""A custodian's part in a vote, over its records: what it takes, what it signs, and what it never signs twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.cid import DAG_CBOR, RAW, Cid
from tests import builders
from tests.governing import delegate_vote
from tests.people import seeded
from tests.voting import (
    DELAY_S,
    OPENS_AT,
    ROUND_S,
    TIMELOCK_S,
    Electorate,
    carried_out,
    pages,
    proposal,
    refusal,
    vote,
    voting_dao,
)
from vault.acknowledgment import Acknowledgment, arrivals
from vault.action import adoption, charter_change
from vault.acts import emergency_revocation
from vault.ballot import Support
from vault.closing import BallotPage, final_at
from vault.decision import assembled
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, MalformedObject, NotYet, StaleState
from vault.guardian import GuardianAct, GuardianSignature
from vault.history import advanced
from vault.proposing import TOLERANCE_S
from vault.utc import time_text
from vault.vote_delegation import DelegationBatch


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Electorate]:
    with Electorate(tmp_path, voting_dao(1)) as made:
        yield made


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Electorate]:
    with Electorate(tmp_path) as made:
        yield made


def submit(made: Electorate, on: Any, *blocks: Any, index: int = 0, given: Any = ()) -> Acknowledgment:
    named = {block.cid(): block.encoded() for block in blocks}
    return made.custodies[index].voting.balloting.submit_proposal(on, named, given)


def cast_by(made: Electorate, on: Any, supports: Any) -> None:
    """Have the members vote at every custodian."""
    for member, support in enumerate(supports):
        for custody in made.custodies:
            custody.voting.balloting.submit_vote(made.genesis, vote(made.history, on, member, support))


def bundle(made: Electorate, on: Any, custodies: Any = None) -> Any:
    """Return the decision that custodians closed a vote with."""
    used = custodies or made.custodies
    closings = [custody.voting.outcomes.close(made.genesis, on.cid().digest) for custody in used]
    found = used[0].voting.outcomes.blocks(made.genesis, list(closings[0].pages))
    ballots = [BallotPage.from_bytes(found[cid]) for cid in closings[0].pages]
    return assembled(on, closings, ballots, made.dao.roll.tree())


class TestProposals:
    def test_it_is_acknowledged_and_the_same_again_brings_the_same_word(self, one: Electorate) -> None:
        on = proposal(one.history)
        said = submit(one, on)
        assert arrivals([said], one.dao.charter, genesis=one.genesis, subject=on.cid().digest) == {
            one.custodies[0].public.key: one.clock()
        }
        one.clock.seconds += 50
        assert submit(one, on) == said
        assert [known.proposal for known in one.custodies[0].voting.balloting.proposals.page(one.genesis, 0)] == [on]

    def test_it_comes_before_the_charters_delay(self, one: Electorate) -> None:
        one.clock.seconds += TOLERANCE_S
        submit(one, proposal(one.history))
        one.clock.seconds += 1
        with pytest.raises(InvalidDecision, match=f"{DELAY_S} s or more"):
            submit(one, proposal(one.history, nonce=seeded("another")))

    def test_the_word_of_others_in_time_makes_it_timely(self, four: Electorate) -> None:
        on = proposal(four.history)
        four.clock.seconds += TOLERANCE_S
        first = submit(four, on)
        four.clock.seconds += ROUND_S
        second = submit(four, on, index=1, given=[first])
        four.clock.seconds += 500
        with pytest.raises(InvalidDecision, match="s or more"):
            submit(four, on, index=2, given=[first])
        submit(four, on, index=2, given=[first, second])

    def test_a_word_of_a_stranger_is_refused(self, four: Electorate) -> None:
        on = proposal(four.history)
        forged = replace(submit(four, on), arrived_at=0)
        with pytest.raises(InvalidSignature):
            submit(four, on, index=1, given=[forged])

    @pytest.mark.parametrize(
        ("change", "reaction"),
        [
            ({"genesis": Cid.of(DAG_CBOR, b"another DAO")}, AccessDenied),
            ({"epoch": 1}, InvalidDecision),
            ({"head": Cid.of(DAG_CBOR, b"another head")}, InvalidDecision),
            ({"closes_at": OPENS_AT + 1}, InvalidDecision),
            ({"weight": (2).to_bytes(32, "big")}, AccessDenied),
        ],
    )
    def test_what_could_never_be_carried_out_is_refused(
        self, one: Electorate, change: dict[str, Any], reaction: type[Exception]
    ) -> None:
        with pytest.raises(reaction):
            submit(one, proposal(one.history, **change))
        assert one.custodies[0].voting.balloting.proposals.page(one.genesis, 0) == []

    def test_a_forged_one_is_refused(self, one: Electorate) -> None:
        with pytest.raises(InvalidSignature):
            submit(one, replace(proposal(one.history), opens_at=OPENS_AT + 1, closes_at=OPENS_AT + 3601))

    def test_a_policy_comes_with_it_and_is_kept(self, one: Electorate) -> None:
        policy = builders.policy(one.genesis)
        on = proposal(one.history, adoption(policy.cid()))
        with pytest.raises(MalformedObject, match="hand in that block"):
            submit(one, on)
        with pytest.raises(MalformedObject, match="another one"):
            one.custodies[0].voting.balloting.submit_proposal(on, {policy.cid(): b"something else"})
        submit(one, on, policy)
        assert one.custodies[0].voting.outcomes.blocks(one.genesis, [policy.cid()]) == {policy.cid(): policy.encoded()}

    def test_a_policy_of_another_dao_or_none_at_all_is_refused(self, one: Electorate) -> None:
        foreign = builders.policy(Cid.of(DAG_CBOR, b"another DAO"))
        with pytest.raises(InvalidDecision, match="another DAO"):
            submit(one, proposal(one.history, adoption(foreign.cid())), foreign)
        with pytest.raises(MalformedObject):
            submit(one, proposal(one.history, adoption(one.dao.charter.cid())), one.dao.charter)

    def test_a_policy_of_ten_megabytes_is_refused(self, one: Electorate) -> None:
        body = bytes(10 << 20)
        on = proposal(one.history, adoption(Cid.of(DAG_CBOR, body)))
        with pytest.raises(MalformedObject, match="over the limit"):
            one.custodies[0].voting.balloting.submit_proposal(on, {Cid.of(DAG_CBOR, body): body})

    def test_a_charter_has_to_be_a_successor(self, one: Electorate) -> None:
        moved = replace(one.dao.charter, chain_id=1)
        with pytest.raises(MalformedObject, match="chain_id"):
            submit(one, proposal(one.history, charter_change(moved.cid())), moved)
        renamed = replace(one.dao.charter, name="Haven")
        submit(one, proposal(one.history, charter_change(renamed.cid())), renamed)

    def test_a_member_makes_so_many_a_day_here_and_others_may_have_taken_more(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(4, proposals_per_day=2)) as made:
            many = [proposal(made.history, nonce=seeded(f"proposal {n}")) for n in range(4)]
            for on in many[:2]:
                submit(made, on)
            with pytest.raises(AccessDenied, match="2 proposals a day"):
                submit(made, many[2])
            submit(made, many[2], given=[submit(made, many[2], index=1)])
            made.clock.seconds += 86_401
            submit(made, proposal(made.history, opens_at=made.clock() + DELAY_S, nonce=seeded("tomorrow's")))


class TestVotes:
    def test_a_vote_on_a_proposal_that_nobody_handed_in_is_refused(self, one: Electorate) -> None:
        with pytest.raises(StaleState, match="no such proposal"):
            one.custodies[0].voting.balloting.submit_vote(one.genesis, vote(one.history, proposal(one.history)))

    def test_what_was_taken_is_there_after_a_restart(self, four: Electorate) -> None:
        on = four.opened()
        cast = vote(four.history, on)
        said = four.custodies[0].voting.balloting.submit_vote(four.genesis, cast)
        four.clock.seconds += 5
        again = four.started(0, four.folder / "custodian0.db")
        assert [known.vote for known in pages(again, on)] == [cast]
        assert again.voting.balloting.submit_vote(four.genesis, cast) == said

    def test_votes_in_one_message_are_answered_each_for_itself(self, one: Electorate) -> None:
        on = one.opened()
        good, forged = vote(one.history, on), vote(one.history, on, 1)
        forged = replace(forged, ballot=replace(forged.ballot, support=Support.AGAINST))
        elsewhere = vote(one.history, proposal(one.history, nonce=seeded("another")), 2)
        answers = one.custodies[0].voting.balloting.submit_votes(
            one.genesis, [(good, ()), (forged, ()), (elsewhere, ())]
        )
        assert isinstance(answers[0], Acknowledgment)
        assert isinstance(refusal(answers[1]), InvalidSignature)
        assert isinstance(refusal(answers[2]), InvalidDecision)
        assert [known.vote for known in pages(one.custodies[0], on)] == [good]

    def test_no_vote_is_news_and_a_word_of_its_own_is(self, four: Electorate) -> None:
        on = four.opened()
        told: list[int] = []
        four.custodies[0].voting.on_news(lambda: told.append(1))
        cast = vote(four.history, on)
        four.custodies[0].voting.balloting.submit_vote(four.genesis, cast)
        other = four.custodies[1].voting.balloting.submit_vote(four.genesis, cast)
        assert len(told) == 1
        (before,) = pages(four.custodies[0], on)
        four.custodies[0].voting.balloting.submit_vote(four.genesis, cast, [other])
        (after,) = pages(four.custodies[0], on)
        assert len(told) == 1
        assert (len(after.acknowledgments), after.position) == (2, before.position)


class TestClosing:
    def test_not_before_everyone_had_time_to_hear_of_every_ballot(self, four: Electorate) -> None:
        on = four.opened()
        cast_by(four, on, [Support.FOR])
        four.clock.seconds = final_at(on, four.dao.charter) - 1
        with pytest.raises(NotYet, match=time_text(final_at(on, four.dao.charter))):
            four.custodies[0].voting.outcomes.close(four.genesis, on.cid().digest)
        four.clock.seconds += 1
        four.custodies[0].voting.outcomes.close(four.genesis, on.cid().digest).verify()

    def test_one_set_is_signed_for_ever(self, four: Electorate) -> None:
        on = four.opened()
        cast_by(four, on, [Support.FOR, Support.AGAINST])
        four.end(on)
        outcomes = four.custodies[0].voting.outcomes
        first = outcomes.close(four.genesis, on.cid().digest)
        late = vote(four.history, on, 2)
        words = [
            Acknowledgment.made(keys.signing, four.genesis, late.ballot.digest(), at=on.opens_at)
            for keys in four.dao.custodians[2:]
        ]
        with pytest.raises(InvalidDecision, match="closed here without this ballot"):
            four.custodies[0].voting.balloting.submit_vote(four.genesis, late, words)
        assert outcomes.close(four.genesis, on.cid().digest) == first
        again = four.started(0, four.folder / "custodian0.db")
        assert again.voting.outcomes.close(four.genesis, on.cid().digest) == first

    def test_all_close_with_one_set_and_it_decides(self, four: Electorate) -> None:
        on = four.opened()
        cast_by(four, on, [Support.FOR] * 4 + [Support.AGAINST])
        four.end(on)
        made = bundle(four, on)
        queued = [custody.voting.outcomes.queue(made.decision, made.blocks) for custody in four.custodies]
        assert {one.free_at for one in queued} == {on.closes_at + TIMELOCK_S}
        assert four.custodies[0].voting.outcomes.queued(four.genesis) == [queued[0]]
        four.clock.seconds = on.closes_at + TIMELOCK_S
        after = advanced(four.history, made.decision, made.blocks.__getitem__, at=four.clock())
        assert carried_out(four.custodies, after, made.blocks) == {1}
        for custody in four.custodies:
            assert custody.voting.outcomes.queued(four.genesis) == []

    def test_a_vote_without_ballots_is_not_closed(self, one: Electorate) -> None:
        on = one.opened()
        one.end(on)
        with pytest.raises(InvalidDecision, match="nobody voted"):
            one.custodies[0].voting.outcomes.close(one.genesis, on.cid().digest)

    def test_the_first_decision_that_is_queued_stays(self, four: Electorate) -> None:
        on = four.opened()
        cast_by(four, on, [Support.FOR] * 4)
        four.end(on)
        outcomes = four.custodies[0].voting.outcomes
        first = bundle(four, on, four.custodies[:3])
        second = bundle(four, on, four.custodies[1:])
        assert first.decision.cid() != second.decision.cid()
        assert outcomes.queue(first.decision, first.blocks).decision == first.decision.cid()
        kept = set(four.blobs[0].cids())
        assert outcomes.queue(second.decision, second.blocks).decision == first.decision.cid()
        assert set(four.blobs[0].cids()) == kept

    @pytest.mark.parametrize("supports", [[Support.FOR], [Support.AGAINST] * 5])
    def test_what_was_not_carried_is_not_queued(self, four: Electorate, supports: list[Support]) -> None:
        on = four.opened()
        cast_by(four, on, supports)
        four.end(on)
        made = bundle(four, on)
        with pytest.raises(InvalidDecision, match="quorum or threshold"):
            four.custodies[0].voting.outcomes.queue(made.decision, made.blocks)

    def test_blocks_that_are_missing_are_named_and_datasets_are_not_handed_out(self, four: Electorate) -> None:
        on = four.opened()
        cast_by(four, on, [Support.FOR] * 4)
        four.end(on)
        made = bundle(four, on)
        with pytest.raises(MalformedObject, match="lacks a block"):
            four.custodies[0].voting.outcomes.queue(made.decision, {})
        sealed = b"a sealed segment"
        four.blobs[0].put(Cid.of(DAG_CBOR, sealed), sealed)
        four.blobs[0].put(Cid.of(RAW, four.dao.charter.encoded()), four.dao.charter.encoded())
        public = [four.genesis, four.history.head.cid(), *made.decision.pages()]
        others = [Cid.of(DAG_CBOR, sealed), Cid.of(RAW, four.dao.charter.encoded()), Cid.of(DAG_CBOR, b"nowhere")]
        found = four.custodies[0].voting.outcomes.blocks(four.genesis, [*others, *public])
        assert set(found) == set(public)


class TestActs:
    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[Electorate]:
        names = sorted(builders.wallet(f"guardian {n}").address for n in range(3))
        with Electorate(tmp_path, voting_dao(1, guardians=tuple(names), guardian_signatures=2)) as made:
            yield made

    def test_signatures_come_one_by_one_and_enough_of_them_act_at_once(self, guarded: Electorate) -> None:
        act = emergency_revocation(guarded.history, builders.Scope.DAO, b"")
        signed = [
            GuardianAct(
                act=act,
                signatures=(GuardianSignature.made(act, builders.wallet(f"guardian {n}"), guarded.dao.charter),),
            )
            for n in range(3)
        ]
        acting = guarded.custodies[0].voting.acting
        told: list[int] = []
        guarded.custodies[0].voting.on_news(lambda: told.append(1))
        for _ in range(2):
            assert acting.submit_act(signed[0]).epoch is None
        assert acting.acts(guarded.genesis) == [signed[0]]
        assert told == [1]
        state = acting.submit_act(signed[1])
        assert state.epoch == 1
        assert len(state.signed.signatures) == 2
        assert acting.acts(guarded.genesis) == []
        assert guarded.custodies[0].catching_up.tips(guarded.custodies[0].public.key)[0][2] == 1
        assert acting.submit_act(signed[2]).epoch == 1

    def test_a_stranger_signs_nothing(self, guarded: Electorate) -> None:
        act = emergency_revocation(guarded.history, builders.Scope.DAO, b"")
        stranger = GuardianSignature.made(act, builders.wallet("stranger"), guarded.dao.charter)
        with pytest.raises(InvalidSignature, match="no guardian"):
            guarded.custodies[0].voting.acting.submit_act(GuardianAct(act=act, signatures=(stranger,)))
        assert guarded.custodies[0].voting.acting.acts(guarded.genesis) == []

    def test_delegations_take_effect_as_often_as_the_charter_says(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(1, delegations_every_s=100)) as made:
            voters = builders.voters(made.history)
            batches = [
                DelegationBatch(
                    genesis=made.genesis,
                    delegations=(delegate_vote(made.history, made.dao.roll, voters[n], voters[4].address, sequence=1),),
                )
                for n in range(2)
            ]
            acting = made.custodies[0].voting.acting
            assert acting.submit_delegations(batches[0]) == 1
            with pytest.raises(NotYet, match=time_text(made.clock() + 100)):
                acting.submit_delegations(batches[1])
            made.clock.seconds += 100
            assert acting.submit_delegations(batches[1]) == 2
