"""`coffer dao`: founding, proposing, voting, carrying out, and verifying it all from the board's bytes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.cli.conftest import Clock, Founded, LocalCustodian, Party
from tests.people import DAY_S
from vault.founding import Numbers, numbers_for

MANIFEST = Cid.of(DAG_CBOR, b"manifest")


def proposed(dao: Founded, enclave_file: Path, *more: str) -> str:
    people = ("--issuer", dao.addresses["issuer"], "--operator", dao.addresses["operator"])
    what = ("--dataset", str(MANIFEST), "--enclave", str(enclave_file), *people, *more)
    return str(dao.party.json("dao", "propose", "--wallet", "alice", *what)["proposal"])


def carried(dao: Founded, clock: Clock, proposal: str) -> dict[str, Any]:
    dao.party.run("dao", "vote", proposal, "for", "--wallet", "alice")
    clock.now += 4 * DAY_S
    return dao.party.json("dao", "execute", proposal, "--custodian", "one:1")


def test_a_policy_is_proposed_voted_on_and_carried_out(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file, "--price", "250", "--title", "Tides")
    shown = dao.party.json("dao", "show", proposal)
    assert (shown["state"], shown["policy"]["price"], shown["for"]) == ("open", 250, 0)
    assert carried(dao, clock, proposal) | {"head": ""} == {
        "epoch": 1,
        "head": "",
        "custodians": ["one:1"],
        "failed": {},
    }
    whole = dao.party.json("dao", "show")
    assert (whole["epoch"], [policy["title"] for policy in whole["policies"]]) == (1, ["Tides"])
    assert whole["proposals"][0]["state"] == "carried out"
    assert "Tides" in dao.party.run("dao", "show").stdout
    assert proposal in dao.party.run("dao", "show").stdout  # whole, not shortened


def test_a_simulated_tee_is_named_in_what_is_proposed(dao: Founded, enclave_file: Path) -> None:
    people = ("--issuer", dao.addresses["issuer"], "--operator", dao.addresses["operator"])
    result = dao.party.run(
        *("dao", "propose", "--wallet", "alice", "--dataset", MANIFEST, "--enclave", enclave_file), *people
    )
    assert "SIMULATED" in result.output
    assert "adopt policy" in result.stdout


def test_the_last_answer_of_a_voter_counts(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    assert dao.party.json("dao", "vote", proposal, "against", "--wallet", "alice")["sequence"] == 0
    changed = dao.party.json("dao", "vote", proposal, "for", "--wallet", "alice", "--reason", "on reflection")
    assert (changed["sequence"], changed["for"], changed["against"]) == (1, 2, 0)


@pytest.mark.parametrize("voters", [("alice", "bob"), ("bob", "alice"), ("alice", "bob", "alice", "bob")])
def test_in_whatever_order_members_vote_and_change_their_minds_the_decision_is_carried_out(
    dao: Founded, enclave_file: Path, clock: Clock, voters: tuple[str, ...]
) -> None:
    proposal = proposed(dao, enclave_file)
    for turn, voter in enumerate(voters):
        support = "for" if turn + 2 >= len(voters) else "against"
        dao.party.run("dao", "vote", proposal, support, "--wallet", voter)
    clock.now += 4 * DAY_S
    assert dao.party.json("dao", "execute", proposal, "--custodian", "one:1")["epoch"] == 1
    assert "3 for, 0 against" in dao.party.run("dao", "verify").stdout


def test_executing_again_hands_in_the_head_that_a_custodian_missed(
    dao: Founded, enclave_file: Path, clock: Clock, custodians: dict[str, LocalCustodian]
) -> None:
    proposal = proposed(dao, enclave_file)
    dao.party.run("dao", "vote", proposal, "for", "--wallet", "alice")
    clock.now += 4 * DAY_S
    custodians["one:1"].is_down = True
    said = dao.party.refused("dao", "execute", proposal, "--custodian", "one:1")
    assert "one:1" in said and "run the same command again" in said
    assert dao.party.json("dao", "show")["epoch"] == 1
    custodians["one:1"].is_down = False
    assert dao.party.json("dao", "execute", proposal, "--custodian", "one:1")["custodians"] == ["one:1"]
    assert dao.party.json("dao", "show")["epoch"] == 1


def test_a_revocation_takes_its_policy_out_of_force(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    policy = dao.party.json("dao", "show")["policies"][0]["policy"]
    revoking = dao.party.json("dao", "propose", "--wallet", "bob", "--revoke", "policy", policy)
    assert revoking["action"] == f"revoke policy {policy}"
    assert carried(dao, clock, revoking["proposal"])["epoch"] == 2
    assert dao.party.json("dao", "show")["policies"] == []


@pytest.mark.parametrize(("wallet", "said"), [("owner", "has no vote in this DAO"), ("nobody", "coffer wallet new")])
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


def test_voting_closes_and_carrying_out_waits_for_it(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    dao.party.run("dao", "vote", proposal, "for", "--wallet", "bob")
    assert "voting is open until" in dao.party.refused("dao", "execute", proposal, "--custodian", "one:1")
    clock.now += 4 * DAY_S
    assert "voting closed" in dao.party.refused("dao", "vote", proposal, "for", "--wallet", "alice")
    assert "quorum or threshold" in dao.party.refused("dao", "execute", proposal, "--custodian", "one:1")
    assert dao.party.json("dao", "show", proposal)["state"] == "failed"


@pytest.mark.parametrize("text", ["nonsense", "bafy", "", "0x" + "11" * 20, "Qm" + "1" * 44])
def test_what_is_no_cid_is_a_usage_error(dao: Founded, text: str) -> None:
    assert "is not a CID" in dao.party.refused("dao", "vote", text, "for", "--wallet", "alice", code=2)


@pytest.mark.parametrize(
    "more",
    [
        ("--revoke", "dao", "bafy"),
        ("--revoke", "policy"),
        ("--revoke", "licensee", "0x12"),
        ("--revoke", "measurement", "zz"),
        ("--revoke", "everything"),
        ("--dataset", str(MANIFEST)),
        (),
        ("subject",),
    ],
)
def test_a_proposal_that_makes_no_sense_is_a_usage_error(dao: Founded, more: tuple[str, ...]) -> None:
    dao.party.refused("dao", "propose", "--wallet", "alice", *more, code=2)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"kind": 1}', b"[" * 4000, b"x" * 5000])
def test_an_enclave_file_that_is_none_is_refused(dao: Founded, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "enclave.json"
    file.write_bytes(content)
    dao.party.refused("dao", "propose", "--wallet", "alice", "--dataset", MANIFEST, "--enclave", file)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"configuration": []}, "configuration: a CID was expected"),
        ({"configuration": None}, "configuration: a CID was expected"),
        ({"configuration": 7}, "configuration: a CID was expected"),
        ({"configuration": "bafy"}, '"bafy" is not a CID'),
        ({"configuration": "@configuration@"}, 'placeholder "@configuration@" was not filled in'),
        ({"gpu": "@gpu@"}, 'placeholder "@gpu@"'),
        ({"kind": ["tdx"]}, "no TEE of kind"),
        ({"expectations": "ANY"}, "a map from fields"),
        ({"expectation": {}}, 'no member "expectation"'),
    ],
)
def test_an_enclave_file_with_one_mistake_is_told_by_it(
    dao: Founded, enclave_file: Path, changed: dict[str, Any], told: str
) -> None:
    enclave_file.write_text(json.dumps({**json.loads(enclave_file.read_text()), **changed}))
    sentence = dao.party.refused(
        "dao", "propose", "--wallet", "alice", "--dataset", MANIFEST, "--enclave", enclave_file
    )
    assert told in sentence and sentence.count(str(enclave_file)) == 1
    assert dao.party.json("dao", "show")["proposals"] == []


def test_an_enclave_file_in_which_a_member_stands_twice_is_refused(dao: Founded, enclave_file: Path) -> None:
    enclave_file.write_text('{"kind": "tdx", ' + enclave_file.read_text().lstrip()[1:])
    told = dao.party.refused("dao", "propose", "--wallet", "alice", "--dataset", MANIFEST, "--enclave", enclave_file)
    assert "stands once" in told


@pytest.mark.parametrize("option", ["--window-entries", "--window-passages", "--window-spend"])
@pytest.mark.parametrize("size", ["0", "-1", "9" * 18])
def test_a_window_without_bound_is_a_usage_error(dao: Founded, option: str, size: str) -> None:
    told = dao.party.refused("dao", "init", "Quay", "--treasury", dao.addresses["treasury"], option, size, code=2)
    assert option in told and "Invalid value" in told and "Window" not in told


def test_verify_prints_every_link(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    links = dao.party.json("dao", "verify")["links"]
    assert len(links) == 3 and "2 for, 0 against" in links[1]
    assert dao.party.run("dao", "verify").stdout.count("✓") == 3


@pytest.mark.parametrize("kind", ["charter", "policy", "decision", "head"])
def test_verify_finds_what_somebody_changed_in_the_database(
    dao: Founded, enclave_file: Path, clock: Clock, kind: str
) -> None:
    carried(dao, clock, proposed(dao, enclave_file))
    with sqlite3.connect(dao.party.home / "records.db") as database:
        table = next(
            name
            for (name,) in database.execute("select name from sqlite_master where type = 'table'")
            if {"kind", "body"} <= {column[1] for column in database.execute(f"pragma table_info({name})")}
        )
        changed = database.execute(f"update {table} set body = cast(body || x'00' as blob) where kind = ?", (kind,))  # noqa: S608
        assert changed.rowcount
    database.close()
    assert "was changed" in dao.party.refused("dao", "verify")


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
