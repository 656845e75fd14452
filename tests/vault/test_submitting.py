"""Handing in a chain of any size: link by link from where the taker is, its blocks staged ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from tests.deployment import deployed
from tests.enclaves import Custodians, world
from tests.vault.test_links import HISTORY, WORLD
from vault import submitting, taking
from vault.charter import Custodian
from vault.client import CustodyClient
from vault.custody import Custody
from vault.errors import MalformedObject, RateExceeded, StaleState
from vault.head_vote import HeadVote
from vault.history import History
from vault.staging import Staging
from vault.submitting import WAITS_MAX, submitted

BLOCKS = WORLD.blocks()


class Taker:
    """A custodian that takes small messages only, and notes them."""

    def __init__(self, custody: Custody, *, refusals: int = 0) -> None:
        self._custody = custody
        self._staging = Staging()
        self.refusals = refusals
        self.staged: list[int] = []
        self.submitted: list[Cid] = []

    @property
    def custodian(self) -> Custodian:
        return self._custody.public

    def tips(self, custodian: bytes) -> list[tuple[Cid, Cid, int]]:
        return self._custody.catching_up.tips(custodian)

    def stage_blocks(self, blocks: Mapping[Cid, bytes]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RateExceeded("wait")
        self.staged.append(sum(map(len, blocks.values())))
        self._staging.put("peer", blocks)

    def submit_blocks(
        self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = (), *, timeout_s: float
    ) -> int:
        self.submitted.append(head)
        return self._custody.submit_head(head, (self._staging.of("peer") | dict(blocks)).items(), votes)


@pytest.fixture
def custodians(tmp_path: Path) -> Any:
    with Custodians(WORLD, tmp_path) as made:
        yield made


def hand_in(taker: Taker, history: History = HISTORY, blocks: Mapping[Cid, bytes] = BLOCKS) -> int:
    return submitted(taker, history.head.cid(), blocks, sleep=naps.append)


naps: list[float] = []


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "MESSAGE_BYTES", 1_000)
    monkeypatch.setattr(submitting, "LINK_BYTES_MAX", 6_000)
    naps.clear()


def test_a_large_chain_goes_over_from_where_the_taker_is(custodians: Custodians) -> None:
    taker = Taker(custodians.all[0])
    assert hand_in(taker) == HISTORY.head.epoch
    assert len(taker.staged) > 1
    assert taker.submitted[-1] == HISTORY.head.cid()
    assert set(taker.submitted) <= set(HISTORY.heads[2:])
    largest = max(map(len, BLOCKS.values()))
    assert max(taker.staged) <= max(1_000, largest)


def test_a_small_one_in_one_call(custodians: Custodians, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    taker = Taker(custodians.all[0])
    assert hand_in(taker) == HISTORY.head.epoch
    assert (taker.staged, taker.submitted) == ([], [HISTORY.head.cid()])


def test_a_taker_that_knows_nothing_gets_it_from_the_charter_on(tmp_path: Path) -> None:
    with Custodians(world(custodians=1, name="Other"), tmp_path) as made:
        assert hand_in(Taker(made.all[0])) == HISTORY.head.epoch


def test_a_taker_that_is_busy_is_asked_again_for_a_while(custodians: Custodians, tmp_path: Path) -> None:
    assert hand_in(Taker(custodians.all[0], refusals=5)) == HISTORY.head.epoch
    assert len(naps) == 5
    (tmp_path / "other").mkdir()
    with Custodians(WORLD, tmp_path / "other") as other, pytest.raises(RateExceeded):
        hand_in(Taker(other.all[0], refusals=10**6))
    assert len(naps) == 5 + WAITS_MAX


def test_somebody_else_may_bring_part_of_it_meanwhile(custodians: Custodians) -> None:
    class Overtaken(Taker):
        def submit_blocks(
            self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = (), *, timeout_s: float
        ) -> int:
            if not self.submitted:
                self._custody.submit_head(HISTORY.heads[-2], BLOCKS.items())
            return super().submit_blocks(head, blocks, timeout_s=timeout_s)

    taker = Overtaken(custodians.all[0])
    assert hand_in(taker) == HISTORY.head.epoch
    assert len(taker.submitted) > 1


def test_an_older_chain_than_the_takers_is_stale(custodians: Custodians) -> None:
    taker = Taker(custodians.all[0])
    hand_in(taker)
    with pytest.raises(StaleState):
        hand_in(taker, WORLD.history)


def test_a_chain_without_its_head_or_with_too_large_a_link(
    custodians: Custodians, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MalformedObject, match="lacks block"):
        hand_in(
            Taker(custodians.all[0]),
            blocks={cid: block for cid, block in BLOCKS.items() if cid != HISTORY.head.cid()},
        )
    monkeypatch.setattr(submitting, "LINK_BYTES_MAX", 100)
    with pytest.raises(MalformedObject, match="over the limit"):
        hand_in(Taker(custodians.all[0]))


@pytest.mark.parametrize("piece", [1, 1_000])
def test_over_the_wire_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr("vault.links.PIECE_BYTES", piece)
    monkeypatch.setattr(taking, "LARGE_BYTES", 0)
    with (
        deployed(tmp_path, WORLD, is_started=False) as deployment,
        CustodyClient.connect(deployment.custodians[0].address) as client,
    ):
        assert client.submit_head(HISTORY.head.cid(), BLOCKS) == HISTORY.head.epoch
        known, taken = None, dict[Cid, bytes]()
        while known != HISTORY.head.cid():
            known, blocks = client.chain(WORLD.genesis, known)
            taken |= blocks
        assert set(HISTORY.heads) < set(taken)
        assert client.chain(WORLD.genesis, known) == (known, {})
    (tmp_path / "other").mkdir()
    with (
        deployed(tmp_path / "other", WORLD, is_started=False) as deployment,
        CustodyClient.connect(deployment.custodians[0].address) as other,
    ):
        assert other.submit_head(HISTORY.head.cid(), taken) == HISTORY.head.epoch
