"""What a member's own board keeps: votes that a decision lacks, rolls that two DAOs share, and what acts are about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.wallets import open_wallet
from storage.cid import DAG_CBOR, Cid
from tests.cli.conftest import PASSWORD, Clock, Founded, LocalCustodian, founded
from tests.cli.dao_steps import closed, proposed, voted
from vault.acts import blank_ballot
from vault.assembly import history_of, proposal_on, put_vote, verified_vote
from vault.ballot import Support
from vault.board import Kind
from vault.guardian import GuardianAct
from vault.records.board import Board
from vault.records.database import open_records


@pytest.fixture
def board(dao: Founded) -> Iterator[Board]:
    records = open_records(f"sqlite:///{dao.party.home}/records.db")
    yield Board(records)
    records.close()


def put_ballot(dao: Founded, board: Board, proposal: str, who: str, sequence: int, *, at: int) -> None:
    """Put a ballot on the board that no custodian was handed."""
    key = open_wallet(dao.party.home / "wallets" / f"{who}.json", PASSWORD)
    history = history_of(board, Cid.parse(dao.genesis), at=at)
    one = proposal_on(board, history, Cid.parse(proposal))
    blank = blank_ballot(one, key.address, Support.AGAINST, sequence=sequence)
    ballot = blank.signed_by(key, history.charter.domain(history.genesis))
    put_vote(board, history, one.cid(), verified_vote(board, history, one, ballot))


def test_votes_that_a_decision_lacks_are_named_and_those_it_outranks_are_not(
    dao: Founded, board: Board, enclave_file: Path, clock: Clock
) -> None:
    proposal = proposed(dao, enclave_file)
    voted(dao, proposal, "alice", "for", "--sequence", 5)
    closed(dao, clock, proposal)
    put_ballot(dao, board, proposal, "alice", 4, at=clock.now)
    assert dao.party.json("dao", "show", proposal)["left_out"] == []
    put_ballot(dao, board, proposal, "alice", 6, at=clock.now)
    put_ballot(dao, board, proposal, "bob", 0, at=clock.now)
    put_ballot(dao, board, proposal, "bob", 1, at=clock.now)
    left = {one["voter"]: one["weight"] for one in dao.party.json("dao", "show", proposal)["left_out"]}
    assert left == {dao.addresses["alice"]: 2, dao.addresses["bob"]: 1}
    assert len(dao.party.json("dao", "show", proposal)["left_out"]) == len(left)


def test_a_second_dao_of_the_same_members_has_its_roll_too(
    dao: Founded, board: Board, custodians: dict[str, LocalCustodian]
) -> None:
    members = ("--member", f"{dao.addresses['alice']}=2", "--member", dao.addresses["bob"])
    second = founded(dao.party, dao.addresses, "two:1", *members)
    rolls = [board.list(Kind.ROLL, Cid.parse(genesis)) for genesis in (dao.genesis, second.genesis)]
    assert dao.genesis != second.genesis and rolls[0] == rolls[1] != []


def test_an_act_is_listed_by_what_it_does(dao: Founded, board: Board) -> None:
    members = ("--member", dao.addresses["alice"], "--guardian", dao.addresses["operator"])
    guarded = founded(dao.party, dao.addresses, "one:1", *members, "--guardian", dao.addresses["issuer"])
    dao.party.run("dao", "revoke", "dao", "--guardian", "operator", "--dao", guarded.genesis)
    genesis = Cid.parse(guarded.genesis)
    [(cid, body)] = board.list(Kind.ACT, genesis)
    about = Cid.from_digest(DAG_CBOR, GuardianAct.from_bytes(body).act.digest())
    assert board.list(Kind.ACT, genesis, about) == [(cid, body)]
