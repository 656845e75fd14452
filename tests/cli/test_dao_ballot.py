"""Wallets elsewhere: what they are shown is what is signed, and what they answer is cast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.wallets import open_wallet
from tests.cli.conftest import PASSWORD, Clock, Founded
from tests.cli.dao_steps import closed, proposed, voted
from vault.signing import CURVE_ORDER, SigningKey


def wallet_of(dao: Founded, name: str) -> SigningKey:
    return open_wallet(dao.party.home / "wallets" / f"{name}.json", PASSWORD)


def signed_by(dao: Founded, name: str, shown: dict[str, Any]) -> str:
    """Return what a browser wallet answers to eth_signTypedData_v4: eth-account encodes the JSON as wallets do."""
    from eth_account import Account

    secret = wallet_of(dao, name)._key.secret
    return "0x" + Account.sign_typed_data(secret, full_message=shown).signature.hex().removeprefix("0x")


def test_a_ballot_is_shown_signed_elsewhere_and_cast(dao: Founded, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(dao, enclave_file)
    ballot = ("dao", "ballot", proposal, "for", "--voter", dao.addresses["alice"], "--reason", "on a browser")
    shown = json.loads(dao.party.run(*ballot, "--typed-data").stdout)
    assert shown["primaryType"] == "Ballot"
    assert shown["message"] | {"proposal": ""} == {
        "proposal": "",
        "voter": dao.addresses["alice"].lower(),
        "support": "for",
        "sequence": "0",
        "reason": "on a browser",
    }
    answer = dao.party.json(*ballot, "--signature", signed_by(dao, "alice", shown))
    assert (answer["acknowledged"], answer["for"], answer["sequence"]) == (1, 2, 0)
    again = json.loads(dao.party.run(*ballot, "--typed-data").stdout)
    assert again["message"]["sequence"] == "1"
    assert closed(dao, clock, proposal)["count"] == "2 for, 0 against, 0 abstain of 3"


def test_a_sequence_can_be_fixed_for_both_steps(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    ballot = ("dao", "ballot", proposal, "for", "--voter", dao.addresses["alice"], "--sequence", "7")
    shown = json.loads(dao.party.run(*ballot, "--typed-data").stdout)
    voted(dao, proposal, "alice", "against")  # meanwhile
    answer = dao.party.json(*ballot, "--signature", signed_by(dao, "alice", shown))
    assert (answer["sequence"], answer["for"], answer["against"]) == (7, 2, 0)
    dao.party.refused(*ballot, "--typed-data", code=2)  # given before


def test_an_answer_to_other_words_is_refused(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    ballot = ("dao", "ballot", proposal, "for", "--voter", dao.addresses["alice"])
    shown = json.loads(dao.party.run(*ballot, "--typed-data").stdout)
    good = signed_by(dao, "alice", shown)
    for wrong in (
        ("dao", "ballot", proposal, "against", "--voter", dao.addresses["alice"], "--signature", good),
        ("dao", "ballot", proposal, "for", "--voter", dao.addresses["bob"], "--signature", good),
        (*ballot, "--reason", "another", "--signature", good),
        (*ballot, "--sequence", "1", "--signature", good),
        (*ballot, "--signature", signed_by(dao, "bob", shown)),
    ):
        assert "--typed-data" in dao.party.refused(*wrong)
    assert dao.party.json("dao", "tally", proposal)["for"] == 0


@pytest.mark.parametrize("text", ["", "0x", "zz", "0x" + "00" * 65, "0x" + "11" * 66])
def test_what_is_no_signature_is_a_usage_error(dao: Founded, enclave_file: Path, text: str) -> None:
    proposal = proposed(dao, enclave_file)
    dao.party.refused("dao", "ballot", proposal, "for", "--voter", dao.addresses["alice"], "--signature", text, code=2)


def test_a_high_s_is_not_put_right(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    ballot = ("dao", "ballot", proposal, "for", "--voter", dao.addresses["alice"])
    raw = bytes.fromhex(signed_by(dao, "alice", json.loads(dao.party.run(*ballot, "--typed-data").stdout))[2:])
    high = CURVE_ORDER - int.from_bytes(raw[32:64], "big")
    twisted = raw[:32] + high.to_bytes(32, "big") + bytes([55 - raw[64]])
    assert "high s" in dao.party.refused(*ballot, "--signature", "0x" + twisted.hex(), code=2)


@pytest.mark.parametrize("more", [(), ("--typed-data", "--signature", "0x" + "11" * 65)])
def test_a_ballot_is_either_shown_or_cast(dao: Founded, enclave_file: Path, more: tuple[str, ...]) -> None:
    proposal = proposed(dao, enclave_file)
    dao.party.refused("dao", "ballot", proposal, "for", "--voter", dao.addresses["alice"], *more, code=2)


def test_a_stranger_is_shown_nothing_to_sign(dao: Founded, enclave_file: Path) -> None:
    proposal = proposed(dao, enclave_file)
    told = dao.party.refused("dao", "ballot", proposal, "for", "--voter", dao.addresses["owner"], "--typed-data")
    assert "no member" in told


def test_a_delegation_is_signed_elsewhere_too(dao: Founded) -> None:
    delegate = ("dao", "delegate", dao.addresses["bob"], "--delegator", dao.addresses["alice"])
    shown = json.loads(dao.party.run(*delegate, "--typed-data").stdout)
    assert shown["primaryType"] == "VoteDelegation"
    assert dao.party.json(*delegate, "--signature", signed_by(dao, "alice", shown))["is_in_effect"]


def test_a_guardian_signs_elsewhere_too(party: Any, custodians: object, people: dict[str, str]) -> None:
    from tests.cli.conftest import founded

    dao = founded(party, people, "one:1", "--member", people["alice"], "--guardian", people["operator"])
    revoke = ("dao", "revoke", "licensee", people["licensee"], "--signer", people["operator"])
    shown = json.loads(dao.party.run(*revoke, "--typed-data").stdout)
    assert (shown["primaryType"], shown["message"]["action"]) == (
        "GuardianAct",
        f"revoke licensee {people['licensee'][2:].lower()}",
    )
    done = dao.party.json(*revoke, "--signature", signed_by(dao, "operator", shown))
    assert (done["is_in_effect"], done["epoch"]) == (True, 1)
