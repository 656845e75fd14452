"""Tokens of places: from the environment, or sealed under the home's password; never on a command line."""

from __future__ import annotations

import os
import sys
from typing import Final

import typer

from cli.console import MISUSED, fail, password_for
from cli.home import Home, Settings
from cli.sealed_files import read_sealed, write_sealed
from vault.errors import MalformedObject

PURPOSE: Final = "place token"
TOKEN_CHARS_MAX: Final = 8192


def variable_of(place: str) -> str:
    """Return the environment variable that holds a place's token."""
    return "COFFER_TOKEN_" + place.upper().replace("-", "_")


def token_of(settings: Settings, place: str) -> str | None:
    """Return a place's token; None where there is none. Raises `WrongKey` for a wrong password."""
    given = os.environ.get(variable_of(place))
    if given:
        return _checked(given, place)
    path = Home(settings.home).token(place)
    if not path.exists():
        return None
    password = password_for(f"the token of {place}", settings.password)
    return _checked(read_sealed(path, password=password, purpose=PURPOSE).decode("utf-8", "replace"), place)


def seal_token(settings: Settings, place: str) -> None:
    """Ask for a place's token, or read it from stdin, and seal it in the home."""
    if sys.stdin.isatty():
        given = typer.prompt(f"Token of {place}", hide_input=True, err=True)
    else:
        given = sys.stdin.read(TOKEN_CHARS_MAX + 2).strip()
    if not given:
        fail(f"no token was given; pipe it in, or set {variable_of(place)}", MISUSED)
    password = password_for(f"the token of {place}", settings.password)
    token = _checked(given, place).encode()
    write_sealed(Home(settings.home).token(place), token, password=password, purpose=PURPOSE)


def _checked(token: str, place: str) -> str:
    if not (token.isascii() and token.isprintable() and token.strip() == token and len(token) <= TOKEN_CHARS_MAX):
        raise MalformedObject(f"the token of {place} is not printable ASCII without spaces around it; paste it again")
    return token
