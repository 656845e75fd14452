"""`coffer wallet`: keys of people, in standard Ethereum keystore files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import wallet_paper
from cli.console import MISUSED, fail, reported, say, show_json
from cli.home import Home, settings_from
from cli.options import HomeOption, JsonOption

app = typer.Typer(help="Make and show wallets: owners, members, issuers and licensees sign with them.")


app.command("backup")(wallet_paper.backup)
app.command("restore")(wallet_paper.restore)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="A name, or a path for the keystore file.")],
    home: HomeOption = None,
    json: JsonOption = False,
    rounds: Annotated[int | None, typer.Option(hidden=True, help="scrypt's n.")] = None,
) -> None:
    """Make a wallet and print its address.

    The key is sealed under a password (COFFER_PASSWORD, or asked for twice) into an Ethereum keystore file, version 3,
    which other wallets can import. Without the password nobody can recover it.
    """
    from cli.wallets import new_wallet
    from vault.signing import address_text

    with reported():
        if not Path(name).name or Path(name).name.startswith("."):
            raise typer.BadParameter("a wallet has a name, which does not begin with a dot")
        settings = settings_from(home=home)
        path = Home(settings.home).wallet(name)
        if path.exists():
            raise FileExistsError(f"there is a wallet at {path} already; choose another name")
        key = new_wallet(path, _new_password(name, settings.password), rounds=rounds)
        if json:
            show_json({"name": name, "address": address_text(key.address), "keystore": str(path)})
        else:
            say(f"[bold]{address_text(key.address)}[/]\nkeystore {path}; keep a copy of it, and its password")


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="A wallet's name or path; all in the home by default.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print the addresses of wallets. No password is needed: an address is public."""
    from cli.wallets import wallet_address
    from vault.signing import address_text

    with reported():
        place = Home(settings_from(home=home).home)
        named = {name: place.wallet(name)} if name is not None else _wallets(place.path / "wallets")
        addresses = {known: address_text(wallet_address(path)) for known, path in named.items()}
        if json:
            show_json({"wallets": addresses})
            return
        for known, address in addresses.items():
            say(f"{address}  {known}")
        if not addresses:
            say("no wallets yet; make one with: coffer wallet new NAME")


def _wallets(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")}


def _new_password(name: str, given: str) -> str:
    if given:
        return given
    if not sys.stdin.isatty():
        fail("a new wallet needs a password; set COFFER_PASSWORD, or run at a terminal", MISUSED)
    what = f"New password for the wallet {name}"
    answer: str = typer.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    return answer
