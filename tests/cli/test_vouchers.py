"""Paying by channel at a terminal: opened by the treasury, drawn on by questions, claimed with what the file holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.credentials import read_credential
from cli.home import settings_from
from tests.cli.party import PASSWORD, Party
from tests.cli.services import QUESTION, one_party, until
from vault.channel import ChannelConfig, settlement_domain
from vault.signing import address_from, address_text, recovered
from vault.typed_data import Struct

PRICE = 1000
VOUCHERS = "vouchers: {{unpaid: 4000, chain: 84532, token: '0x036CbD53842c5426634e7929541eC2318f3dCF7e'}}\n"


@pytest.fixture(scope="module")
def party(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    with one_party(tmp_path_factory.mktemp("services"), first_home, policy_too=VOUCHERS) as party:
        yield party


def test_a_channel_is_opened_drawn_on_and_claimed(party: Party, tmp_path: Path) -> None:
    addresses = party.json("wallet", "show")["wallets"]
    signer = party.json("credit", "signer")["signer"]
    held = read_credential(settings_from(home=party.home, password=PASSWORD), None)
    assert signer == address_text(held.voucher_key().address)
    assert "no channel" in party.refused("credit", "pay", "--allow-simulated")
    opening = ("credit", "channel", addresses["licensee"], "6000", "--signer", signer)
    assert "not the treasury" in party.refused(*opening, "--wallet", "licensee")
    preview = party.json(*opening, "--wallet", "member", "--preview")
    assert not preview["opened"]
    assert "have the treasury add credit" in party.refused("query", QUESTION, "--allow-simulated")
    opened = party.json(*opening, "--wallet", "member")
    assert (opened["id"], opened["opened"], opened["config"]) == (preview["id"], True, preview["config"])

    for number in range(5):
        assert party.json("query", f"{QUESTION} {number}", "--allow-simulated", "--k", "1")["price"] == PRICE
    shown = party.json("credit", "show")["channel"]
    assert 0 <= 5 * PRICE - shown["promised"] <= 4000
    paid = party.json("credit", "pay", "--allow-simulated")
    assert (paid["promised"], paid["unpaid"]) == (5 * PRICE, 0)
    assert "promised 5000 of 6000" in party.run("credit", "pay", "--allow-simulated").stdout
    assert "promised 5000 of 6000" in party.run("credit", "show").stdout

    file = tmp_path / "claims.json"
    printed = party.run("royalty", "vouchers", "--wallet", "member", "--out", file).stdout
    assert "5000" in printed
    (claim,) = json.loads(file.read_text())["claims"]
    assert (claim["voucher"]["maxClaimableAmount"], claim["totalClaimed"]) == ("5000", "5000")
    assert claim == party.json("royalty", "vouchers", "--wallet", "member")["claims"][0]
    require_claimable(claim, addresses["licensee"], signer)
    until(party, "royalty", "statement", "--wallet", "member", "--enclave", party.env["COFFER_ENCLAVE"])
    assert party.json("royalty", "statement", "--wallet", "member")["vouchers"] == [claim]
    said = party.run("royalty", "statement", "--wallet", "member").stdout
    assert "vouchers on 1 channel: 5000 promised, 5000 of it to claim" in said
    assert party.json("royalty", "vouchers", "--wallet", "licensee")["claims"] == [claim]
    balances = party.json("royalty", "show", "--wallet", "member")["balances"]
    assert sum(balances.values()) == 0
    assert balances[f"promised/{addresses['licensee'].lower()}/USDC"] == -6000

    assert party.json("query", f"{QUESTION} 6", "--allow-simulated", "--k", "1")["price"] == PRICE
    assert "raise its limit" in party.refused("query", f"{QUESTION} 7", "--allow-simulated", "--k", "1")


def require_claimable(claim: dict[str, object], payer: str, signer: str) -> None:
    """Check a claim as the contract does: by its fields alone, with a digest of our own making."""
    voucher = claim["voucher"]
    assert isinstance(voucher, dict)
    config = voucher["channel"]
    domain = settlement_domain(int(str(claim["chain"])), address_from(str(claim["contract"])))
    channel = ChannelConfig(
        payer=address_from(config["payer"]),
        payer_authorizer=address_from(config["payerAuthorizer"]),
        receiver=address_from(config["receiver"]),
        receiver_authorizer=address_from(config["receiverAuthorizer"]),
        token=address_from(config["token"]),
        withdraw_delay=config["withdrawDelay"],
        salt=bytes.fromhex(config["salt"][2:]),
    )
    assert claim["channelId"] == "0x" + channel.id(domain).hex()
    struct = Struct("Voucher", (("channelId", "bytes32"), ("maxClaimableAmount", "uint128")))
    values = {"channelId": channel.id(domain), "maxClaimableAmount": int(voucher["maxClaimableAmount"])}
    assert address_text(recovered(domain.digest(struct, values), bytes.fromhex(str(claim["signature"])[2:]))) == signer
    assert address_text(channel.payer) == payer


@pytest.mark.parametrize(
    ("args", "said", "code"),
    [
        (("--expires", "never"), "not a duration", 2),
        (("--signer", "0x12"), "20 bytes", 2),
        (("--currency", "EURC"), "say which", 1),
    ],
)
def test_what_is_mistyped_is_named_and_opens_nothing(party: Party, args: tuple[str, ...], said: str, code: int) -> None:
    licensee, signer = party.json("wallet", "show")["wallets"]["licensee"], party.json("credit", "signer")["signer"]
    opening = ("credit", "channel", licensee, "100", "--wallet", "member", "--signer", signer, *args)
    assert said in party.refused(*opening, code=code)


def test_a_claims_file_goes_where_there_is_a_folder(party: Party, tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "claims.json"
    assert "make it first" in party.refused("royalty", "vouchers", "--wallet", "member", "--out", nowhere)
