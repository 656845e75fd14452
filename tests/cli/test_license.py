"""`coffer license`: granting, accepting, listing, revoking; and credentials that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Clock, Founded
from tests.cli.test_dao import carried, proposed
from tests.people import DAY_S


@pytest.fixture
def policy(dao: Founded, enclave_file: Path, clock: Clock) -> str:
    carried(dao, clock, proposed(dao, enclave_file))
    return str(dao.party.json("dao", "show")["policies"][0]["policy"])


def granted(dao: Founded, policy: str, file: Path, *more: str) -> str:
    who = (dao.addresses["licensee"], "--policy", policy, "--wallet", "issuer", "--out", str(file))
    return str(dao.party.json("license", "grant", *who, *more)["license"])


def test_a_license_becomes_a_sealed_credential(dao: Founded, policy: str, tmp_path: Path) -> None:
    license = granted(dao, policy, tmp_path / "license")
    accepted = dao.party.json("license", "accept", tmp_path / "license", "--wallet", "licensee", "--spend-cap", "500")
    credential = Path(accepted["credential"])
    assert (accepted["license"], credential.stat().st_mode & 0o777) == (license, 0o600)
    listed = dao.party.json("license", "list")
    assert [row["state"] for row in listed["granted"]] == ["good"]
    assert listed["credentials"] == [str(credential)]
    again = ("license", "accept", tmp_path / "license", "--wallet", "licensee", "--spend-cap", "500")
    assert "already" in dao.party.refused(*again)


def test_a_license_file_is_replaced_only_where_that_is_asked_for(dao: Founded, policy: str, tmp_path: Path) -> None:
    file = tmp_path / "license"
    granted(dao, policy, file)
    first, licensee = file.read_bytes(), dao.addresses["bob"]
    who = ("license", "grant", licensee, "--policy", policy, "--wallet", "issuer", "--out", file)
    assert "already; name another, or replace it with --force" in dao.party.refused(*who)
    assert file.read_bytes() == first
    assert len(dao.party.json("license", "list")["granted"]) == 1
    second = dao.party.json(*who, "--expires", "2d", "--force")["license"]
    assert file.read_bytes() != first
    assert second in [row["license"] for row in dao.party.json("license", "list")["granted"]]


def test_only_the_issuer_grants_and_only_under_a_policy_in_force(dao: Founded, policy: str, tmp_path: Path) -> None:
    who = (dao.addresses["licensee"], "--out", str(tmp_path / "license"))
    said = dao.party.refused("license", "grant", *who, "--policy", policy, "--wallet", "owner")
    assert dao.addresses["issuer"] in said
    assert "not in force" in dao.party.refused("license", "grant", *who, "--policy", dao.genesis, "--wallet", "issuer")
    assert not (tmp_path / "license").exists()


def test_only_the_licensee_accepts_and_only_in_time(dao: Founded, policy: str, tmp_path: Path, clock: Clock) -> None:
    granted(dao, policy, tmp_path / "license", "--expires", "2d")
    accept = ("license", "accept", tmp_path / "license", "--spend-cap", "500", "--wallet")
    assert "not for this wallet" in dao.party.refused(*accept, "alice")
    clock.now += 2 * DAY_S
    assert "expired" in dao.party.refused(*accept, "licensee")
    assert dao.party.json("license", "list")["granted"][0]["state"] == "expired"
    assert dao.party.json("license", "list")["credentials"] == []


def test_a_license_file_that_was_changed_is_refused(dao: Founded, policy: str, tmp_path: Path) -> None:
    file = tmp_path / "license"
    granted(dao, policy, file)
    content = file.read_bytes()
    for place in range(0, len(content), 97):
        file.write_bytes(content[:place] + bytes((content[place] ^ 1,)) + content[place + 1 :])
        dao.party.refused("license", "accept", file, "--wallet", "licensee", "--spend-cap", "500")
    assert dao.party.json("license", "list")["credentials"] == []


def test_revoking_is_proposed_and_ends_the_license_once_carried(
    dao: Founded, policy: str, tmp_path: Path, clock: Clock
) -> None:
    license = granted(dao, policy, tmp_path / "license")
    said = dao.party.run("license", "revoke", license, "--wallet", "alice").stdout
    assert dao.addresses["licensee"].lower()[2:] in said and "coffer dao execute" in said
    proposal = dao.party.json("dao", "show")["proposals"][-1]["proposal"]
    assert dao.party.json("license", "list")["granted"][0]["state"] == "good"
    carried(dao, clock, proposal)
    assert dao.party.json("license", "list")["granted"][0]["state"] == "revoked"


def test_asking_without_what_it_takes_says_what_to_do(dao: Founded, policy: str, tmp_path: Path) -> None:
    assert "0 credentials" in dao.party.refused("query", "text", "--enclave", "127.0.0.1:1")
    granted(dao, policy, tmp_path / "license")
    dao.party.run("license", "accept", tmp_path / "license", "--wallet", "licensee", "--spend-cap", "500")
    assert "no enclave is configured" in dao.party.refused("query", "text")
    assert "nothing answers at 127.0.0.1:1" in dao.party.refused("query", "text", "--enclave", "127.0.0.1:1")
    assert "coffer license accept" in dao.party.refused("query", "text", "--credential", "gone")
    for question in ("", "x" * 4097):
        assert "1 … 4096" in dao.party.refused("query", question)
    assert "UTF-8" in dao.party.refused("query", "-", input=b"\xff\xff")
    dao.party.env["COFFER_PASSWORD"] = "wrong one"  # noqa: S105
    said = dao.party.refused("query", "text", "--enclave", "127.0.0.1:1")
    assert "password does not open" in said and "wrong one" not in said
    assert not list((dao.party.home / "receipts").glob("*"))


@pytest.mark.parametrize("content", [b"", b"\xa0", b"x" * 100, bytes(5 << 20)], ids=["empty", "map", "text", "huge"])
def test_a_file_that_is_no_license_is_named(dao: Founded, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "license"
    file.write_bytes(content)
    said = dao.party.refused("license", "accept", file, "--wallet", "licensee", "--spend-cap", "500")
    assert f"{file} is no license file" in said
    assert not (dao.party.home / "credentials").exists()


def test_money_commands_without_an_enclave_say_so(dao: Founded) -> None:
    assert "no enclave is configured" in dao.party.refused("enclave", "status")
    licensee = dao.addresses["licensee"]
    assert "no enclave" in dao.party.refused("credit", "add", licensee, "100", "--wallet", "treasury")
    assert "no enclave" in dao.party.refused("royalty", "show", "--wallet", "owner")
    for amount in ("0", "-5", "1.5", "x", str(10**16)):
        dao.party.refused("credit", "add", licensee, "--wallet", "treasury", "--", amount, code=2)
    dao.party.refused("credit", "add", "0x12", "100", "--wallet", "treasury", "--enclave", "127.0.0.1:1", code=2)


@pytest.mark.parametrize("content", [b"", b"\xa0", b"x" * 100, bytes(5 << 20)], ids=["empty", "map", "text", "huge"])
def test_a_file_that_is_no_receipt_is_refused(dao: Founded, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "receipt"
    file.write_bytes(content)
    assert "receipt" in dao.party.refused("receipt", "verify", file)
    assert "does not exist" in dao.party.refused("receipt", "verify", tmp_path / "gone")
