"""Large chains are verified beside the event loop: few at once, one of each peer, none onto a history that moved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.cid import Cid
from tests import builders
from tests.builders import Scope
from tests.enclaves import Custodians, World, world
from tests.loops import WAIT_S
from vault import taking
from vault.custody import Custody
from vault.errors import MalformedObject, RateExceeded
from vault.history import History


class Gated(dict[Cid, bytes]):
    """Blocks that a thread gets no further in before the test opens the gate."""

    def __init__(self, blocks: dict[Cid, bytes], held: Cid) -> None:
        super().__init__(blocks)
        self.reached, self.gate = threading.Event(), threading.Event()
        self.threads: set[int] = set()
        self._held = held

    def __getitem__(self, cid: Cid) -> bytes:
        if cid == self._held:
            self.threads.add(threading.get_ident())
            self.reached.set()
            assert self.gate.wait(WAIT_S)
        return super().__getitem__(cid)


@pytest.fixture
def custodians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Custodians]:
    monkeypatch.setattr(taking, "LARGE_BYTES", 0)
    with Custodians(world(), tmp_path) as made:
        yield made


def revoked(setting: World, history: History, name: str) -> History:
    subject = builders.policy(setting.genesis, title=name).cid().binary
    return builders.published(
        setting.blobs, history, builders.carried(history, builders.revoking(Scope.POLICY, subject))
    )


def gated(custodians: Custodians, history: History) -> Gated:
    """Return the blocks that lead to a head; verifying it waits where the first head after the known one is applied."""
    return Gated(custodians.world.blocks(), history.heads[custodians.world.history.head.epoch + 1])


def epoch(custody: Custody) -> int:
    return custody.catching_up.tips(custody.public.key)[0][2]


async def reached(blocks: Gated) -> None:
    await asyncio.to_thread(blocks.reached.wait, WAIT_S)


async def test_the_loop_goes_on_meanwhile(custodians: Custodians) -> None:
    custody, after = custodians.all[0], revoked(custodians.world, custodians.world.history, "one")
    first = revoked(custodians.world, after, "two")
    blocks = gated(custodians, first)
    submitting = asyncio.create_task(custody.submit_head_aside(first.head.cid(), blocks, peer="a"))
    await reached(blocks)
    assert blocks.threads.isdisjoint({threading.get_ident()})
    assert epoch(custody) == 1
    blocks.gate.set()
    assert await submitting == 3
    assert epoch(custody) == 3


async def test_what_was_verified_on_an_older_history_is_verified_again(custodians: Custodians) -> None:
    custody, setting = custodians.all[0], custodians.world
    one = revoked(setting, setting.history, "one")
    two = revoked(setting, one, "two")
    three = revoked(setting, two, "three")
    blocks = gated(custodians, three)
    submitting = asyncio.create_task(custody.submit_head_aside(three.head.cid(), blocks, peer="a"))
    await reached(blocks)
    custody.submit_head(two.head.cid(), setting.blocks().items())
    blocks.gate.set()
    assert await submitting == 4
    assert custody.station.store.heads(setting.genesis) == list(three.heads)


async def test_one_peer_has_one_verified_at_a_time(custodians: Custodians) -> None:
    custody, setting = custodians.all[0], custodians.world
    one = revoked(setting, setting.history, "one")
    two = revoked(setting, one, "two")
    blocks = gated(custodians, two)
    submitting = asyncio.create_task(custody.submit_head_aside(two.head.cid(), blocks, peer="a"))
    await reached(blocks)
    with pytest.raises(RateExceeded):
        await custody.submit_head_aside(one.head.cid(), setting.blocks(), peer="a")
    assert await custody.submit_head_aside(one.head.cid(), setting.blocks(), peer="b") == 2
    blocks.gate.set()
    assert await submitting == 3
    assert await custody.submit_head_aside(two.head.cid(), setting.blocks(), peer="a") == 3


async def test_whoever_hangs_up_frees_no_place(custodians: Custodians) -> None:
    custody, setting = custodians.all[0], custodians.world
    tip = revoked(setting, revoked(setting, setting.history, "one"), "two")
    held = [gated(custodians, tip) for _ in range(3)]
    tasks = []
    for n, blocks in enumerate(held):
        tasks.append(asyncio.create_task(custody.submit_head_aside(tip.head.cid(), blocks, peer=str(n))))
        if n < taking.ASIDE_MAX:
            await reached(blocks)
    tasks[0].cancel()
    tasks[2].cancel()  # it waits for its turn
    await asyncio.wait({tasks[0], tasks[2]})
    with pytest.raises(RateExceeded):
        await custody.submit_head_aside(tip.head.cid(), setting.blocks(), peer="0")
    waiting = asyncio.create_task(custody.submit_head_aside(tip.head.cid(), setting.blocks(), peer="2"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert not held[2].reached.is_set()
    for blocks in held:
        blocks.gate.set()
    assert await tasks[1] == await waiting == 3
    assert epoch(custody) == 3


async def test_a_failure_frees_the_place(custodians: Custodians) -> None:
    custody, setting = custodians.all[0], custodians.world
    tip = revoked(setting, revoked(setting, setting.history, "one"), "two")
    only_tip = {tip.head.cid(): tip.head.encoded()}
    for _ in range(taking.ASIDE_MAX + 1):
        with pytest.raises(MalformedObject, match="lacks a block"):
            await custody.submit_head_aside(tip.head.cid(), only_tip, peer="a")
    assert await custody.submit_head_aside(tip.head.cid(), setting.blocks(), peer="a") == 3


async def test_a_new_dao_needs_no_block_of_its_first_head(tmp_path: Path) -> None:
    setting, young = world(), world(name="Young")
    with Custodians(setting, tmp_path) as custodians:
        blocks = {cid: block for cid, block in young.blocks().items() if cid != young.history.heads[0]}
        assert custodians.all[0].submit_head(young.history.head.cid(), blocks.items()) == 1
        head, served = custodians.all[0].catching_up.chain(young.genesis, None)
        assert head == young.history.head.cid()
        assert served[young.history.heads[0]] == young.dao.history.head.encoded()
