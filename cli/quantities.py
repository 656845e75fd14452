"""Amounts as a person writes them: durations such as 5m or 3d, and shares such as 10% or 12.5%."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import typer

from vault.charter import BASIS_POINTS

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
DURATION_S_MAX: Final = 100 * 366 * 86_400
_DURATION = re.compile(r"([0-9]{1,12})([smhdw])")
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?%")


def seconds_from(text: str) -> int:
    """Return the seconds of `30s`, `5m`, `2h`, `3d` or `1w`; at least one second, at most a hundred years."""
    found = _DURATION.fullmatch(text.strip())
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds <= DURATION_S_MAX:
        raise typer.BadParameter(f"{text!r} is not a duration; write 30s, 5m, 2h, 3d or 1w, up to 100 years")
    return seconds


def duration_text(seconds: int) -> str:
    """Return seconds in the largest unit that divides them, as `seconds_from` reads them."""
    unit = max((unit for unit in UNITS if seconds % UNITS[unit] == 0), key=lambda unit: UNITS[unit])
    return f"{seconds // UNITS[unit]}{unit}"


def basis_points_from(text: str) -> int:
    """Return the basis points of `0%` to `100%`, with at most two decimals."""
    body = text.strip()
    points = int(Decimal(body[:-1]) * 100) if _PERCENT.fullmatch(body) else -1
    if not 0 <= points <= BASIS_POINTS:
        raise typer.BadParameter(f"{text!r} is not a share of 0% to 100%; write 10% or 12.5%")
    return points


def percent_text(points: int) -> str:
    """Return basis points as `basis_points_from` reads them."""
    whole, rest = divmod(points, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "%" if rest else f"{whole}%"
