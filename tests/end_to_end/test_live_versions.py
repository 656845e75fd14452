"""A newer version opens beside the one that is served, and takes its place at once; nobody is turned away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from enclave.status import State
from tests import builders
from tests.builders import seeded, wallet
from tests.enclaves import PRICE, license_of
from tests.end_to_end.live_scene import CREDIT, Scene
from tests.versions import FIRST, SECOND, of_another_owner, store
from vault.action import Scope
from vault.custody_state import lineage
from vault.errors import RequestConflict, Revoked, ServiceUnavailable, StaleState, TamperedSegment


class TestSwapping:
    def test_the_old_version_answers_until_the_new_one_is_open(self, scene: Scene) -> None:
        second = scene.versions.next()
        with scene.deployment.client() as client:
            scene.begin_opening(second)
            assert scene.texts(client) == set(FIRST)
            assert scene.enclave.instance.status.state is State.SERVING
            scene.let_open()
            scene.until_served(second)
            assert scene.texts(client) == set(SECOND)
        assert scene.credit() == CREDIT - 2 * PRICE

    def test_the_old_engine_ends_once_nobody_asks_it(self, scene: Scene) -> None:
        second = scene.versions.next()
        scene.publish(second)
        scene.until_served(second)
        scene.until(lambda: not scene.engines[0].is_alive)
        assert scene.engines[1].is_alive

    def test_a_question_under_way_is_answered_by_the_version_it_began_with(self, scene: Scene) -> None:
        first, second = scene.versions.sealed[0], scene.versions.next()
        with scene.deployment.client() as client, scene.deployment.client() as other, ThreadPoolExecutor(1) as pool:
            asked = scene.begin(client, pool)
            scene.publish(second)
            scene.until_served(second)
            assert scene.texts(other) == set(SECOND)
            assert scene.engines[0].is_alive
            scene.enclave.on_loop(scene.engines[0].let_go)
            answer = asked.result(20)
        assert {result.passage.text for result in answer.results} == set(FIRST)
        assert {result.manifest for result in answer.results} == {first.manifest.cid()}
        scene.until(lambda: not scene.engines[0].is_alive)
        assert scene.credit() == CREDIT - 2 * PRICE

    def test_one_under_way_as_a_further_dataset_is_adopted_is_answered_too(self, scene: Scene) -> None:
        first, further = scene.versions.sealed[0], of_another_owner(scene.deployment.world)
        history, _ = scene.versions.adopting(further)
        with scene.deployment.client() as client, scene.deployment.client() as other, ThreadPoolExecutor(1) as pool:
            asked = scene.begin(client, pool)
            scene.deployment.custodies.submit(history)
            scene.publish(further)
            scene.until_served(first, further)
            assert scene.texts(other) == set(FIRST)
            scene.enclave.on_loop(scene.engines[0].let_go)
            assert len(asked.result(20).results) == 3

    def test_a_further_dataset_can_be_asked_once_it_is_open(self, scene: Scene) -> None:
        first, further = scene.versions.sealed[0], of_another_owner(scene.deployment.world)
        history, more = scene.versions.adopting(further)
        scene.hold_openings()
        scene.deployment.custodies.submit(history)
        scene.publish(further)
        licensed = license_of(replace(scene.deployment.world, history=history), under=more)
        scene.let_open()
        scene.until_served(first, further)
        with scene.deployment.client(scene.deployment.credential(license=licensed)) as client:
            assert scene.texts(client) == {"Lamps in the lighthouse."}

    def test_of_several_versions_in_a_row_each_takes_the_place_of_the_one_before(self, scene: Scene) -> None:
        for number in range(2, 6):
            version = scene.versions.next((f"Only in version {number}.", *FIRST))
            scene.publish(version)
            scene.until_served(version)
            with scene.deployment.client() as client:
                assert client.search(f"only in version {number}", k=1).results[0].manifest == version.manifest.cid()
        scene.until(lambda: [engine.is_alive for engine in scene.engines] == [False] * 4 + [True])


class TestLeases:
    def test_those_of_the_old_version_are_not_renewed(self, scene: Scene) -> None:
        clock, lease_s = scene.deployment.world.clock, scene.deployment.world.dao.charter.lease_s
        scene.begin_opening(second := scene.versions.next())
        evidence = scene.enclave.instance.last_grounds().terms.evidence
        with scene.deployment.client() as client:
            clock.advance(lease_s - 1)
            assert scene.enclave.step() is State.SERVING
            assert scene.enclave.instance.last_grounds().terms.evidence == evidence
            scene.texts(client)
            clock.advance(1)
            with pytest.raises(StaleState):
                scene.texts(client)
        scene.enclave._naps.end()
        scene.until(lambda: not scene.engines[0].is_alive)
        assert scene.enclave.instance.status.state is State.OPENING
        with pytest.raises(StaleState):
            scene.enclave.instance.serving()
        scene.let_open()
        scene.until_served(second)
        assert len(scene.engines) == 2  # the opening went on
        with scene.deployment.client() as client:
            assert scene.texts(client) == set(SECOND)

    def test_a_custodian_that_does_not_answer_meanwhile_ends_nothing_before_its_time(self, scene: Scene) -> None:
        clock, lease_s = scene.deployment.world.clock, scene.deployment.world.dao.charter.lease_s
        scene.begin_opening(second := scene.versions.next())
        scene.deployment.custodians[0].stop()
        clock.advance(lease_s / 2)
        assert scene.enclave.step() is State.SERVING
        scene.let_open()
        scene.until_served(second)
        clock.advance(lease_s)
        assert scene.enclave.step() is State.STOPPED

    def test_what_is_promised_by_the_new_leases_is_known_by_them(self, scene: Scene) -> None:
        """The receipts of both versions verify, each on the leases that name what it was found in."""
        first, second = scene.versions.sealed[0], scene.versions.next()
        with scene.deployment.client() as client:
            before = client.search("harbor", k=1)
            scene.publish(second)
            scene.until_served(second)
            after = client.search("harbor", k=1)
        assert [one.file.leases[0].terms.manifests for one in (before, after)] == [
            (first.manifest.cid(),),
            (second.manifest.cid(),),
        ]


class TestWhatIsTakenAway:
    @pytest.mark.parametrize("scope", [Scope.DAO, Scope.POLICY, Scope.DATASET, Scope.MEASUREMENT])
    def test_a_revocation_during_an_opening_ends_both_engines_at_once(self, scene: Scene, scope: Scope) -> None:
        world, second = scene.deployment.world, scene.versions.next()
        subjects = {
            Scope.DAO: b"",
            Scope.POLICY: world.policy.cid().binary,
            Scope.DATASET: lineage(second.manifest),
            Scope.MEASUREMENT: world.policy.tees[0].measurements()[0],
        }
        scene.begin_opening(second)
        with scene.deployment.client() as client:
            scene.revoke(scope, subjects[scope])
            assert scene.enclave.step() is State.STOPPED
            with pytest.raises(Revoked):
                scene.texts(client)
        assert [engine.is_alive for engine in scene.engines] == [False, False]
        assert scene.credit() == CREDIT

    def test_one_that_comes_with_the_new_version_ends_the_old_one_at_once(self, scene: Scene) -> None:
        """A policy is dropped for another one in the same breath: nobody may go on under it."""
        world = scene.deployment.world
        stricter = replace(world.policy, title="Stricter", k_max=1)
        decision = builders.carried(world.history, builders.adopting(stricter, world.policy), stricter)
        scene.deployment.custodies.submit(world.decided(decision, stricter))
        scene.deployment.custodies.deposit(second := scene.versions.next())
        with scene.deployment.client() as client:
            assert scene.enclave.step() is State.STOPPED
            assert not scene.engines[0].is_alive
            with pytest.raises((StaleState, ServiceUnavailable)):
                scene.texts(client)
            scene.enclave.step()
            scene.until_served(second)
            with pytest.raises(Revoked):
                scene.texts(client)

    def test_a_question_under_way_on_the_old_version_is_not_answered_after_a_revocation(self, scene: Scene) -> None:
        second = scene.versions.next()
        with scene.deployment.client() as client, ThreadPoolExecutor(1) as pool:
            asked = scene.begin(client, pool)
            scene.publish(second)
            scene.until_served(second)
            scene.revoke(Scope.DATASET, lineage(second.manifest))
            assert scene.enclave.step() is State.STOPPED
            assert [engine.is_alive for engine in scene.engines] == [False, False]
            with pytest.raises((Revoked, ServiceUnavailable)):
                asked.result(20)
        assert scene.credit() == CREDIT

    def test_a_licensee_that_is_shut_out_meanwhile_is_refused_and_the_others_are_not(self, scene: Scene) -> None:
        other = wallet("another licensee")
        scene.deployment.add_credit(CREDIT, other)
        with (
            scene.deployment.client() as client,
            scene.deployment.client(scene.deployment.credential(other)) as served,
            ThreadPoolExecutor(1) as pool,
        ):
            asked = scene.begin(client, pool)
            scene.begin_opening(scene.versions.next())
            scene.revoke(Scope.LICENSEE, wallet("licensee").address)
            assert scene.enclave.step() is State.SERVING
            scene.enclave.on_loop(scene.engines[0].let_go)
            with pytest.raises(Revoked):
                asked.result(20)
            with pytest.raises(Revoked):
                scene.texts(client)
            with pytest.raises(Revoked):
                client.quote(k=1)
            with pytest.raises(Revoked):
                scene.deployment.client()
            assert scene.texts(served) == set(FIRST)
        assert scene.credit() == CREDIT


class TestChangesMeanwhile:
    def test_a_third_version_takes_the_place_of_the_one_that_was_being_opened(self, scene: Scene) -> None:
        waiting = scene.begin_opening(scene.versions.next())
        third = scene.versions.next(("Only the third has this.",))
        scene.publish(third)
        scene.until(lambda: not waiting.is_alive)
        scene.let_open()
        scene.until_served(third)
        with scene.deployment.client() as client:
            assert scene.texts(client) == {"Only the third has this."}

    def test_an_engine_that_dies_while_it_opens_is_started_again(self, scene: Scene) -> None:
        dying = scene.begin_opening(second := scene.versions.next())
        scene.enclave.on_loop(dying.end)
        scene.until(lambda: len(scene.enclave._naps._sleepers) == 2)  # the renewal, and the next try
        with scene.deployment.client() as client:
            assert scene.texts(client) == set(FIRST)
            scene.let_open()
            scene.enclave.step()
            scene.until_served(second)
            assert scene.texts(client) == set(SECOND)

    def test_one_that_cannot_be_fetched_is_tried_again_while_the_old_one_serves(self, scene: Scene) -> None:
        second = scene.versions.next(is_stored=False)
        scene.publish(second)
        with scene.deployment.client() as client:
            for tries in range(3):
                scene.until(lambda tries=tries: len(scene.engines) == tries + 2)
                scene.until(lambda: len(scene.enclave._naps._sleepers) == 2)
                assert not scene.engines[-1].is_alive
                assert scene.texts(client) == set(FIRST)
                scene.enclave.step()
            scene.until(lambda: len(scene.enclave._naps._sleepers) == 2)
            store(scene.deployment.world.blobs, second)
            scene.enclave.step()
            scene.until_served(second)
            assert scene.texts(client) == set(SECOND)

    def test_a_version_that_its_owner_spoiled_ends_nothing_before_the_leases_of_the_old_one_end(
        self, scene: Scene
    ) -> None:
        clock, lease_s = scene.deployment.world.clock, scene.deployment.world.dao.charter.lease_s
        scene.publish(scene.versions.next(corpus_root=seeded("another corpus")))
        scene.until(lambda: len(scene.engines) == 2 and not scene.engines[1].is_alive)
        with scene.deployment.client() as client:
            clock.advance(lease_s - 1)
            scene.enclave.step()
            assert scene.texts(client) == set(FIRST)
        clock.advance(1)
        scene.enclave._naps.end()
        scene.until(lambda: scene.enclave.running.done())
        assert isinstance(scene.enclave.failure(), TamperedSegment)
        assert not any(engine.is_alive for engine in scene.engines)

    def test_one_that_stops_meanwhile_leaves_no_engine_behind(self, scene: Scene) -> None:
        scene.begin_opening(scene.versions.next())
        scene.enclave.close()
        assert [engine.is_alive for engine in scene.engines] == [False, False]
        again = scene.deployment.start_enclave()  # the leases were handed back
        scene.let_open()
        assert again.settle() is State.SERVING

    def test_when_the_serving_engine_dies_the_other_one_follows_it(self, scene: Scene) -> None:
        scene.begin_opening(second := scene.versions.next())
        scene.enclave.on_loop(scene.engines[0].end)
        scene.until(lambda: scene.enclave.instance.status.state is State.OPENING)
        scene.let_open()
        scene.until_served(second)
        assert len(scene.engines) == 2


class TestRepeats:
    ASKED: ClassVar[dict[str, Any]] = {"request_id": seeded("asked"), "salt": seeded("salt")}

    def test_an_answer_from_the_old_version_is_given_again_until_the_new_one_serves(self, scene: Scene) -> None:
        with scene.deployment.client() as client:
            first = client.search("harbor", k=3, **self.ASKED)
            scene.begin_opening(scene.versions.next())
            again = client.search("harbor", k=3, **self.ASKED)
        assert again.is_repeat
        assert again.results == first.results
        assert scene.credit() == CREDIT - PRICE

    def test_after_that_it_is_refunded_once(self, scene: Scene) -> None:
        with scene.deployment.client() as client:
            client.search("harbor", k=3, **self.ASKED)
        scene.publish(second := scene.versions.next())
        scene.until_served(second)
        with scene.deployment.client() as client:  # one that never got it
            with pytest.raises(Exception, match="refunded"):
                client.search("harbor", k=3, **self.ASKED)
            assert scene.credit() == CREDIT
            with pytest.raises(RequestConflict):
                client.search("harbor", k=3, **self.ASKED)
            assert scene.credit() == CREDIT
            assert scene.texts(client) == set(SECOND)

    def test_one_that_was_confirmed_is_not(self, scene: Scene) -> None:
        with scene.deployment.client() as client:
            client.search("harbor", k=3, **self.ASKED)
            scene.publish(second := scene.versions.next())
            scene.until_served(second)
            with pytest.raises(Exception, match="newer version"):
                client.search("harbor", k=3, **self.ASKED)
        assert scene.credit() == CREDIT - PRICE

    def test_what_was_seen_of_the_old_version_counts_as_seen_of_the_new_one(self, scene: Scene) -> None:
        with scene.deployment.client() as client:
            before = client.search("harbor", k=3)
            scene.publish(second := scene.versions.next())
            scene.until_served(second)
            after = client.search("harbor", k=3)
        assert after.receipt.budget_left == before.receipt.budget_left - 1
