"""Copies at a Filecoin provider: what they cost, how far they come, and what a kill or a lie on the way costs.

Not run against mainnet: provider, contract and chain are the tests' own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.errors import OverLimit, StorageUnavailable
from tests.copies import Clock, blocks, holding, kept
from tests.people import wallet
from tests.pieces import NOW, Setting, it, node, piece_place, records
from tests.storage.warm_node import TIB_MONTH, WarmNode
from tests.storage.web_node import Asked, answered
from vault.copies.block_place import BlockPlace
from vault.copies.model import CopyState, Kind
from vault.copies.piece_place import dollars
from vault.records.database import Records

__all__ = ["it", "node", "records"]

QUICK = (0, 2, 8, 11, 12, 16, 20)  # lost requests that the default run plays: of each kind one


def test_a_copy_is_packed_sent_added_and_read_back(it: Setting, tmp_path: Path) -> None:
    faults = it.until()
    assert faults == [
        "the chain has not confirmed the data set yet",
        "the chain has not confirmed the pieces yet",
        "the chain has not confirmed the pieces yet",
    ]
    copy = it.kept.copy("fil")
    assert (copy.month_cost, copy.fault) == (60_000, "")
    assert len(it.node.pieces) == len(it.kept.keeper.records.pieces(it.kept.manifest, "fil")) == 2
    assert list((tmp_path / "spool").iterdir()) == []
    assert it.kept.published == [it.kept.manifest]


def test_single_blocks_come_out_of_the_pieces(it: Setting) -> None:
    it.until()
    reads = it.kept.keeper._reads(it.kept.copy("fil"))
    assert {cid: reads.get(cid) for cid in reads.cids()} == blocks()
    asked = [one for one in it.node.web.asked if "range" in one.headers]
    assert len(asked) == len(blocks())


def test_a_copy_that_is_all_that_is_left_is_enough_to_repair_from(it: Setting) -> None:
    it.until()
    first = it.kept.keeper.places["first"].reads(None)  # type: ignore[arg-type]
    for cid in list(first.cids()):
        first.delete(cid)
    looked = it.kept.look("first")
    assert (looked.state, looked.repairs) == (CopyState.VERIFIED, 1)
    assert set(first.cids()) == set(blocks())


def test_over_the_owners_limit_nothing_is_signed_or_sent(records: Records, node: WarmNode, tmp_path: Path) -> None:
    place = piece_place(node, tmp_path, month_max=59_999)
    with pytest.raises(OverLimit, match=r"\$0\.06 a month and you allow \$0\.06|\$0\.06"):
        place.month_cost(1000)
    held = kept(records, [BlockPlace("first", Kind.DIRECTORY, holding()), place], clock=Clock(NOW))
    held.look("first")
    looked = held.look("fil")
    assert (looked.state, "you allow" in looked.fault) == (CopyState.PENDING, True)
    assert looked.due_at - NOW > 1000  # asked again much later
    assert {asked.path for asked in node.web.asked} == {"/rpc"}
    assert node.taken == set()


def test_a_price_that_rises_later_stops_what_was_not_paid_yet(it: Setting) -> None:
    it.kept.look("fil")
    it.node.prices = (TIB_MONTH, 0, 0, 0, 86_400, 10**18)
    assert "you allow" in it.kept.look("fil").fault
    assert {kind for kind, _ in it.node.taken} == {"create"}


def test_where_nobody_names_a_price_nothing_is_paid(it: Setting) -> None:
    it.node.first = lambda asked: [answered(b"", status="500 Oops")] if asked.path == "/rpc" else ()
    looked = it.kept.look("fil")
    assert (looked.state, it.node.taken) == (CopyState.PENDING, set())


@pytest.mark.parametrize("moment", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in range(24)])
def test_killed_after_any_request_it_goes_on_and_pays_nothing_twice(it: Setting, moment: int) -> None:
    real, left = it.node.web.handler, [moment]

    def handler(asked: Asked) -> Any:
        answers = list(real(asked))  # the provider has done it, and the answer is lost
        left[0] -= 1
        return [] if left[0] < 0 else answers

    it.node.web.handler = handler
    for _ in range(12):
        if left[0] >= 0:
            it.kept.look("fil")
    it.node.web.handler = real
    it.until(looks=20)
    assert len([kind for kind, _ in it.node.taken if kind == "create"]) == 1
    assert len(it.node.data_sets) == 1
    added = next(iter(it.node.data_sets.values()))
    assert sorted(added) == sorted(it.node.pieces)
    assert len([kind for kind, _ in it.node.taken if kind == "add"]) <= 2


def test_what_arrived_is_not_sent_again(it: Setting) -> None:
    def after_one(asked: Asked) -> Any:
        return [answered(b"", status="503 Busy")] if asked.method == "PUT" and len(it.node.pieces) == 1 else ()

    it.node.first = after_one
    it.kept.look("fil")
    assert len(it.node.pieces) == 1
    it.node.first = lambda asked: ()
    it.until()
    assert len([asked for asked in it.node.web.asked if asked.method == "PUT"]) == 3  # one of them in vain


def test_half_an_upload_that_was_taken_for_the_whole_is_found_out(it: Setting) -> None:
    it.node.keeps_half = True
    faults = it.until(CopyState.DAMAGED)
    assert "does not come back right" in it.kept.copy("fil").fault, faults
    assert it.kept.keeper.records.standings()["fil"].lies == 1
    assert it.kept.published == []


def test_a_lost_data_set_is_a_lost_copy(it: Setting) -> None:
    it.until()
    it.node.data_sets.clear()
    looked = it.kept.look("fil")
    assert looked.state is CopyState.DAMAGED
    assert "lost data set" in looked.fault


def test_pieces_that_are_proved_no_longer_are_added_again(it: Setting) -> None:
    it.until()
    next(iter(it.node.data_sets.values())).clear()
    it.until()
    copy = it.kept.look("fil")
    assert (copy.state, len(next(iter(it.node.data_sets.values())))) == (CopyState.VERIFIED, 2)


def test_a_piece_that_is_gone_is_sent_again(it: Setting) -> None:
    it.until()
    it.node.pieces.pop(sorted(it.node.pieces)[0])
    looked = it.kept.look("fil", is_whole=True)
    assert (looked.state, looked.repairs) == (CopyState.VERIFIED, 1)
    assert len(it.node.pieces) == 2


def test_a_late_proof_is_said_of_a_copy_that_still_counts(it: Setting) -> None:
    it.until()
    it.node.is_late = True
    assert it.kept.look("fil").fault == ""  # by four hours
    clock = it.place._clock
    assert isinstance(clock, Clock)
    clock.now += 30 * 3600
    looked = it.kept.look("fil")
    assert (looked.state, looked.fault.endswith("is 34 hours late")) == (CopyState.VERIFIED, True)


def test_a_rejected_transaction_is_said_and_begun_anew(it: Setting) -> None:
    it.node.rejects = True
    it.kept.look("fil")
    looked = it.kept.look("fil")
    assert "rejected the data set" in looked.fault
    it.node.rejects = False
    it.until()
    assert len([kind for kind, _ in it.node.taken if kind == "create"]) == 2  # the first one made nothing


def test_a_signature_for_another_wallet_is_refused_by_the_contract(it: Setting) -> None:
    it.place._account = replace(it.place._account, key=lambda: wallet("somebody else"))
    assert "InvalidSignature" in it.kept.look("fil").fault


def test_a_wrong_range_is_found_out(it: Setting) -> None:
    it.until()
    it.node.first = lambda asked: (
        [answered(b"x" * 100, status="206 Partial Content")] if "range" in asked.headers else ()
    )
    looked = it.kept.look("fil")
    assert looked.state is not CopyState.VERIFIED or looked.repairs == 1
    assert it.kept.keeper.records.standings()["fil"].lies >= 1


@pytest.mark.parametrize(("micro", "text"), [(0, "$0.00"), (1, "$0.01"), (60_000, "$0.06"), (12_345_678, "$12.35")])
def test_dollars_are_rounded_up(micro: int, text: str) -> None:
    assert dollars(micro) == text


def test_a_place_without_a_provider_says_so(it: Setting) -> None:
    it.node.first = lambda asked: [b""]
    assert it.kept.look("fil").state is CopyState.PENDING
    with pytest.raises(StorageUnavailable):
        it.place.month_cost(1)
