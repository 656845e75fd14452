"""`coffer royalty`: what an account has earned."""

from __future__ import annotations

import typer

from cli import royalty_statement, vouchers
from cli.console import reported, show_json
from cli.options import EnclaveOption, GenesisOption, HomeOption, JsonOption, WalletOption
from cli.tables import show_table
from cli.workplace import genesis_meant, opened_home, wallet_key
from vault.signing import address_text

app = typer.Typer(help="See what owners, treasury and operator have earned.")


app.command("statement")(royalty_statement.statement)
app.command("verify")(royalty_statement.verify)
app.command("export")(royalty_statement.export)
app.command("vouchers")(vouchers.vouchers)


@app.callback()
def group() -> None:
    """See what owners, treasury and operator have earned."""


@app.command("show")
def show(
    wallet: WalletOption,
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the enclave's books for this wallet's balances, by a signed inquiry; a policy's treasury sees all."""
    from cli.attested import attested

    with reported():
        settings, _ = opened_home(home, enclave=enclave)
        genesis = genesis_meant(settings, dao)
        key = wallet_key(settings, wallet)
        with attested(settings, genesis) as found:
            balances = found.channel.balances(found.inquiry(genesis, key).encoded())
        if json:
            show_json({"account": address_text(key.address), "balances": balances})
            return
        show_table(("account", "micro-units"), [(account, str(held)) for account, held in sorted(balances.items())])
