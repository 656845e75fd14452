"""`coffer credit channel`, `pay` and `signer`, and `coffer royalty vouchers`: paying by channel, and redeeming."""

from __future__ import annotations

import time
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import foreign, reported, say, show_json
from cli.licensed import CredentialOption, licensed
from cli.options import EnclaveOption, GenesisOption, HomeOption, JsonOption, SimulatedOption, WalletOption
from cli.people import address_option
from cli.quantities import seconds_from
from cli.sealed_files import require_folder_of, write_private
from cli.tables import show_table
from cli.workplace import genesis_meant, opened_home, wallet_key
from enclave.verified import Grounds
from storage.cid import Cid
from vault.acts import open_channel
from vault.channel import Channel, ChannelConfig, Redeemable
from vault.errors import AccessDenied
from vault.license import AMOUNT_MAX
from vault.plain_text import counted
from vault.signing import SigningKey, address_text
from vault.voucher_rules import VoucherRules, rules_of

if TYPE_CHECKING:
    from cli.attested import Attested
    from enclave.payer import Paid


def channel(
    licensee: Annotated[str, typer.Argument(help="The licensee's address.")],
    limit: Annotated[int, typer.Argument(min=1, max=AMOUNT_MAX, help="Micro-units that lie in escrow, in all.")],
    wallet: WalletOption,
    signer: Annotated[str, typer.Option(help="Who signs vouchers; the licensee sees it by coffer credit signer.")],
    payer: Annotated[str | None, typer.Option(help="Whose tokens they are; the licensee's by default.")] = None,
    expires: Annotated[str, typer.Option(help="How long vouchers on it are taken, such as 30d.")] = "30d",
    number: Annotated[int, typer.Option(min=0, help="Of the licensee's channels: the next one takes a higher.")] = 0,
    currency: Annotated[str | None, typer.Option(help="Which, where the treasury's policies use several.")] = None,
    preview: Annotated[bool, typer.Option(help="Only show the channel, so that it can be funded first.")] = False,
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Attest with the treasury's wallet that a payment channel holds so much, and let the licensee draw on it.

    Look on the chain that the channel with this id is funded before you do: the enclave takes your word. The same
    command again, with more or for longer, raises the channel's limit and end.
    """
    from cli.attested import attested

    with reported():
        settings, _ = opened_home(home, enclave=enclave)
        address, genesis = address_option(licensee), genesis_meant(settings, dao)
        lasts_s = seconds_from(expires)
        key = wallet_key(settings, wallet)
        with attested(settings, genesis) as found:
            unit, rules = _terms(found.grounds, key.address, currency)
            made = open_channel(
                genesis,
                found.grounds.charter,
                key,
                rules,
                licensee=address,
                payer=address_option(payer) if payer is not None else address,
                signer=address_option(signer),
                currency=unit,
                limit=limit,
                expires_at=wiring.clock() + lasts_s,
                number=number,
            )
            if not preview:
                found.channel.open_channel(made)
        if json:
            show_json(channel_json(made) | {"opened": not preview})
            return
        say(f"channel 0x{made.id.hex()} on chain {made.chain_id}, held by {address_text(made.contract)}")
        for name, value in config_json(made.config).items():
            say(f"  {name} {value}")
        what = "would let" if preview else "lets"
        say(f"it {what} {address_text(address)} promise {limit} micro-{foreign(unit)} in all")


def pay(
    credential: CredentialOption = None,
    accept: Annotated[
        bool, typer.Option(help="Pay whatever the enclave says is due, though no receipt here shows it.")
    ] = False,
    max_spend: Annotated[int | None, typer.Option(min=0, help="Micro-units to sign for now, at most.")] = None,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign a voucher for what was received, hand it in, and say where the channel stands.

    What the enclave says is due is held against the receipts that came to this home; where it asks for more than they
    show and may be unpaid, it is refused and named. Questions pay by themselves, so this is seldom needed.
    """
    with (
        reported(),
        licensed(home, enclave, credential, allow_simulated=allow_simulated, max_spend=max_spend) as at,
    ):
        paid, unit = at.client.pay(is_accepting=accept), at.client.policy.currency
        if paid is None:
            raise AccessDenied("there is no channel for this license: credit is prepaid, or have the treasury open one")
        if json:
            show_json(standing_json(paid) | {"currency": unit, "tee": at.tee})
            return
        for line in standing_lines(paid, unit):
            say(line)


def signer(
    credential: CredentialOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show the address that signs a credential's vouchers: the channel has to name it."""
    from cli.credentials import read_credential

    with reported():
        settings, _ = opened_home(home)
        address = address_text(read_credential(settings, credential).voucher_key().address)
        if json:
            show_json({"signer": address})
        else:
            say(address)


def vouchers(
    wallet: WalletOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write the claims into this file, as JSON; one that is there is replaced."),
    ] = None,
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the last voucher of each channel, by a signed inquiry, and write what the settlement contract takes.

    The file holds x402 `VoucherClaim` structs: with them the treasury claims what was charged, and no more. Claim
    before a channel's payer can have withdrawn. Claims were not sent to a chain by us.
    """
    from cli.attested import attested

    with reported():
        if out is not None:
            require_folder_of(out)
        settings, _ = opened_home(home, enclave=enclave)
        genesis = genesis_meant(settings, dao)
        key = wallet_key(settings, wallet)
        with attested(settings, genesis) as found:
            listed = listed_vouchers(found, genesis, key)
        claims = [claim_json(one) for one in listed]
        if out is not None:
            write_private(out, dumps({"claims": claims}, indent=2).encode() + b"\n")
        if json:
            show_json({"claims": claims})
            return
        columns = ("channel", "licensee", "promised", "to claim", "ends")
        show_table(columns, [_row(one) for one in listed])
        if out is not None:
            say(f"{counted(len(claims), 'claim')} in {foreign(str(out))}")


def listed_vouchers(found: Attested, genesis: Cid, key: SigningKey) -> list[Redeemable]:
    """Return the vouchers that a wallet may see; the nonce is fresh, so it may follow another inquiry."""
    inquiry = found.inquiry(genesis, key, server_nonce=found.channel.server_nonce())
    return found.channel.vouchers(inquiry.encoded())


def standing_json(paid: Paid) -> dict[str, Any]:
    """Return where a channel stands, for programs."""
    return {
        "channel": channel_json(paid.channel),
        "promised": paid.amount,
        "unpaid": paid.unpaid,
        "unpaid_queries": paid.unpaid_queries,
    }


def standing_lines(paid: Paid, currency: str) -> list[str]:
    """Return where a channel stands, for people."""
    promised = f"{paid.amount} of {paid.channel.limit} micro-{foreign(currency)}"
    return [
        f"channel 0x{paid.channel.id.hex()}",
        f"  promised {promised}; unpaid {paid.unpaid}, of {paid.unpaid_queries} answers",
    ]


def channel_json(channel: Channel) -> dict[str, Any]:
    """Return a channel, for programs."""
    return {
        "id": f"0x{channel.id.hex()}",
        "chain": channel.chain_id,
        "contract": address_text(channel.contract),
        "config": config_json(channel.config),
        "licensee": address_text(channel.licensee),
        "currency": channel.currency,
        "number": channel.number,
        "limit": channel.limit,
        "expires_at": channel.expires_at,
    }


def config_json(config: ChannelConfig) -> dict[str, Any]:
    """Return x402's `ChannelConfig`, as its contract's callers write it."""
    return {
        "payer": address_text(config.payer),
        "payerAuthorizer": address_text(config.payer_authorizer),
        "receiver": address_text(config.receiver),
        "receiverAuthorizer": address_text(config.receiver_authorizer),
        "token": address_text(config.token),
        "withdrawDelay": config.withdraw_delay,
        "salt": f"0x{config.salt.hex()}",
    }


def claim_json(one: Redeemable) -> dict[str, Any]:
    """Return x402's `VoucherClaim`, and where it is claimed; amounts as decimal text, since they are 128 bits wide."""
    return {
        "chain": one.channel.chain_id,
        "contract": address_text(one.channel.contract),
        "channelId": f"0x{one.channel.id.hex()}",
        "voucher": {"channel": config_json(one.channel.config), "maxClaimableAmount": str(one.voucher.amount)},
        "signature": f"0x{one.voucher.signature.hex()}",
        "totalClaimed": str(one.claimable),
    }


def _row(one: Redeemable) -> tuple[str, ...]:
    ends = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.channel.expires_at))
    amounts = str(one.voucher.amount), str(one.claimable)
    return f"0x{one.channel.id.hex()[:12]}…", address_text(one.channel.licensee), *amounts, ends


def _terms(grounds: Grounds, treasury: bytes, currency: str | None) -> tuple[str, VoucherRules]:
    """Return the currency of a channel to open, and the terms of the treasury's policy in it."""
    policies = [*grounds.policies.values()]
    own = {one.currency for one in policies if one.treasury == treasury and one.vouchers is not None}
    if not own:
        raise AccessDenied(f"{address_text(treasury)} is not the treasury of a policy in force that takes vouchers")
    unit = currency if currency is not None else min(own)
    rules = rules_of(policies, treasury, unit)
    if rules is None or (currency is None and len(own) > 1):
        raise AccessDenied(f"this treasury's policies are in {', '.join(sorted(own))}; say which with --currency")
    return unit, rules
