"""A charter whose roll is not what it counts: members are warned, and neither propose it nor vote for it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cli import wiring
from cli.dao_opened import opened_dao
from cli.dao_propose import Wanted, put_to_vote
from cli.wallets import open_wallet
from storage.cid import Cid
from tests.cli.conftest import PASSWORD, Founded, LocalCustodian
from tests.governing import successor
from tests.people import roll_fields
from vault.action import charter_change
from vault.assembly import proposed, put_roll
from vault.charter import Charter
from vault.errors import InvalidDecision
from vault.roll import Roll
from vault.signing import SigningKey, address_from


@dataclass
class Fraud:
    """A proposal of alice's that shows all members with more weight, and counts hers alone."""

    charter: Charter
    shown: Roll
    key: SigningKey
    proposal: Cid


@pytest.fixture
def fraud(dao: Founded, custodians: dict[str, LocalCustodian], monkeypatch: pytest.MonkeyPatch) -> Fraud:
    """Have the custodian hold the proposal; the board here does not know it yet."""
    for name, value in (dao.party.env | {"COFFER_HOME": str(dao.party.home)}).items():
        monkeypatch.setenv(name, value)
    key = open_wallet(dao.party.home / "wallets" / "alice.json", PASSWORD)
    alice, bob = (address_from(dao.addresses[name]) for name in ("alice", "bob"))
    shown, counted = Roll.of({alice: 3, bob: 2}), Roll.of({alice: 5})
    with opened_dao(None, None) as (_, board, history):
        fields = roll_fields(shown) | {"weights_root": counted.tree().root}
        charter = successor(history.charter, **fields)
        made = proposed(board, history, charter_change(charter.cid()), key, at=wiring.clock())
    blocks = {charter.cid(): charter.encoded()}
    custodians["one:1"].custody.voting.balloting.submit_proposal(made, blocks)
    return Fraud(charter, shown, key, made.cid())


def put_shown(dao: Founded, fraud: Fraud) -> None:
    """Put on the board the roll that is shown."""
    with opened_dao(None, None) as (_, board, history):
        put_roll(board, history.genesis, fraud.shown)


def test_who_reads_the_change_is_warned(dao: Founded, fraud: Fraud) -> None:
    diff = ("dao", "diff", fraud.proposal)
    result = dao.party.run(*diff)
    assert "NOT known here" in result.stderr and "who they are is not known here" in result.stdout
    put_shown(dao, fraud)
    result = dao.party.run(*diff)
    assert "NOT what the charter counts" in " ".join(result.stderr.split())
    assert "members: 2 → 2, total weight: 3 → 5" in result.stdout
    assert fraud.charter.weights_root.hex() in result.stdout
    assert "weight of" not in result.stdout  # nothing that is shown is what counts
    said = dao.party.json(*diff)
    assert "NOT what the charter counts" in said["warning"]


def test_nobody_votes_for_it_and_whoever_votes_against_it_is_warned(dao: Founded, fraud: Fraud) -> None:
    vote = ("dao", "vote", fraud.proposal)
    assert "NOT known here" in dao.party.json(*vote, "abstain", "--wallet", "bob")["warning"]
    put_shown(dao, fraud)
    assert "NOT what the charter counts" in dao.party.refused(*vote, "for", "--wallet", "bob")
    ballot = ("dao", "ballot", fraud.proposal, "for", "--voter", dao.addresses["bob"])
    assert "NOT what the charter counts" in dao.party.refused(*ballot, "--typed-data")
    against = dao.party.run("dao", "ballot", fraud.proposal, "against", *ballot[4:], "--typed-data")
    assert "NOT what the charter counts" in " ".join(against.stderr.split())
    result = dao.party.run(*vote, "against", "--wallet", "bob")
    assert "NOT what the charter counts" in " ".join(result.stderr.split()) and "voted against" in result.stdout
    assert dao.party.json("dao", "tally", fraud.proposal)["for"] == 0


def test_nobody_proposes_it(dao: Founded, fraud: Fraud) -> None:
    wanted = Wanted(action=charter_change(fraud.charter.cid()), named=fraud.charter, roll=fraud.shown)
    refused = pytest.raises(InvalidDecision, match="NOT what the charter counts")
    with opened_dao(None, None) as (settings, board, history), refused:
        put_to_vote(settings, board, history, wanted, fraud.key)
    assert dao.party.json("dao", "list")["proposals"] == []


def test_an_honest_change_warns_of_nothing(dao: Founded) -> None:
    said = dao.party.json("dao", "propose", "--wallet", "alice", "--set", "quorum=60%")
    assert dao.party.json("dao", "diff", said["proposal"])["warning"] == ""
    assert dao.party.json("dao", "vote", said["proposal"], "for", "--wallet", "bob")["warning"] == ""
