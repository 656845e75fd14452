"""Addresses and members as a person writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import typer

from cli.sealed_files import read_bounded
from vault.charter import MEMBERS_MAX
from vault.errors import MalformedObject
from vault.signing import address_from, address_text

CSV_BYTES_MAX = 16 << 20  # every member with a weight of 78 digits, in quotes, takes 13 MB
WEIGHT_END = 1 << 256
WEIGHT_DIGITS_MAX = len(str(WEIGHT_END))
_FORM = "write one address,weight on each line"


class Row(NamedTuple):
    """A member as written, and where."""

    place: str
    address: str
    weight: str


def address_option(text: str) -> bytes:
    """Return the address a person typed, or fail with what one looks like."""
    try:
        return address_from(text)
    except MalformedObject as error:
        raise typer.BadParameter(f"{error}; coffer wallet show prints addresses") from error


def members_from(pairs: Iterable[str], file: Path | None) -> dict[bytes, int]:
    """Return weight by address from `ADDRESS=WEIGHT` pairs and a CSV file of address,weight lines.

    The file may begin with a header; empty lines, and those that begin with #, are skipped. No weight means 1.
    """
    rows = [Row(f"--member {n}", *pair.partition("=")[::2]) for n, pair in enumerate(pairs, 1)]
    if file is not None:
        rows += _rows(file)
    weights: dict[bytes, int] = {}
    places: dict[bytes, str] = {}
    for row in rows:
        address, weight = _member(row)
        if address in weights:
            twice = f"{address_text(address)} stands among the members twice"
            raise typer.BadParameter(f"{twice}: in {places[address]} and in {row.place}")
        weights[address], places[address] = weight, row.place
    if not 1 <= len(weights) <= MEMBERS_MAX:
        raise typer.BadParameter(f"a DAO has 1 … {MEMBERS_MAX} members; name them with --member or --members")
    return weights


def _member(row: Row) -> tuple[bytes, int]:
    try:
        return address_option(row.address.strip()), _weight(row.weight.strip() or "1")
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{row.place}: {error.message}") from error


def _rows(file: Path) -> list[Row]:
    """Return the members' lines of a file; a line more than there can be members is enough to refuse it later."""
    try:
        text = read_bounded(file, CSV_BYTES_MAX).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedObject(f"{file} is not a CSV file in UTF-8; {_FORM}") from error
    rows: list[Row] = []
    is_first = True
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        cells = _cells(line, f"line {number} of {file}")
        if not cells:
            continue
        is_header = is_first and cells[0].strip().lower() == "address"
        is_first = False
        if not is_header:
            rows.append(Row(f"line {number} of {file}", cells[0], cells[1] if len(cells) == 2 else ""))
        if len(rows) > MEMBERS_MAX:
            break
    return rows


def _cells(line: str, place: str) -> list[str]:
    """Return the one or two cells of a line, or none where it says nothing."""
    if not line.strip() or line.lstrip().startswith("#"):
        return []
    try:
        cells = next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise MalformedObject(f"{place} is not CSV; {_FORM}") from error
    if not any(cell.strip() for cell in cells):
        return []
    if len(cells) > 2:
        raise MalformedObject(f"{place} has more than two cells; {_FORM}, the weight without separators")
    return cells


def _weight(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= WEIGHT_DIGITS_MAX and 1 <= int(text) < WEIGHT_END):
        raise typer.BadParameter(
            f"{text[:80]!r} is not a voting weight; write a whole number of 1 or more in digits alone, such as 1"
        )
    return int(text)
