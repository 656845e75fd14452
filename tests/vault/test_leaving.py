"""Copies of what was deleted: each place is told to let go until it has, and no copy is kept up meanwhile.

Not run against mainnet: provider, contract and chain are the tests' own.
"""

from __future__ import annotations

from typing import Any

import pytest

from storage.errors import StorageUnavailable
from tests.pieces import NOW, Setting, it, node, records
from tests.storage.pdp_party import PIECE
from tests.storage.web_node import Asked, answered
from vault.copies.leaving import AGAIN_S, let_go
from vault.copies.model import Copy, CopyState, Place
from vault.copies.piece_leaving import ASK_AGAIN_S

__all__ = ["it", "node", "records"]


def leaves(it: Setting, place: str = "fil") -> Copy:
    """Delete the dataset, as the command does."""
    it.kept.keeper.records.unwant(it.kept.manifest)
    it.kept.clock.now += 1
    return let_go(it.kept.keeper.records, it.kept.copy(place), lambda: it.kept.keeper.places[place], at=NOW)


def removals(it: Setting) -> list[str]:
    return [asked.path for asked in it.node.web.asked if asked.method == "DELETE"]


def test_pieces_are_removed_with_the_next_proof_and_then_forgotten(it: Setting) -> None:
    it.until()
    copy = leaves(it)
    assert (copy.state, copy.due_at) == (CopyState.LEAVING, NOW + AGAIN_S)
    assert "was told to remove 2 pieces from data set 100, which is done with its next proof" in copy.fault
    assert removals(it) == ["/pdp/data-sets/100/pieces/0", "/pdp/data-sets/100/pieces/1"]
    it.kept.look("fil")
    assert len(removals(it)) == 2  # said once
    it.node.prove()
    gone = it.kept.look("fil")
    assert (gone.state, it.node.pieces) == (CopyState.GONE, {})
    assert "the data set 100 at" in gone.fault and "Filecoin's own tools end it" in gone.fault
    records = it.kept.keeper.records
    assert (records.get(it.kept.manifest, "fil"), records.pieces(it.kept.manifest, "fil")) == (None, [])


def test_another_datasets_pieces_stay(it: Setting) -> None:
    it.until()
    it.node.data_sets[100].append(str(PIECE))
    leaves(it)
    it.node.prove()
    assert it.kept.look("fil").state is CopyState.GONE
    assert it.node.data_sets == {100: ["", "", str(PIECE)]}


def test_pieces_that_are_still_being_added_are_removed_once_they_are(it: Setting) -> None:
    it.kept.look("fil")
    while it.kept.look("fil").fault != "the chain has not confirmed the pieces yet":
        pass
    assert "has not added the pieces yet" in leaves(it).fault
    assert removals(it) == []
    it.kept.look("fil")
    it.node.prove()
    assert it.kept.look("fil").state is CopyState.GONE
    assert len(removals(it)) == 2


def test_a_copy_that_was_never_sent_is_gone_at_once(it: Setting) -> None:
    gone = leaves(it)
    assert (gone.state, gone.fault, it.node.web.asked) == (CopyState.GONE, "", [])


def test_a_lost_data_set_leaves_nothing_to_remove(it: Setting) -> None:
    it.until()
    it.node.data_sets.clear()
    it.node.pieces.clear()
    assert (leaves(it).state, removals(it)) == (CopyState.GONE, [])


@pytest.mark.parametrize("moment", range(6))
def test_killed_after_any_request_it_goes_on(it: Setting, moment: int) -> None:
    it.until()
    real, left = it.node.web.handler, [moment]

    def handler(asked: Asked) -> Any:
        answers = list(real(asked))  # the provider has done it, and the answer is lost
        left[0] -= 1
        return [] if left[0] < 0 else answers

    it.node.web.handler = handler
    assert leaves(it).state is CopyState.LEAVING
    it.node.web.handler = real
    it.kept.look("fil")
    it.node.prove()
    assert it.kept.look("fil").state is CopyState.GONE
    assert it.node.data_sets == {100: ["", ""]}


def test_a_place_that_is_away_is_told_later(it: Setting) -> None:
    it.until()
    it.node.first = lambda asked: [answered(b"", status="503 Away")]
    copy = leaves(it)
    assert (copy.state, "503" in copy.fault) == (CopyState.LEAVING, True)
    it.node.first = lambda asked: ()
    it.kept.look("fil")
    it.node.prove()
    assert it.kept.look("fil").state is CopyState.GONE


def test_a_place_that_cannot_be_opened_is_said(it: Setting) -> None:
    def away() -> Place:
        raise StorageUnavailable("its token is missing")

    copy = let_go(it.kept.keeper.records, it.kept.copy("fil"), away, at=NOW)
    assert (copy.state, copy.fault) == (CopyState.LEAVING, "its token is missing")


def test_nobody_reads_from_a_leaving_copy_or_repairs_it(it: Setting) -> None:
    it.until()
    leaves(it)
    (reads,) = it.kept.keeper.source_for(it.kept.manifest, "first").name.split(", ")
    assert "provider" not in reads
    it.node.prove()
    uploads = len([asked for asked in it.node.web.asked if asked.method == "PUT"])
    it.kept.look("fil", is_whole=True)
    assert len([asked for asked in it.node.web.asked if asked.method == "PUT"]) == uploads


class TestAProviderThatLies:
    def test_a_removal_that_it_only_promises_is_asked_for_again_and_said(self, it: Setting) -> None:
        it.until()
        it.node.keeps_proving = True
        leaves(it)
        it.node.prove()
        for _ in range(2):
            assert "was told to remove 2 pieces" in it.kept.look("fil").fault
        assert len(removals(it)) == 2
        it.kept.clock.now += ASK_AGAIN_S
        assert it.kept.look("fil").state is CopyState.LEAVING
        assert len(removals(it)) == 4

    def test_pieces_that_it_still_sends_are_said_for_as_long_as_it_does(self, it: Setting) -> None:
        it.until()
        it.node.keeps_sending = True
        leaves(it)
        it.node.prove()
        looked = it.kept.look("fil")
        assert looked.state is CopyState.LEAVING
        assert "still sends 2 pieces of a copy that is no longer proved or paid for" in looked.fault
        it.node.keeps_sending = False
        it.node.prove()
        assert it.kept.look("fil").state is CopyState.GONE

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"txHash": 7}', b'{"txHash": "0x1"}', b"[" * 30_000])
    def test_an_answer_that_names_no_transaction_is_not_believed(self, it: Setting, body: bytes) -> None:
        it.until()
        it.node.first = lambda asked: [answered(body)] if asked.method == "DELETE" else ()
        copy = leaves(it)
        assert (copy.state, "does not speak the PDP interface" in copy.fault) == (CopyState.LEAVING, True)
        it.node.first = lambda asked: ()
        it.kept.look("fil")
        assert len(removals(it)) == 3  # the first is asked for again

    def test_a_removal_that_is_refused_is_said_with_why(self, it: Setting) -> None:
        it.until()
        it.node.first = lambda asked: (
            [answered(b"extraData too large", status="400 Bad Request")] if asked.method == "DELETE" else ()
        )
        assert "extraData too large" in leaves(it).fault
