"""The README's benchmark table, made from the committed results and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS

START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def write_table(readme: Path) -> None:
    """Replace what stands between the markers. Raises `ValueError` where they are missing."""
    text = readme.read_text()
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{readme} lacks the markers {START} and {END}")
    readme.write_text(f"{before}{START}\n{table()}\n{END}{after}")


def table() -> str:
    """Return the Markdown table of all committed results."""
    lines = [
        "| Benchmark | What | Ours | Against | Theirs | Ratio | Goal |",
        "|---|---|---|---|---|---|---|",
    ]
    machines = []
    for path in sorted(RESULTS.glob("*.json")):
        measured: dict[str, Any] = json.loads(path.read_text())
        if "rows" not in measured:
            continue
        machines.append(f"{measured['machine']['cpu']}, {measured['machine']['cores']} cores")
        lines += [_line(measured["name"], row) for row in measured["rows"]]
    return "\n".join([*lines, "", f"Measured on {'; '.join(sorted(set(machines)))}."])


def _line(name: str, row: dict[str, Any]) -> str:
    goal = "-" if row["goal"] is None else f"≥ {row['goal']:g}: {'met' if row['met'] else '**not met**'}"
    ours, theirs = f"{row['ours']:.4g} {row['unit']}", f"{row['theirs']:.4g} {row['unit']}"
    return f"| `{name}` | {row['what']} | {ours} | {row['against']} | {theirs} | {row['ratio']:.2f} | {goal} |"
