"""An explanation of evidence as text for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.markup import escape

from cli.console import one_line, out, tee_text, warn_simulated
from enclave.attestation.claims import Shown
from enclave.attestation.explain import Explanation
from vault.policy import SIMULATED

HEX_CHARS: Final = 64  # a line of hex: half of a SHA-512
_NAME_CHARS: Final = 18


def show_explanation(path: Path, explanation: Explanation) -> None:
    """Print what a file is, what it claims and what it is worth."""
    _line(f"[bold]{_safe(str(path))}[/]")
    kind = f"TEE {tee_text(explanation.kind)}, " if explanation.kind not in ("", "rim", "nvidia") else ""
    _line(f"  {kind}{_safe(explanation.what)}")
    if explanation.signed_by:
        _line(f"  signed by {_safe(explanation.signed_by)}")
    _line(f"  judged at {datetime.fromtimestamp(explanation.at, UTC):%Y-%m-%dT%H:%M:%SZ}")
    if explanation.claims:
        _line("  it claims:" if explanation.is_verified else "  it claims, and [red]nobody vouches for it[/]:")
        for name, text in _rows(explanation.claims):
            _line(f"    {_safe(name):{_NAME_CHARS}} {_safe(text)}")
    for caveat in explanation.caveats:
        _line(f"  [yellow]![/] {_safe(caveat)}")
    if explanation.is_accepted:
        _line(f"  [green]✓[/] {_safe(_accepted(explanation))}")
    else:
        reason = f"refused ({explanation.reason}): " if explanation.reason else ""
        _line(f"  [bold red]✗[/] {_safe(reason + explanation.told)}")
        if explanation.advice:
            _line(f"    what to do: {_safe(explanation.advice)}")
    if explanation.kind == SIMULATED:
        warn_simulated()


def _accepted(explanation: Explanation) -> str:
    established = "; ".join(explanation.established)
    return established if explanation.kind == "rim" else f"accepted by the strict default: {established}"


def _rows(claims: Mapping[str, Shown], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each claim's name and text, the rest of long hex below it under no name."""
    for name, value in claims.items():
        match value:
            case dict():
                yield from _rows(value, f"{prefix}{name}.")
                continue
            case list():
                text = ", ".join(map(str, value)) or "none"
            case None:
                text = "none"
            case bool():
                text = "yes" if value else "no"
            case _:
                text = str(value)
        lines = [text[start : start + HEX_CHARS] for start in range(0, len(text), HEX_CHARS)] or [""]
        yield prefix + name, lines[0]
        yield from (("", line) for line in lines[1:])


def _safe(text: str) -> str:
    return escape(one_line(text))


def _line(markup: str) -> None:
    out.print(markup, soft_wrap=True)
