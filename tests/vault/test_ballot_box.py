"""What one custodian takes of a voter, and that honest ones agree whatever liars among them do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.people import NOW
from tests.voting import (
    CLOSES_AT,
    EXTENSION_S,
    OPENS_AT,
    ROUND_S,
    Booth,
    Clock,
    booths,
    proposal,
    stranger_vote,
    vote,
    voting_dao,
)
from vault.acknowledgment import Acknowledgment
from vault.ballot import Support
from vault.ballot_box import BALLOTS_PER_VOTER
from vault.closing import Period, final_at
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, NotYet
from vault.utc import time_text

DAO = voting_dao(4)  # f = 1
PROPOSAL = proposal(DAO.history)
EARLY_BY, LATE_BY, EXTENDED_BY = CLOSES_AT - EXTENSION_S, CLOSES_AT, CLOSES_AT + EXTENSION_S


@pytest.fixture
def clock() -> Clock:
    return Clock(OPENS_AT)


@pytest.fixture
def four(clock: Clock) -> list[Booth]:
    return booths(DAO, PROPOSAL, clock)


def word(booth: Booth, ballot: Any, period: Period, at: int) -> Acknowledgment:
    return Acknowledgment.made(booth.poll.key, DAO.genesis, ballot.digest(), at=at, period=int(period))


class TestOneCustodian:
    @pytest.mark.parametrize(
        ("at", "period"),
        [
            (OPENS_AT, Period.EARLY),
            (EARLY_BY, Period.EARLY),
            (EARLY_BY + 1, Period.LATE),
            (LATE_BY, Period.LATE),
            (LATE_BY + 1, Period.EXTENDED),
            (EXTENDED_BY, Period.EXTENDED),
        ],
    )
    def test_the_period_follows_from_its_own_time(
        self, four: list[Booth], clock: Clock, at: int, period: Period
    ) -> None:
        clock.seconds = at
        given = four[0].take(vote(DAO.history, PROPOSAL)).acknowledgment
        assert given is not None
        assert (given.period, given.arrived_at) == (period, at)

    def test_before_it_opens_and_after_the_end_nothing_is_taken(self, four: list[Booth], clock: Clock) -> None:
        cast = vote(DAO.history, PROPOSAL)
        clock.seconds = OPENS_AT - 1
        with pytest.raises(NotYet, match=time_text(OPENS_AT)):
            four[0].take(cast)
        clock.seconds = EXTENDED_BY + 1
        with pytest.raises(InvalidDecision, match="voting has ended"):
            four[0].take(cast)

    def test_the_same_again_brings_the_same_word(self, four: list[Booth], clock: Clock) -> None:
        cast = vote(DAO.history, PROPOSAL)
        first = four[0].take(cast)
        clock.seconds += 100
        again = four[0].take(cast)
        assert again.acknowledgment == first.acknowledgment
        assert not again.is_changed
        assert again.news == ()

    def test_its_own_word_that_it_forgot_stays_the_one_it_gave(self, four: list[Booth], clock: Clock) -> None:
        cast = vote(DAO.history, PROPOSAL)
        said = four[0].take(cast).acknowledgment
        assert said is not None
        four[0].held.clear()
        clock.seconds = LATE_BY
        again = four[0].take(cast, [said])
        assert again.acknowledgment == said
        assert again.held[0].acknowledgments == (said,)

    def test_a_greater_ballot_takes_the_place_of_one_that_came_no_earlier(
        self, four: list[Booth], clock: Clock
    ) -> None:
        votes = [vote(DAO.history, PROPOSAL, sequence=n) for n in range(3)]
        for cast in votes[:2]:
            four[0].take(cast)
        assert [held.vote for held in four[0].held[votes[0].ballot.voter]] == [votes[1]]
        clock.seconds = LATE_BY
        four[0].take(votes[2])
        kept = {held.vote.ballot.sequence: held.period for held in four[0].held[votes[0].ballot.voter]}
        assert kept == {1: Period.EARLY, 2: Period.LATE}

    def test_a_lower_ballot_is_acknowledged_and_changes_nothing(self, four: list[Booth]) -> None:
        high, low = vote(DAO.history, PROPOSAL, sequence=7), vote(DAO.history, PROPOSAL, sequence=3)
        four[0].take(high)
        taken = four[0].take(low)
        assert taken.acknowledgment is not None
        assert taken.acknowledgment.subject == low.ballot.digest()
        assert [held.vote for held in taken.held] == [high]
        assert taken.news == ()

    def test_of_two_ballots_with_one_number_every_order_keeps_the_same(self, four: list[Booth]) -> None:
        pair = [vote(DAO.history, PROPOSAL, support=support) for support in (Support.FOR, Support.AGAINST)]
        for cast in pair:
            four[0].take(cast)
        for cast in reversed(pair):
            four[1].take(cast)
        assert four[0].closed() == four[1].closed()

    def test_a_voter_hands_it_so_many_and_no_more(self, four: list[Booth]) -> None:
        for n in range(BALLOTS_PER_VOTER):
            four[0].take(vote(DAO.history, PROPOSAL, sequence=n))
        one_more = vote(DAO.history, PROPOSAL, sequence=BALLOTS_PER_VOTER)
        with pytest.raises(AccessDenied, match="hand it to another"):
            four[0].take(one_more)
        relayed = four[1].take(one_more).acknowledgment
        assert relayed is not None
        four[0].take(one_more, [relayed])
        assert four[0].closed() == four[1].closed()

    @pytest.mark.parametrize("change", [{"period": 0, "arrived_at": NOW}, {"subject": bytes(32)}, {"period": 1}])
    def test_a_word_that_was_changed_is_refused(self, four: list[Booth], change: dict[str, Any]) -> None:
        cast = vote(DAO.history, PROPOSAL)
        said = word(four[1], cast.ballot, Period.EXTENDED, EXTENDED_BY)
        with pytest.raises(InvalidSignature):
            four[0].take(cast, [replace(said, **change)])
        assert four[0].held == {}

    def test_a_stranger_with_a_members_proof_is_refused(self, four: list[Booth]) -> None:
        with pytest.raises(AccessDenied, match="no such weight"):
            four[0].take(stranger_vote(DAO.history, PROPOSAL, "stranger"))


class TestDeadline:
    def test_what_reaches_one_at_the_last_second_is_taken_by_all_a_round_later(
        self, four: list[Booth], clock: Clock
    ) -> None:
        cast = vote(DAO.history, PROPOSAL)
        clock.seconds = EXTENDED_BY
        said = four[0].take(cast).acknowledgment
        assert said is not None
        clock.seconds += ROUND_S
        for booth in four[1:]:
            booth.take(cast, [said])
        assert len({booth.closed() for booth in four}) == 1

    def test_one_word_comes_too_late_after_one_round_and_two_words_convince_at_any_time(
        self, four: list[Booth], clock: Clock
    ) -> None:
        cast = vote(DAO.history, PROPOSAL)
        first = word(four[3], cast.ballot, Period.EXTENDED, EXTENDED_BY)
        clock.seconds = EXTENDED_BY + ROUND_S + 1
        with pytest.raises(InvalidDecision, match="voting has ended"):
            four[0].take(cast, [first])
        second = word(four[2], cast.ballot, Period.EXTENDED, EXTENDED_BY + ROUND_S)
        clock.seconds += 1000
        assert four[0].take(cast, [first, second]).acknowledgment is not None

    def test_a_liar_that_dates_its_word_back_makes_nobody_elses_word_mean_more(
        self, four: list[Booth], clock: Clock
    ) -> None:
        """Before words named a period, this divided the honest: one closed with an early ballot, the others not."""
        cast = vote(DAO.history, PROPOSAL)
        clock.seconds = EARLY_BY + 1
        said = [booth.take(cast).acknowledgment for booth in four[:3]]
        for booth in four[:3]:
            booth.take(cast, [one for one in said if one is not None])
        clock.seconds = final_at(PROPOSAL, DAO.charter)
        backdated = word(four[3], cast.ballot, Period.EARLY, EARLY_BY)
        four[0].take(cast, [backdated])
        assert len({booth.closed() for booth in four[:3]}) == 1

    def test_one_backdated_in_time_is_handed_on_and_believed_by_all(self, four: list[Booth], clock: Clock) -> None:
        cast = vote(DAO.history, PROPOSAL)
        backdated = word(four[3], cast.ballot, Period.EARLY, EARLY_BY)
        clock.seconds = EARLY_BY + ROUND_S
        said = four[0].take(cast, [backdated]).acknowledgment
        assert said is not None
        assert said.period == Period.EARLY
        clock.seconds += ROUND_S
        for booth in four[1:3]:
            booth.take(cast, [backdated, said])
        assert len({booth.closed() for booth in four[:3]}) == 1

    def test_the_earlier_of_two_words_is_kept_where_it_counts_for_more_in_a_later_period(self, clock: Clock) -> None:
        made = voting_dao(4, extension_s=EXTENSION_S + 5)  # no whole number of rounds
        on = proposal(made.history)
        booth, liar = booths(made, on, clock)[:2]
        cast = vote(made.history, on)
        words = [
            Acknowledgment.made(liar.poll.key, made.genesis, cast.ballot.digest(), at=at, period=0)
            for at in (on.closes_at + 1, on.closes_at)
        ]
        clock.seconds = on.closes_at
        for said in words:
            booth.take(cast, [said])
        (held,) = booth.held[cast.ballot.voter]
        assert words[1] in held.acknowledgments
        assert words[0] not in held.acknowledgments


class Network:
    """Honest custodians that hand on at once, heard a round later at most; the liars say anything to anyone."""

    def __init__(self, honest: list[Booth], clock: Clock, delays: Any) -> None:
        self.honest, self.clock, self._delays = honest, clock, delays
        self.pending: list[tuple[int, int, Any, tuple[Acknowledgment, ...]]] = []

    def deliver(self, at: int) -> None:
        """Let time come to `at`, every message arriving on its way."""
        while due := sorted((one for one in self.pending if one[0] <= at), key=lambda one: one[0]):
            self.pending.remove(due[0])
            when, to, cast, given = due[0]
            self.clock.seconds = max(self.clock.seconds, when)
            self.hand(to, cast, given)
        self.clock.seconds = max(self.clock.seconds, at)

    def hand(self, to: int, cast: Any, given: tuple[Acknowledgment, ...]) -> None:
        booth = self.honest[to]
        try:
            taken = booth.take(cast, given)
        except (AccessDenied, InvalidDecision, NotYet):
            return
        for held in taken.held:
            if held.digest in taken.news:
                for other in range(len(self.honest)):
                    if other != to:
                        arrival = int(self.clock.seconds) + self._delays.draw(st.integers(0, ROUND_S))
                        self.pending.append((arrival, other, held.vote, held.acknowledgments))


NEAR = st.one_of(
    *(st.integers(by - 1, by + 3 * ROUND_S + 1) for by in (CLOSES_AT - EXTENSION_S, CLOSES_AT, CLOSES_AT + EXTENSION_S))
)


@pytest.mark.parametrize("custodians", [4, 7])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_honest_custodians_close_with_one_set_whatever_f_liars_say(custodians: int, data: Any) -> None:
    made = voting_dao(custodians)
    on = proposal(made.history)
    clock = Clock(OPENS_AT)
    all_of_them = booths(made, on, clock)
    liars, honest = all_of_them[: made.charter.liars], all_of_them[made.charter.liars :]
    network = Network(honest, clock, data)
    cast = [
        vote(made.history, on, member, support, sequence=sequence)
        for member in (0, 1)
        for sequence in (0, 1)
        for support in (Support.FOR, Support.AGAINST)
    ]
    steps = sorted(data.draw(st.lists(st.tuples(NEAR, st.integers(0, len(cast) - 1)), max_size=12)))
    for at, index in steps:
        network.deliver(at)
        words = tuple(
            Acknowledgment.made(
                liar.poll.key,
                made.genesis,
                cast[index].ballot.digest(),
                at=data.draw(st.one_of(NEAR, st.just(OPENS_AT))),
                period=data.draw(st.integers(0, 2)),
            )
            for liar in liars
            if data.draw(st.booleans())
        )
        network.hand(data.draw(st.integers(0, len(honest) - 1)), cast[index], words)
    network.deliver(final_at(on, made.charter))
    late = data.draw(st.integers(0, len(cast) - 1))  # and right before one of them closes, a liar tries once more
    words = tuple(
        Acknowledgment.made(
            liar.poll.key, made.genesis, cast[late].ballot.digest(), at=OPENS_AT, period=data.draw(st.integers(0, 2))
        )
        for liar in liars
    )
    network.hand(0, cast[late], words)
    assert len({booth.closed() for booth in honest}) == 1
