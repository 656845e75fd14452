"""Which head comes next: whatever liars sign, in whichever order votes arrive, one head an epoch is settled at most."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.people import dao
from vault.charter import Charter
from vault.errors import InvalidSignature
from vault.head_vote import (
    VOTES_EACH,
    Branch,
    HeadVote,
    certified,
    chosen,
    have_all_voted,
    verify_votes,
    voters_of,
    worth_keeping,
)
from vault.machine import MachineKey

GENESIS = Cid.of(DAG_CBOR, b"genesis")
BASE = Branch(head=GENESIS, previous=GENESIS, epoch=0)
HEADS = [Cid.of(DAG_CBOR, f"head {n}".encode()) for n in range(5)]
ALTERNATIVES = [Branch(head=head, previous=GENESIS, epoch=1) for head in HEADS]
SIZES = [(3, 0), (4, 1), (5, 1), (7, 2)]
CHARTERS: dict[int, Charter] = {n: dao(2, custodians=n, liars=f, signatures=(n + f) // 2 + 1).charter for n, f in SIZES}
KEYS = {n: [MachineKey(bytes([n, i] * 16)) for i in range(n)] for n, _ in SIZES}


def vote(n: int, index: int, head: Cid, *, epoch: int = 1) -> HeadVote:
    return HeadVote.made(KEYS[n][index], GENESIS, epoch, head)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, list[HeadVote]]:
    """Votes of honest custodians, one each, and of f liars, any; in any order."""
    n, f = draw(st.sampled_from(SIZES))
    cast = [vote(n, index, draw(st.sampled_from(HEADS))) for index in range(f, n)]
    cast += [vote(n, liar, head) for liar in range(f) for head in draw(st.lists(st.sampled_from(HEADS), unique=True))]
    return n, draw(st.permutations(cast))


@settings(max_examples=200, deadline=None)
@given(schedules())
def test_no_two_heads_have_q(schedule: tuple[int, list[HeadVote]]) -> None:
    n, cast = schedule
    signed = [head for head, who in voters_of(cast).items() if len(who) >= CHARTERS[n].signatures]
    assert len(signed) <= 1


@settings(max_examples=200, deadline=None)
@given(schedules(), st.data())
def test_no_two_heads_of_an_epoch_are_leased(schedule: tuple[int, list[HeadVote]], data: st.DataObject) -> None:
    """Honest custodians lease what is settled for them, at every moment; liars lease everything."""
    n, cast = schedule
    charter = CHARTERS[n]
    leased: dict[Cid, set[int]] = defaultdict(lambda: set(range(charter.liars)))
    for honest in range(charter.liars, n):
        heard: list[HeadVote] = []
        for one in data.draw(st.permutations(cast)):
            heard = worth_keeping([*heard, one])
            leased[chosen(BASE, ALTERNATIVES, {1: voters_of(heard)}, charter, missing=()).settled].add(honest)
    assert sum(len(who) >= charter.signatures for head, who in leased.items() if head != GENESIS) <= 1


@settings(max_examples=200, deadline=None)
@given(schedules(), st.data())
def test_who_knows_the_same_follows_the_same(schedule: tuple[int, list[HeadVote]], data: st.DataObject) -> None:
    n, cast = schedule
    charter = CHARTERS[n]
    choices = {
        chosen(
            BASE,
            data.draw(st.permutations(ALTERNATIVES)),
            {1: voters_of(data.draw(st.permutations(cast)))},
            charter,
            missing=(),
        )
        for _ in range(2)
    }
    assert len(choices) == 1
    (choice,) = choices
    assert (choice.followed == GENESIS) is not have_all_voted(voters_of(cast), charter) or certified(
        voters_of(cast), charter
    )


@settings(max_examples=200, deadline=None)
@given(schedules(), st.data())
def test_a_liar_tears_no_certificate(schedule: tuple[int, list[HeadVote]], data: st.DataObject) -> None:
    """Whatever was kept before, whoever is shown all that certifies a head sees that it is certified."""
    n, cast = schedule
    before = worth_keeping(data.draw(st.permutations(cast))[: data.draw(st.integers(0, len(cast)))])
    head = certified(voters_of(cast), CHARTERS[n])
    kept = worth_keeping([*before, *cast])
    assert certified(voters_of(kept), CHARTERS[n]) == head
    assert all(sum(one.custodian == key.public for one in kept) <= VOTES_EACH for key in KEYS[n])


class TestFollowing:
    charter = CHARTERS[4]

    def choice(self, votes: dict[int, list[HeadVote]], *branches: Branch, missing: tuple[Cid, ...] = ()) -> Cid:
        voters = {epoch: voters_of(some) for epoch, some in votes.items()}
        return chosen(BASE, branches or ALTERNATIVES, voters, self.charter, missing=missing).followed

    def test_nothing_while_one_has_not_voted(self) -> None:
        assert self.choice({1: [vote(4, 0, HEADS[0]), vote(4, 1, HEADS[0]), vote(4, 2, HEADS[1])]}) == GENESIS

    def test_what_q_signed(self) -> None:
        assert self.choice({1: [vote(4, index, HEADS[2]) for index in range(3)]}) == HEADS[2]

    def test_what_most_signed_where_all_did(self) -> None:
        votes = [vote(4, 0, HEADS[0]), vote(4, 1, HEADS[1]), vote(4, 2, HEADS[2]), vote(4, 3, HEADS[2])]
        assert self.choice({1: votes}) == HEADS[2]
        chosen_ = chosen(BASE, ALTERNATIVES, {1: voters_of(votes)}, self.charter, missing=())
        assert chosen_.settled == GENESIS  # a liar's second vote could still settle another one

    def test_the_least_of_those(self) -> None:
        votes = [vote(4, index, HEADS[index]) for index in range(4)]
        assert self.choice({1: votes}) == min(HEADS[:4], key=lambda head: head.binary)

    def test_none_is_drawn_while_one_may_come(self) -> None:
        votes = [vote(4, index, HEADS[index]) for index in range(4)]
        assert self.choice({1: votes}, *ALTERNATIVES[:3], missing=(HEADS[3],)) == GENESIS

    def test_a_certificate_leads_to_what_is_before_it(self) -> None:
        later = Branch(head=HEADS[4], previous=HEADS[3], epoch=2)
        votes = {2: [vote(4, index, HEADS[4], epoch=2) for index in range(3)]}
        assert self.choice(votes, *ALTERNATIVES[:4], later) == HEADS[4]

    def test_the_later_certificate_counts(self) -> None:
        later = Branch(head=HEADS[4], previous=HEADS[3], epoch=2)
        votes = {1: [vote(4, index, HEADS[0]) for index in (0, 1, 3)]}
        votes[2] = [vote(4, index, HEADS[4], epoch=2) for index in (1, 2, 3)]
        assert self.choice(votes, *ALTERNATIVES[:4], later) == HEADS[4]

    def test_what_more_was_voted_for_after_is_drawn(self) -> None:
        """Else all votes of the next epoch could be for what grew from a head that nobody follows."""
        greatest = max(HEADS[:4], key=lambda head: head.binary)
        later = Branch(head=HEADS[4], previous=greatest, epoch=2)
        votes = {1: [vote(4, index, HEADS[index]) for index in range(4)]}
        votes[2] = [vote(4, index, HEADS[4], epoch=2) for index in range(2)]
        votes[2] += [vote(4, index, GENESIS, epoch=2) for index in (2, 3)]
        assert self.choice(votes, *ALTERNATIVES[:4], later) == HEADS[4]


class TestVerification:
    charter = dao(2, custodians=3).charter

    def test_a_strangers_vote(self) -> None:
        with pytest.raises(InvalidSignature):
            verify_votes([vote(4, 0, HEADS[0])], self.charter, genesis=GENESIS)

    def test_another_daos(self) -> None:
        made = dao(2, custodians=3)
        key = made.custodians[0].signing
        good = HeadVote.made(key, GENESIS, 1, HEADS[0])
        verify_votes([good], made.charter, genesis=GENESIS)
        with pytest.raises(InvalidSignature):
            verify_votes([good], made.charter, genesis=HEADS[1])

    @pytest.mark.parametrize("field", ["epoch", "head"])
    def test_a_changed_one(self, field: str) -> None:
        made = dao(2, custodians=3)
        good = HeadVote.made(made.custodians[0].signing, GENESIS, 1, HEADS[0])
        changed = replace(good, epoch=2) if field == "epoch" else replace(good, head=HEADS[1])
        with pytest.raises(InvalidSignature):
            verify_votes([changed], made.charter, genesis=GENESIS)
