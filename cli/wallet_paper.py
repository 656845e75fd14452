"""`coffer wallet backup` and `restore`: a wallet's key as words on paper, and back from it.

The address stands beside the words, so that the right wallet is known by more than words that fit together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.console import password_for, reported, say, show_json
from cli.home import Home, settings_from
from cli.options import HomeOption, JsonOption
from cli.paper_shares import lists_from, warn_of_words
from cli.people import address_option
from cli.sealed_files import require_folder_of, write_private
from cli.wallets import new_wallet, wallet_secret
from vault.errors import MalformedObject, WrongKey
from vault.keys import SHARES_MAX, SecretKey
from vault.paper import key_from_paper, paper_shares
from vault.signing import SigningKey, address_text


def backup(
    name: Annotated[str, typer.Argument(help="A wallet's name or path.")],
    shares: Annotated[int, typer.Option("--shares", min=1, max=SHARES_MAX, help="Lists that rebuild the key.")] = 2,
    of: Annotated[int, typer.Option("--of", min=1, max=SHARES_MAX, help="Lists to make.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the lists to this new file instead of printing them.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a wallet's key as lists of words (SLIP-39), to be kept on paper in different places.

    Whoever has --shares of them signs as you, for ever.
    """
    with reported():
        settings = settings_from(home=home)
        if out is not None and out.exists():
            raise FileExistsError(f"there is a file at {out} already; name another one")
        if out is not None:
            require_folder_of(out)
        path = Home(settings.home).wallet(name)
        secret = wallet_secret(path, password_for(f"the wallet {name}", settings.password))
        address = address_text(SigningKey(secret).address)
        lists = paper_shares(SecretKey(secret), shares=shares, of=of)
        warn_of_words(out)
        facts: dict[str, Any] = {"address": address, "shares": shares, "of": of}
        if out is not None:
            write_private(out, _page(address, lists, shares).encode())
            facts |= {"file": str(out)}
        if json:
            show_json(facts if out is not None else facts | {"lists": lists})
        elif out is not None:
            say(f"wrote {of} lists of words, {shares} of which rebuild the wallet {address}")
        else:
            sys.stdout.write(_page(address, lists, shares))


def restore(
    name: Annotated[str, typer.Argument(help="A name for the wallet, or a path for the keystore file.")],
    address: Annotated[str, typer.Option("--address", help="The wallet's address, as it stands beside the words.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="A file with one list a line; by default they are asked for or piped.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
    rounds: Annotated[int | None, typer.Option(hidden=True, help="scrypt's n.")] = None,
) -> None:
    """Rebuild a wallet from lists of words, into a new keystore file under a password of this machine."""
    with reported():
        settings = settings_from(home=home)
        path = Home(settings.home).wallet(name)
        if path.exists():
            raise FileExistsError(f"there is a wallet at {path} already; choose another name")
        expected = address_option(address)
        secret = key_from_paper(lists_from(source)).reveal()
        if _address_of(secret) != expected:
            raise WrongKey(f"these lists rebuild another wallet than {address}; nothing was written")
        new_wallet(path, password_for(f"the wallet {name}", settings.password), rounds=rounds, secret=secret)
        if json:
            show_json({"name": name, "address": address_text(expected), "keystore": str(path)})
        else:
            say(f"the wallet [bold]{address_text(expected)}[/] is back in {path}")


def _address_of(secret: bytes) -> bytes:
    try:
        return SigningKey(secret).address
    except ValueError:
        raise MalformedObject("what these lists rebuild is no wallet's key") from None  # the cause may quote it


def _page(address: str, lists: list[str], shares: int) -> str:
    lines = [f"# wallet {address}", f"# SLIP-39, no passphrase: any {shares} of these {len(lists)} lists rebuild it"]
    for number, words in enumerate(lists, 1):
        lines += [f"# list {number} of {len(lists)}", words]
    return "\n".join(lines) + "\n"
