"""Payment channels for tests: rules of a policy, channels of its licensees, vouchers on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from enclave.channel import EnclaveChannel
from enclave.credential import Credential
from tests.builders import resigned, seeded, wallet
from tests.clients import client_world
from tests.deployment import Deployment
from tests.enclaves import World, credential
from tests.people import CHAIN_ID, DAY_S, NOW
from vault import acts
from vault.channel import Channel, Voucher
from vault.signing import SigningKey
from vault.voucher_rules import SETTLEMENT_CONTRACT, WITHDRAW_DELAY_LEAST, VoucherRules

UNPAID = 1_000  # ten answers of the tests' price
RULES = VoucherRules(
    unpaid_max=UNPAID,
    unpaid_queries_max=100,
    chain_id=CHAIN_ID,
    contract=SETTLEMENT_CONTRACT,
    token=seeded("token", 20),
    withdraw_delay_least=WITHDRAW_DELAY_LEAST,
)
LIMIT = 20_000


def voucher_world(**fields: Any) -> World:
    """Return a world whose policy takes vouchers; `fields` replace those of its rules."""
    return client_world(vouchers=replace(RULES, **fields))


def channel_of(world: World, asking: Credential | None = None, **fields: Any) -> Channel:
    """Return the treasury's channel for a credential; `fields` replace those of the channel before it signs."""
    asking = asking or credential(world)
    treasury: SigningKey = fields.pop("treasury_key", wallet("treasury"))
    terms: dict[str, Any] = {"limit": LIMIT, "expires_at": NOW + DAY_S, "number": 0, "payer": wallet("payer").address}
    terms |= {name: fields.pop(name) for name in (*terms, "signer") if name in fields}
    made = acts.open_channel(
        world.genesis,
        world.dao.charter,
        treasury,
        world.policy.vouchers or RULES,
        licensee=fields.pop("licensee", asking.license.licensee),
        currency=world.policy.currency,
        **({"signer": asking.voucher_key().address} | terms),
    )
    signed: Channel = resigned(world.history, treasury, made, **fields)
    return signed


def opened(deployment: Deployment, channel: Channel | None = None) -> Channel:
    """Have the treasury open a channel for the licensee, or hand in this one."""
    channel = channel or channel_of(deployment.world)
    reached = EnclaveChannel(deployment.enclave.address)
    try:
        reached.open_channel(channel)
    finally:
        reached.close()
    return channel


def voucher_on(channel: Channel, amount: int, asking: Credential) -> Voucher:
    """Return a voucher signed with a credential's key."""
    return Voucher.signed(channel, amount, asking.voucher_key())
