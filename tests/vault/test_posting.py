"""What a board keeps, and what it looks at before: form, size, and what names an object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.boards import Affairs, own_board, put_voted_head
from tests.builders import NOW, adopted, adopting, carried, dao, policy, proposal, seeded
from tests.vault.posting_setting import GENESIS, MADE, OTHER, board_of_one, kinds, pinboard_on, post
from vault.action import charter_change
from vault.assembly import put
from vault.board import Kind
from vault.codec import encode
from vault.errors import InvalidDecision, MalformedObject, NotYet, VaultError
from vault.head import Head
from vault.pinboard import Pinboard
from vault.posted import BYTES_MAX
from vault.posting import checked
from vault.records.board import Board
from vault.roll import RollPage, RollRoot


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with board_of_one(tmp_path) as board:
        yield board


@pytest.fixture
def pinboard(board: Board) -> Pinboard:
    return pinboard_on(board)


def posted_all(pinboard: Pinboard, made: Affairs = MADE) -> None:
    post(pinboard, Kind.PROPOSAL, made.proposal, made.policy)
    for one in made.votes:
        post(pinboard, Kind.VOTE, one)
    post(pinboard, Kind.DELEGATION, made.delegation)
    post(pinboard, Kind.ACT, made.act)


class TestValid:
    def test_everything_that_is_signed_is_kept_once(self, board: Board, pinboard: Pinboard) -> None:
        before = len(kinds(board))
        for _ in range(2):
            posted_all(pinboard)
        assert kinds(board)[before:] == ["policy", "proposal", "vote", "vote", "vote", "delegation", "act"]
        assert [entry.parent for entry in board.since(GENESIS, 0, kind=Kind.VOTE)] == [MADE.proposal.cid()] * 3

    def test_a_decision_and_its_blocks_and_the_head_it_causes(self, board: Board, pinboard: Pinboard) -> None:
        second = policy(GENESIS, title="Second")
        bundle = carried(MADE.history, adopting(second), second)
        blocks = [body for cid, body in bundle.blocks.items() if cid != bundle.decision.cid()]
        pinboard.post(Kind.DECISION, GENESIS, bundle.decision.encoded(), blocks[:1])
        pinboard.post_named(GENESIS, bundle.decision.cid(), blocks[1:])
        after = adopted(MADE.history, second)
        post(pinboard, Kind.HEAD, after.head)
        assert board.tip(GENESIS) == MADE.history.head.cid()  # it could come next, and waits for custodians' votes
        put_voted_head(pinboard, after)
        assert board.tip(GENESIS) == after.head.cid()
        assert pinboard.history(GENESIS).head == after.head
        assert board.get(bundle.decision.proposal.cid()) == bundle.decision.proposal.encoded()

    def test_a_charter_is_kept_with_its_roll(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board:
            pinboard = pinboard_on(board)
            charter = MADE.founded.charter
            for _ in range(2):
                pinboard.found(charter.encoded(), list(MADE.roll.blocks().values()))
            assert kinds(board) == ["charter", "head", "roll", "block"]
            assert pinboard.history(charter.cid()).head == MADE.founded.head

    def test_a_new_charter_comes_with_its_proposal_and_brings_its_roll(self, board: Board, pinboard: Pinboard) -> None:
        larger = dao(7).charter
        changed = replace(larger, custodians=MADE.history.charter.custodians, nonce=seeded("later"))
        asked = proposal(MADE.history, charter_change(changed.cid()))
        roll = list(dao(7).roll.blocks().values())
        pinboard.post(Kind.PROPOSAL, GENESIS, asked.encoded(), [*roll, changed.encoded()])
        assert kinds(board)[-4:] == ["charter", "proposal", "roll", "block"]


@pytest.mark.parametrize("kind", [Kind.PROPOSAL, Kind.VOTE, Kind.DELEGATION, Kind.ACT, Kind.DECISION, Kind.HEAD])
def test_junk_of_every_kind_is_refused_as_malformed(board: Board, pinboard: Pinboard, kind: Kind) -> None:
    for junk in (b"", b"\x00", bytes(500), encode({"type": "coffer/vote/v1"}), MADE.policy.encoded()):
        with pytest.raises(MalformedObject):
            pinboard.post(kind, GENESIS, junk)


@given(st.binary(max_size=300), st.sampled_from(list(Kind)))
def test_random_bytes_raise_nothing_but_our_own_errors(junk: bytes, kind: Kind) -> None:
    with pytest.raises(VaultError):
        checked(kind, junk, history=MADE.history, shelf=_Nothing(), at=NOW)


class _Nothing(Board):
    """A board on which nothing is, and nothing is looked for: form comes first."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("kind", BYTES_MAX)
def test_what_is_larger_than_its_kind_is_refused_before_it_is_parsed(pinboard: Pinboard, kind: str) -> None:
    with pytest.raises(MalformedObject, match="over the limit"):
        pinboard.post(kind, GENESIS, bytes(BYTES_MAX[kind] + 1))


@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.CHARTER, Kind.ROLL, Kind.BLOCK])
def test_what_nobody_signs_is_not_handed_in_by_itself(pinboard: Pinboard, kind: Kind) -> None:
    with pytest.raises(MalformedObject, match="with what names it"):
        pinboard.post(kind, GENESIS, policy(GENESIS, title="unnamed").encoded())
    with pytest.raises(MalformedObject, match="boards keep"):
        pinboard.post("license", GENESIS, b"\xa0")


class TestNamed:
    def test_a_block_that_nothing_names_is_refused(self, board: Board, pinboard: Pinboard) -> None:
        before = kinds(board)
        for name in (MADE.roll.cid, MADE.bundle.decision.cid(), GENESIS):
            with pytest.raises(InvalidDecision, match="does not name"):
                pinboard.post_named(GENESIS, name, [MADE.policy.encoded()])
        assert kinds(board) == before

    def test_naming_by_what_is_not_there_or_in_another_dao_is_refused(self, board: Board, pinboard: Pinboard) -> None:
        put(board, Kind.CHARTER, OTHER.genesis, OTHER.founded.charter)
        page = b"page"
        for name in (Cid.of(DAG_CBOR, b"nothing"), OTHER.genesis):
            with pytest.raises(NotYet, match="is not on this board"):
                pinboard.post_named(GENESIS, name, [page])

    def test_a_named_block_of_no_known_form_is_refused(self, board: Board, pinboard: Pinboard) -> None:
        odd = encode({"type": "something else"})
        bundle = carried(MADE.history, adopting(MADE.policy), MADE.policy)
        named = replace(bundle.decision, weights=(Cid.of(DAG_CBOR, odd),))
        pinboard.post(Kind.DECISION, GENESIS, named.encoded())
        with pytest.raises(MalformedObject, match="page of a roll or of ballots"):
            pinboard.post_named(GENESIS, named.cid(), [odd])

    def test_a_policy_of_another_dao_is_refused_with_its_proposal(self, pinboard: Pinboard) -> None:
        foreign = policy(OTHER.genesis)
        asked = proposal(MADE.history, adopting(foreign))
        with pytest.raises(InvalidDecision, match="another DAO"):
            post(pinboard, Kind.PROPOSAL, asked, foreign)

    def test_a_charter_that_may_not_follow_is_refused_with_its_proposal(self, pinboard: Pinboard) -> None:
        other = dao(5, name="Elsewhere", custodians=3).charter
        asked = proposal(MADE.history, charter_change(other.cid()))
        with pytest.raises(MalformedObject, match="cannot change"):
            post(pinboard, Kind.PROPOSAL, asked, other)

    def test_a_roll_whose_pages_its_charter_does_not_fill_is_refused(self, tmp_path: Path) -> None:
        pages = [RollPage.of([(bytes(20), 1)]).cid()] * 2
        root = RollRoot(pages=tuple(pages))
        charter = replace(MADE.founded.charter, roll=root.cid())
        with own_board(tmp_path) as board, pytest.raises(MalformedObject, match="more or fewer pages"):
            pinboard_on(board).found(charter.encoded(), [root.encoded()])


def test_the_boards_own_record_of_a_head_is_not_what_decides(board: Board) -> None:
    """A row that says another tip than what follows from signatures makes the DAO unusable, not another one."""
    forged = replace(MADE.history.head, policies=())
    put(board, Kind.HEAD, GENESIS, Head.from_bytes(forged.encoded()), parent=forged.cause)
    board.set_tip(GENESIS, replace(forged, epoch=2, previous=forged.cid()).cid(), 2)
    with pytest.raises(VaultError):
        pinboard_on(board).history(GENESIS)
