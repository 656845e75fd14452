"""Guardians, delegated votes, changed charters: what they can do, what they cannot, and from when on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Clock, Founded, Party, described, founded
from tests.cli.dao_steps import carried, closed, proposed, voted
from tests.people import DAY_S
from vault.utc import time_text

GUARDIANS = ("operator", "issuer", "treasury")


@pytest.fixture
def guarded(party: Party, custodians: object, people: dict[str, str]) -> Founded:
    """A DAO of alice (2 votes) and bob (1), with two of three guardians and a timelock of two days."""
    named = [part for name in GUARDIANS for part in ("--guardian", people[name])]
    members = ("--member", f"{people['alice']}=2", "--member", people["bob"])
    return founded(party, people, "one:1", *members, *named, "--timelock", "2d")


@pytest.fixture
def queued(guarded: Founded, tmp_path: Path, clock: Clock) -> str:
    """A proposal in its timelock."""
    proposal = proposed(guarded, described(guarded, tmp_path))
    voted(guarded, proposal)
    closed(guarded, clock, proposal)
    return proposal


def test_guardians_cancel_a_queued_grant(guarded: Founded, queued: str, clock: Clock) -> None:
    first = guarded.party.json("dao", "cancel", queued, "--guardian", "operator")
    assert (first["signed"], first["needed"], first["is_in_effect"]) == (1, 2, False)
    assert "1 of 2 signed" in guarded.party.run("dao", "show").stdout
    assert guarded.party.json("dao", "show", queued)["state"] == "queued"
    second = guarded.party.json("dao", "cancel", queued, "--guardian", "issuer")
    assert (second["signed"], second["is_in_effect"], second["epoch"]) == (2, True, 1)
    assert guarded.party.json("dao", "show", queued)["state"] == "canceled"
    clock.now += 2 * DAY_S
    assert "canceled" in guarded.party.refused("dao", "execute", queued)
    assert "canceled before" in guarded.party.refused("dao", "cancel", queued, "--guardian", "treasury")
    assert guarded.party.json("dao", "verify")["verified"]


def test_the_same_guardian_twice_is_one_signature(guarded: Founded, queued: str) -> None:
    for _ in range(2):
        assert guarded.party.json("dao", "cancel", queued, "--guardian", "operator")["signed"] == 1
    assert guarded.party.json("dao", "show")["epoch"] == 0


def test_guardians_who_never_met_sign_the_same_act(guarded: Founded, queued: str, tmp_path: Path) -> None:
    shutil.copytree(guarded.party.home, tmp_path / "elsewhere")
    other = Party(tmp_path / "elsewhere", env=dict(guarded.party.env))
    guarded.party.run("dao", "cancel", queued, "--guardian", "operator")
    assert other.json("dao", "cancel", queued, "--guardian", "treasury")["is_in_effect"]


def test_guardians_revoke_at_once_and_never_grant(guarded: Founded, queued: str, clock: Clock) -> None:
    clock.now += 2 * DAY_S
    guarded.party.run("dao", "execute", queued)
    policy = guarded.party.json("dao", "show")["policies"][0]["policy"]
    guarded.party.run("dao", "revoke", "policy", policy, "--guardian", "operator")
    done = guarded.party.run("dao", "revoke", "policy", policy, "--guardian", "issuer").stdout
    assert "2 of 2 guardians signed" in done and "done: epoch 2" in done
    assert guarded.party.json("dao", "show")["policies"] == []
    assert "guardians: revoke policy" in guarded.party.run("dao", "log").stdout
    revoking = guarded.party.json("dao", "propose", "--wallet", "alice", "--revoke", "dao")["proposal"]
    assert "not theirs" in guarded.party.refused("dao", "cancel", revoking, "--guardian", "operator")


def test_a_grant_queued_before_a_revocation_does_not_survive_it(guarded: Founded, queued: str, clock: Clock) -> None:
    for name in ("operator", "issuer"):
        guarded.party.run("dao", "revoke", "dao", "--guardian", name)
    clock.now += 2 * DAY_S
    assert "revocation" in guarded.party.refused("dao", "execute", queued)
    assert guarded.party.json("dao", "show")["policies"] == []


def test_members_are_no_guardians(guarded: Founded, queued: str) -> None:
    assert "no guardian of this DAO" in guarded.party.refused("dao", "cancel", queued, "--guardian", "alice")
    assert "no guardian of this DAO" in guarded.party.refused("dao", "revoke", "dao", "--guardian", "bob")


def test_a_dao_without_guardians_says_so(dao: Founded) -> None:
    assert "no guardians" in dao.party.refused("dao", "revoke", "dao", "--guardian", "alice")


def test_a_delegate_votes_for_who_does_not_vote_and_one_own_vote_overrides(
    dao: Founded, enclave_file: Path, clock: Clock
) -> None:
    done = dao.party.json("dao", "delegate", dao.addresses["bob"], "--wallet", "alice")
    assert (done["is_in_effect"], done["epoch"]) == (True, 1)
    listed = dao.party.json("dao", "delegations")["delegations"]
    assert [(one["delegator"], one["delegate"], one["weight"]) for one in listed] == [
        (dao.addresses["alice"], dao.addresses["bob"], 2)
    ]
    first = proposed(dao, enclave_file)
    assert voted(dao, first, "bob")["for"] == 3
    assert closed(dao, clock, first)["count"] == "3 for, 0 against, 0 abstain of 3"
    second = proposed(dao, enclave_file, price="price:\n  per_query: 9")
    voted(dao, second, "bob")
    overridden = voted(dao, second, "alice", "against")
    assert (overridden["for"], overridden["against"]) == (1, 2)
    clock.now += 4 * DAY_S
    assert "1 for, 2 against" in dao.party.refused("dao", "queue", second)


def test_a_delegation_counts_only_for_what_is_proposed_after_it(dao: Founded, enclave_file: Path) -> None:
    before = proposed(dao, enclave_file)
    dao.party.run("dao", "delegate", dao.addresses["bob"], "--wallet", "alice")
    assert voted(dao, before, "bob")["for"] == 1


def test_a_delegation_is_taken_back_and_waits_its_turn(
    party: Party, custodians: object, people: dict[str, str], clock: Clock
) -> None:
    members = ("--member", f"{people['alice']}=2", "--member", people["bob"])
    dao = founded(party, people, "one:1", *members, "--delegations-every", "1d")
    dao.party.run("dao", "delegate", people["bob"], "--wallet", "alice")
    waits = dao.party.json("dao", "delegate", "--back", "--wallet", "alice")
    assert not waits["is_in_effect"] and time_text(clock.now + 2 * DAY_S) in waits["why"]
    assert [one["state"] for one in dao.party.json("dao", "delegations")["delegations"]] == [
        "since epoch 1",
        "waits to be taken back",
    ]
    clock.now += 2 * DAY_S  # who chose in the last batch leaves others a period
    again = dao.party.json("dao", "delegate", "--back", "--wallet", "alice")
    assert (again["is_in_effect"], again["sequence"]) == (True, waits["sequence"])
    assert dao.party.json("dao", "delegations")["delegations"] == []


@pytest.mark.parametrize("more", [(), ("0x" + "11" * 20, "--back"), ("nobody",)])
def test_a_delegation_names_one_member(dao: Founded, more: tuple[str, ...]) -> None:
    dao.party.refused("dao", "delegate", *more, "--wallet", "alice", code=2)


def test_only_to_members_and_by_members(dao: Founded) -> None:
    told = dao.party.refused("dao", "delegate", dao.addresses["owner"], "--wallet", "alice")
    assert "no member" in told
    assert "no member" in dao.party.refused("dao", "delegate", dao.addresses["bob"], "--wallet", "owner")


def test_a_changed_charter_has_other_members_and_waits(
    dao: Founded, enclave_file: Path, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "members.csv"
    file.write_text(f"{dao.addresses['alice']},5\n{dao.addresses['owner']},2\n")
    pending = proposed(dao, enclave_file)
    changing = dao.party.json(
        *("dao", "propose", "--wallet", "alice", "--members", file, "--set", "quorum=60%", "--set", "timelock=1h"),
        *("--guardian", dao.addresses["operator"]),
    )
    told = changing["changes"]
    assert {"quorum: 50% → 60%", "timelock: 0s → 1h", "guardian-signatures: 0 → 1"} <= set(told)
    assert f"guardian added: {dao.addresses['operator']}" in told
    assert "members: 2 → 2, total weight: 3 → 7" in told
    assert f"member removed: {dao.addresses['bob']}, weight 1" in told
    assert f"member added: {dao.addresses['owner']}, weight 2" in told
    assert f"weight of {dao.addresses['alice']}: 2 → 5" in told
    assert dao.party.json("dao", "diff", changing["proposal"])["changes"] == told
    assert carried(dao, clock, changing["proposal"])["epoch"] == 1
    whole = dao.party.json("dao", "show")
    assert (whole["members"][dao.addresses["alice"]], whole["settings"]["quorum"]) == (5, "60%")
    states = {shown["proposal"]: shown["state"] for shown in whole["proposals"]}
    assert states == {pending: "outdated", changing["proposal"]: "executed"}
    assert "no member" in dao.party.refused("dao", "propose", "--wallet", "bob", "--revoke", "dao")
    assert "charter has changed" in dao.party.refused("dao", "vote", pending, "for", "--wallet", "alice")
    assert dao.party.json("dao", "propose", "--wallet", "owner", "--revoke", "dao")["is_enough"]
    log = dao.party.json("dao", "log")["epochs"]
    assert log[1]["count"] == "2 for, 0 against, 0 abstain of 3"


@pytest.mark.parametrize(
    "more",
    [
        ("--set", "quorum=50%"),
        ("--set", "threshold=50%"),
        ("--set", "guardian-signatures=1"),
        ("--set", "proposal-weight=99"),
        ("--set", "window-spend=0"),
    ],
)
def test_a_charter_that_changes_nothing_or_could_never_decide_is_refused(dao: Founded, more: tuple[str, ...]) -> None:
    dao.party.refused("dao", "propose", "--wallet", "alice", *more)
    assert dao.party.json("dao", "list")["proposals"] == []
