"""The table of docs/benchmarks.md that says how time and memory grow with the corpus, from one measured result."""

from __future__ import annotations

import re
from typing import Any, Final

from benchmarks.peers_page import PAGE
from benchmarks.table import write_between

START: Final = "<!-- scale -->"
END: Final = "<!-- /scale -->"
_PASSAGES = re.compile(r"[0-9,]+(?= passages)")
_COLUMNS: Final = {"batch 1": "batch 1, ns", "batch 64": "batch 64, ns", "memory": "memory, B"}


def write(measured: dict[str, Any]) -> None:
    """Write the part of the page between the markers. Raises `ValueError` where they are missing."""
    write_between(PAGE, START, END, section(measured))


def section(measured: dict[str, Any]) -> str:
    """Return the Markdown of a result: a line for each size, what it takes for each passage."""
    lines: dict[str, dict[str, str]] = {}
    for row in measured["scale"]:
        found = _PASSAGES.search(row["what"])
        if found is None:
            raise ValueError(f"{row['what']!r} says of no number of passages")
        column = next(name for name in _COLUMNS if name in row["what"])
        lines.setdefault(found[0], {})[column] = f"{row['ours']:.4g}"
    machine = measured["machine"]
    return "\n".join(
        [
            f"Exact search on {machine['cpu']}, {machine['cores']} cores; of one query, divided by the passages.",
            "",
            f"| Passages | {' | '.join(_COLUMNS.values())} |",
            "|---|" + "---|" * len(_COLUMNS),
            *(f"| {passages} | {' | '.join(said[name] for name in _COLUMNS)} |" for passages, said in lines.items()),
        ]
    )
