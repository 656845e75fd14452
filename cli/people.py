"""Addresses and members as a person writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import typer

from cli.sealed_files import read_bounded
from vault.charter import MEMBERS_MAX
from vault.errors import MalformedObject
from vault.signing import address_from, address_text

CSV_BYTES_MAX = 1 << 20
WEIGHT_DIGITS_MAX = 77


def address_option(text: str) -> bytes:
    """Return the address a person typed, or fail with what one looks like."""
    try:
        return address_from(text)
    except MalformedObject as error:
        raise typer.BadParameter(f"{error}; coffer wallet show prints addresses") from error


def members_from(pairs: Iterable[str], file: Path | None) -> dict[bytes, int]:
    """Return weight by address from `ADDRESS=WEIGHT` pairs and a CSV file of address,weight lines."""
    rows = [pair.partition("=")[::2] for pair in pairs]
    if file is not None:
        rows += _rows(file)
    weights: dict[bytes, int] = {}
    for address_part, weight_part in rows:
        address, weight = address_option(address_part.strip()), _weight(weight_part.strip() or "1")
        if address in weights:
            raise typer.BadParameter(f"{address_text(address)} stands among the members twice")
        weights[address] = weight
    if not 1 <= len(weights) <= MEMBERS_MAX:
        raise typer.BadParameter(f"a DAO has 1 … {MEMBERS_MAX} members; name them with --member or --members")
    return weights


def _rows(file: Path) -> list[tuple[str, str]]:
    try:
        text = read_bounded(file, CSV_BYTES_MAX).decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedObject(f"{file} is not a CSV file in UTF-8; write one address,weight on each line") from error
    if rows and rows[0][0].strip().lower() == "address":
        rows = rows[1:]
    if any(len(row) > 2 for row in rows):
        raise MalformedObject(f"{file} has a line of more than two cells; write one address,weight on each line")
    return [(row[0], row[1] if len(row) == 2 else "") for row in rows]


def _weight(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= WEIGHT_DIGITS_MAX):
        raise typer.BadParameter(f"{text[:80]!r} is not a voting weight; write a whole number, such as 1")
    return int(text)
