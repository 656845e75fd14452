"""A chain that does not go with a lease: fetched from custodians, f of which serve garbage, little, or nothing (G5)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave import chain
from enclave.keys import InstanceKeys
from storage.cid import Cid
from storage.errors import InvalidCid
from tests import builders
from tests.builders import Scope
from tests.deployment import deployed
from tests.enclaves import Clock, Custodians, LocalCustodian, Remembered, World, opening, world
from tests.people import NOW
from vault.errors import MalformedObject, ServiceUnavailable, VaultError
from vault.history import History
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR
from vault.merkle import EMPTY_ROOT

WORLD = world(custodians=4, liars=1, signatures=3, shares=2)
LIAR = 0  # is asked first
Links = tuple[Cid, dict[Cid, bytes]]


@pytest.fixture(scope="module")
def remembered() -> Remembered:
    return Remembered.by_custodians(WORLD)


@pytest.fixture
def custodians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembered: Remembered) -> Iterator[Custodians]:
    monkeypatch.setattr("vault.shares.RELEASED_BYTES", 0)
    monkeypatch.setattr("vault.links.PIECE_BYTES", 1)
    with Custodians(WORLD, tmp_path, remembered=remembered) as made:
        yield made


def further(history: History, name: str, setting: World = WORLD) -> History:
    subject = builders.policy(setting.genesis, title=name).cid().binary
    return builders.published(
        setting.blobs, history, builders.carried(history, builders.revoking(Scope.POLICY, subject))
    )


class Serving(LocalCustodian):
    """Leases as it should, and serves a chain of its own making."""

    def __init__(self, custodians: Custodians, index: int, serve: Callable[[Cid | None, Links], Links]) -> None:
        super().__init__(custodians.all[index])
        self._serve = serve
        self.served = 0

    def chain(self, genesis: Cid, known: Cid | None) -> Links:
        self.served += 1
        return self._serve(known, super().chain(genesis, known))


def nothing(known: Cid | None, _: Links) -> Links:
    if known is None:
        raise MalformedObject("no links")
    return known, {}


def only_the_first(known: Cid | None, links: Links) -> Links:
    return links if known is None else (known, {})


def garbage(_: Cid | None, links: Links) -> Links:
    return links[0], {cid: b"garbage" for cid in links[1]}


def another_dao(_: Cid | None, __: Links) -> Links:
    other = world(name="Other")
    return other.history.head.cid(), other.blocks()


def no_block(_: Cid | None, links: Links) -> Links:
    return links[0], {}


def unreadable(_: Cid | None, __: Links) -> Links:
    raise InvalidCid("not a CID")


def refused(_: Cid | None, __: Links) -> Links:
    raise ServiceUnavailable("no answer")


def known_again(_: Cid | None, links: Links) -> Links:
    return WORLD.history.heads[0], {cid: WORLD.blobs.get(cid) for cid in (WORLD.genesis, WORLD.history.heads[0])}


LIES = [nothing, only_the_first, garbage, another_dao, no_block, unreadable, refused, known_again]


def opened(custodians: Custodians, asked: list[Any], **fields: Any) -> Any:
    return opening(custodians.world, asked, **fields).open(EMPTY_ANCHOR)[0]


def test_a_chain_that_no_lease_brings_is_fetched(custodians: Custodians) -> None:
    assert opened(custodians, custodians.local()).history == WORLD.history


def test_a_release_brings_a_short_chain_and_none_of_a_long_one(
    custodians: Custodians, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[set[Cid]] = []

    class Noted(LocalCustodian):
        def release(self, *args: Any, **options: Any) -> Any:
            answer = super().release(*args, **options | {"known_head": None})
            brought.append(set(answer[1]))
            return answer

    keys = InstanceKeys.fresh()
    opened(custodians, [Noted(custody) for custody in custodians.all], keys=keys)
    assert all(cids == {WORLD.dataset.manifest.cid()} for cids in brought)
    brought.clear()
    monkeypatch.setattr("vault.shares.RELEASED_BYTES", 1 << 20)
    opened(custodians, [Noted(custody) for custody in custodians.all], keys=keys)
    assert all({WORLD.genesis, *WORLD.history.heads} < cids for cids in brought)


@pytest.mark.parametrize("lie", LIES)
def test_one_liar_keeps_no_enclave_from_opening(custodians: Custodians, lie: Any) -> None:
    liar = Serving(custodians, LIAR, lie)
    asked = [liar, *custodians.local()[1:]]
    assert opened(custodians, asked).history == WORLD.history
    assert liar.served


@pytest.mark.parametrize("lie", LIES)
def test_nor_from_renewing_on_a_newer_head(custodians: Custodians, lie: Any) -> None:
    after = further(WORLD.history, f"newer {lie.__name__}")
    enclave = opening(WORLD, [Serving(custodians, LIAR, lie), *custodians.local()[1:]])
    grounds, _ = enclave.open(EMPTY_ANCHOR)
    custodians.submit(further(after, f"newest {lie.__name__}"))
    renewed = enclave.renew(EMPTY_ANCHOR, EMPTY_ROOT, grounds.history)
    assert renewed.history.head.epoch == 3
    assert renewed.history.heads[2] == after.head.cid()


@pytest.mark.parametrize("lie", [nothing, garbage, no_block, unreadable, refused])
def test_where_nobody_serves_it_the_enclave_waits(custodians: Custodians, lie: Any) -> None:
    asked = [Serving(custodians, index, lie) for index in range(4)]
    enclave = opening(WORLD, asked)
    with pytest.raises(ServiceUnavailable, match="no custodian serves"):
        enclave.open(EMPTY_ANCHOR)
    asked[3]._serve = lambda _, links: links
    assert enclave.open(EMPTY_ANCHOR)[0].history == WORLD.history


def test_a_custodian_that_never_answers_is_passed_over(custodians: Custodians, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "FETCH_PATIENCE_S", 0.1)
    over = threading.Event()

    def silent(_: Cid | None, links: Links) -> Links:
        over.wait(20)
        return links

    try:
        assert opened(custodians, [Serving(custodians, LIAR, silent), *custodians.local()[1:]]).history == WORLD.history
    finally:
        over.set()


def test_a_chain_without_end_is_given_up(custodians: Custodians, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "CHAIN_BYTES_MAX", 1_000)
    with pytest.raises(VaultError):
        opened(custodians, custodians.local())


def test_an_enclave_that_fetched_more_than_is_leased_serves_on_what_is_leased(custodians: Custodians) -> None:
    after = further(WORLD.history, "only the liar has it")
    custodians.all[LIAR].submit_head(after.head.cid(), WORLD.blocks().items())
    grounds = opened(custodians, custodians.local())
    assert grounds.history == WORLD.history


def test_a_branch_that_one_custodian_serves_is_left(custodians: Custodians) -> None:
    ours, theirs = further(WORLD.history, "ours"), further(WORLD.history, "theirs")
    custodians.submit(ours)
    liar = Serving(custodians, LIAR, lambda _, __: (theirs.head.cid(), WORLD.blocks()))
    enclave = opening(WORLD, [liar if index == LIAR else one for index, one in enumerate(custodians.local())])
    grounds, _ = enclave.open(EMPTY_ANCHOR)
    assert grounds.history.head == ours.head
    assert liar.served
    custodians.submit(further(ours, "then"))
    assert enclave.renew(EMPTY_ANCHOR, EMPTY_ROOT, grounds.history).history.heads[2] == ours.head.cid()


@pytest.mark.parametrize("off_s", [-(10**8), -CLOCK_SKEW_S, 0, 5, 10**8])
def test_the_hosts_clock_decides_nothing(custodians: Custodians, off_s: int) -> None:
    wrong = Clock(seconds=NOW + off_s)
    assert opened(custodians, custodians.local(), clock=wrong).history == WORLD.history


def test_a_vote_that_has_not_closed_by_the_leases_time_is_not_followed(tmp_path: Path) -> None:
    """A host with a clock in the future has it verified before its time; by the leases' time it does not count."""
    late = world(custodians=1)
    decision = builders.carried(
        late.history, builders.revoking(Scope.LICENSEE, bytes(20)), opens_at=NOW, closes_at=NOW + builders.DAY_S
    )
    after = builders.published(late.blobs, late.history, decision)
    with Custodians(late, tmp_path) as made:
        late.clock.advance(builders.DAY_S)
        made.submit(after)
        late.clock.advance(-builders.DAY_S)
        enclave = opening(late, made.local(), clock=Clock(seconds=NOW + 10 * builders.DAY_S))
        with pytest.raises(ServiceUnavailable):
            enclave.open(EMPTY_ANCHOR)


def test_what_was_fetched_is_not_fetched_again(custodians: Custodians) -> None:
    asked = [Serving(custodians, index, lambda _, links: links) for index in range(4)]
    enclave = opening(WORLD, asked)
    enclave.open(EMPTY_ANCHOR)
    before = [custodian.served for custodian in asked]
    enclave.open(EMPTY_ANCHOR)
    assert [custodian.served for custodian in asked] == before


def test_over_real_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.shares.RELEASED_BYTES", 0)
    monkeypatch.setattr("vault.links.PIECE_BYTES", 1)
    with deployed(tmp_path, world(custodians=3)) as deployment:
        after = further(deployment.world.history, "newer", deployment.world)
        deployment.custodies.submit(after)
        deployment.enclave.step()
        assert deployment.enclave.instance.serving().history.head == after.head


def test_a_closed_instance_fetches_nothing_more(custodians: Custodians) -> None:
    asked = [Serving(custodians, index, lambda _, links: links) for index in range(4)]
    enclave = opening(WORLD, asked, keys=InstanceKeys.fresh())
    enclave._gathering.close()
    with pytest.raises(VaultError):
        enclave.open(EMPTY_ANCHOR)
    assert sum(custodian.served for custodian in asked) == 0
