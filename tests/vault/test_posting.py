"""What a board looks at before it keeps an object: from a valid one, one fact broken at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.boards import GUARDIANS, Affairs, act, affairs, delegation, open_proposal, own_board, put_chain
from tests.builders import (
    NOW,
    adopted,
    adopting,
    ballot,
    carried,
    dao,
    policy,
    proposal,
    resigned,
    seeded,
    vote,
    voters,
    wallet,
    weight,
)
from vault import posting as posting_module
from vault.action import charter_change
from vault.assembly import put
from vault.ballot import Support
from vault.board import Kind
from vault.closing import final_at
from vault.codec import Record, encode
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    InvalidDecision,
    InvalidSignature,
    MalformedObject,
    NotYet,
    StaleState,
    VaultError,
)
from vault.head import Head
from vault.history import advanced
from vault.pinboard import Pinboard
from vault.posted import BYTES_MAX
from vault.posting import LATE_S, QuotaUsed, checked
from vault.records.board import Board
from vault.roll import RollPage, RollRoot
from vault.vote_delegation import DelegationBatch

MADE = affairs()
GENESIS = MADE.genesis
VOTERS = voters(MADE.history)
OTHER = affairs(name="Haven")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with own_board(tmp_path) as board:
        put_chain(board, MADE)
        yield board


@pytest.fixture
def pinboard(board: Board) -> Pinboard:
    return Pinboard(board, clock=lambda: NOW)


def post(pinboard: Pinboard, kind: Kind, record: Record, *blocks: Record, genesis: Cid = GENESIS) -> Cid:
    return pinboard.post(kind, genesis, record.encoded(), [block.encoded() for block in blocks])


def posted_all(pinboard: Pinboard, made: Affairs = MADE) -> None:
    post(pinboard, Kind.PROPOSAL, made.proposal, made.policy)
    for one in made.votes:
        post(pinboard, Kind.VOTE, one)
    post(pinboard, Kind.DELEGATION, made.delegation)
    post(pinboard, Kind.ACT, made.act)


def kinds(board: Board) -> list[str]:
    return [entry.kind for entry in board.since(GENESIS, 0)]


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
        assert board.tip(GENESIS) == after.head.cid()
        assert pinboard.history(GENESIS).head == after.head
        assert board.get(bundle.decision.proposal.cid()) == bundle.decision.proposal.encoded()

    def test_a_charter_is_kept_with_its_roll(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board:
            pinboard = Pinboard(board, clock=lambda: NOW)
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


VALID: dict[Kind, Record] = {
    Kind.PROPOSAL: MADE.proposal,
    Kind.VOTE: MADE.votes[0],
    Kind.DELEGATION: MADE.delegation,
    Kind.ACT: MADE.act,
}
OWN = MADE.votes[0]
CLOSED_BUNDLE = carried(MADE.history, adopting(MADE.policy), MADE.policy)


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


@pytest.mark.parametrize("kind", [*VALID, Kind.DECISION, Kind.HEAD])
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
            Pinboard(board, clock=lambda: NOW).found(charter.encoded(), [root.encoded()])


class TestTimes:
    def test_votes_are_taken_for_a_day_after_custodians_close_and_no_longer(self, board: Board) -> None:
        put(board, Kind.PROPOSAL, GENESIS, MADE.proposal)
        last = final_at(MADE.proposal, MADE.history.charter) + LATE_S
        with pytest.raises(StaleState, match="long ago"):
            post(Pinboard(board, clock=lambda: last + 1), Kind.VOTE, MADE.votes[0])
        post(Pinboard(board, clock=lambda: last), Kind.VOTE, MADE.votes[0])

    def test_a_delegation_that_is_no_later_than_the_one_in_force_is_refused(self, board: Board) -> None:
        batch = DelegationBatch(genesis=GENESIS, delegations=(MADE.delegation,))
        after = advanced(MADE.history, batch, lambda _: b"", at=NOW)
        pinboard = Pinboard(board, clock=lambda: NOW)
        pinboard.post(Kind.HEAD, GENESIS, after.head.encoded(), [batch.encoded()])
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
            pinboard = Pinboard(board, clock=lambda: NOW)
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

    def test_the_boards_own_record_of_a_head_is_not_what_decides(self, board: Board) -> None:
        """A row that says another tip than what follows from signatures makes the DAO unusable, not another one."""
        forged = replace(MADE.history.head, policies=())
        put(board, Kind.HEAD, GENESIS, Head.from_bytes(forged.encoded()), parent=forged.cause)
        board.set_tip(GENESIS, replace(forged, epoch=2, previous=forged.cid()).cid(), 2)
        with pytest.raises(VaultError):
            Pinboard(board, clock=lambda: NOW).history(GENESIS)


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
            Pinboard(board, clock=lambda: NOW).found(OTHER.founded.charter.encoded())
        assert board.geneses() == [GENESIS]
