"""Copies at a pinning service: pending while it fetches, verified once its gateway sends all of it, renewed in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.gateway import GatewayBlobs
from storage.memory import MemoryBlobs
from storage.pinning import PinningService
from tests.copies import PLAN, Kept, blocks, dataset, holding, kept
from tests.faults import Faulty, FlippedBit, Missing
from tests.migrated import opened_records
from tests.people import NOW
from tests.storage.gateway_node import gateway_over
from tests.storage.pinning_node import TOKEN, PinningNode
from tests.storage.web_node import Asked, WebNode, answered
from vault.copies.block_place import BlockPlace
from vault.copies.model import CopyState, Kind
from vault.copies.pin_place import PinPlace
from vault.records.database import Records

ORIGIN = "/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWOwner"


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with opened_records(tmp_path / "records.db") as records:
        yield records


class Gateway(Faulty):
    """What the service's gateway serves; a test replaces it."""


@dataclass
class Setting:
    kept: Kept
    node: PinningNode
    gateway: Gateway
    web: WebNode

    def pin(self) -> dict[str, Any]:
        (pin,) = self.node.pins.values()
        return pin


@pytest.fixture
def it(records: Records) -> Iterator[Setting]:
    gateway = Gateway(holding())
    with PinningNode() as node, gateway_over(gateway) as web:
        service = PinningService(node.web.url, token=TOKEN, timeout_s=5, allow_private=True)
        reads = GatewayBlobs(web.url, timeout_s=5, allow_private=True)
        place = PinPlace("pins", service, reads, origins=[ORIGIN])
        held = kept(records, [BlockPlace("first", Kind.DIRECTORY, holding()), place])
        held.look("first")
        yield Setting(held, node, gateway, web)
    assert node.broken == []


def settled(it: Setting) -> None:
    for _ in range(3):
        it.kept.look("pins")


def test_a_copy_is_pending_until_it_is_pinned_and_was_read_back(it: Setting) -> None:
    waits = [it.kept.look("pins") for _ in range(2)]
    assert [copy.fault for copy in waits] == ["the pin is queued at the service", "the pin is queued at the service"]
    assert it.kept.look("pins").fault == "the pin is pinning at the service"
    assert it.kept.published == []
    assert it.kept.look("pins").state is CopyState.VERIFIED
    assert it.kept.published == [it.kept.manifest]
    assert it.pin()["pin"]["cid"] == str(it.kept.manifest)
    assert it.pin()["pin"]["origins"] == [ORIGIN]
    assert {asked.path for asked in it.web.asked} == {f"/ipfs/{cid}" for cid in blocks()}


def test_pinned_is_not_believed_before_the_blocks_came_back(it: Setting) -> None:
    it.gateway.blobs = Missing(holding(), [list(blocks())[4]])
    settled(it)
    looked = it.kept.look("pins")
    assert (looked.state, looked.since) == (CopyState.PENDING, None)
    assert "does not come back right" in looked.fault
    it.gateway.blobs = holding()
    assert it.kept.look("pins").state is CopyState.VERIFIED


def test_a_gateway_that_sends_wrong_blocks_is_blamed(it: Setting) -> None:
    it.gateway.blobs = FlippedBit(holding(), is_checked=False)
    settled(it)
    assert it.kept.look("pins").state is CopyState.DAMAGED
    assert it.kept.keeper.records.standings()["pins"].lies == 1


def test_a_pin_that_failed_is_asked_for_again(it: Setting) -> None:
    it.node.doomed.add(str(it.kept.manifest))
    settled(it)
    assert it.pin()["status"] == "failed"
    it.node.doomed.clear()
    first = it.pin()["requestid"]
    it.kept.look("pins")
    assert it.pin()["requestid"] != first
    settled(it)
    assert it.kept.look("pins").state is CopyState.VERIFIED


def test_a_pin_that_was_made_and_forgotten_in_a_crash_is_found_again(it: Setting) -> None:
    it.kept.look("pins")
    it.kept.keeper.records.change(it.kept.manifest, "pins", note=b"")
    settled(it)
    assert it.kept.look("pins").state is CopyState.VERIFIED
    assert len(it.node.pins) == 1


def test_a_pin_that_somebody_removed_is_a_lost_copy_and_is_made_again(it: Setting) -> None:
    settled(it)
    it.kept.look("pins")
    it.node.pins.clear()
    it.gateway.blobs = MemoryBlobs()
    looked = it.kept.look("pins")
    assert (looked.state, len(it.node.pins)) == (CopyState.DAMAGED, 1)
    it.gateway.blobs = holding()
    settled(it)
    assert (it.kept.copy("pins").state, it.kept.copy("pins").repairs) == (CopyState.VERIFIED, 1)


def test_a_pin_about_to_lapse_is_renewed(it: Setting) -> None:
    settled(it)
    it.kept.look("pins")
    first = it.pin()["requestid"]
    until = NOW + PLAN.renew_before_s + 100
    it.pin()["info"] = {"pinned_until": datetime.fromtimestamp(until, UTC).isoformat()}
    assert (it.kept.look("pins").lapses_at, it.pin()["requestid"]) == (until, first)
    it.kept.clock.now += 200
    looked = it.kept.look("pins")
    assert it.pin()["requestid"] != first
    assert (looked.state, looked.note.decode()) == (CopyState.VERIFIED, it.pin()["requestid"])


@pytest.mark.parametrize("until", ["soon", "", "2027-01-15", "0001-01-01T00:00:00+00:00", "9" * 30])
def test_a_time_that_is_none_does_not_lapse(it: Setting, until: str) -> None:
    settled(it)
    it.pin()["info"] = {"pinned_until": until}
    assert it.kept.look("pins").lapses_at is None


def test_a_service_that_refuses_the_token_is_told_without_the_token(it: Setting) -> None:
    it.node.first = lambda asked: [answered(TOKEN.encode(), status="401 Unauthorized")]
    looked = it.kept.look("pins")
    assert looked.state is CopyState.PENDING
    assert "does not accept the token" in looked.fault
    assert TOKEN not in looked.fault
    assert looked.due_at - NOW > 1000


def test_a_service_that_is_away_leaves_what_was_verified_as_it_was(it: Setting) -> None:
    settled(it)
    since = it.kept.look("pins").since

    def away(asked: Asked) -> list[bytes]:
        return [answered(b"", status="503 Away")]

    it.node.first = away
    looked = it.kept.look("pins")
    assert (looked.state, looked.since) == (CopyState.UNREACHABLE, since)
    assert dataset().manifest.cid() == looked.manifest
