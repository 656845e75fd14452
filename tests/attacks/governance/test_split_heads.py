"""Somebody hands each custodian another head of one epoch: they agree on one, and the others are carried out after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from tests import builders
from tests.builders import Scope, published
from tests.deployment import deployed
from tests.enclaves import Custodians, LocalTaker, World, opening, world
from tests.governing import GUARDIANS, act, batch, choice, guardians_act
from tests.peers import Backup, LocalPeer, Unreachable, others, visit
from tests.people import wallet
from vault.client import CustodyClient
from vault.custody import Custody
from vault.errors import ForkedHistory, NotYet, StaleState, VaultError
from vault.handing import handed_to_all, votes_exchanged
from vault.head import Head
from vault.head_vote import HeadVote
from vault.history import Cause, History, advanced, cause_from
from vault.lease import EMPTY_ANCHOR
from vault.vote_delegation import DelegationBatch

MEMBERS = [wallet(f"member {n}") for n in range(3)]
GUARDED: dict[str, Any] = {
    "guardians": tuple(key.address for key in GUARDIANS),
    "guardian_signatures": 2,
}


@dataclass(frozen=True)
class Split:
    """Custodians, and heads of one epoch to hand them."""

    world: World
    custodians: Custodians

    @property
    def all(self) -> list[Custody]:
        return self.custodians.all

    def after(self, cause: Cause) -> History:
        """Return the history that a cause leads to; its blocks are in the world's."""
        for record in (
            cause,
            after := advanced(self.world.history, cause, self.world.blobs.get, at=self.world.clock()),
        ):
            blob = record.head if isinstance(record, History) else record
            self.world.blobs.put(blob.cid(), blob.encoded())
        return after

    def decided(self, *subjects: bytes) -> list[History]:
        """Return a history for each of several decisions, all carried at once."""
        return [
            published(
                self.world.blobs,
                self.world.history,
                builders.carried(self.world.history, builders.revoking(Scope.LICENSEE, subject)),
            )
            for subject in subjects
        ]

    def hand(self, index: int, history: History) -> None:
        self.all[index].submit_head(history.heads[-1], self.world.blocks().items())

    def converge(self, *, but: int | None = None) -> None:
        """Have every custodian visit the others, until nothing changes."""
        for _ in range(3):
            for index, custody in enumerate(self.all):
                peers = [
                    (lambda one=one: LocalPeer(one)) if n != but else Unreachable
                    for n, one in enumerate(self.all)
                    if n != index
                ]
                if index != but:
                    visit(custody, peers)

    def tip(self, custody: Custody) -> History:
        return custody.succession.contest(self.world.genesis).followed

    def agreed(self, *, but: int | None = None) -> History:
        tips = [self.tip(custody) for n, custody in enumerate(self.all) if n != but]
        assert len({one.heads for one in tips}) == 1
        return tips[0]


@pytest.fixture
def split(tmp_path: Path) -> Iterator[Split]:
    setting = world(custodians=3, **GUARDED)
    with Custodians(setting, tmp_path) as made:
        yield Split(setting, made)


def delegations(history: History, *, sequence: int = 0) -> list[DelegationBatch]:
    """Return three batches: each of another member, so all can be carried out, one after the other."""
    pairs = zip(MEMBERS, [*MEMBERS[1:], MEMBERS[0]], strict=True)
    return [batch(history, choice(history, one, other, sequence=sequence)) for one, other in pairs]


def causes_of(split: Split, history: History) -> list[Any]:
    heads = history.heads[split.world.history.head.epoch + 1 :]
    blobs = split.all[0].station.blobs
    return [cause_from(blobs.get(Head.from_bytes(blobs.get(head)).cause)) for head in heads]  # type: ignore[arg-type]


def own_heads(custody: Custody, split: Split, epoch: int) -> set[Cid]:
    """Return what a custodian shows as its votes of an epoch."""
    votes, _ = custody.head_votes(split.world.genesis)
    return {vote.head for vote in votes if (vote.custodian, vote.epoch) == (custody.public.key, epoch)}


def test_another_batch_for_each_custodian(split: Split) -> None:
    batches = delegations(split.world.history)
    for index, one in enumerate(batches):
        split.hand(index, split.after(one))
    assert {split.tip(custody).head.epoch for custody in split.all} == {split.world.history.head.epoch}
    split.converge()
    after = split.agreed()
    assert after.head.epoch == split.world.history.head.epoch + 3
    assert {one.cid() for one in causes_of(split, after)} == {one.cid() for one in batches}


def test_batches_of_one_member_that_exclude_one_another(split: Split) -> None:
    """Only one of them can ever hold; the DAO goes on all the same."""
    history, one = split.world.history, MEMBERS[0]
    for index, other in enumerate([MEMBERS[1], MEMBERS[2], one]):
        split.hand(index, split.after(batch(history, choice(history, one, other))))
    split.converge()
    after = split.agreed()
    assert after.head.epoch == history.head.epoch + 1
    then = published(split.world.blobs, after, builders.carried(after, builders.revoking(Scope.LICENSEE, bytes(20))))
    split.custodians.submit(then)
    assert split.agreed().heads == then.heads


def test_custodians_vote_for_delegations_no_more_often_than_the_charter_says(tmp_path: Path) -> None:
    """Whoever hands each of them another batch, or a chain of batches, uses up no more epochs; votes are followed."""
    setting = world(custodians=3, delegations_every_s=100, **GUARDED)
    with Custodians(setting, tmp_path) as made:
        split, start = Split(setting, made), setting.history.head.epoch
        first, second, third = delegations(setting.history)
        chain = Split(replace(setting, history=split.after(first)), made).after(second)
        for index, one in enumerate([chain, chain, split.after(third)]):
            with suppress(NotYet):
                split.hand(index, one)
        for epoch in (start + 1, start + 2, start + 3):
            split.converge()
            assert split.agreed().head.epoch == epoch
            for custody in split.all:
                votes, _ = custody.head_votes(setting.genesis)
                assert all(vote.epoch <= epoch for vote in votes)
            setting.clock.advance(100)
        assert {one.cid() for one in causes_of(split, split.agreed())} == {one.cid() for one in (first, second, third)}


def test_a_batch_that_came_too_soon_for_one_custodian_is_followed_once_the_others_signed_it(tmp_path: Path) -> None:
    """A clock that is behind holds up this custodian's vote, and not its following."""
    setting = world(custodians=3, delegations_every_s=100, **GUARDED)
    with Custodians(setting, tmp_path) as made:
        split = Split(setting, made)
        first, second, _ = delegations(setting.history)
        made.submit(split.after(first))
        after = Split(replace(setting, history=split.after(first)), made)
        with pytest.raises(NotYet, match="delegations are taken again"):
            split.hand(0, after.after(second))
        setting.clock.advance(100)
        grown = after.after(second)
        votes = [
            HeadVote.made(setting.dao.custodians[n].signing, setting.genesis, grown.head.epoch, grown.heads[-1])
            for n in (1, 2)
        ]
        setting.clock.advance(-100)
        blocks = setting.blocks().items()
        assert split.all[0].submit_head(grown.heads[-1], blocks, votes[:1]) == grown.head.epoch - 1
        assert own_heads(split.all[0], split, grown.head.epoch) == set()
        assert split.all[0].submit_head(grown.heads[-1], blocks, votes) == grown.head.epoch
        assert own_heads(split.all[0], split, grown.head.epoch) == set()


def test_two_decisions_at_once(split: Split) -> None:
    first, second = split.decided(bytes(20), bytes([1]) * 20)
    split.hand(0, first)
    split.hand(1, second)
    split.hand(2, second)
    split.converge()
    after = split.agreed()
    assert after.heads[: len(second.heads)] == second.heads
    assert {one.subject for one in after.head.revocations} == {bytes(20), bytes([1]) * 20}


def test_a_revocation_of_guardians_against_a_decision(split: Split) -> None:
    history = split.world.history
    (decided,) = split.decided(bytes(20))
    split.hand(0, decided)
    split.hand(1, decided)
    signed = guardians_act(history, act(history, revokes=Scope.DAO, subject=b""))
    split.all[2].voting.acting.submit_act(signed)
    split.converge()
    after = split.agreed()
    assert after.heads[: len(decided.heads)] == decided.heads
    assert not after.policies


def test_one_is_down(split: Split) -> None:
    batches = delegations(split.world.history)
    split.hand(0, split.after(batches[0]))
    split.hand(1, split.after(batches[0]))
    split.converge(but=2)
    assert split.agreed(but=2).head.epoch == split.world.history.head.epoch + 1


def test_a_split_waits_for_the_one_that_is_down(split: Split) -> None:
    batches = delegations(split.world.history)
    for index in (0, 1):
        split.hand(index, split.after(batches[index]))
    split.converge(but=2)
    assert split.agreed(but=2).heads == split.world.history.heads
    split.converge()
    assert split.agreed().head.epoch == split.world.history.head.epoch + 2


def test_whoever_hands_in_carries_the_votes_around(split: Split) -> None:
    """No custodian reaches another one here."""
    after = split.after(delegations(split.world.history)[0])
    takers = {custody.public.key: LocalTaker(custody) for custody in split.all}
    handed = handed_to_all(takers, after.heads[-1], split.world.blocks(), genesis=after.genesis, charter=after.charter)
    assert set(handed.followed_by) == set(takers)
    assert split.agreed().heads == after.heads


def test_whoever_loses_is_told_what_won(split: Split) -> None:
    first, second = split.decided(bytes(20), bytes([1]) * 20)
    split.custodians.submit(first)
    takers = {custody.public.key: LocalTaker(custody) for custody in split.all}
    with pytest.raises(ForkedHistory, match=str(first.heads[-1])):
        handed_to_all(takers, second.heads[-1], split.world.blocks(), genesis=first.genesis, charter=first.charter)


def test_an_act_settles_once_votes_are_exchanged(split: Split) -> None:
    history = split.world.history
    signed = guardians_act(history, act(history))
    for custody in split.all:
        custody.voting.acting.submit_act(signed)
    takers = {custody.public.key: LocalTaker(custody) for custody in split.all}
    assert not votes_exchanged(takers, genesis=history.genesis, charter=history.charter)
    assert not split.agreed().policies


class TestLeases:
    """A revocation that waits for its head ends leases at once, at whoever holds it."""

    def opened(self, split: Split) -> Any:
        return opening(split.world, split.custodians.local()).open(EMPTY_ANCHOR)[0]

    @pytest.mark.parametrize(
        ("scope", "subject"),
        [
            (Scope.DAO, lambda split: b""),
            (Scope.POLICY, lambda split: split.world.policy.cid().binary),
            (Scope.DATASET, lambda split: split.world.policy.datasets[0].lineage(split.world.genesis)),
            (Scope.MEASUREMENT, lambda split: split.world.policy.tees[0].measurements()[0]),
            (Scope.LICENSEE, lambda split: bytes(20)),
        ],
    )
    def test_a_revocation_that_two_of_three_hold(self, split: Split, scope: Scope, subject: Any) -> None:
        """n-q+f+1 = 2: of the third one alone there are too few leases."""
        self.opened(split)
        history = split.world.history
        signed = guardians_act(history, act(history, revokes=scope, subject=subject(split)))
        for index in (0, 1):
            split.all[index].voting.acting.submit_act(signed)
        assert {split.tip(custody).head.epoch for custody in split.all} == {history.head.epoch}
        with pytest.raises(VaultError):
            self.opened(split)

    def test_one_that_came_after_another_vote(self, split: Split) -> None:
        """These two voted for delegations; the act waits, and counts all the same."""
        history = split.world.history
        pending = split.after(delegations(history)[0])
        for index in (0, 1):
            split.hand(index, split.after(delegations(history)[index]))
            assert split.all[index].succession.leasing(history.genesis).restricted_by
        assert pending.policies
        self.opened(split)
        signed = guardians_act(history, act(history))
        for index in (0, 1):
            split.all[index].voting.acting.submit_act(signed)
        with pytest.raises(VaultError):
            self.opened(split)

    def test_delegations_that_wait_end_none(self, split: Split) -> None:
        """Of all three they wait for the next head; leases name the settled one meanwhile, and no policy is lost."""
        history = split.world.history
        for index, one in enumerate(delegations(history)):
            split.hand(index, split.after(one))
        assert all(custody.succession.leasing(history.genesis).restricted_by for custody in split.all)
        grounds = self.opened(split)
        assert {lease.custodian for lease in grounds.leases} == {custody.public.key for custody in split.all}
        assert {lease.terms.head for lease in grounds.leases} == {history.heads[-1]}
        assert grounds.history.policies == history.policies


class TestRestored:
    def test_it_votes_for_nothing_else_than_before(self, split: Split, tmp_path: Path) -> None:
        backup = Backup(split.world, split.custodians, tmp_path)
        first, second = (split.after(one) for one in delegations(split.world.history)[:2])
        split.hand(0, first)
        visit(split.all[0], others(split.custodians)[:1])
        with backup.started() as restored:
            restored.submit_head(second.heads[-1], split.world.blocks().items())
            assert own_heads(restored, split, first.head.epoch) == set()
            split.world.clock.advance(61)
            visit(restored, others(split.custodians))
            own = restored.succession.contest(split.world.genesis).own
            assert own[first.head.epoch] == first.heads[-1]

    def test_a_vote_that_it_forgot_shows_that_it_was_set_back(self, split: Split, tmp_path: Path) -> None:
        backup = Backup(split.world, split.custodians, tmp_path)
        first = split.after(delegations(split.world.history)[0])
        split.hand(0, first)
        votes, _ = split.all[0].head_votes(split.world.genesis)
        with backup.started(is_marked=False) as restored:
            assert not restored.catching_up.is_behind(split.world.genesis)
            restored.hear_votes(split.world.genesis, votes)
            assert restored.catching_up.is_behind(split.world.genesis)
            with pytest.raises(NotYet):
                restored.challenge(bytes(32), bytes(32))


def test_a_restart_forgets_no_vote(split: Split) -> None:
    first, second = (split.after(one) for one in delegations(split.world.history)[:2])
    split.hand(0, first)
    before = split.all[0].head_votes(split.world.genesis)
    again = split.custodians.restart(0)
    assert again.head_votes(split.world.genesis) == before
    again.submit_head(second.heads[-1], split.world.blocks().items())
    assert own_heads(again, split, first.head.epoch) == {first.heads[-1]}


def test_one_liar_of_four_votes_twice(tmp_path: Path) -> None:
    setting = world(custodians=4, liars=1, **GUARDED)
    with Custodians(setting, tmp_path) as made:
        split = Split(setting, made)
        first, second = (split.after(one) for one in delegations(setting.history)[:2])
        key = setting.dao.custodians[3].signing
        lies = [HeadVote.made(key, setting.genesis, one.head.epoch, one.heads[-1]) for one in (first, second)]
        blocks = setting.blocks().items()
        made.all[0].submit_head(first.heads[-1], blocks, lies[:1])
        made.all[1].submit_head(first.heads[-1], blocks, lies[:1])
        made.all[2].submit_head(second.heads[-1], blocks, lies[1:])
        split.converge(but=3)
        after = split.agreed(but=3)
        assert after.heads[: len(first.heads)] == first.heads


def test_over_the_network(tmp_path: Path) -> None:
    with deployed(tmp_path, world(custodians=3, **GUARDED), is_started=False) as made:
        split = Split(made.world, made.custodies)
        after = split.after(delegations(made.world.history)[0])
        takers = {client.custodian.key: client for client in made.services()}
        handed = handed_to_all(
            takers, after.heads[-1], made.world.blocks(), genesis=after.genesis, charter=after.charter
        )
        assert set(handed.followed_by) == set(takers)
        assert split.agreed().heads == after.heads
        with CustodyClient.connect(made.custodians[0].address) as client, pytest.raises(StaleState):
            client.submit_head(made.world.history.heads[0], made.world.blocks())
