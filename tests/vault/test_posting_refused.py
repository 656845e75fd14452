"""What a board refuses: from a valid object, one fact broken at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.boards import act, open_proposal
from tests.builders import (
    NOW,
    adopting,
    ballot,
    carried,
    policy,
    resigned,
    seeded,
    vote,
    wallet,
    weight,
)
from tests.vault.posting_setting import GENESIS, MADE, OTHER, OWN, VOTERS, board_of_one, kinds, pinboard_on, post
from vault.assembly import put
from vault.ballot import Support
from vault.board import Kind
from vault.codec import Record
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    InvalidDecision,
    InvalidSignature,
    NotYet,
    StaleState,
    VaultError,
)
from vault.pinboard import Pinboard
from vault.records.board import Board

CLOSED_BUNDLE = carried(MADE.history, adopting(MADE.policy), MADE.policy)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with board_of_one(tmp_path) as board:
        yield board


@pytest.fixture
def pinboard(board: Board) -> Pinboard:
    return pinboard_on(board)


def other_voter() -> Record:
    return replace(OWN, ballot=replace(OWN.ballot, voter=VOTERS[4].address))


def foreign_vote() -> Record:
    return OTHER.votes[0]


REFUSED: dict[str, tuple[Kind, Callable[[], Record], type[VaultError], str]] = {
    "a stranger's vote": (
        Kind.VOTE,
        lambda: vote(MADE.history, ballot(MADE.history, MADE.proposal, wallet("stranger"))),
        AccessDenied,
        "no such weight",
    ),
    "an inflated weight": (Kind.VOTE, lambda: replace(OWN, weight=weight(2)), AccessDenied, "no such weight"),
    "another voter's signature": (Kind.VOTE, other_voter, AccessDenied, "no such weight"),
    "a changed ballot": (
        Kind.VOTE,
        lambda: replace(OWN, ballot=replace(OWN.ballot, support=Support.AGAINST)),
        InvalidSignature,
        "not signed",
    ),
    "a vote on an unknown proposal": (
        Kind.VOTE,
        lambda: vote(MADE.history, ballot(MADE.history, open_proposal(MADE.history, policy(GENESIS)), VOTERS[0])),
        NotYet,
        "not on this board",
    ),
    "another DAO's vote": (Kind.VOTE, foreign_vote, InvalidDecision, "another DAO"),
    "a changed proposal": (
        Kind.PROPOSAL,
        lambda: replace(MADE.proposal, nonce=seeded("another")),
        InvalidSignature,
        "not signed",
    ),
    "another DAO's proposal": (Kind.PROPOSAL, lambda: OTHER.proposal, InvalidDecision, "another DAO"),
    "a proposal by a stranger": (
        Kind.PROPOSAL,
        lambda: open_proposal(MADE.history, MADE.policy, proposer=wallet("stranger")),
        AccessDenied,
        "no such weight",
    ),
    "a proposal against no head of this chain": (
        Kind.PROPOSAL,
        lambda: resigned(MADE.history, VOTERS[0], MADE.proposal, head=MADE.founded.head.cid()),
        InvalidDecision,
        "not made against",
    ),
    "a proposal with too little time": (
        Kind.PROPOSAL,
        lambda: resigned(MADE.history, VOTERS[0], MADE.proposal, closes_at=MADE.proposal.closes_at - 1),
        InvalidDecision,
        "open for",
    ),
    "a proposal that opens years ahead": (
        Kind.PROPOSAL,
        lambda: resigned(MADE.history, VOTERS[0], MADE.proposal, opens_at=NOW + 10**8, closes_at=NOW + 10**8 + 86_400),
        NotYet,
        "too far ahead",
    ),
    "a proposal whose vote closed long ago": (
        Kind.PROPOSAL,
        lambda: resigned(MADE.history, VOTERS[0], MADE.proposal, opens_at=NOW - 10**7, closes_at=NOW - 10**7 + 86_400),
        StaleState,
        "long ago",
    ),
    "a proposal without the policy that it names": (
        Kind.PROPOSAL,
        lambda: open_proposal(MADE.history, policy(GENESIS, title="not here")),
        NotYet,
        "not on this board",
    ),
    "the delegation of a stranger": (
        Kind.DELEGATION,
        lambda: replace(MADE.delegation, weight=weight(2)),
        AccessDenied,
        "no such weight",
    ),
    "another DAO's delegation": (Kind.DELEGATION, lambda: OTHER.delegation, InvalidDecision, "another DAO"),
    "a changed delegation": (
        Kind.DELEGATION,
        lambda: replace(MADE.delegation, delegation=replace(MADE.delegation.delegation, sequence=2)),
        InvalidSignature,
        "not signed",
    ),
    "an act of no guardian": (Kind.ACT, lambda: act(MADE.history, wallet("stranger")), InvalidSignature, "no guardian"),
    "another DAO's act": (Kind.ACT, lambda: OTHER.act, InvalidDecision, "head of this DAO"),
    "a changed act": (
        Kind.ACT,
        lambda: replace(MADE.act, act=replace(MADE.act.act, subject=bytes(20))),
        InvalidSignature,
        "not signed by",
    ),
    "another DAO's decision": (Kind.DECISION, lambda: OTHER.bundle.decision, InvalidDecision, "another DAO"),
    "a decision whose closing is not a custodian's": (
        Kind.DECISION,
        lambda: replace(
            CLOSED_BUNDLE.decision,
            closings=tuple(replace(one, custodian=bytes(32)) for one in CLOSED_BUNDLE.decision.closings),
        ),
        InvalidSignature,
        "no custodian",
    ),
    "a decision on a changed proposal": (
        Kind.DECISION,
        lambda: replace(CLOSED_BUNDLE.decision, proposal=MADE.proposal),
        InvalidDecision,
        "different ballots",
    ),
    "a decision that was carried out": (
        Kind.DECISION,
        lambda: replace(MADE.bundle.decision, weights=MADE.bundle.decision.weights * 2),
        InvalidDecision,
        "carried out before",
    ),
    "a head that leads elsewhere": (
        Kind.HEAD,
        lambda: replace(MADE.history.head, policies=()),
        ForkedHistory,
        "does not grow",
    ),
    "a head from the future": (
        Kind.HEAD,
        lambda: replace(MADE.history.head, epoch=9, previous=MADE.history.head.cid()),
        NotYet,
        "heads between",
    ),
    "a head that its cause does not lead to": (
        Kind.HEAD,
        lambda: replace(MADE.history.head, epoch=2, previous=MADE.history.head.cid()),
        InvalidDecision,
        "carried out before",
    ),
    "another DAO's head": (Kind.HEAD, lambda: OTHER.history.head, ForkedHistory, "another DAO"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(board: Board, pinboard: Pinboard, case: str) -> None:
    kind, broken, error, words = REFUSED[case]
    put(board, Kind.POLICY, GENESIS, MADE.policy)
    put(board, Kind.PROPOSAL, GENESIS, MADE.proposal)
    put(board, Kind.PROPOSAL, OTHER.genesis, OTHER.proposal)
    before = kinds(board)
    with pytest.raises(error, match=words):
        post(pinboard, kind, broken())
    assert kinds(board) == before
    assert board.tip(GENESIS) == MADE.history.head.cid()
