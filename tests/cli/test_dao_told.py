"""What `coffer dao` tells: in whose words, from which board, and when something did not work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage.cid import DAG_CBOR, Cid
from storage.directory import DirectoryBlobs
from storage.unixfs import add_directory
from tests.cli.conftest import AT_ONCE, Clock, Founded, LocalCustodian, Party, described, founded
from tests.cli.dao_steps import carried, closed, proposed, voted
from tests.cli.policies import manifest_of, policy_file
from tests.people import DAY_S
from vault.lapse import EXECUTION_S
from vault.links import linked
from vault.vote_delegation import DelegationBatch

THREE = "one:1,two:1,three:1"


@pytest.fixture
def elsewhere(dao: Founded, tmp_path: Path) -> Party:
    """Another machine of the same people, as of the DAO's founding."""
    shutil.copytree(dao.party.home, tmp_path / "elsewhere")
    return Party(tmp_path / "elsewhere", env=dict(dao.party.env))


@pytest.mark.parametrize(
    "command",
    [
        ("vote", "for", "--wallet", "bob"),
        ("tally",),
        ("tally", "--fresh"),
        ("diff",),
        ("ballot", "for", "--voter", "BOB", "--typed-data"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_first_command_on_a_machine_that_is_behind_works(
    dao: Founded, elsewhere: Party, enclave_file: Path, command: tuple[str, ...]
) -> None:
    dao.party.run("dao", "delegate", dao.addresses["alice"], "--wallet", "bob")
    proposal = proposed(dao, enclave_file)
    name, *more = (dao.addresses["bob"] if word == "BOB" else word for word in command)
    elsewhere.run("dao", name, proposal, *more)


def test_guardians_on_a_machine_that_is_behind_cancel_at_once(
    party: Party, custodians: object, people: dict[str, str], tmp_path: Path
) -> None:
    members = ("--member", people["alice"], "--member", people["bob"], "--guardian", people["operator"])
    dao = founded(party, people, "one:1", *members, "--timelock", "2d")
    shutil.copytree(party.home, tmp_path / "elsewhere")
    other = Party(tmp_path / "elsewhere", env=dict(party.env))
    party.run("dao", "delegate", people["alice"], "--wallet", "bob")
    proposal = proposed(dao, described(dao, tmp_path))
    shown = other.json("dao", "cancel", proposal, "--signer", people["operator"], "--typed-data")
    assert shown["primaryType"]
    assert other.json("dao", "cancel", proposal, "--guardian", "operator")["is_in_effect"]


def test_a_voter_is_told_how_often_it_may_change_its_mind(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    assert [voted(dao, proposal, "alice", answer)["changes_left"] for answer in ("for", "against")] == [3, 2]
    vote = ("dao", "vote", proposal, "for", "--wallet", "alice")
    assert "custodians take 1 more answer of yours" in dao.party.run(*vote).stdout
    assert "this was your last answer" in dao.party.run(*vote).stdout
    assert "takes 4 ballots of a voter" in dao.party.refused(*vote)
    assert voted(dao, proposal, "bob")["changes_left"] == 3


def test_names_titles_and_reasons_forge_no_lines(
    party: Party, custodians: object, people: dict[str, str], tmp_path: Path, clock: Clock
) -> None:
    forged = "fair\x1b[2J\n✓ all of it holds"
    founding = party.json(
        "dao",
        "init",
        forged,
        "--treasury",
        people["treasury"],
        "--member",
        people["alice"],
        *AT_ONCE,
        "--custodian",
        "one:1",
    )
    party.env["COFFER_CUSTODIANS"] = '["one:1"]'
    dao = Founded(party, founding["genesis"], people)
    proposal = proposed(dao, described(dao, tmp_path))
    voted(dao, proposal, "alice", "for", "--reason", forged)
    closed(dao, clock, proposal)
    party.run("dao", "execute", proposal)
    for command in (("show",), ("show", proposal), ("list",), ("log", "--ballots"), ("verify",), ("diff", proposal)):
        told = party.run("dao", *command).output
        assert "\x1b" not in told
        assert not any(line.strip().startswith("✓ all of it") for line in told.splitlines())
    assert "fair\\x1b[2J\\n✓ all of it holds" in party.run("dao", "log", "--ballots").stdout
    assert "fair\\x1b[2J\\n✓ all of it holds" in party.run("dao", "show").stdout


def test_a_decision_that_nobody_carried_out_lapses(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file, expires="expires: 900d")
    voted(dao, proposal)
    lapses_at = closed(dao, clock, proposal)["lapses_at"]
    assert lapses_at == dao.party.json("dao", "tally", proposal)["closes_at"] + EXECUTION_S
    clock.now = lapses_at - 1
    assert dao.party.json("dao", "tally", proposal)["state"] == "ready"
    clock.now = lapses_at
    assert dao.party.json("dao", "tally", proposal)["state"] == "lapsed"
    assert "propose it anew" in dao.party.run("dao", "tally", proposal).stdout
    assert "lapsed at" in dao.party.refused("dao", "execute", proposal)
    assert dao.party.json("dao", "show")["epoch"] == 0


def test_a_policy_that_has_expired_is_not_carried_out(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file, expires="expires: 10d")
    voted(dao, proposal)
    closed(dao, clock, proposal)
    clock.now += 10 * DAY_S
    assert "the policy expired at" in dao.party.refused("dao", "execute", proposal)
    assert dao.party.json("dao", "show")["epoch"] == 0


def test_what_is_no_board_is_said_and_fails(dao: Founded, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("root:x:0:0\n")
    assert f"{file} is a file" in " ".join(dao.party.run("dao", "sync", file, code=1).stderr.split())
    for cid in (Cid.of(DAG_CBOR, b"nothing"), manifest_of(dao).cid()):
        assert "cannot be read" in dao.party.refused("dao", "sync", cid)
    shared = tmp_path / "shared"
    result = dao.party.run("dao", "sync", file, shared, code=1)  # one that fails keeps no other from being read
    assert "gave" in result.stdout and (shared / dao.genesis).is_dir()
    assert "published as" in dao.party.run("dao", "sync", file, "--publish", code=1).stdout


def test_a_custodian_is_no_board(dao: Founded, custodians: dict[str, LocalCustodian]) -> None:
    custodians["one:1"].reached(expected=None).close()
    told = dao.party.refused("dao", "sync", custodians["one:1"]._address)
    assert "its chain is not followed" in told and "UNIMPLEMENTED" in told


def test_a_board_that_takes_nothing_of_a_dao_and_has_nothing_fails(dao: Founded, tmp_path: Path) -> None:
    bare = dao.party.json("dao", "sync", "--publish", tmp_path / "shared")["directory"]
    assert dao.party.json("dao", "sync", bare)["boards"][bare]["epoch"] == 0
    empty = str(add_directory(DirectoryBlobs(dao.party.home / "blocks"), {}).cid)
    assert f"nothing of DAO {dao.genesis} could be exchanged" in dao.party.refused("dao", "sync", empty)


def test_a_board_whose_chain_does_not_verify_fails(
    dao: Founded, enclave_file: Path, clock: Clock, tmp_path: Path, elsewhere: Party
) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    shared = tmp_path / "shared"
    dao.party.run("dao", "sync", shared)
    decision = next((shared / dao.genesis / "decision").iterdir())
    decision.write_bytes(decision.read_bytes()[:-1] + b"\0")
    result = elsewhere.run("dao", "sync", shared, code=1)
    assert "its chain is not followed" in result.stderr
    assert elsewhere.json("dao", "show")["epoch"] == 0


def test_the_same_custodian_twice_founds_nothing(
    party: Party, people: dict[str, str], custodians: dict[str, LocalCustodian], monkeypatch: pytest.MonkeyPatch
) -> None:
    founding = ("dao", "init", "Harbor", "--treasury", people["treasury"], "--member", people["alice"], *AT_ONCE)
    twice = ("--custodian", "one:1", "--custodian", "one:1")
    assert "one and the same custodian" in party.refused(*founding, *twice)
    monkeypatch.setitem(custodians, "alias:1", custodians["one:1"])
    assert "one and the same custodian" in party.refused(*founding, "--custodian", "one:1", "--custodian", "alias:1")
    assert "no DAO is on the board" in party.refused("dao", "show")
    assert party.json(*founding, "--custodian", "one:1")["custodians"] == 1


def test_a_delegation_that_a_custodian_had_from_the_others_first_worked(
    party: Party, people: dict[str, str], custodians: dict[str, LocalCustodian], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last custodian refuses the batch, as no later than what it follows by then."""
    members = ("--member", people["alice"], "--member", people["bob"])
    dao = founded(party, people, THREE, *members, "--delegations-every", "0")
    one, two, three = (custodians[name].custody for name in THREE.split(","))
    genesis, submitted = Cid.parse(dao.genesis), three.voting.acting.submit_delegations

    def gossiped(batch: DelegationBatch) -> int:
        votes = [vote for custody in (one, two) for vote in custody.head_votes(genesis)[0]]
        head = votes[-1].head
        three.submit_head(
            head, [(cid, one.station.blobs.get(cid)) for cid in linked(head, one.station.blobs.get)], votes
        )
        return submitted(batch)

    monkeypatch.setattr(three.voting.acting, "submit_delegations", gossiped)
    done = dao.party.json("dao", "delegate", people["bob"], "--wallet", "alice")
    assert done["is_in_effect"] and done["failed"] == {}
    assert done["custodians"] == ["one:1", "three:1", "two:1"]


def test_a_choice_that_waited_here_and_took_effect_meanwhile_is_taken(
    party: Party, people: dict[str, str], custodians: dict[str, LocalCustodian], tmp_path: Path
) -> None:
    members = ("--member", people["alice"], "--member", people["bob"])
    founded(party, people, THREE, *members, "--delegations-every", "0")
    custodians["one:1"].is_down = custodians["two:1"].is_down = True
    choice = ("dao", "delegate", people["bob"], "--wallet", "alice")
    assert not party.json(*choice)["is_in_effect"]
    custodians["one:1"].is_down = custodians["two:1"].is_down = False
    shutil.copytree(party.home, tmp_path / "elsewhere")
    assert Party(tmp_path / "elsewhere", env=dict(party.env)).json(*choice)["is_in_effect"]
    done = party.json(*choice)
    assert (done["is_in_effect"], done["epoch"], done["sequence"], done["failed"]) == (True, 1, 0, {})
    assert "epoch 1" in party.run("dao", "delegations").stdout


def test_a_policy_file_over_the_limit_is_refused_at_the_limit_that_is_documented(
    dao: Founded, enclave_file: Path
) -> None:
    file = policy_file(dao, enclave_file)
    text = file.read_text()
    file.write_text(text + "#" * ((64 << 10) - len(text.encode())))
    assert dao.party.json("dao", "propose", "--wallet", "alice", "--policy", file)["proposal"]
    file.write_text(text + "#" * ((64 << 10) - len(text.encode()) + 1))
    assert "more than 65536 bytes" in dao.party.refused("dao", "propose", "--wallet", "alice", "--policy", file, code=2)
