"""Channels and vouchers: x402's own digests, and one wrong fact at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.builders import seeded, wallet
from tests.channels import RULES, channel_of, voucher_on, voucher_world
from tests.enclaves import credential
from vault.channel import (
    CONFIG_STRUCT,
    VOUCHER_BYTES_MAX,
    VOUCHER_STRUCT,
    Channel,
    ChannelConfig,
    Promised,
    Voucher,
    settlement_domain,
    signed_digest,
)
from vault.codec import encode
from vault.errors import AccessDenied, InvalidSignature, MalformedObject
from vault.lease import ledger_id
from vault.policy import Policy
from vault.voucher_rules import SETTLEMENT_CONTRACT, VoucherRules, rules_of

WORLD = voucher_world()
ASKING = credential(WORLD)
CHANNEL = channel_of(WORLD, ASKING)
VOUCHER = voucher_on(CHANNEL, 500, ASKING)
BASE_SEPOLIA = 84_532
# Made with viem's hashTypedData, as qntx/r402 publishes them (crates/r402-evm, tests of batch settlement).
PUBLISHED = ChannelConfig(
    payer=bytes.fromhex("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    payer_authorizer=bytes.fromhex("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    receiver=bytes.fromhex("19ee5100D3a1e687F85B952bd3FbEc108Ab6A8d7"),
    receiver_authorizer=bytes.fromhex("d407e409E34E0b9afb99EcCeb609bDbcD5e7f1bf"),
    token=bytes.fromhex("036CbD53842c5426634e7929541eC2318f3dCF7e"),
    withdraw_delay=900,
    salt=bytes(32),
)
PUBLISHED_ID = "5fafb915f0dbee350d7f84d91802dea47e8e3a71929c3cd79da161c291fb28bd"
PUBLISHED_SALTED = "7b3bf678a448e1882ab277b789987b5dee3b7cc6fc2c7e91687a74b54b474423"
PUBLISHED_VOUCHER = "a2874adbecca0abb1884b4ac1c100e3906d25208ad0c9e6a8fcf9790ccfa2246"  # for 1000


class TestPublishedDigests:
    def test_a_channels_id_is_x402s(self) -> None:
        domain = settlement_domain(BASE_SEPOLIA, SETTLEMENT_CONTRACT)
        assert PUBLISHED.id(domain).hex() == PUBLISHED_ID
        assert replace(PUBLISHED, salt=b"\x42" * 32).id(domain).hex() == PUBLISHED_SALTED

    def test_what_a_voucher_signs_is_x402s(self) -> None:
        domain = settlement_domain(BASE_SEPOLIA, SETTLEMENT_CONTRACT)
        values = {"channelId": bytes.fromhex(PUBLISHED_ID), "maxClaimableAmount": 1_000}
        assert domain.digest(VOUCHER_STRUCT, values).hex() == PUBLISHED_VOUCHER

    def test_another_chain_or_contract_is_another_channel(self) -> None:
        ids = {
            PUBLISHED.id(settlement_domain(chain, contract))
            for chain in (BASE_SEPOLIA, 1)
            for contract in (SETTLEMENT_CONTRACT, seeded("contract", 20))
        }
        assert len(ids) == 4

    def test_a_wallets_library_signs_the_same_bytes(self) -> None:
        values = {"channelId": CHANNEL.id, "maxClaimableAmount": 500}
        typed = CHANNEL.domain.typed_data(VOUCHER_STRUCT, values)
        signed = Account.sign_message(encode_typed_data(full_message=typed), seeded("wallet payer"))
        channel = channel_of(WORLD, ASKING, signer=wallet("payer").address)
        ours = Voucher.signed(channel, 500, wallet("payer"))
        assert bytes(signed.signature) != ours.signature  # it is for another channel, since the signer is in its id
        theirs = channel.domain.typed_data(VOUCHER_STRUCT, values | {"channelId": channel.id})
        assert (
            bytes(Account.sign_message(encode_typed_data(full_message=theirs), seeded("wallet payer")).signature)
            == ours.signature
        )


class TestChannels:
    def test_one_is_what_its_bytes_say(self) -> None:
        assert Channel.from_bytes(CHANNEL.encoded()) == CHANNEL
        CHANNEL.verify(WORLD.dao.charter.domain(WORLD.genesis))

    @pytest.mark.parametrize(
        "changed",
        [
            {"limit": CHANNEL.limit + 1},
            {"expires_at": CHANNEL.expires_at + 1},
            {"chain_id": 1},
            {"config": replace(CHANNEL.config, payer_authorizer=wallet("mallory").address)},
        ],
    )
    def test_one_changed_after_signing_is_refused(self, changed: dict[str, Any]) -> None:
        with pytest.raises(InvalidSignature):
            replace(CHANNEL, **changed).verify(WORLD.dao.charter.domain(WORLD.genesis))

    @pytest.mark.parametrize(
        "changed",
        [{"licensee": wallet("mallory").address}, {"currency": "EURC"}, {"number": 1}, {"ledger": bytes(32)}],
    )
    def test_its_salt_is_of_one_account_of_one_ledger(self, changed: dict[str, Any]) -> None:
        with pytest.raises(MalformedObject, match="salt"):
            replace(CHANNEL, **changed)

    @pytest.mark.parametrize("limit", [0, 10**15 + 1])
    def test_it_holds_something_that_a_ledger_can_add_up(self, limit: int) -> None:
        with pytest.raises(MalformedObject, match="holds"):
            replace(CHANNEL, limit=limit)

    @pytest.mark.parametrize("name", ["payer", "receiver", "receiver_authorizer", "token"])
    def test_nobody_is_none_of_its_parties(self, name: str) -> None:
        with pytest.raises(MalformedObject, match="zero address"):
            replace(CHANNEL.config, **{name: bytes(20)})

    @pytest.mark.parametrize("delay", [0, 899, 30 * 86_400 + 1])
    def test_its_delay_is_one_that_the_contract_takes(self, delay: int) -> None:
        with pytest.raises(MalformedObject, match="withdrawal"):
            replace(CHANNEL.config, withdraw_delay=delay)

    def test_without_an_authorizer_the_payer_signs(self) -> None:
        assert replace(CHANNEL.config, payer_authorizer=bytes(20)).signer == CHANNEL.config.payer

    @pytest.mark.parametrize(
        ("rules", "fact"),
        [
            ({"chain_id": 1}, "chain"),
            ({"contract": seeded("other", 20)}, "contract"),
            ({"token": seeded("other", 20)}, "token"),
        ],
    )
    def test_it_is_on_the_policys_terms(self, rules: dict[str, Any], fact: str) -> None:
        require(replace(RULES, **rules), fact)

    @pytest.mark.parametrize(
        ("facts", "fact"),
        [
            ({"genesis": WORLD.policy.cid()}, "DAO"),
            ({"ledger": bytes(32)}, "ledger"),
            ({"treasury": wallet("mallory").address}, "receiver"),
            ({"currency": "EURC"}, "currency"),
        ],
    )
    def test_it_is_of_this_ledger_and_treasury(self, facts: dict[str, Any], fact: str) -> None:
        require(RULES, fact, **facts)

    def test_its_payer_cannot_withdraw_sooner_than_the_policy_allows(self) -> None:
        require(replace(RULES, withdraw_delay_least=901), "withdraw within 900 s", is_whole=True)


def require(rules: VoucherRules, said: str, *, is_whole: bool = False, **changed: Any) -> None:
    facts: dict[str, Any] = {
        "genesis": WORLD.genesis,
        "ledger": ledger_id(WORLD.genesis),
        "treasury": wallet("treasury").address,
        "currency": "USDC",
    }
    CHANNEL.require_for(RULES, **facts)
    with pytest.raises(AccessDenied, match=said if is_whole else f"another {said} than"):
        CHANNEL.require_for(rules, **(facts | changed))


class TestVouchers:
    def test_one_is_what_its_bytes_say(self) -> None:
        VOUCHER.verify(CHANNEL)
        assert Voucher.from_bytes(VOUCHER.encoded(), bytes_max=VOUCHER_BYTES_MAX) == VOUCHER
        assert signed_digest(CHANNEL, 500) != signed_digest(CHANNEL, 501)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[:-1],
            lambda data: data + b"\x00",
            lambda data: b"",
            lambda data: encode({"type": Voucher.TYPE, "channel": CHANNEL.id, "amount": 500}),
            lambda data: encode(VOUCHER.value() | {"amount": 0}),
            lambda data: encode(VOUCHER.value() | {"nonce": 1}),
            lambda data: encode(VOUCHER.value() | {"signature": bytes(64)}),
            lambda data: data + bytes(VOUCHER_BYTES_MAX),
        ],
    )
    def test_other_bytes_are_none(self, damage: Callable[[bytes], bytes]) -> None:
        with pytest.raises(MalformedObject):
            Voucher.from_bytes(damage(VOUCHER.encoded()), bytes_max=VOUCHER_BYTES_MAX)

    @pytest.mark.parametrize("amount", [499, 501, 10**15])
    def test_another_amount_than_was_signed_is_refused(self, amount: int) -> None:
        with pytest.raises(InvalidSignature):
            replace(VOUCHER, amount=amount).verify(CHANNEL)

    def test_only_the_named_signer_signs(self) -> None:
        with pytest.raises(InvalidSignature, match="signed by"):
            Voucher.signed(CHANNEL, 500, wallet("licensee"))
        forged = wallet("mallory").sign(signed_digest(CHANNEL, 500))
        with pytest.raises(InvalidSignature):
            replace(VOUCHER, signature=forged).verify(CHANNEL)

    def test_one_for_another_channel_is_refused_by_name(self) -> None:
        other = channel_of(WORLD, ASKING, number=1)
        with pytest.raises(AccessDenied, match="another channel"):
            VOUCHER.verify(other)
        with pytest.raises(InvalidSignature):
            replace(VOUCHER, channel=other.id).verify(other)

    def test_an_entry_books_one_thing(self) -> None:
        for wrong in ({"channel": None, "voucher": None}, {"channel": CHANNEL, "voucher": VOUCHER}):
            with pytest.raises(MalformedObject):
                Promised(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"unpaid_max": 0},
        {"unpaid_max": 10**12 + 1},
        {"unpaid_queries_max": 0},
        {"unpaid_queries_max": 10**6 + 1},
        {"withdraw_delay_least": 899},
        {"chain_id": 0},
        {"token": bytes(20)},
        {"contract": bytes(20)},
    ],
)
def test_rules_that_nobody_could_keep_to_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(RULES, **changed)


def test_a_policy_allows_at_least_its_largest_answer_unpaid() -> None:
    with pytest.raises(MalformedObject, match="unpaid"):
        replace(WORLD.policy, vouchers=replace(RULES, unpaid_max=99))
    assert replace(WORLD.policy, vouchers=replace(RULES, unpaid_max=100)).vouchers is not None


def test_the_config_struct_is_written_as_x402_writes_it() -> None:
    assert CONFIG_STRUCT.type_text() == (
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,"
        "address token,uint40 withdrawDelay,bytes32 salt)"
    )


class TestRules:
    """By which policy's terms a treasury's channels are opened, where it has several."""

    POLICY = WORLD.policy

    def of(self, unpaid: int, **fields: Any) -> Policy:
        rules = replace(RULES, unpaid_max=unpaid, chain_id=unpaid)
        return replace(self.POLICY, **({"title": f"lends {unpaid}", "vouchers": rules} | fields))

    def chosen(self, *policies: Policy) -> int | None:
        rules = rules_of(policies, self.POLICY.treasury, self.POLICY.currency)
        return rules.chain_id if rules is not None else None

    def test_the_terms_are_those_of_the_policy_that_lends_most_in_whatever_order(self) -> None:
        least, most, none = self.of(1_000), self.of(9_000), self.of(5_000, vouchers=None)
        for order in permutations((least, most, none)):
            assert self.chosen(*order) == 9_000

    def test_of_two_that_lend_alike_everybody_chooses_the_same(self) -> None:
        one = self.of(9_000)
        other = self.of(9_000, title="lends 9000, too", vouchers=replace(RULES, unpaid_max=9_000, chain_id=8))
        assert self.chosen(one, other) == self.chosen(other, one)

    def test_another_treasurys_or_currencys_are_passed_over(self) -> None:
        others = self.of(9_000, treasury=wallet("other").address), self.of(9_000, currency="EURC")
        assert self.chosen(*others, self.of(1_000)) == 1_000
        assert self.chosen(*others) is None
