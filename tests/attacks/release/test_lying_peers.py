"""What one liar among the others tells a restored custodian does no harm (rules F1, F3, F5); n=4, f=1, q=3."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.keys import InstanceKeys
from tests.attacks.release.asking import Asking, log_root
from tests.builders import sealed_dataset, seeded
from tests.enclaves import Clock, Custodians, LocalCustodian, World, opening, world
from tests.peers import Backup, LocalPeer, others, visit
from tests.people import wallet
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.custody_state import CustodyState, Standing, StateQuestion, lineage
from vault.custody_sync import CustodySync
from vault.errors import MalformedObject, NotYet, ServiceUnavailable
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR, Anchor, ledger_id
from vault.listing import latest_manifests
from vault.manifest import Manifest
from vault.window import WINDOWS_MAX, OpenWindow

LIAR = 3
AT = Anchor(sequence=5, mac=seeded("entry 5"))


class Lying(LocalPeer):
    """Answers with a state of its own making."""

    def __init__(self, scene: Scene, **fields: Any) -> None:
        super().__init__(scene.custodians.all[LIAR])
        self._key = scene.world.dao.custodians[LIAR].signing
        self._fields = fields

    def custody_state(self, question: StateQuestion) -> CustodyState:
        return replace(super().custody_state(question), **self._fields).signed_by(self._key)


class Silent(LocalCustodian):
    """Gives no challenge, and so no lease."""

    def challenge(self, *_: Any) -> Any:
        raise ServiceUnavailable("no answer")


class Scene:
    """Custodian 0 is backed up, then leases an instance together with 1 and the liar, while 2 is away."""

    def __init__(self, setting: World, custodians: Custodians, folder: Path) -> None:
        self.world, self.custodians = setting, custodians
        self.backup = Backup(setting, custodians, folder)
        self.ledger = ledger_id(setting.genesis)
        self.first = InstanceKeys.fresh()
        for index in (0, 1, LIAR):
            asking = Asking(setting, custodians, index=index, keys=self.first)
            asking.release()
            asking.renew(AT)

    def latest_end(self) -> int:
        """Return the end of the longest lease that anyone may claim now."""
        return self.world.clock() + self.world.dao.charter.lease_s + CLOCK_SKEW_S

    def told(self, restored: Custody, **lie: Any) -> None:
        """Have the restored custodian hear the others, one of them lying."""
        self.world.clock.advance(NONCE_LIFETIME_S)
        visit(restored, [*others(self.custodians)[: LIAR - 1], lambda: Lying(self, **lie)])
        assert not restored.catching_up.is_behind(self.world.genesis)

    def ask(self, custody: Custody, keys: InstanceKeys) -> Asking:
        asking = Asking(self.world, self.custodians, keys=keys)
        asking.custody = custody
        return asking

    def fakes(self) -> tuple[OpenWindow, ...]:
        """Return as many windows as fit, each before the true one by its instance."""
        size = self.world.dao.charter.window
        return tuple(OpenWindow(instance=n.to_bytes(32, "big"), start=5, window=size) for n in range(WINDOWS_MAX))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    setting = replace(world(custodians=4, liars=1, signatures=3, shares=2), clock=Clock())
    with Custodians(setting, tmp_path) as custodians:
        yield Scene(setting, custodians, tmp_path)


@pytest.fixture
def restored(scene: Scene) -> Iterator[Custody]:
    with scene.backup.started() as custody:
        yield custody


def test_a_ledger_said_to_be_free_is_leased_to_no_second_instance(scene: Scene, restored: Custody) -> None:
    free = Standing(instance=None, not_after=scene.latest_end(), anchor=EMPTY_ANCHOR)
    scene.told(restored, standing=free)
    with pytest.raises(NotYet, match="another instance"):
        scene.ask(restored, InstanceKeys.fresh()).release(anchor=AT)
    scene.ask(restored, scene.first).renew(AT)


def test_an_instance_that_a_liar_names_gets_no_lease_beside_the_one_that_runs(scene: Scene, restored: Custody) -> None:
    second = InstanceKeys.fresh()
    scene.told(restored, standing=Standing(instance=second.instance, not_after=scene.latest_end(), anchor=AT))
    for keys in (second, scene.first):
        with pytest.raises(NotYet, match="another instance"):
            scene.ask(restored, keys).release(anchor=AT)
    scene.world.clock.advance(scene.latest_end() - scene.world.clock() + CLOCK_SKEW_S)
    scene.ask(restored, second).release(anchor=AT)


@pytest.mark.parametrize("is_said_to_be_free", [False, True])
def test_a_window_is_not_crowded_out(scene: Scene, restored: Custody, is_said_to_be_free: bool) -> None:
    """Only the restored one, 2, which never heard of it, and the liar are asked by the next instance."""
    free = Standing(instance=None, not_after=scene.latest_end(), anchor=EMPTY_ANCHOR)
    lie = {"standing": free} if is_said_to_be_free else {}
    scene.told(restored, windows=scene.fakes(), **lie)
    scene.world.clock.advance(scene.world.dao.charter.lease_s + 2 * CLOCK_SKEW_S)
    key = scene.world.dao.custodians[LIAR].signing

    class LyingLeases(LocalCustodian):
        def release(self, *args: Any, **more: Any) -> Any:
            lease, *rest = super().release(*args, **more)
            return (replace(lease, windows=()).signed_by(key), *rest)

    honest, away, liar = scene.custodians.all[2], scene.custodians.all[1], scene.custodians.all[LIAR]
    asked = opening(scene.world, [LocalCustodian(restored), Silent(away), LocalCustodian(honest), LyingLeases(liar)])
    grounds, _ = asked.open(AT)
    assert scene.first.instance in {window.instance for window in grounds.lost}
    assert scene.first.instance in {window.instance for window in grounds.reported}
    asked.renew(AT, log_root(AT), grounds.history)  # although the liar's windows are many


class TestListsOfManifests:
    def taken(self, scene: Scene, pages: Callable[[bytes], tuple[Sequence[Manifest], bytes]]) -> list[Manifest]:
        return latest_manifests(
            lambda after: (list(pages(after)[0]), pages(after)[1]), scene.world.genesis, scene.world.dao.charter
        )

    def test_an_honest_list(self, scene: Scene) -> None:
        manifest = scene.world.dataset.manifest
        assert self.taken(scene, lambda _: ((manifest,), b"")) == [manifest]
        key = lineage(manifest)
        assert self.taken(scene, lambda after: ((), b"") if after else ((manifest,), key)) == [manifest]

    def test_one_that_leads_in_a_circle(self, scene: Scene) -> None:
        asked: list[bytes] = []

        def pages(after: bytes) -> tuple[list[Manifest], bytes]:
            asked.append(after)
            return [], bytes([1]) * 32

        with pytest.raises(MalformedObject, match="leads back"):
            latest_manifests(pages, scene.world.genesis, scene.world.dao.charter)
        assert len(asked) == 2

    def test_one_that_repeats_or_skips_back(self, scene: Scene) -> None:
        manifest = scene.world.dataset.manifest
        for pages in (((manifest, manifest), b""), ((manifest,), bytes(31) + b"\x01")):
            with pytest.raises(MalformedObject):
                self.taken(scene, lambda _, pages=pages: pages)  # type: ignore[misc]

    @pytest.mark.parametrize("bound", ["PAGES_MAX", "LISTED_MAX", "LISTED_BYTES_MAX"])
    def test_one_that_is_too_long_is_not_taken_in_part(
        self, scene: Scene, bound: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is cut off may be what was forgotten."""
        first, second = sorted(
            (scene.world.dataset.manifest, sealed_dataset(scene.world.dao, owner=wallet("other")).manifest), key=lineage
        )

        def pages(after: bytes) -> tuple[Sequence[Manifest], bytes]:
            return ((second,), b"") if after else ((first,), lineage(first))

        assert self.taken(scene, pages) == [first, second]
        monkeypatch.setattr(f"vault.listing.{bound}", len(first.encoded()) + 1 if "BYTES" in bound else 1)
        with pytest.raises(MalformedObject):
            self.taken(scene, pages)

    def test_it_stays_behind_while_a_list_it_needs_is_cut_off(
        self, scene: Scene, restored: Custody, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.custodians.deposit(sealed_dataset(scene.world.dao, owner=wallet("other")))
        scene.world.clock.advance(NONCE_LIFETIME_S)
        with monkeypatch.context() as patched:
            patched.setattr("vault.listing.LISTED_MAX", 1)
            visit(restored, others(scene.custodians))
            assert restored.catching_up.is_behind(scene.world.genesis)
        visit(restored, others(scene.custodians))
        assert not restored.catching_up.is_behind(scene.world.genesis)

    def test_signatures_are_verified_beside_the_event_loop(
        self, scene: Scene, restored: Custody, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: set[int] = set()
        verify = Manifest.verify_owner

        def noting(manifest: Manifest, *args: Any) -> Any:
            threads.add(threading.get_ident())
            return verify(manifest, *args)

        monkeypatch.setattr(Manifest, "verify_owner", noting)
        scene.custodians.all[1].deposit_share(scene.world.dataset.manifest, scene.world.dataset.deposits[1])
        threads.clear()
        scene.world.clock.advance(NONCE_LIFETIME_S)
        visit(restored, others(scene.custodians))
        assert threads and threading.get_ident() not in threads


class TestOnePeerUnderTwoAddresses:
    def test_an_answer_that_was_overtaken_shows_no_rollback(self, scene: Scene) -> None:
        mine, asked = scene.custodians.all[0].catching_up, scene.custodians.all[1]
        first = mine.question(scene.world.genesis, asked.public.key)
        second = mine.question(scene.world.genesis, asked.public.key)
        for question in (second, first):
            state = asked.catching_up.answer(question)
            mine.told(question, state, (), asked_at=scene.world.clock())
        assert not mine.is_behind(scene.world.genesis)

    def test_it_is_asked_one_question_at_a_time(self, scene: Scene) -> None:
        under_way: list[int] = []
        most = [0]
        both = threading.Event()

        class Slow(LocalPeer):
            def custody_state(self, question: StateQuestion) -> CustodyState:
                under_way.append(question.number)
                most[0] = max(most[0], len(under_way))
                if len(under_way) > 1:
                    both.set()
                both.wait(0.2)
                under_way.pop()
                return super().custody_state(question)

        async def visited() -> None:
            sync = CustodySync(scene.custodians.all[0], ["a", "b"], connect=lambda _: Slow(scene.custodians.all[1]))
            await sync.start()
            await sync.close()

        asyncio.run(visited())
        assert most == [1]
        assert scene.custodians.all[0].station.store.restored_at() is None
