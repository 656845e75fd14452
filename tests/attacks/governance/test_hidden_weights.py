"""Attacks by a charter that shows one roll and counts by another: all weight to one member, and nothing to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.dao_charter import charter_changes
from cli.dao_rolls import require_counted, seen_in, seen_roll
from tests.boards import own_board
from tests.builders import NOW, after, carried, dao, weight
from tests.governing import successor
from tests.people import roll_fields, weighted
from tests.voting import VOTING, Electorate
from tests.voting import proposal as opening
from vault.action import charter_change
from vault.assembly import found, put_proposal, put_roll
from vault.board import Kind
from vault.charter import Charter
from vault.errors import InvalidDecision, MalformedObject
from vault.pinboard import Pinboard
from vault.roll import Roll

DAO = dao(5, **(VOTING | {"delay_s": 0}))
MALLORY = DAO.wallets[0]
OWN = Roll.of({MALLORY.address: 5})
HONEST = weighted((1, 1, 1, 1, 2))
HIDDEN: list[dict[str, Any]] = [
    {"weights_root": OWN.tree().root},
    {"weights_root": OWN.tree().root, "members": 1},
    {"weights_root": HONEST.tree().root, "total_weight": weight(6)},
    {"total_weight": weight(500)},
    {"members": 1},
]
IDS = ["root", "root and members", "root and total", "total", "members"]


def evil(**fields: Any) -> Charter:
    """Return a charter that also changes something harmless, which is all that members were to see."""
    return successor(DAO.charter, quorum_bps=4_001, **fields)


@pytest.mark.parametrize("fields", HIDDEN, ids=IDS)
def test_no_majority_changes_what_is_counted_under_the_same_roll(fields: dict[str, Any]) -> None:
    charter = evil(**fields)
    with pytest.raises(MalformedObject, match="the roll"):
        after(DAO.history, carried(DAO.history, charter_change(charter.cid()), charter), at=NOW + 10**6)
    kept = evil()
    assert after(DAO.history, carried(DAO.history, charter_change(kept.cid()), kept), at=NOW + 10**6).head.epoch == 1


@pytest.mark.parametrize("fields", HIDDEN, ids=IDS)
def test_neither_custodians_nor_boards_take_such_a_proposal(tmp_path: Path, fields: dict[str, Any]) -> None:
    charter = evil(**fields)
    with own_board(tmp_path) as board, Electorate(tmp_path, DAO) as electorate:
        found(board, DAO.charter, DAO.roll)
        made = opening(DAO.history, charter_change(charter.cid()), opens_at=NOW)
        blocks = {charter.cid(): charter.encoded()}
        with pytest.raises(MalformedObject, match="the roll"):
            electorate.custodies[0].voting.balloting.submit_proposal(made, blocks)
        pinboard = Pinboard(board, clock=electorate.clock)
        with pytest.raises(MalformedObject, match="the roll"):
            pinboard.post(Kind.PROPOSAL, DAO.genesis, made.encoded(), [charter.encoded()])


@pytest.mark.parametrize("fields", HIDDEN, ids=IDS)
def test_what_is_counted_is_told_whenever_it_changes(fields: dict[str, Any]) -> None:
    lines = list(charter_changes(DAO.charter, evil(**fields), (DAO.roll, None)))
    told = "\n".join(lines)
    after_it = evil(**fields)
    assert f"members: 5 → {after_it.members}, total weight: 5 → {after_it.total()}" in told
    assert "the roll stays the same, though votes are counted by others" in told
    assert (after_it.weights_root.hex() in told) == ("weights_root" in fields)


FALSE: list[dict[str, Any]] = [
    roll_fields(HONEST) | {"weights_root": OWN.tree().root},
    roll_fields(HONEST) | {"total_weight": weight(600)},
    roll_fields(HONEST) | {"members": 4},
    roll_fields(OWN) | {"roll": HONEST.cid},
]


@pytest.mark.parametrize("fields", FALSE, ids=["root", "total", "members", "all of it"])
def test_a_new_roll_that_is_not_what_the_charter_counts_is_found_out(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Custodians hold no rolls, so they cannot see it; whoever is to vote can."""
    charter = evil(**fields)
    with own_board(tmp_path) as board:
        history = found(board, DAO.charter, DAO.roll)
        made = opening(history, charter_change(charter.cid()), opens_at=NOW)
        put_proposal(board, history, made, charter)
        missing = seen_in(board, made)
        assert missing.roll is None and not missing.is_contradicted and "NOT known here" in missing.warning
        put_roll(board, history.genesis, HONEST)
        seen = seen_in(board, made)
        assert seen.roll is None and seen.is_contradicted and "NOT what the charter counts" in seen.warning
        with pytest.raises(InvalidDecision, match="NOT what the charter counts"):
            require_counted(board, charter, None)
        with pytest.raises(InvalidDecision, match="NOT what the charter counts"):
            require_counted(board, charter, HONEST)


def test_a_true_roll_is_shown_and_one_that_was_changed_on_the_board_is_as_good_as_missing(tmp_path: Path) -> None:
    charter = evil(**roll_fields(HONEST))
    with own_board(tmp_path) as board:
        history = found(board, DAO.charter, DAO.roll)
        put_roll(board, history.genesis, HONEST)
        assert seen_roll(board, charter).roll == HONEST
        require_counted(board, charter, None)
    changed = dict.fromkeys(HONEST.blocks(), OWN.blocks()[OWN.cid])
    with own_board(tmp_path) as board:
        seen = seen_roll(board, charter, changed)
        assert seen.warning == seen_roll(board, charter).warning != ""
        assert seen.roll is None and not seen.is_contradicted
