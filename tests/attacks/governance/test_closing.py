"""Custodians that lie about votes: backdate, withhold, sign twice, leave out; and one that forgot (rules G2, F5)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.builders import cast as in_set
from tests.builders import closings
from tests.people import CustodianKeys, seeded, wallet
from tests.voting import (
    ROUND_S,
    TIMELOCK_S,
    Electorate,
    carried_out,
    pages,
    proposal,
    refusal,
    stranger_vote,
    vote,
    voting_dao,
)
from vault.acknowledgment import Acknowledgment
from vault.ballot import Proposal, Support, Vote
from vault.closing import BallotPage, Closing, Period, agreed_pages, deadline, pages_of
from vault.collecting import enough
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.decision import Bundle, assembled
from vault.errors import InvalidDecision, InvalidSignature, NotYet, StaleState
from vault.history import advanced
from vault.lease import CLOCK_SKEW_S

JUNK = 10_000


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Electorate]:
    """Return four custodians, of which one may lie; q = 3."""
    with Electorate(tmp_path) as made:
        yield made


def word(keys: CustodianKeys, made: Electorate, cast: Vote, period: Period, at: int) -> Acknowledgment:
    return Acknowledgment.made(keys.signing, made.genesis, cast.ballot.digest(), at=at, period=int(period))


def everyone(made: Electorate, on: Proposal, supports: Sequence[Support]) -> list[Vote]:
    cast = [vote(made.history, on, member, support) for member, support in enumerate(supports)]
    for custody in made.custodies:
        for one in cast:
            custody.voting.balloting.submit_vote(made.genesis, one)
    return cast


def close(custody: Custody, on: Proposal) -> Closing:
    return custody.voting.outcomes.close(on.genesis, on.cid().digest)


def ballots(custody: Custody, signed: Closing) -> set[bytes]:
    found = custody.voting.outcomes.blocks(signed.genesis, list(signed.pages))
    return {one.ballot.digest() for cid in signed.pages for one in BallotPage.from_bytes(found[cid]).cast()}


def signed_by(made: Electorate, on: Proposal, votes: Sequence[Vote], *indices: int) -> Bundle:
    """Return the decision over a set of these votes that custodians' keys, honest or not, have signed."""
    page = pages_of(on, [in_set(one.ballot) for one in votes])
    return assembled(
        on, closings(made.history, on, page, *(str(index) for index in indices)), page, made.dao.roll.tree()
    )


class TestBackdated:
    def test_a_vote_after_the_end_that_one_of_four_dates_back_is_in_no_honest_set(self, four: Electorate) -> None:
        on = four.opened()
        everyone(four, on, [Support.FOR] * 4)
        late = vote(four.history, on, 4, Support.AGAINST)
        four.clock.seconds = deadline(on, four.dao.charter.voting, Period.EXTENDED) + ROUND_S + 1
        for period in Period:
            backdated = word(four.dao.custodians[3], four, late, period, on.opens_at)
            with pytest.raises(InvalidDecision, match="voting has ended"):
                four.custodies[0].voting.balloting.submit_vote(four.genesis, late, [backdated])
        four.end(on)
        for custody in four.custodies[:3]:
            assert late.ballot.digest() not in ballots(custody, close(custody, on))

    def test_dated_back_within_the_rounds_it_is_in_every_honest_set(self, four: Electorate) -> None:
        on = four.opened()
        everyone(four, on, [Support.FOR] * 4)
        late = vote(four.history, on, 4, Support.AGAINST)
        by = deadline(on, four.dao.charter.voting, Period.EXTENDED)
        four.clock.seconds = by + ROUND_S
        backdated = word(four.dao.custodians[3], four, late, Period.EXTENDED, by)
        four.custodies[0].voting.balloting.submit_vote(four.genesis, late, [backdated])
        four.clock.seconds += ROUND_S
        four.gossip(on)
        four.end(on)
        assert len({close(custody, on).pages for custody in four.custodies[:3]}) == 1
        assert late.ballot.digest() in ballots(four.custodies[0], close(four.custodies[0], on))


class TestWithheld:
    def test_a_ballot_that_enough_acknowledged_is_in_every_set_that_decides(self, four: Electorate) -> None:
        on = four.opened()
        votes = everyone(four, on, [Support.FOR] * 4)
        against = vote(four.history, on, 4, Support.AGAINST)
        assert enough(four.dao.charter) == 3
        for custody in four.custodies[1:]:  # the last one lies: it says that it holds it, and leaves it out
            custody.voting.balloting.submit_vote(four.genesis, against)
        four.end(on)
        honest = [close(custody, on) for custody in four.custodies[1:3]]
        bundle = signed_by(four, on, votes, 0, 3)
        lies = {one.custodian: one for one in bundle.decision.closings}
        first, liar = (keys.signing.public for keys in (four.dao.custodians[0], four.dao.custodians[3]))
        with pytest.raises(InvalidDecision, match="2 custodians"):
            agreed_pages([lies[first], lies[liar]], four.dao.charter, genesis=four.genesis, proposal=on.cid().digest)
        with pytest.raises(InvalidDecision, match="different ballots"):
            agreed_pages(
                [lies[first], lies[liar], honest[0]],
                four.dao.charter,
                genesis=four.genesis,
                proposal=on.cid().digest,
            )

    def test_a_ballot_that_one_custodian_got_at_the_last_second_is_with_all_a_round_later(
        self, four: Electorate
    ) -> None:
        on = four.opened()
        everyone(four, on, [Support.FOR] * 4)
        last = vote(four.history, on, 4, Support.AGAINST)
        four.clock.seconds = deadline(on, four.dao.charter.voting, Period.EXTENDED)
        four.custodies[2].voting.balloting.submit_vote(four.genesis, last)
        four.clock.seconds += ROUND_S
        four.gossip(on)
        four.end(on)
        signed = [close(custody, on) for custody in four.custodies]
        assert len({one.pages for one in signed}) == 1
        assert last.ballot.digest() in ballots(four.custodies[0], signed[0])


class TestTwoSets:
    def test_two_sets_of_one_custodian_count_once(self, four: Electorate) -> None:
        on = four.opened()
        votes = everyone(four, on, [Support.FOR] * 5)
        whole, short = signed_by(four, on, votes, 0, 1, 3), signed_by(four, on, votes[:4], 3)
        for doubled in (
            [*whole.decision.closings[:2], *whole.decision.closings[:1]],
            [*whole.decision.closings, *short.decision.closings],
        ):
            with pytest.raises(InvalidSignature, match="given twice"):
                agreed_pages(doubled, four.dao.charter, genesis=four.genesis, proposal=on.cid().digest)

    def test_a_liar_that_signs_both_makes_one_decision_at_most(self, four: Electorate) -> None:
        on = four.opened()
        votes = everyone(four, on, [Support.FOR] * 5)
        four.end(on)
        honest = [close(custody, on) for custody in four.custodies[:3]]
        (short,) = signed_by(four, on, votes[:4], 3).decision.closings
        for partner in honest:
            with pytest.raises(InvalidDecision):
                agreed_pages(
                    [short, partner, honest[0] if partner is honest[1] else honest[1]],
                    four.dao.charter,
                    genesis=four.genesis,
                    proposal=on.cid().digest,
                )


class TestLeftOut:
    """More liars than the charter tolerates sign a set without an Against ballot; whoever holds proof of it objects."""

    @pytest.fixture
    def cheated(self, four: Electorate) -> tuple[Electorate, Proposal, Vote, list[Vote], Bundle]:
        on = four.opened()
        votes = everyone(four, on, [Support.FOR] * 4)
        against = vote(four.history, on, 4, Support.AGAINST)
        given = [custody.voting.balloting.submit_vote(four.genesis, against) for custody in four.custodies[1:3]]
        four.custodies[0].voting.balloting.submit_vote(four.genesis, against, given)
        four.end(on)
        return four, on, against, votes, signed_by(four, on, votes, 1, 2, 3)

    def test_it_is_neither_queued_nor_followed(self, cheated: Any) -> None:
        made, on, _, _, bundle = cheated
        custody = made.custodies[0]
        with pytest.raises(InvalidDecision, match="void"):
            custody.voting.outcomes.queue(bundle.decision, bundle.blocks)
        made.clock.seconds = on.closes_at + TIMELOCK_S
        after = advanced(made.history, bundle.decision, bundle.blocks.__getitem__, at=made.clock())
        blocks = bundle.blocks | {after.head.cid(): after.head.encoded()}
        with pytest.raises(InvalidDecision, match="void"):
            custody.submit_head(after.head.cid(), blocks.items())
        assert custody.catching_up.tips(custody.public.key)[0][2] == 0

    def test_shown_only_after_it_was_carried_out_it_undoes_nothing(self, cheated: Any) -> None:
        made, on, against, _, bundle = cheated
        custody = made.custodies[3]  # which holds the ballot by nobody's word
        made.clock.seconds = on.closes_at + TIMELOCK_S
        after = advanced(made.history, bundle.decision, bundle.blocks.__getitem__, at=made.clock())
        assert carried_out(made.custodies[1:], after, bundle.blocks) == {1}
        (known,) = [one for one in pages(made.custodies[0], on) if one.vote == against]
        with pytest.raises(InvalidDecision, match="carried out"):
            custody.voting.balloting.submit_vote(made.genesis, against, known.acknowledgments)
        assert carried_out(made.custodies[1:], after, bundle.blocks) == {1}

    def test_shown_during_the_timelock_it_voids_what_was_queued(self, four: Electorate) -> None:
        on = four.opened()
        votes = everyone(four, on, [Support.FOR] * 4)
        four.end(on)
        custody = four.custodies[0]
        close(custody, on)
        bundle = signed_by(four, on, votes, 0, 1, 2)
        custody.voting.outcomes.queue(bundle.decision, bundle.blocks)
        against = vote(four.history, on, 4, Support.AGAINST)
        given = [word(keys, four, against, Period.EARLY, on.opens_at) for keys in four.dao.custodians[1:3]]
        with pytest.raises(InvalidDecision, match="voids a decision that lacks it"):
            custody.voting.balloting.submit_vote(four.genesis, against, given)
        assert against in [one.vote for one in pages(custody, on)]  # and so the others hear of it
        four.clock.seconds = on.closes_at + TIMELOCK_S
        after = advanced(four.history, bundle.decision, bundle.blocks.__getitem__, at=four.clock())
        with pytest.raises(InvalidDecision, match="void"):
            custody.submit_head(after.head.cid(), (bundle.blocks | {after.head.cid(): after.head.encoded()}).items())

    def test_one_custodians_word_voids_nothing(self, four: Electorate) -> None:
        on = four.opened()
        everyone(four, on, [Support.FOR] * 4)
        four.end(on)
        close(four.custodies[0], on)
        against = vote(four.history, on, 4, Support.AGAINST)
        with pytest.raises(InvalidDecision, match="fewer than f"):
            four.custodies[0].voting.balloting.submit_vote(
                four.genesis, against, [word(four.dao.custodians[3], four, against, Period.EARLY, on.opens_at)]
            )
        assert against not in [one.vote for one in pages(four.custodies[0], on)]

    def test_a_greater_ballot_in_its_place_voids_nothing(self, four: Electorate) -> None:
        on = four.opened()
        votes, custody = everyone(four, on, [Support.FOR] * 4), four.custodies[0]
        lower = vote(four.history, on, 4, Support.AGAINST, sequence=0)
        greater = vote(four.history, on, 4, Support.FOR, sequence=1)
        given = [word(keys, four, lower, Period.EARLY, on.opens_at) for keys in four.dao.custodians[1:3]]
        custody.voting.balloting.submit_vote(four.genesis, lower, given)
        four.end(on)
        without, bundle = (signed_by(four, on, some, 1, 2, 3) for some in (votes, [*votes, greater]))
        with pytest.raises(InvalidDecision, match="void"):
            custody.voting.outcomes.queue(without.decision, without.blocks)
        custody.voting.outcomes.queue(bundle.decision, bundle.blocks)
        assert [one.decision for one in custody.voting.outcomes.queued(four.genesis)] == [bundle.decision.cid()]
        assert lower in [one.vote for one in pages(custody, on)]
        four.clock.seconds = on.closes_at + TIMELOCK_S
        after = advanced(four.history, bundle.decision, bundle.blocks.__getitem__, at=four.clock())
        assert carried_out(four.custodies, after, bundle.blocks) == {1}


class TestRestored:
    """A custodian set back in time has forgotten what it acknowledged and what it signed (rule F5)."""

    def copy(self, made: Electorate, index: int, name: str) -> Path:
        path = made.folder / f"{name}.db"
        with (
            closing(sqlite3.connect(made.folder / f"custodian{index}.db")) as source,
            closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)
        return path

    def test_it_closes_no_vote_that_began_before(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(1)) as made:
            on = made.opened()
            made.custodies[0].voting.balloting.submit_vote(made.genesis, vote(made.history, on))
            backup = self.copy(made, 0, "backup")
            made.custodies[0].voting.balloting.submit_vote(made.genesis, vote(made.history, on, 1))
            made.end(on)
            signed = close(made.custodies[0], on)
            unaware = made.started(0, self.copy_of(backup, "unaware"))
            assert close(unaware, on).pages != signed.pages  # the attack is real: a second set, one ballot short
            restored = made.started(0, backup, restored_at=made.clock())
            with pytest.raises(NotYet, match="restored from a backup"):
                close(restored, on)
            made.clock.seconds += made.dao.charter.lease_s + 10 * NONCE_LIFETIME_S
            with pytest.raises(StaleState, match="does not close the vote"):
                close(restored, on)

    def test_a_vote_that_begins_after_it_closes(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(1)) as made:
            backup = self.copy(made, 0, "backup")
            made.custodies[0] = restored = made.started(0, backup, restored_at=made.clock())
            made.clock.seconds += made.dao.charter.lease_s + 10 * NONCE_LIFETIME_S
            on = made.opened()
            cast = [vote(made.history, on, member) for member in range(2)]
            for one in cast:
                restored.voting.balloting.submit_vote(made.genesis, one)
            made.end(on)
            signed = close(restored, on)
            signed.verify()
            assert (signed.custodian, signed.proposal) == (restored.public.key, on.cid().digest)
            assert ballots(restored, signed) == {one.ballot.digest() for one in cast}

    def test_nor_one_that_it_is_told_of_again_once_voting_has_begun(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(1, delay_s=0, lease_s=1)) as made:
            backup = self.copy(made, 0, "backup")
            opens_at = made.clock() + 100
            restored_at = opens_at - 1 - CLOCK_SKEW_S - 2
            restored = made.started(0, backup, restored_at=restored_at)
            made.clock.seconds = opens_at + 1
            on = proposal(made.history, opens_at=opens_at)
            restored.voting.balloting.submit_proposal(on, {})
            restored.voting.balloting.submit_vote(made.genesis, vote(made.history, on))
            made.end(on)
            with pytest.raises(StaleState, match="does not close the vote"):
                close(restored, on)

    def test_while_it_is_behind_it_gives_its_word_on_nothing(self, four: Electorate) -> None:
        on = four.opened()
        restored = four.started(0, self.copy(four, 0, "backup"), restored_at=four.clock())
        with pytest.raises(NotYet, match="restored from a backup"):
            restored.voting.balloting.submit_vote(four.genesis, vote(four.history, on))
        with pytest.raises(NotYet, match="restored from a backup"):
            restored.voting.balloting.submit_proposal(on, {})

    def copy_of(self, path: Path, name: str) -> Path:
        copied = path.with_name(f"{name}.db")
        copied.write_bytes(path.read_bytes())
        return copied


def test_ten_thousand_junk_ballots_leave_nothing_and_cost_little(tmp_path: Path) -> None:
    """Strangers sign ballots of their own, and copy members' proofs under their own signatures."""
    with Electorate(tmp_path, voting_dao(1)) as made:
        on = made.opened()
        balloting = made.custodies[0].voting.balloting
        strangers = [stranger_vote(made.history, on, f"stranger {n}") for n in range(20)]
        member = vote(made.history, on)
        signature = wallet("stranger").sign(seeded("anything"))
        posing = [
            replace(member, ballot=replace(member.ballot, sequence=n, signature=signature)) for n in range(JUNK // 2)
        ]
        junk = [*(strangers * (JUNK // 2 // len(strangers))), *posing]
        assert len(junk) == JUNK
        began = time.process_time()
        for first in range(0, JUNK, 200):
            for answer in balloting.submit_votes(made.genesis, [(one, ()) for one in junk[first : first + 200]]):
                refusal(answer)
        each_s = (time.process_time() - began) / JUNK
        assert list(pages(made.custodies[0], on)) == []
        assert each_s < 0.002, f"{each_s * 1e6:.0f} µs each"  # ten times what it takes on a slow machine
        balloting.submit_vote(made.genesis, member)
