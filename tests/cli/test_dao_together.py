"""Several custodians and several homes: what holds when some are down, behind, or learn of things from others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from tests.cli.conftest import Clock, Founded, LocalCustodian, Party, described, founded
from tests.cli.dao_steps import carried, closed, proposed, voted
from tests.people import DAY_S

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
    assert "1 of 3 custodians holds it; it takes 2" in told


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


@pytest.fixture
def guarded(party: Party, custodians: object, people: dict[str, str]) -> Founded:
    """A DAO of alice (2 votes) and bob (1), with three custodians and one guardian."""
    members = ("--member", f"{people['alice']}=2", "--member", people["bob"])
    return founded(party, people, THREE, *members, "--guardian", people["operator"])


def revoked(dao: Founded, who: str, *up: str, custodians: dict[str, LocalCustodian], code: int = 0) -> dict[str, Any]:
    """Have the guardian revoke a licensee, while only these custodians can be reached."""
    for name, custodian in custodians.items():
        custodian.is_down = name not in up
    act = ("dao", "revoke", "licensee", dao.addresses[who], "--guardian", "operator", "--json")
    said: dict[str, Any] = json.loads(dao.party.run(*act, code=code).stdout)
    for custodian in custodians.values():
        custodian.is_down = False
    return said


def heads_of(dao: Founded, custodians: dict[str, LocalCustodian]) -> set[tuple[Cid, int]]:
    """Return which heads the DAO's custodians follow."""
    genesis = Cid.parse(dao.genesis)
    reached = [custodians[name].reached(expected=None) for name in THREE.split(",")]
    tips = [(head, epoch) for one in reached for dao, head, epoch in one.tips(one.custodian.key) if dao == genesis]
    assert len(tips) == len(reached)
    for one in reached:
        one.close()
    return set(tips)


def test_a_decision_that_loses_to_others_is_carried_out_after_them(
    guarded: Founded, tmp_path: Path, clock: Clock, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(guarded, described(guarded, tmp_path))
    voted(guarded, proposal)
    closed(guarded, clock, proposal)
    for who, up in (("licensee", "one:1"), ("owner", "two:1")):
        said = revoked(guarded, who, up, custodians=custodians, code=1)
        assert (said["is_in_effect"], said["epoch"], said["custodians"]) == (False, 0, [up])
    assert heads_of(guarded, custodians).pop()[1] == 0
    said = guarded.party.json("dao", "execute", proposal)
    assert said["is_in_effect"] and said["failed"] == {}
    assert {str(head) for head, _ in heads_of(guarded, custodians)} == {said["head"]}
    told = guarded.party.run("dao", "log").stdout
    assert told.count("guardians: revoke licensee") + len([proposal]) == said["epoch"]
    assert guarded.party.json("dao", "verify")["verified"]


def test_a_decision_that_came_too_late_is_carried_out_after_the_winner_and_told_so(
    guarded: Founded, tmp_path: Path, clock: Clock, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(guarded, described(guarded, tmp_path))
    voted(guarded, proposal)
    closed(guarded, clock, proposal)
    for up in ("one:1", "two:1"):  # who each voted for it, and did not hear of one another
        assert revoked(guarded, "licensee", up, custodians=custodians, code=1)["epoch"] == 0
    told = guarded.party.run("dao", "execute", proposal).stdout
    epochs = guarded.party.json("dao", "log")["epochs"]
    assert f"head {epochs[1]['head']} won the epoch this was made for" in told
    assert "carried out: epoch 2" in told
    assert heads_of(guarded, custodians) == {(Cid.parse(epochs[2]["head"]), 2)}


def test_an_act_that_loses_comes_next_and_the_board_is_never_ahead(
    guarded: Founded, custodians: dict[str, LocalCustodian]
) -> None:
    early = revoked(guarded, "licensee", "one:1", custodians=custodians, code=1)
    assert (early["is_in_effect"], early["epoch"]) == (False, 0)
    winner = revoked(guarded, "owner", "two:1", "three:1", custodians=custodians)
    assert (winner["is_in_effect"], winner["epoch"], winner["lost_to"]) == (True, 1, [])
    last = revoked(guarded, "licensee", "one:1", "two:1", "three:1", custodians=custodians)
    assert (last["is_in_effect"], last["epoch"]) == (True, 2)
    assert heads_of(guarded, custodians) == {(Cid.parse(last["head"]), 2)}


def test_delegations_of_several_members_end_in_one_chain(
    three: Founded, elsewhere: Founded, custodians: dict[str, LocalCustodian], clock: Clock
) -> None:
    custodians["two:1"].is_down = custodians["three:1"].is_down = True
    waits = three.party.json("dao", "delegate", three.addresses["bob"], "--wallet", "alice")
    assert not waits["is_in_effect"]
    custodians["two:1"].is_down = custodians["three:1"].is_down = False
    custodians["one:1"].is_down = True
    done = elsewhere.party.json("dao", "delegate", three.addresses["alice"], "--wallet", "bob")
    assert (done["is_in_effect"], done["epoch"]) == (True, 1)
    custodians["one:1"].is_down = False
    again = three.party.json("dao", "delegate", three.addresses["bob"], "--wallet", "alice")
    assert not again["is_in_effect"] and "delegations are taken again from" in again["why"]
    assert heads_of(three, custodians) == {(Cid.parse(done["head"]), 1)}
    clock.now += DAY_S
    last = three.party.json("dao", "delegate", three.addresses["bob"], "--wallet", "alice")
    assert (last["is_in_effect"], last["epoch"]) == (True, 2)
    assert heads_of(three, custodians) == {(Cid.parse(last["head"]), 2)}


def test_custodians_of_another_dao_are_no_help(
    three: Founded, people: dict[str, str], custodians: dict[str, LocalCustodian]
) -> None:
    told = three.party.refused("dao", "propose", "--wallet", "alice", "--revoke", "dao", "--custodian", "four:1")
    assert "no custodian of this DAO" in told
