"""Several custodians and several homes: what holds when some are down, behind, or learn of things from others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Clock, Founded, LocalCustodian, Party, described, founded
from tests.cli.dao_steps import carried, closed, proposed, voted

THREE = "one:1,two:1,three:1"
FOUR = THREE + ",four:1"


@pytest.fixture
def three(party: Party, custodians: object, people: dict[str, str]) -> Founded:
    """A DAO of alice (2 votes) and bob (1), with three custodians."""
    return founded(party, people, THREE, "--member", f"{people['alice']}=2", "--member", people["bob"])


@pytest.fixture
def elsewhere(three: Founded, tmp_path: Path) -> Founded:
    """Another home of the same people, as of the DAO's founding."""
    shutil.copytree(three.party.home, tmp_path / "elsewhere")
    other = Party(tmp_path / "elsewhere", env=dict(three.party.env))
    return Founded(other, three.genesis, three.addresses)


def test_three_custodians_close_with_one_set_and_carry_it_out(
    three: Founded, tmp_path: Path, clock: Clock, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(three, described(three, tmp_path))
    answer = voted(three, proposal)
    assert (answer["acknowledged"], answer["enough"], answer["is_enough"]) == (3, 2, True)
    assert (
        "3 of 3 custodians hold it; 2 guarantee that it is counted"
        in three.party.run("dao", "vote", proposal, "for", "--wallet", "bob").stdout
    )
    assert closed(three, clock, proposal)["closings"] == 3
    assert sorted(three.party.json("dao", "execute", proposal)["custodians"]) == ["one:1", "three:1", "two:1"]


def test_with_one_custodian_down_votes_are_counted_and_it_catches_up(
    three: Founded, tmp_path: Path, clock: Clock, custodians: dict[str, LocalCustodian]
) -> None:
    custodians["two:1"].is_down = True
    proposal = proposed(three, described(three, tmp_path))
    answer = voted(three, proposal)
    assert (answer["acknowledged"], answer["is_enough"], sorted(answer["failed"])) == (2, True, ["two:1"])
    assert closed(three, clock, proposal)["closings"] == 2
    assert three.party.json("dao", "execute", proposal)["epoch"] == 1
    custodians["two:1"].is_down = False
    again = three.party.json("dao", "execute", proposal)
    assert sorted(again["custodians"]) == ["one:1", "three:1", "two:1"]


def test_with_one_acknowledgment_a_member_is_told_that_it_is_not_enough(
    three: Founded, tmp_path: Path, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(three, described(three, tmp_path))
    for name in ("two:1", "three:1"):
        custodians[name].is_down = True
    answer = voted(three, proposal)
    assert (answer["acknowledged"], answer["enough"], answer["is_enough"]) == (1, 2, False)
    told = three.party.run("dao", "vote", proposal, "for", "--wallet", "bob").stdout
    assert "1 of 3 custodians hold it; it takes 2" in told


def test_what_others_did_is_learned_from_the_custodians(
    three: Founded, elsewhere: Founded, tmp_path: Path, clock: Clock
) -> None:
    proposal = proposed(three, described(three, tmp_path))
    voted(three, proposal)
    assert elsewhere.party.json("dao", "list")["proposals"] == []
    voted(elsewhere, proposal, "bob", "against")
    assert elsewhere.party.json("dao", "tally", proposal)["for"] == 2
    assert three.party.json("dao", "tally", proposal)["against"] == 0
    assert three.party.json("dao", "tally", proposal, "--fresh")["against"] == 1
    closed(three, clock, proposal)
    done = elsewhere.party.json("dao", "execute", proposal)  # with the decision that waits at the custodians
    assert done["epoch"] == 1
    following = proposed(three, described(three, tmp_path))  # which follows what was done elsewhere
    assert three.party.json("dao", "show")["epoch"] == 1
    assert three.party.json("dao", "show", following)["epoch"] == 1


def test_four_custodians_tolerate_one_that_is_away(
    party: Party, custodians: dict[str, LocalCustodian], people: dict[str, str], tmp_path: Path, clock: Clock
) -> None:
    dao = founded(party, people, FOUR, "--member", f"{people['alice']}=2", "--member", people["bob"])
    custodians["four:1"].is_down = True
    assert carried(dao, clock, proposed(dao, described(dao, tmp_path)))["epoch"] == 1


def test_custodians_of_another_dao_are_no_help(
    three: Founded, people: dict[str, str], custodians: dict[str, LocalCustodian]
) -> None:
    told = three.party.refused("dao", "propose", "--wallet", "alice", "--revoke", "dao", "--custodian", "four:1")
    assert "no custodian of this DAO" in told
