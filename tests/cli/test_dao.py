"""`coffer dao`: founding, proposing, voting, queuing, carrying out, with real custodians."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Clock, Founded, LocalCustodian, Party, described, founded
from tests.cli.dao_steps import carried as carried
from tests.cli.dao_steps import closed, voted
from tests.cli.dao_steps import proposed as proposed
from tests.cli.policies import manifest_of, policy_file
from tests.cli.settled import settled as settled
from tests.cli.settled import settled_home as settled_home
from tests.people import DAY_S
from vault.founding import Numbers, numbers_for


def test_a_policy_is_proposed_voted_on_queued_and_carried_out(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    shown = dao.party.json("dao", "show", proposal)
    assert (shown["state"], shown["policy"]["price"], shown["for"], shown["is_settled"]) == ("open", 250, 0, False)
    answer = voted(dao, proposal)
    assert (answer["acknowledged"], answer["custodians"], answer["enough"], answer["for"]) == (1, 1, 1, 2)
    decided = closed(dao, clock, proposal)
    assert (decided["is_carried"], decided["count"]) == (True, "2 for, 0 against, 0 abstain of 3")
    assert (decided["custodians"], decided["failed"]) == (["one:1"], {})
    assert dao.party.json("dao", "show", proposal)["state"] == "ready"
    done = dao.party.json("dao", "execute", proposal)
    assert (done["is_in_effect"], done["epoch"], done["custodians"], done["failed"]) == (True, 1, ["one:1"], {})
    whole = dao.party.json("dao", "show")
    assert (whole["epoch"], [policy["title"] for policy in whole["policies"]]) == (1, ["Tides"])
    assert whole["proposals"][0]["state"] == "executed"
    assert "Tides" in dao.party.run("dao", "show").stdout
    assert proposal in dao.party.run("dao", "list").stdout  # whole, not shortened


def test_what_a_proposal_would_change_is_said_when_it_is_made(dao: Founded, enclave_file: Path) -> None:
    result = dao.party.run("dao", "propose", "--wallet", "alice", "--policy", policy_file(dao, enclave_file))
    assert "SIMULATED" in result.output and "adopt policy" in result.stdout
    assert "price per query: 250 micro-USDC" in result.stdout
    assert "if all licensees collude, all 3 passages" in result.stdout or "at most" in result.stdout
    assert "1 of 1 custodian holds it" in result.stdout


def test_the_last_answer_of_a_voter_counts(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    assert voted(dao, proposal, support="against")["sequence"] == 0
    changed = voted(dao, proposal, "alice", "for", "--reason", "on reflection")
    assert (changed["sequence"], changed["for"], changed["against"]) == (1, 2, 0)
    assert closed(dao, clock, proposal)["count"] == "2 for, 0 against, 0 abstain of 3"


@pytest.mark.parametrize("voters", [("alice", "bob"), ("bob", "alice"), ("alice", "bob", "alice", "bob")])
def test_in_whatever_order_members_vote_and_change_their_minds_the_decision_is_carried_out(
    dao: Founded, enclave_file: Path, clock: Clock, voters: tuple[str, ...]
) -> None:
    proposal = proposed(dao, enclave_file)
    for turn, voter in enumerate(voters):
        voted(dao, proposal, voter, "for" if turn + 2 >= len(voters) else "against")
    assert closed(dao, clock, proposal)["count"] == "3 for, 0 against, 0 abstain of 3"
    assert dao.party.json("dao", "execute", proposal)["epoch"] == 1


@pytest.mark.parametrize(
    ("votes", "count"),
    [
        ((("alice", "against"), ("bob", "for")), "1 for, 2 against, 0 abstain of 3"),
        ((("alice", "abstain"), ("bob", "for")), "1 for, 0 against, 2 abstain of 3"),
        ((("bob", "for"),), "1 for, 0 against, 0 abstain of 3"),
    ],
    ids=["against", "abstain", "no-quorum"],
)
def test_without_quorum_and_threshold_a_proposal_is_defeated(
    dao: Founded, enclave_file: Path, clock: Clock, votes: tuple[tuple[str, str], ...], count: str
) -> None:
    proposal = proposed(dao, enclave_file)
    for voter, support in votes:
        voted(dao, proposal, voter, support)
    clock.now += 4 * DAY_S
    assert count in dao.party.refused("dao", "queue", proposal)
    shown = dao.party.json("dao", "show", proposal)
    assert (shown["state"], shown["is_settled"]) == ("defeated", True)
    assert "defeated" in dao.party.refused("dao", "execute", proposal)
    assert dao.party.json("dao", "show")["epoch"] == 0


def test_a_vote_that_nobody_cast_closes_with_nothing(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    clock.now += 4 * DAY_S
    assert "nobody voted" in dao.party.refused("dao", "queue", proposal)


def test_a_vote_has_its_time(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    voted(dao, proposal, "bob")
    assert "voting is open until" in dao.party.refused("dao", "execute", proposal)
    assert "close the vote from" in dao.party.refused("dao", "queue", proposal)
    clock.now += 4 * DAY_S
    assert "voting closed" in dao.party.refused("dao", "vote", proposal, "for", "--wallet", "alice")
    assert "coffer dao queue" in dao.party.refused("dao", "execute", proposal)


def test_delay_and_timelock_are_waited_for(
    party: Party, custodians: object, people: dict[str, str], tmp_path: Path, clock: Clock
) -> None:
    members = ("--member", f"{people['alice']}=2", "--member", people["bob"])
    waits = ("--voting-delay", "1h", "--timelock", "2d")
    dao = founded(party, people, "one:1", *members, *waits)
    proposal = proposed(dao, described(dao, tmp_path))
    assert dao.party.json("dao", "show", proposal)["state"] == "pending"
    assert "voting opens at" in dao.party.refused("dao", "vote", proposal, "for", "--wallet", "alice")
    clock.now += 3600
    voted(dao, proposal)
    decided = closed(dao, clock, proposal, days=3)
    assert decided["free_at"] == clock.now + 2 * DAY_S
    assert dao.party.json("dao", "tally", proposal)["state"] == "queued"
    clock.now += 2 * DAY_S - 1
    assert "timelock ends" in dao.party.refused("dao", "execute", proposal)
    clock.now += 1
    assert dao.party.json("dao", "execute", proposal)["epoch"] == 1


def test_executing_again_is_fine_and_hands_in_what_a_custodian_missed(
    dao: Founded, enclave_file: Path, clock: Clock, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(dao, enclave_file)
    voted(dao, proposal)
    closed(dao, clock, proposal)
    custodians["one:1"].is_down = True
    assert "one:1" in dao.party.refused("dao", "execute", proposal)
    assert dao.party.json("dao", "show")["epoch"] == 0  # nothing happens here that custodians do not follow
    custodians["one:1"].is_down = False
    for _ in range(2):
        assert dao.party.json("dao", "execute", proposal)["custodians"] == ["one:1"]
        assert dao.party.json("dao", "show")["epoch"] == 1


def test_a_revocation_takes_its_policy_out_of_force(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    policy = dao.party.json("dao", "show")["policies"][0]["policy"]
    revoking = dao.party.json("dao", "propose", "--wallet", "bob", "--revoke", "policy", policy)
    assert revoking["action"] == f"revoke policy {policy}"
    assert revoking["changes"] == [f"ends policy {policy} (Tides)"]
    assert carried(dao, clock, revoking["proposal"])["epoch"] == 2
    assert dao.party.json("dao", "show")["policies"] == []


def test_a_dataset_is_revoked_by_any_of_its_manifests(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    first = manifest_of(dao)
    second = manifest_of(dao, version=2, previous=first.cid())
    carried(dao, clock, proposed(dao, enclave_file, manifest=first.cid()))
    revoking = dao.party.json("dao", "propose", "--wallet", "bob", "--revoke", "dataset", second.cid())
    assert len(revoking["changes"]) == 1 and "Tides" in revoking["changes"][0]
    carried(dao, clock, revoking["proposal"])
    assert dao.party.json("dao", "show")["policies"] == []
    assert dao.party.json("dao", "diff", revoking["proposal"])["changes"] == revoking["changes"]


def test_another_policy_takes_the_place_of_one_that_is_dropped(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    policy = dao.party.json("dao", "show")["policies"][0]["policy"]
    price = "price:\n  per_query: 100"
    second = proposed(dao, enclave_file, "--drop", policy, price=price)
    told = dao.party.json("dao", "diff", second)["changes"]
    assert f"dropped: policy {policy}" in told and "price per query goes from 250 to 100 micro-USDC" in told
    carried(dao, clock, second)
    assert [one["price"] for one in dao.party.json("dao", "show")["policies"]] == [100]
    assert dao.party.json("dao", "diff", second)["changes"] == told
    file = policy_file(dao, enclave_file)
    assert "not in force" in dao.party.refused(
        "dao", "propose", "--wallet", "alice", "--policy", file, "--drop", policy
    )


@pytest.mark.parametrize(("wallet", "said"), [("owner", "no member of this DAO"), ("nobody", "coffer wallet new")])
def test_only_members_propose_and_vote(dao: Founded, enclave_file: Path, wallet: str, said: str) -> None:
    proposal = proposed(dao, enclave_file)
    assert said in dao.party.refused("dao", "vote", proposal, "for", "--wallet", wallet)
    assert said in dao.party.refused("dao", "propose", "--wallet", wallet, "--revoke", "dao")
    assert len(dao.party.json("dao", "show")["proposals"]) == 1


def test_a_wrong_password_says_so_and_nothing_is_voted(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    dao.party.env["COFFER_PASSWORD"] = "wrong one"  # noqa: S105
    said = dao.party.refused("dao", "vote", proposal, "for", "--wallet", "alice")
    assert "the password does not open the wallet" in said and "wrong one" not in said
    assert dao.party.json("dao", "show", proposal)["for"] == 0


def test_what_no_custodian_takes_is_not_kept(
    dao: Founded, enclave_file: Path, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(dao, enclave_file)
    custodians["one:1"].is_down = True
    assert "one:1" in dao.party.refused("dao", "vote", proposal, "for", "--wallet", "alice")
    assert "one:1" in dao.party.refused("dao", "propose", "--wallet", "alice", "--revoke", "dao")
    whole = dao.party.json("dao", "show")
    assert [shown["for"] for shown in whole["proposals"]] == [0]


@pytest.mark.parametrize("text", ["nonsense", "bafy", "", "0x" + "11" * 20, "Qm" + "1" * 44])
def test_what_is_no_cid_is_a_usage_error(settled: Founded, text: str) -> None:
    assert "is not a CID" in settled.party.refused("dao", "vote", text, "for", "--wallet", "alice", code=2)


@pytest.mark.parametrize(
    "more",
    [
        ("--revoke", "dao", "bafy"),
        ("--revoke", "policy"),
        ("--revoke", "licensee", "0x12"),
        ("--revoke", "measurement", "zz"),
        ("--revoke", "measurement", "00" * 8),
        ("--revoke", "dataset", "zz"),
        ("--revoke", "everything"),
        ("--set", "quorum"),
        ("--set", "quorum=60%", "--set", "quorum=61%"),
        ("--set", "chain-id=2"),
        ("--set", "timelock=soon"),
        ("--guardian", "0x" + "11" * 20, "--no-guardians"),
        ("--drop", "bafy", "--revoke", "dao"),
        ("--policy", "nowhere.yaml"),
        ("--policy", "nowhere.yaml", "--revoke", "dao"),
        (),
        ("subject",),
    ],
)
def test_a_proposal_that_makes_no_sense_is_a_usage_error(settled: Founded, more: tuple[str, ...]) -> None:
    settled.party.refused("dao", "propose", "--wallet", "alice", *more, code=2)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"kind": 1}', b"[" * 4000, b"x" * 5000])
def test_an_enclave_file_that_is_none_is_refused(dao: Founded, enclave_file: Path, content: bytes) -> None:
    file = policy_file(dao, enclave_file)
    enclave_file.write_bytes(content)
    assert "enclave" in dao.party.refused("dao", "propose", "--wallet", "alice", "--policy", file)
    assert dao.party.json("dao", "list")["proposals"] == []


def test_a_policy_that_could_never_admit_anyone_is_refused(dao: Founded, enclave_file: Path) -> None:
    soon = policy_file(dao, enclave_file, expires="expires: 1d")
    assert "expires before" in dao.party.refused("dao", "propose", "--wallet", "alice", "--policy", soon)
    dao.party.env["COFFER_PRODUCTION"] = "true"
    file = policy_file(dao, enclave_file)
    assert "simulated" in dao.party.refused("dao", "propose", "--wallet", "alice", "--policy", file)
    assert dao.party.json("dao", "list")["proposals"] == []


def test_members_come_from_a_file_too(party: Party, custodians: object, tmp_path: Path) -> None:
    addresses = [party.wallet(name) for name in ("alice", "bob")]
    file = tmp_path / "members.csv"
    file.write_text(f"address,weight\n{addresses[0]}, 3\n{addresses[1].lower()}\n\n")
    party.run(
        *("dao", "init", "Harbor", "--members", file, "--treasury", addresses[0]),
        *(part for name in ("one:1", "two:1", "three:1", "four:1") for part in ("--custodian", name)),
    )
    whole = party.json("dao", "show")
    assert whole["members"] == {addresses[0]: 3, addresses[1]: 1}
    assert (whole["shares"], whole["signatures"], whole["liars"]) == (3, 3, 1)
    said = whole["settings"]
    assert (said["voting-delay"], said["voting-period"], said["extension"], said["timelock"]) == (
        "1h",
        "3d",
        "6h",
        "2d",
    )


def test_founding_says_how_the_dao_decides(party: Party, custodians: object) -> None:
    addresses = [party.wallet(name) for name in ("alice", "bob")]
    said = party.json(
        *("dao", "init", "Harbor", "--member", addresses[0], "--treasury", addresses[0], "--custodian", "one:1"),
        *("--guardian", addresses[0], "--guardian", addresses[1], "--guardian-signatures", "1"),
        *(
            "--quorum",
            "40%",
            "--threshold",
            "60%",
            "--voting-period",
            "30s",
            "--timelock",
            "0",
            "--proposal-weight",
            "1",
        ),
        *("--proposals-per-day", "2", "--delegations-every", "0", "--round", "2s", "--chain-id", "10"),
    )
    whole = party.json("dao", "show")
    assert (whole["genesis"], whole["chain_id"], whole["guardian_signatures"]) == (said["genesis"], 10, 1)
    assert sorted(whole["guardians"]) == sorted(addresses)
    expected = {"quorum": "40%", "threshold": "60%", "voting-period": "30s", "extension": "30s", "timelock": "0s"}
    assert {name: whole["settings"][name] for name in expected} == expected
    assert "2 guardians, each acts alone" in party.run("dao", "show").stdout


@pytest.mark.parametrize(
    "more",
    [
        ("--threshold", "50%"),
        ("--quorum", "0%"),
        ("--proposal-weight", "9"),
        ("--voting-period", "1h", "--extension", "2h"),
        ("--guardian-signatures", "1"),
        ("--liars", "1"),
    ],
)
def test_a_charter_that_could_never_decide_is_refused_and_nothing_is_founded(
    party: Party, custodians: object, more: tuple[str, ...]
) -> None:
    address = party.wallet("alice")
    founding = ("dao", "init", "H", "--member", address, "--treasury", address, "--custodian", "one:1")
    party.refused(*founding, *more)
    assert "no DAO is on the board" in party.refused("dao", "show")


@pytest.mark.parametrize("option", ["--window-entries", "--window-passages", "--window-spend"])
@pytest.mark.parametrize("size", ["0", "-1", "9" * 18])
def test_a_window_without_bound_is_a_usage_error(settled: Founded, option: str, size: str) -> None:
    told = settled.party.refused(
        "dao", "init", "Quay", "--treasury", settled.addresses["treasury"], option, size, code=2
    )
    assert option in told and "Invalid value" in told and "Window" not in told


def test_founding_needs_every_custodian(party: Party, custodians: dict[str, LocalCustodian]) -> None:
    address = party.wallet("alice")
    custodians["two:1"].is_down = True
    said = party.refused(
        *("dao", "init", "Harbor", "--member", address, "--treasury", address),
        *("--custodian", "one:1", "--custodian", "two:1"),
    )
    assert "two:1" in said
    assert "no custodian is configured" in party.refused(
        "dao", "init", "Harbor", "--member", address, "--treasury", address
    )
    assert "no DAO is on the board" in party.refused("dao", "show")


@pytest.mark.parametrize(
    "member", ["0x12", "nonsense", "0x" + "11" * 20 + "=-1", "0x" + "11" * 20 + "=x", "0x" + "11" * 20 + "=1.5"]
)
def test_what_is_no_member_is_a_usage_error(party: Party, custodians: object, member: str) -> None:
    party.refused(
        "dao", "init", "H", "--member", member, "--treasury", "0x" + "11" * 20, "--custodian", "one:1", code=2
    )


@pytest.mark.parametrize(("n", "tqf"), [(1, (1, 1, 0)), (2, (2, 2, 0)), (3, (2, 2, 0)), (4, (3, 3, 1)), (7, (5, 5, 2))])
def test_the_custodians_numbers_follow_from_their_count(n: int, tqf: tuple[int, int, int]) -> None:
    assert numbers_for(n) == Numbers(shares=tqf[0], signatures=tqf[1], liars=tqf[2])


@pytest.mark.parametrize("n", range(1, 17))
def test_the_default_numbers_keep_the_charters_rule(n: int) -> None:
    numbers = numbers_for(n)
    t, q, f = numbers.shares, numbers.signatures, numbers.liars
    assert q >= (n + f) // 2 + 1 and f < t <= q <= n - f
