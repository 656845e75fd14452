"""Attacks by, and on, boards: rows changed under the service, heads replayed, forks, floods."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.boards import Affairs, affairs, own_board, put_all, put_chain, served
from tests.builders import NOW, adopted, adopting, ballot, carried, policy, seeded, vote, voters
from vault.assembly import fetch_from, history_of, put
from vault.ballot import Support
from vault.board import Kind
from vault.board_client import BoardClient
from vault.board_sync import synced
from vault.closing import BallotPage, Cast, pages_of
from vault.decision import Bundle
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    InvalidDecision,
    InvalidSignature,
    MalformedObject,
    NotYet,
    RateExceeded,
    VaultError,
)
from vault.pinboard import Pinboard
from vault.rate import PeerLimit
from vault.records.board import Board

MADE = affairs()
GENESIS = MADE.genesis
JUNK_BALLOTS = 10_000
JUNK_S_MAX = 0.001  # each; about a tenth of it where nothing else runs


class Hosted:
    """A service over a database that its host edits behind it, and a member's own board."""

    def __init__(self, folder: Path, hosted: Board, own: Board, client: BoardClient) -> None:
        (self._path,) = [path for path in folder.glob("hosted/*.db")]
        self.hosted, self.own, self.client = hosted, own, client

    def edit(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self._path)) as database, database:
            assert database.execute(statement, values).rowcount

    def sync(self, made: Affairs = MADE) -> None:
        synced(self.own, self.client, made.genesis, at=NOW)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    (tmp_path / "hosted").mkdir()
    with own_board(tmp_path / "hosted") as board, own_board(tmp_path) as own:
        put_all(board, MADE)
        with served(board) as client:
            yield Hosted(tmp_path, board, own, client)


class TestRowsChangedUnderTheService:
    def test_a_changed_body_is_found_out_by_whoever_reads(self, hosted: Hosted) -> None:
        other = vote(MADE.history, ballot(MADE.history, MADE.proposal, voters(MADE.history)[0], Support.AGAINST))
        changed = MADE.votes[0].cid()
        hosted.edit("UPDATE board_object SET body = ? WHERE cid = ?", other.encoded(), changed.binary)
        with pytest.raises(MalformedObject, match="not asked for"):
            hosted.client.get(changed)
        hosted.sync()
        kept = [cid for cid, _ in hosted.own.list(Kind.VOTE, GENESIS)]
        assert changed not in kept
        assert other.cid() not in kept

    @pytest.mark.parametrize("kind", [Kind.CHARTER, Kind.DECISION, Kind.HEAD])
    def test_a_chain_with_a_changed_row_is_followed_no_further(self, hosted: Hosted, kind: Kind) -> None:
        hosted.edit("UPDATE board_object SET body = ? WHERE kind = ?", b"junk", str(kind))
        before = hosted.own.since(GENESIS, 0)
        try:
            hosted.sync()
        except VaultError:
            assert kind is Kind.CHARTER
            assert hosted.own.since(GENESIS, 0) == before
        else:
            assert history_of(hosted.own, GENESIS, at=NOW).head == MADE.founded.head

    def test_deleted_rows_come_back_from_whoever_has_them(self, hosted: Hosted) -> None:
        hosted.sync()
        hosted.edit("DELETE FROM board_object WHERE kind = 'vote'")
        assert hosted.client.list(Kind.VOTE, GENESIS) == []
        hosted.sync()
        assert {cid for cid, _ in hosted.own.list(Kind.VOTE, GENESIS)} == {one.cid() for one in MADE.votes}
        assert {cid for cid, _ in hosted.client.list(Kind.VOTE, GENESIS)} == {one.cid() for one in MADE.votes}

    def test_rows_in_another_order_lead_to_the_same_state(self, hosted: Hosted) -> None:
        hosted.edit("UPDATE board_object SET position = 1000 - position")
        hosted.sync()
        history = history_of(hosted.own, GENESIS, at=NOW)
        assert history.head == MADE.history.head
        assert {cid for cid, _ in hosted.own.list(Kind.VOTE, GENESIS)} == {one.cid() for one in MADE.votes}
        assert hosted.own.get(MADE.proposal.cid()) == MADE.proposal.encoded()

    def test_rows_moved_to_another_dao_are_not_taken_there(self, hosted: Hosted) -> None:
        other = affairs(name="Haven")
        put_chain(hosted.hosted, other)
        hosted.edit(
            "UPDATE board_object SET genesis = ? WHERE kind IN ('vote', 'proposal', 'delegation', 'act')",
            other.genesis.binary,
        )
        hosted.sync(other)
        kinds = {entry.kind for entry in hosted.own.since(other.genesis, 0)}
        assert not kinds & {Kind.VOTE, Kind.DELEGATION, Kind.ACT}
        assert hosted.own.get(MADE.proposal.cid()) is None

    def test_a_row_under_another_kind_or_parent_is_not_taken_for_it(self, hosted: Hosted) -> None:
        hosted.edit("UPDATE board_object SET kind = 'delegation' WHERE kind = 'act'")
        hosted.edit("UPDATE board_object SET parent = ? WHERE kind = 'vote'", GENESIS.binary)
        hosted.sync()
        assert hosted.own.get(MADE.act.cid()) is None
        assert hosted.own.list(Kind.VOTE, GENESIS) == []


class TestHeads:
    def test_an_older_head_served_after_a_newer_one_changes_nothing(self, hosted: Hosted) -> None:
        hosted.sync()
        hosted.edit("UPDATE board_tip SET head = ?, epoch = 0", MADE.founded.head.cid().binary)
        hosted.edit("DELETE FROM board_object WHERE cid = ?", MADE.history.head.cid().binary)
        counts = synced(hosted.own, hosted.client, GENESIS, at=NOW, is_giving=False)
        assert counts.epoch == 1
        assert hosted.own.tip(GENESIS) == MADE.history.head.cid()

    def test_a_fork_is_named_and_changes_nothing(self, hosted: Hosted) -> None:
        hosted.sync()
        fork = policy(GENESIS, title="Fork")
        bundle = carried(MADE.founded, adopting(fork), fork)
        forked = adopted(MADE.founded, fork)
        for cid, body in bundle.blocks.items():
            hosted.hosted.put(Kind.BLOCK, GENESIS, cid, None, body)
        put(hosted.hosted, Kind.HEAD, GENESIS, forked.head)
        hosted.edit("UPDATE board_tip SET head = ?, epoch = 1", forked.head.cid().binary)
        counts = synced(hosted.own, hosted.client, GENESIS, at=NOW, is_giving=False)
        assert any("too few custodians' votes" in reason for reason in counts.reasons)
        assert hosted.own.tip(GENESIS) == MADE.history.head.cid()
        assert hosted.own.get(forked.head.cid()) is None

    def test_a_service_refuses_the_fork_and_the_older_head_itself(self, hosted: Hosted) -> None:
        fork = policy(GENESIS, title="Fork")
        forked = adopted(MADE.founded, fork)
        with pytest.raises(ForkedHistory):
            put(hosted.client, Kind.HEAD, GENESIS, forked.head, parent=forked.head.cause)
        assert hosted.client.tip(GENESIS) == MADE.history.head.cid()


def test_a_board_that_withholds_votes_hides_them_from_readers_but_the_closed_set_is_the_custodians(
    hosted: Hosted,
) -> None:
    """What counts is what custodians closed: their pages hold the ballot that the board does not show."""
    hosted.edit("DELETE FROM board_object WHERE cid = ?", MADE.votes[0].cid().binary)
    hosted.sync()
    assert len(hosted.own.list(Kind.VOTE, GENESIS)) == 2
    bundle = carried(MADE.history, adopting(MADE.policy), MADE.policy)
    put_bundle(hosted.hosted, bundle)
    hosted.sync()
    decision = bundle.decision
    history = history_of(hosted.own, GENESIS, at=NOW)
    count = history.counted(decision, fetch_from(hosted.own))
    assert count.weight_for == MADE.history.charter.members
    fewer = pages_of(decision.proposal, cast_of(bundle)[1:])
    left_out = replace(decision, closings=tuple(replace(one, pages=(fewer[0].cid(),)) for one in decision.closings))
    with pytest.raises(InvalidSignature):
        hosted.client.put(Kind.DECISION, GENESIS, left_out.cid(), decision.proposal.cid(), left_out.encoded())


def put_bundle(board: Board, bundle: Bundle) -> None:
    decision = bundle.decision
    put(board, Kind.DECISION, GENESIS, decision, parent=decision.proposal.cid())
    for cid, body in bundle.blocks.items():
        if board.get(cid) is None:
            board.put(Kind.BLOCK, GENESIS, cid, decision.cid(), body)


def cast_of(bundle: Bundle) -> list[Cast]:
    return [one for cid in bundle.decision.pages() for one in BallotPage.from_bytes(bundle.blocks[cid]).cast()]


class TestFloods:
    def test_ten_thousand_junk_ballots_cost_little_and_leave_nothing(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board:
            put_all(board, MADE)
            pinboard = Pinboard(board, clock=lambda: NOW)
            pinboard.history(GENESIS)
            before = board.since(GENESIS, 0)
            own = MADE.votes[0]
            shapes = [
                lambda n: seeded(f"junk {n}", 900),
                lambda n: replace(own, ballot=replace(own.ballot, proposal=seeded(str(n)))).encoded(),
                lambda n: replace(own, weight=(n + 2).to_bytes(32, "big")).encoded(),
                lambda n: replace(own, ballot=replace(own.ballot, sequence=n + 1)).encoded(),
            ]
            junk = [shapes[n % len(shapes)](n) for n in range(JUNK_BALLOTS)]
            started = time.process_time()
            for body in junk:
                with pytest.raises((MalformedObject, NotYet, AccessDenied, InvalidSignature)):
                    pinboard.post(Kind.VOTE, GENESIS, body)
            spent = time.process_time() - started
            assert board.since(GENESIS, 0) == before
            assert spent / JUNK_BALLOTS < JUNK_S_MAX

    def test_a_proposal_with_a_policy_of_ten_megabytes_is_refused_before_it_is_parsed(self, hosted: Hosted) -> None:
        huge = bytes(10 << 20)
        asked = replace(MADE.proposal, action=adopting(MADE.policy), nonce=seeded("huge"))
        with pytest.raises(MalformedObject, match="not the policy"):
            hosted.client.put(Kind.POLICY, GENESIS, Cid.of(DAG_CBOR, huge), None, huge)
        pinboard = Pinboard(hosted.hosted, clock=lambda: NOW)
        with pytest.raises(MalformedObject, match="over the limit"):
            pinboard.post(Kind.PROPOSAL, GENESIS, huge, [])
        with pytest.raises(VaultError):
            pinboard.post(Kind.PROPOSAL, GENESIS, asked.encoded(), [huge])
        assert hosted.hosted.get(Cid.of(DAG_CBOR, huge)) is None

    def test_a_flood_from_one_address_is_slowed(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board, served(board, limit=PeerLimit(per_s=0.001, burst=20)) as client:
            put_all(board, MADE)
            with pytest.raises(RateExceeded, match="one address"):
                for _ in range(21):
                    client.tip(GENESIS)
            assert board.tip(GENESIS) == MADE.history.head.cid()

    def test_a_flood_of_new_daos_from_one_address_is_slowed(self, tmp_path: Path) -> None:
        founding = PeerLimit(per_s=1e-6, burst=2)
        with own_board(tmp_path) as board, served(board, founding=founding) as client:
            made = [affairs(name=str(n)).founded.charter for n in range(3)]
            for charter in made[:2]:
                put(client, Kind.CHARTER, charter.cid(), charter)
            with pytest.raises(RateExceeded):
                put(client, Kind.CHARTER, made[2].cid(), made[2])
            put(client, Kind.CHARTER, made[0].cid(), made[0])
            assert board.geneses() == sorted(charter.cid() for charter in made[:2])


def test_a_stale_or_repeated_object_from_a_hostile_client_changes_nothing(hosted: Hosted) -> None:
    before = hosted.hosted.since(GENESIS, 0)
    for one in (*MADE.votes, MADE.votes[0]):
        put(hosted.client, Kind.VOTE, GENESIS, one, parent=MADE.proposal.cid())
    assert hosted.hosted.since(GENESIS, 0) == before
    with pytest.raises(InvalidDecision, match="carried out before"):
        put(hosted.client, Kind.DECISION, GENESIS, replace(MADE.bundle.decision, weights=(GENESIS,)))
