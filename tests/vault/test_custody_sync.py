"""Heads gossip among running custodians, over real servers: nobody can keep a revocation from those it reaches (F4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.status import State
from tests import builders
from tests.builders import Scope
from tests.deployment import Deployment, deployed
from tests.enclaves import Custodians, world
from tests.peers import Gossip, LocalPeer, Unreachable, others, visit
from vault.client import CustodyClient
from vault.custody_sync import CustodySync
from vault.history import History

WORLD_OF_THREE: dict[str, Any] = {"custodians": 3}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path, world(**WORLD_OF_THREE)) as made, gossiping(made):
        yield made


def gossiping(made: Deployment) -> Gossip:
    return Gossip(made.loop, made.custodies.all, [custodian.address for custodian in made.custodians])


def revocation(made: Deployment) -> History:
    return made.world.decided(builders.carried(made.world.history, builders.revoking(Scope.DAO)))


def epochs(made: Any) -> set[int]:
    return {custody.catching_up.tips(custody.public.key)[0][2] for custody in made.custodies.all}


def hand_in(made: Deployment, index: int, history: History) -> None:
    with CustodyClient.connect(made.custodians[index].address) as client:
        client.submit_head(history.head.cid(), made.world.blocks())


def test_a_revocation_handed_to_one_reaches_all_and_ends_the_serving(deployment: Deployment) -> None:
    after = revocation(deployment)
    hand_in(deployment, 2, after)
    deployment.until(lambda: epochs(deployment) == {after.head.epoch})
    assert deployment.enclave.step() is State.STOPPED
    assert "revoked" in deployment.enclave.instance.status.reason


def test_a_custodian_that_was_away_hears_of_it_when_it_is_back(tmp_path: Path) -> None:
    with deployed(tmp_path, world(**WORLD_OF_THREE)) as made:
        made.custodians[0].stop()
        after = revocation(made)
        with gossiping(made):
            hand_in(made, 1, after)
            made.until(lambda: epochs(made) == {1, after.head.epoch} or epochs(made) == {after.head.epoch})
            made.custodians[0].start()
            made.until(lambda: epochs(made) == {after.head.epoch})


def test_a_new_dao_reaches_the_others_from_its_charter_on(tmp_path: Path) -> None:
    setting = world(**WORLD_OF_THREE)
    with Custodians(setting, tmp_path) as custodians:
        young = world(custodians=3, name="Young")
        custodians.all[0].submit_head(young.history.head.cid(), young.blocks().items())
        visit(custodians.all[0], others(custodians))
        for custody in custodians.all:
            tips = {genesis: epoch for genesis, _, epoch in custody.catching_up.tips(custody.public.key)}
            assert tips[young.genesis] == young.history.head.epoch


def test_a_long_chain_goes_over_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.links.PIECE_BYTES", 1)
    setting = world(**WORLD_OF_THREE)
    history = setting.history
    for n in range(4):
        subject = builders.policy(setting.genesis, title=str(n)).cid().binary
        history = builders.published(
            setting.blobs, history, builders.carried(history, builders.revoking(Scope.POLICY, subject))
        )
    with Custodians(setting, tmp_path) as custodians:
        custodians.all[0].submit_head(history.head.cid(), setting.blocks().items())
        visit(custodians.all[0], others(custodians))  # which hands it on
        assert custodians.all[1].catching_up.tips(custodians.all[1].public.key)[0][2] == history.head.epoch


def test_one_dead_peer_keeps_nobody_waiting(tmp_path: Path) -> None:
    with Custodians(world(**WORLD_OF_THREE), tmp_path) as custodians:
        after = custodians.world.decided(builders.carried(custodians.world.history, builders.revoking(Scope.DAO)))
        custodians.all[1].submit_head(after.head.cid(), custodians.world.blocks().items())
        visit(custodians.all[0], [Unreachable, *others(custodians)])
        assert custodians.all[0].catching_up.tips(custodians.all[0].public.key)[0][2] == after.head.epoch


def test_a_peer_that_never_answers_holds_up_the_start_for_a_bounded_time(tmp_path: Path) -> None:
    with Custodians(world(**WORLD_OF_THREE), tmp_path) as custodians:

        async def start() -> None:
            answered = asyncio.Event()
            loop = asyncio.get_running_loop()

            class Silent(LocalPeer):
                def tips(self, custodian: bytes) -> Any:
                    asyncio.run_coroutine_threadsafe(answered.wait(), loop).result()
                    return []

            sync = CustodySync(
                custodians.all[0], ["silent"], start_wait_s=0.05, connect=lambda _: Silent(custodians.all[1])
            )
            await sync.start()
            answered.set()
            await sync.close()

        asyncio.run(start())


class TestHostilePeers:
    def refused(self, custodians: Custodians, peer: Any, caplog: pytest.LogCaptureFixture) -> str:
        before = custodians.all[0].catching_up.tips(custodians.all[0].public.key)
        visit(custodians.all[0], [lambda: peer])
        assert custodians.all[0].catching_up.tips(custodians.all[0].public.key) == before
        return " ".join(record.message for record in caplog.records)

    @pytest.fixture
    def custodians(self, tmp_path: Path) -> Iterator[Custodians]:
        with Custodians(world(**WORLD_OF_THREE), tmp_path) as made:
            yield made

    def test_itself(self, custodians: Custodians, caplog: pytest.LogCaptureFixture) -> None:
        assert "custodian itself" in self.refused(custodians, LocalPeer(custodians.all[0]), caplog)

    def test_a_promise_of_more_that_is_not_kept(self, custodians: Custodians, caplog: pytest.LogCaptureFixture) -> None:
        class Boasting(LocalPeer):
            def tips(self, custodian: bytes) -> Any:
                return [(genesis, head, 10**9) for genesis, head, _ in super().tips(custodian)]

        self.refused(custodians, Boasting(custodians.all[1]), caplog)

    def test_an_invented_head(self, custodians: Custodians, caplog: pytest.LogCaptureFixture) -> None:
        class Inventing(LocalPeer):
            def tips(self, custodian: bytes) -> Any:
                return [(genesis, head, epoch + 1) for genesis, head, epoch in super().tips(custodian)]

            def chain(self, genesis: Any, known: Any) -> Any:
                head = forged(self.custody)
                return head.cid(), {head.cid(): head.encoded()}

        def forged(custody: Any) -> Any:
            history = custody.station.histories[custodians.world.genesis]
            return replace(history.head, epoch=history.head.epoch + 1, previous=history.head.cid(), policies=())

        assert self.refused(custodians, Inventing(custodians.all[1]), caplog)

    def test_another_head_of_the_same_epoch(self, custodians: Custodians, caplog: pytest.LogCaptureFixture) -> None:
        class Forking(LocalPeer):
            def tips(self, custodian: bytes) -> Any:
                return [(genesis, genesis, epoch) for genesis, _, epoch in super().tips(custodian)]

        assert "two heads" in self.refused(custodians, Forking(custodians.all[1]), caplog)
