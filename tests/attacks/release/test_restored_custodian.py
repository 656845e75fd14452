"""A custodian that was set back in time signs nothing until it knows what it forgot (rule F5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.keys import InstanceKeys
from tests import builders
from tests.attacks.release.asking import Asking, log_root
from tests.builders import Scope, sealed_dataset, seeded
from tests.enclaves import APPRAISER, Clock, Custodians, LocalCustodian, opening, world
from tests.peers import Backup, LocalPeer, Unreachable, others, visit
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.custody_state import CustodyState, StateQuestion
from vault.errors import ForkedHistory, NotYet, Revoked, StaleState
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR, Anchor, agreed_terms, ledger_id
from vault.machine import MachineKey
from vault.window import WindowId

WORLD = world(custodians=3)  # q = t = 2, f = 0
LEASE_S = WORLD.dao.charter.lease_s
LEDGER = ledger_id(WORLD.genesis)
BEFORE = Anchor(sequence=5, mac=seeded("entry 5"))
NOW_AT = Anchor(sequence=9, mac=seeded("entry 9"))
WAITING = "waiting for the state of 2 other custodians; name them with --peer"


class Past:
    """An instance serves; custodian 0 is backed up; then the ledger grows, and another instance takes over."""

    def __init__(self, folder: Path, custodians: Custodians) -> None:
        self.custodians = custodians
        self.world = custodians.world
        self.first, self.second = InstanceKeys.fresh(), InstanceKeys.fresh()
        self.each(self.first, lambda asking: (asking.release(), asking.renew(BEFORE)))
        self.backup = Backup(self.world, custodians, folder)
        self.each(self.first, lambda asking: (asking.renew(NOW_AT), asking.hand_back(NOW_AT)))
        self.each(self.second, lambda asking: (asking.release(anchor=NOW_AT), asking.renew(NOW_AT)))

    def each(self, keys: InstanceKeys, ask: Callable[[Asking], Any]) -> None:
        for index in range(len(self.custodians.all)):
            ask(Asking(self.world, self.custodians, index=index, keys=keys))

    def asking(self, custody: Custody, keys: InstanceKeys | None = None) -> Asking:
        """Return an enclave in front of the restored custodian."""
        asking = Asking(self.world, self.custodians, keys=keys)
        asking.custody = custody
        return asking

    def question(self, index: int) -> StateQuestion:
        """Return what another custodian asks the restored one."""
        asker = self.custodians.all[index].catching_up
        return asker.question(self.world.genesis, self.custodians.all[0].public.key)

    def wait(self) -> None:
        self.world.clock.advance(NONCE_LIFETIME_S)

    def caught_up(self, custody: Custody) -> Custody:
        self.wait()
        visit(custody, others(self.custodians))
        assert not custody.catching_up.is_behind(self.world.genesis)
        return custody


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    setting = replace(world(custodians=3), clock=Clock())
    with Custodians(setting, tmp_path) as custodians:
        yield Past(tmp_path, custodians)


@pytest.fixture
def restored(past: Past) -> Iterator[Custody]:
    with past.backup.started() as custody:
        yield custody


def test_had_it_signed_what_it_remembers_it_would_have_done_harm(past: Past) -> None:
    """The attacks below are real: a copy that does not know it is old leases a second instance at an old anchor."""
    revoked = past.world.decided(builders.carried(past.world.history, builders.revoking(Scope.DAO)))
    past.custodians.submit(revoked)
    with past.backup.started(is_marked=False) as custody:
        lease = past.asking(custody, past.first).release(anchor=BEFORE).lease
    assert (lease.terms.anchor, lease.terms.instance) == (BEFORE, past.first.instance)
    assert lease.terms.epoch < revoked.head.epoch


class TestAlone:
    def test_it_signs_nothing(self, past: Past, restored: Custody) -> None:
        past.wait()
        asking = past.asking(restored)
        for ask in (
            asking.challenge,
            lambda: restored.deposit_share(past.world.dataset.manifest, past.world.dataset.deposits[0]),
            lambda: past.asking(restored, past.second).hand_back(NOW_AT),
            lambda: restored.catching_up.answer(past.question(1)),
        ):
            with pytest.raises(NotYet, match=WAITING):
                ask()

    def test_unreachable_peers_change_nothing_and_delay_nothing(self, past: Past, restored: Custody) -> None:
        past.wait()
        visit(restored, [Unreachable, Unreachable])
        with pytest.raises(NotYet, match=WAITING):
            past.asking(restored).challenge()

    def test_it_still_takes_heads_and_says_who_it_is(self, past: Past, restored: Custody) -> None:
        after = past.world.decided(builders.carried(past.world.history, builders.revoking(Scope.DAO)))
        past.custodians.submit(after, but=[0])
        votes, _ = past.custodians.all[1].head_votes(past.world.genesis)
        assert (
            restored.submit_head(after.head.cid(), past.world.blocks().items()) < after.head.epoch
        )  # it votes on none
        assert restored.submit_head(after.head.cid(), past.world.blocks().items(), votes) == after.head.epoch
        assert restored.identify(bytes(32), bytes(32))[0] == restored.public

    def test_a_challenge_from_before_brings_no_lease(self, past: Past) -> None:
        """What was begun before a custodian found itself set back is not finished after."""
        visit(past.custodians.all[0], others(past.custodians))
        with past.backup.started(is_marked=False) as custody:
            asking = past.asking(custody)
            binding = asking.binding()
            visit(custody, others(past.custodians)[:1])
            with pytest.raises(NotYet, match=WAITING):
                asking.release(binding, anchor=BEFORE)

    def test_one_other_is_not_enough(self, past: Past, restored: Custody) -> None:
        past.wait()
        visit(restored, others(past.custodians)[:1])
        visit(restored, others(past.custodians)[:1])
        with pytest.raises(NotYet, match=WAITING):
            past.asking(restored).challenge()

    def test_nor_are_others_that_were_restored_themselves(self, past: Past, restored: Custody) -> None:
        past.wait()
        past.custodians.all[1].station.store.mark_restored(past.world.clock())  # type: ignore[attr-defined]
        past.custodians.restart(1)
        visit(restored, others(past.custodians))
        assert restored.catching_up.is_behind(past.world.genesis)

    def test_a_new_dao_has_to_be_caught_up_with_too(self, past: Past, restored: Custody) -> None:
        """Or a DAO founded after the backup, forgotten whole, would be leased as if it were new."""
        past.caught_up(restored)
        young = replace(world(custodians=3, name="Young"), clock=past.world.clock)
        restored.submit_head(young.history.head.cid(), young.blocks().items())
        with pytest.raises(NotYet, match=WAITING):
            restored.deposit_share(young.dataset.manifest, young.dataset.deposits[0])

    def test_answers_count_only_once_forgotten_evidence_has_expired(self, past: Past, restored: Custody) -> None:
        """An instance may hold a lease of ours that nobody knows of, and evidence good for others' for a minute."""
        past.world.clock.advance(NONCE_LIFETIME_S - 1)
        visit(restored, others(past.custodians))
        assert restored.catching_up.is_behind(past.world.genesis)
        past.world.clock.advance(1)
        visit(restored, others(past.custodians))
        assert not restored.catching_up.is_behind(past.world.genesis)


class TestWithOthers:
    def test_it_leases_no_second_instance(self, past: Past, restored: Custody) -> None:
        past.caught_up(restored)
        with pytest.raises(NotYet, match="another instance holds this ledger"):
            past.asking(restored, past.first).release(anchor=NOW_AT)

    def test_it_leases_no_ledger_that_was_rolled_back(self, past: Past, restored: Custody) -> None:
        past.caught_up(restored)
        for anchor in (BEFORE, EMPTY_ANCHOR, replace(NOW_AT, mac=seeded("forged"))):
            with pytest.raises(ForkedHistory, match="anchored"):
                past.asking(restored, past.second).renew(anchor)

    def test_it_leases_under_no_policy_that_was_revoked_since(self, past: Past, restored: Custody) -> None:
        past.custodians.submit(past.world.decided(builders.carried(past.world.history, builders.revoking(Scope.DAO))))
        past.caught_up(restored)
        with pytest.raises(Revoked):
            past.asking(restored, past.second).renew(NOW_AT)

    def test_it_reports_the_windows_that_are_open_and_forgets_those_that_are_not(
        self, past: Past, restored: Custody
    ) -> None:
        assert [window.instance for window in restored.station.store.open_windows(LEDGER)] == [past.first.instance]
        past.caught_up(restored)
        found = restored.station.store.open_windows(LEDGER)
        assert [window.id() for window in found] == [WindowId(instance=past.second.instance, start=NOW_AT.sequence)]

    def test_it_registers_no_other_manifest_of_a_version(self, past: Past, restored: Custody) -> None:
        first = past.world.dataset.manifest
        second = sealed_dataset(past.world.dao, version=2, previous=first.cid())
        forked = sealed_dataset(past.world.dao, ("Other texts.",), version=2, previous=first.cid())
        past.custodians.deposit(second)
        past.caught_up(restored)
        with pytest.raises(ForkedHistory, match="version 2 has another manifest"):
            restored.deposit_share(forked.manifest, forked.deposits[0])
        with pytest.raises(StaleState):
            restored.deposit_share(first, past.world.dataset.deposits[0])
        restored.deposit_share(second.manifest, second.deposits[0])

    def test_it_goes_on_as_if_nothing_had_happened(self, past: Past, restored: Custody) -> None:
        """The instance that serves renews at all three, and they agree."""
        past.caught_up(restored)
        three = [restored, *past.custodians.all[1:]]
        asked = opening(past.world, [LocalCustodian(custody) for custody in three], keys=past.second)
        grounds = asked.renew(NOW_AT, log_root(NOW_AT), past.world.history)
        assert {lease.custodian for lease in grounds.leases} == {custody.public.key for custody in three}
        assert agreed_terms(grounds.leases, past.world.dao.charter, genesis=WORLD.genesis, at=grounds.time_base)
        assert restored.catching_up.answer(past.question(1)).standing.anchor == NOW_AT

    def test_it_stays_caught_up_over_a_restart(self, past: Past) -> None:
        with past.backup.started() as custody:
            past.caught_up(custody)
            again = Custody(
                *(custody.station.keys, custody.station.store, custody.station.blobs, APPRAISER),
                clock=past.world.clock,
                production=False,
            )
            assert past.asking(again, past.second).renew(NOW_AT).lease.terms.anchor == NOW_AT


class Lying(LocalPeer):
    """Answers with a state of its own making."""

    def __init__(self, custody: Custody, key: MachineKey, **fields: Any) -> None:
        super().__init__(custody)
        self._key, self._fields = key, fields

    def custody_state(self, question: StateQuestion) -> CustodyState:
        return replace(super().custody_state(question), **self._fields).signed_by(self._key)


class Replaying(LocalPeer):
    """Answers every question as it answered the first one."""

    answers: dict[bytes, CustodyState]

    def custody_state(self, question: StateQuestion) -> CustodyState:
        return self.answers.setdefault(self.custodian.key, super().custody_state(question))


class TestLiars:
    def key(self, past: Past, index: int) -> MachineKey:
        return past.world.dao.custodians[index].signing

    def test_a_stranger_answers_for_nobody(self, past: Past, restored: Custody) -> None:
        stranger = MachineKey(seeded("stranger"))
        past.wait()

        def posing() -> Any:
            return Lying(past.custodians.all[1], stranger, custodian=stranger.public)

        visit(restored, [posing, *others(past.custodians)[1:]])
        assert restored.catching_up.is_behind(past.world.genesis)

    def test_nor_does_one_custodian_for_two(
        self, past: Past, restored: Custody, caplog: pytest.LogCaptureFixture
    ) -> None:
        past.wait()

        class Relay(LocalPeer):
            def custody_state(self, question: StateQuestion) -> CustodyState:
                return past.custodians.all[1].catching_up.answer(
                    replace(question, asked=self.asked).signed_by(self.key)
                )

            asked, key = past.custodians.all[1].public.key, self.key(past, 0)  # as if even the asker's key were known

        visit(restored, [lambda: LocalPeer(past.custodians.all[1]), lambda: Relay(past.custodians.all[2])])
        assert any("another custodian's state" in record.message for record in caplog.records)
        assert restored.catching_up.is_behind(past.world.genesis)

    def test_an_older_answer_is_not_taken_for_a_fresh_one(self, past: Past, restored: Custody) -> None:
        Replaying.answers = {}
        replaying = [lambda: Replaying(past.custodians.all[1]), others(past.custodians)[1]]
        visit(restored, replaying)
        past.wait()
        visit(restored, replaying)
        assert restored.catching_up.is_behind(past.world.genesis)

    def test_an_endless_lease_blocks_nobody(self, past: Past, restored: Custody) -> None:
        past.wait()
        end = past.world.clock() + LEASE_S + CLOCK_SKEW_S + 1
        standing = replace(past.custodians.all[1].catching_up._store.standing(LEDGER), not_after=end)
        visit(restored, [lambda: Lying(past.custodians.all[1], self.key(past, 1), standing=standing)])
        assert restored.station.store.standing(LEDGER).not_after < end
        past.caught_up(restored)

    def test_who_has_caught_up_settles_what_the_others_are_divided_about(self, past: Past, restored: Custody) -> None:
        revoked = builders.carried(past.world.history, builders.revoking(Scope.DAO))
        other = builders.carried(past.world.history, builders.revoking(Scope.POLICY, past.world.policy.cid().binary))
        for index, decision in ((1, revoked), (2, other)):
            after = past.world.decided(decision)
            past.custodians.all[index].submit_head(after.head.cid(), past.world.blocks().items())
        past.wait()
        for _ in range(2):
            visit(restored, others(past.custodians))
        assert not restored.catching_up.is_behind(past.world.genesis)
        ((_, head, epoch),) = restored.catching_up.tips(restored.public.key)
        assert epoch == past.world.history.head.epoch + 2  # what came second is carried out after what came first
        for index in (1, 2):
            visit(past.custodians.all[index], [lambda: LocalPeer(restored)])
            assert past.custodians.all[index].catching_up.tips(restored.public.key) == [
                (past.world.genesis, head, epoch)
            ]

    def test_an_anchor_that_contradicts_another_is_said_aloud(
        self, past: Past, restored: Custody, caplog: pytest.LogCaptureFixture
    ) -> None:
        past.wait()
        standing = past.custodians.all[1].catching_up._store.standing(LEDGER)
        forged = replace(standing, anchor=replace(NOW_AT, mac=seeded("forged")))
        visit(
            restored,
            [lambda: Lying(past.custodians.all[1], self.key(past, 1), standing=forged), others(past.custodians)[1]],
        )
        assert restored.catching_up.is_behind(past.world.genesis)
        assert any(record.levelname == "ERROR" and "one of them" in record.message for record in caplog.records)

    def test_a_manifest_its_owner_did_not_sign_is_not_registered(self, past: Past, restored: Custody) -> None:
        class Forging(LocalPeer):
            def manifests(self, genesis: Any, after: bytes) -> Any:
                page, following = super().manifests(genesis, after)
                return [replace(manifest, title="Forged") for manifest in page], following

        past.wait()
        visit(restored, [lambda: Forging(past.custodians.all[1]), others(past.custodians)[1]])
        assert restored.catching_up.is_behind(past.world.genesis)


class TestCopiedBackByHand:
    """Nobody ran `restore`: an old database lies where the new one was."""

    def test_it_is_shown_its_own_later_question_and_stops(self, past: Past) -> None:
        visit(past.custodians.all[0], others(past.custodians))
        with past.backup.started(is_marked=False) as custody:
            visit(custody, others(past.custodians)[:1])
            with pytest.raises(NotYet, match=WAITING):
                past.asking(custody).challenge()
            past.caught_up(custody)
            visit(custody, others(past.custodians))
            assert not custody.catching_up.is_behind(past.world.genesis)
            past.asking(custody, past.second).renew(NOW_AT)

    def test_one_that_was_not_set_back_goes_on(self, past: Past) -> None:
        for _ in range(3):
            visit(past.custodians.all[0], others(past.custodians))
        past.custodians.restart(0)
        visit(past.custodians.all[0], others(past.custodians))
        assert past.custodians.all[0].station.store.restored_at() is None
        past.asking(past.custodians.all[0], past.second).renew(NOW_AT)

    def test_even_unnoticed_it_takes_over_the_anchor_that_others_remember_before_it_serves(self, past: Past) -> None:
        with past.backup.started(is_marked=False) as custody:
            visit(custody, others(past.custodians))
            for keys in (past.first, past.second):
                with pytest.raises(ForkedHistory, match="anchored"):
                    past.asking(custody, keys).release(anchor=BEFORE)

    def test_an_old_question_handed_on_by_somebody_sets_nobody_back(self, past: Past) -> None:
        mine, asked = past.custodians.all[0].catching_up, past.custodians.all[1].catching_up
        old = mine.question(past.world.genesis, past.custodians.all[1].public.key)
        visit(past.custodians.all[0], others(past.custodians))
        asked.answer(old)
        visit(past.custodians.all[0], others(past.custodians))
        assert past.custodians.all[0].station.store.restored_at() is None

    def test_nobody_can_ask_in_its_name(self, past: Past) -> None:
        asked, stranger = past.custodians.all[1].catching_up, MachineKey(seeded("stranger"))
        question = past.custodians.all[0].catching_up.question(past.world.genesis, past.custodians.all[1].public.key)
        with pytest.raises(Exception, match="not signed by machine key"):
            asked.answer(replace(question, number=10**9))
        with pytest.raises(Exception, match="only a custodian of this DAO"):
            asked.answer(replace(question, custodian=stranger.public, number=10**9).signed_by(stranger))


def test_with_one_custodian_nobody_remembers_so_it_waits_for_its_leases_to_end(tmp_path: Path) -> None:
    setting = replace(world(), clock=Clock())
    with Custodians(setting, tmp_path) as custodians:
        Asking(setting, custodians).release()
        backup = Backup(setting, custodians, tmp_path)
        with backup.started() as custody:
            asking = Asking(setting, custodians)
            asking.custody = custody
            setting.clock.advance(LEASE_S + CLOCK_SKEW_S - 1)
            with pytest.raises(NotYet, match=r"no other custodian remembers.* ask again in 1 s"):
                asking.challenge()
            setting.clock.advance(1)
            assert asking.release().lease.terms.instance == asking.keys.instance


def test_a_custodian_is_told_of_no_dao_that_is_not_its_own(past: Past) -> None:
    asked = past.custodians.all[1].catching_up
    assert asked.tips(seeded("stranger")) == []
    with pytest.raises(StaleState):
        asked.chain(world(name="Other").genesis, None)
