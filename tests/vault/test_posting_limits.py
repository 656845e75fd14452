"""How much a board takes, of whom and how long: times, quotas, and which DAOs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.boards import GUARDIANS, act, affairs, delegation, open_proposal, own_board, put_chain, put_voted_head
from tests.builders import NOW, ballot, seeded, vote, voters
from tests.vault.posting_setting import GENESIS, MADE, OTHER, OWN, VOTERS, board_of_one, kinds, pinboard_on, post
from vault import posting as posting_module
from vault.assembly import put
from vault.board import Kind
from vault.closing import final_at
from vault.errors import AccessDenied, InvalidSignature, MalformedObject, StaleState
from vault.history import advanced
from vault.pinboard import Pinboard
from vault.posting import LATE_S, QuotaUsed
from vault.records.board import Board
from vault.vote_delegation import DelegationBatch


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with board_of_one(tmp_path) as board:
        yield board


@pytest.fixture
def pinboard(board: Board) -> Pinboard:
    return pinboard_on(board)


class TestTimes:
    def test_votes_are_taken_for_a_day_after_custodians_close_and_no_longer(self, board: Board) -> None:
        put(board, Kind.PROPOSAL, GENESIS, MADE.proposal)
        last = final_at(MADE.proposal, MADE.history.charter) + LATE_S
        with pytest.raises(StaleState, match="long ago"):
            post(pinboard_on(board, at=last + 1), Kind.VOTE, MADE.votes[0])
        post(pinboard_on(board, at=last), Kind.VOTE, MADE.votes[0])

    def test_a_delegation_that_is_no_later_than_the_one_in_force_is_refused(self, board: Board) -> None:
        batch = DelegationBatch(genesis=GENESIS, delegations=(MADE.delegation,))
        after = advanced(MADE.history, batch, lambda _: b"", at=NOW)
        pinboard = pinboard_on(board)
        put_voted_head(pinboard, after, [batch.encoded()])
        assert board.get(batch.cid()) == batch.encoded()
        again = delegation(MADE.history, VOTERS[3], VOTERS[0].address, sequence=1)
        with pytest.raises(StaleState, match="no later"):
            post(pinboard, Kind.DELEGATION, again)
        post(pinboard, Kind.DELEGATION, delegation(MADE.history, VOTERS[3], VOTERS[0].address, sequence=2))


class TestQuotas:
    def test_a_voter_has_sixteen_votes_on_a_proposal(self, pinboard: Pinboard) -> None:
        post(pinboard, Kind.PROPOSAL, MADE.proposal, MADE.policy)
        made = [vote(MADE.history, ballot(MADE.history, MADE.proposal, VOTERS[0], sequence=n)) for n in range(17)]
        for one in made[:16]:
            post(pinboard, Kind.VOTE, one)
        with pytest.raises(AccessDenied, match="16 votes"):
            post(pinboard, Kind.VOTE, made[16])
        post(pinboard, Kind.VOTE, made[0])
        post(pinboard, Kind.VOTE, vote(MADE.history, ballot(MADE.history, MADE.proposal, VOTERS[1])))

    def test_many_votes_at_once_are_taken_as_one_by_one(self, board: Board, pinboard: Pinboard) -> None:
        post(pinboard, Kind.PROPOSAL, MADE.proposal, MADE.policy)
        of_one = [vote(MADE.history, ballot(MADE.history, MADE.proposal, VOTERS[0], sequence=n)) for n in range(18)]
        forged = replace(OWN, ballot=replace(OWN.ballot, sequence=99))
        bodies = [one.encoded() for one in (*of_one, of_one[0], forged, *MADE.votes[1:])]
        failures = pinboard.post_votes(GENESIS, [*bodies, b"junk", bytes(5000)])
        assert [type(failure) for failure in failures] == [
            *[type(None)] * 16,
            *[QuotaUsed] * 2,
            type(None),
            InvalidSignature,
            *[type(None)] * 2,
            *[MalformedObject] * 2,
        ]
        assert kinds(board).count("vote") == 18

    def test_a_forger_does_not_use_up_a_voters_quota(self, board: Board, pinboard: Pinboard) -> None:
        post(pinboard, Kind.PROPOSAL, MADE.proposal, MADE.policy)
        for n in range(20):
            forged = replace(OWN, ballot=replace(OWN.ballot, sequence=n + 1))
            with pytest.raises(InvalidSignature):
                post(pinboard, Kind.VOTE, forged)
        post(pinboard, Kind.VOTE, OWN)
        assert kinds(board).count("vote") == 1

    def test_a_member_makes_so_many_proposals_for_a_day(self, tmp_path: Path) -> None:
        made = affairs(proposals_per_day=1)
        with own_board(tmp_path) as board:
            put_chain(board, made)
            pinboard = pinboard_on(board)
            asked = [open_proposal(made.history, made.policy, nonce=seeded(str(n))) for n in range(6)]
            for one in asked[:5]:
                post(pinboard, Kind.PROPOSAL, one, made.policy, genesis=made.genesis)
            with pytest.raises(AccessDenied, match="5 proposals"):
                post(pinboard, Kind.PROPOSAL, asked[5], made.policy, genesis=made.genesis)
            by = voters(made.history)[1]
            other = open_proposal(made.history, made.policy, proposer=by)
            post(pinboard, Kind.PROPOSAL, other, made.policy, genesis=made.genesis)

    def test_so_many_proposals_are_open(self, pinboard: Pinboard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(posting_module, "PROPOSALS_OPEN_MAX", 1)
        post(pinboard, Kind.PROPOSAL, MADE.proposal, MADE.policy)
        with pytest.raises(AccessDenied, match="are open"):
            post(pinboard, Kind.PROPOSAL, open_proposal(MADE.history, MADE.policy, nonce=seeded("second")))

    def test_a_guardian_signs_so_many_acts(self, pinboard: Pinboard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(posting_module, "ACTS_MAX", 2)
        for n in range(2):
            post(pinboard, Kind.ACT, act(MADE.history, GUARDIANS[0], nonce=str(n)))
        with pytest.raises(AccessDenied, match="2 acts"):
            post(pinboard, Kind.ACT, act(MADE.history, GUARDIANS[0], nonce="2"))
        post(pinboard, Kind.ACT, act(MADE.history, GUARDIANS[1], nonce="3"))

    def test_an_act_gathers_signatures_and_repeats_none(self, board: Board, pinboard: Pinboard) -> None:
        first, second, third = GUARDIANS
        for signers in ([first], [second], [first, second], [first, second, third]):
            post(pinboard, Kind.ACT, act(MADE.history, *signers))
        for signers in ([third], [second, third], [first, third]):
            with pytest.raises(StaleState, match="already"):
                post(pinboard, Kind.ACT, act(MADE.history, *signers))
        assert kinds(board).count("act") == 4


class TestWelcome:
    def test_a_board_for_one_dao_takes_no_other(self, board: Board) -> None:
        pinboard = Pinboard(board, clock=lambda: NOW, only=frozenset({GENESIS}))
        with pytest.raises(AccessDenied, match="other DAOs"):
            pinboard.found(OTHER.founded.charter.encoded())
        put_chain(board, OTHER)
        with pytest.raises(AccessDenied, match="not on this board"):
            post(pinboard, Kind.PROPOSAL, OTHER.proposal, OTHER.policy, genesis=OTHER.genesis)
        post(pinboard, Kind.PROPOSAL, MADE.proposal, MADE.policy)

    def test_an_open_board_takes_so_many(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vault.pinboard.GENESES_MAX", 1)
        with pytest.raises(AccessDenied, match="1 DAOs are on this board"):
            pinboard_on(board).found(OTHER.founded.charter.encoded())
        assert board.geneses() == [GENESIS]
