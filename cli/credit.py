"""`coffer credit`: what a licensee has paid in and has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import vouchers, wiring
from cli.console import foreign, reported, say, show_json, tee_text
from cli.deposits import paid_in
from cli.options import EnclaveOption, GenesisOption, HomeOption, JsonOption, WalletOption
from cli.people import address_option
from cli.workplace import genesis_meant, opened_home, wallet_key
from enclave.verified import Grounds
from storage.cid import Cid
from vault.acts import deposit_credit
from vault.errors import AccessDenied
from vault.license import AMOUNT_MAX, Deposit
from vault.royalty import licensee_account
from vault.signing import SigningKey, address_text

if TYPE_CHECKING:
    from cli.attested import Attested
    from enclave.answers import Account

app = typer.Typer(help="Pay in for a licensee, and see what is left.")
app.command("channel")(vouchers.channel)
app.command("pay")(vouchers.pay)
app.command("signer")(vouchers.signer)


@app.command("add")
def add(
    licensee: Annotated[str, typer.Argument(help="The licensee's address.")],
    amount: Annotated[int, typer.Argument(min=1, max=AMOUNT_MAX, help="Micro-units.")],
    wallet: WalletOption,
    currency: Annotated[str | None, typer.Option(help="Which, where the treasury's policies use several.")] = None,
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Attest with the treasury's wallet that a licensee has paid in, and book it. Each deposit counts once.

    Where the connection breaks, run the same command again: what was booked already is not booked twice.
    """
    from cli.attested import attested

    with reported():
        settings, place = opened_home(home, enclave=enclave)
        address, genesis = address_option(licensee), genesis_meant(settings, dao)
        key = wallet_key(settings, wallet)
        with attested(settings, genesis) as found:
            unit = _currency(found.grounds, key.address, currency)
            charter = found.grounds.charter
            deposit = deposit_credit(genesis, charter, key, address, amount=amount, currency=unit)
            added = paid_in(found.channel, place, deposit)
            balance = added if added is not None else _balance(found, genesis, key, deposit)
        if json:
            booked = 0 if added is None else amount
            show_json({"licensee": address_text(address), "added": booked, "balance": balance, "currency": unit})
        else:
            said = f"added {amount}" if added is not None else f"an earlier run had added these {amount}"
            now = f"; {address_text(address)} has {balance} micro-{foreign(unit)}" if balance is not None else ""
            say(said + now)


@app.command("check")
def check(
    wallet: WalletOption,
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Have the enclave add its books up again from the database's first row on; the DAO's treasury signs.

    Every row is opened along the chain, every entry judged and booked anew, and the sums compared with what the enclave
    serves on. It answers on meanwhile, more slowly. Exit 1 where anything differs.
    """
    from cli.attested import attested

    with reported():
        settings, _ = opened_home(home, enclave=enclave)
        genesis = genesis_meant(settings, dao)
        key = wallet_key(settings, wallet)
        with attested(settings, genesis) as found:
            books = found.channel.check_books(found.inquiry(genesis, key).encoded())
        anchor = f"{books.anchor.sequence}:{books.anchor.mac.hex()}"
        if json:
            show_json(
                {
                    "entries": books.entries,
                    "answers": books.answers,
                    "accounts": books.accounts,
                    "log_root": books.log_root.hex(),
                    "anchor": anchor,
                }
            )
            return
        say(f"{books.entries} entries add up to what is served on: {books.accounts} accounts, {books.answers} answers")
        say(f"last {anchor}")


@app.command("show")
def show(
    license: Annotated[str | None, typer.Argument(help="A license's CID; the only credential by default.")] = None,
    credential: Annotated[str | None, typer.Option(help="The credential's file.")] = None,
    enclave: EnclaveOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the enclave what a credential's licensee has left: credit, spend cap and extraction budget."""
    from cli.attested import enclave_address
    from cli.credentials import read_credential
    from enclave.client import EnclaveClient

    with reported():
        settings, _ = opened_home(home, enclave=enclave)
        held = read_credential(settings, credential or license)
        allowed = not settings.production
        address, judge = enclave_address(settings), wiring.appraiser(settings)
        with EnclaveClient.connect(address, held, judge, allow_simulated=allowed) as client:
            account, unit, tee = client.account(), client.policy.currency, client.appraisal.kind
            standing = client.standing()
        if json:
            channel = vouchers.standing_json(standing) if standing is not None else None
            shown = {"licensee": address_text(held.license.licensee), "channel": channel, "currency": unit, "tee": tee}
            show_json(shown | _account_json(account))
            return
        say(f"{address_text(held.license.licensee)}, TEE {tee_text(tee)}")
        say(f"credit {account.credit} micro-{foreign(unit)}; spent {account.spent} of a cap of {account.spend_cap}")
        for line in vouchers.standing_lines(standing, unit) if standing is not None else ():
            say(line)
        say(f"{account.passages_seen} of {account.passages_max} distinct passages seen")
        for part in account.parts:
            share = f"{100 * part.seen / part.passages:.1f} %" if part.passages else "-"
            what = f"dataset {part.manifest}" if part.manifest is not None else f"all of {address_text(part.owner)}"
            say(f"  {what}: {part.seen} of {part.passages}, {share}; at most {part.passages_max} ever")


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "credit": account.credit,
        "spent": account.spent,
        "spend_cap": account.spend_cap,
        "passages_seen": account.passages_seen,
        "passages_max": account.passages_max,
        "parts": [
            {
                "owner": address_text(part.owner),
                "manifest": str(part.manifest) if part.manifest is not None else None,
                "seen": part.seen,
                "passages_max": part.passages_max,
                "passages": part.passages,
            }
            for part in account.parts
        ],
    }


def _balance(found: Attested, genesis: Cid, key: SigningKey, deposit: Deposit) -> int | None:
    """Return a licensee's credit; None where this treasury is not the DAO's own, which alone may see it."""
    if key.address != found.grounds.charter.treasury:
        return None
    balances = found.channel.balances(found.inquiry(genesis, key).encoded())
    return balances.get(licensee_account(deposit.licensee, deposit.currency), 0)


def _currency(grounds: Grounds, treasury: bytes, given: str | None) -> str:
    known = {policy.currency for cid, policy in grounds.policies.items() if policy.treasury == treasury}
    if not known:
        raise AccessDenied(f"{address_text(treasury)} is not the treasury of a policy in force; use that wallet")
    if given not in known if given is not None else len(known) > 1:
        raise AccessDenied(f"this treasury's policies are in {', '.join(sorted(known))}; say which with --currency")
    return given or known.pop()
