"""The tables of speed in the README and in docs/benchmarks.md, made from committed results and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS

_PATHS = {"sealed": "sealed", "plain": "plain", "hybrid": "sealed, vectors and words"}
START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def write_tables(root: Path) -> None:
    """Write what has a goal into the README, and all of it into docs/benchmarks.md.

    Raises `ValueError` where a page lacks its markers.
    """
    write_between(root / "README.md", START, END, table(goals_only=True))
    write_between(root / "docs" / "benchmarks.md", START, END, table(goals_only=False))


def write_between(page: Path, opening: str, closing: str, lines: str) -> None:
    """Replace what stands between two markers of a page. Raises `ValueError` where they are missing."""
    before, start, rest = page.read_text().partition(opening)
    _, end, after = rest.partition(closing)
    if not start or not end:
        raise ValueError(f"{page} lacks the markers {opening} and {closing}")
    page.write_text(f"{before}{opening}\n{lines}\n{closing}{after}")


def table(*, goals_only: bool) -> str:
    """Return the Markdown tables of all committed results, or of what has a goal, met or not."""
    measured = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    speeds = [one for one in measured if "rows" in one]
    qualities = [one for one in measured if "sealed" in one]
    return "\n".join([*_speed(speeds, goals_only), *_quality(qualities), "", f"Measured on {_machines(measured)}."])


def _speed(results: list[dict[str, Any]], goals_only: bool) -> list[str]:
    lines = [
        "| Benchmark | What | Ours | Against | Theirs | Ratio | Goal |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [(one["name"], row) for one in results for row in one["rows"]]
    return lines + [_line(name, row) for name, row in rows if row["goal"] is not None or not goals_only]


def _quality(results: list[dict[str, Any]]) -> list[str]:
    """Return a table of what retrieval loses by being sealed: nothing, or it would show here."""
    if not results:
        return []
    metrics = list(results[0]["sealed"])
    lines = ["", f"| Corpus | Path | {' | '.join(metrics)} | same top 10 |", "|---|---|" + "---|" * (len(metrics) + 1)]
    for one in results:
        corpus = f"{one['corpus']}, {one['dtype']}"
        agreement = f"{one['agreement@10']:.1%} of {one['queries']}"
        for path, agreed in (("sealed", agreement), ("plain", ""), ("hybrid", "")):
            if path not in one:
                continue
            lines.append(f"| {corpus} | {_PATHS[path]} | {_values(one[path], metrics)} | {agreed} |")
        for index in one.get("indexes", ()):
            path = f"{index['kind']}, recall {index['recall']:.1%} ({index['stated']:.1%} stated)"
            lines.append(f"| {corpus} | {path} | {_values(index, metrics)} |  |")
    return lines


def _machines(results: list[dict[str, Any]]) -> str:
    return "; ".join(sorted({f"{one['machine']['cpu']}, {one['machine']['cores']} cores" for one in results}))


def _values(scores: dict[str, float], metrics: list[str]) -> str:
    return " | ".join(f"{scores[metric]:.5f}" for metric in metrics)


def _line(name: str, row: dict[str, Any]) -> str:
    goal = "-" if row["goal"] is None else f"≥ {row['goal']:.3g}: {'met' if row['met'] else '**not met**'}"
    ours, theirs = _figure(row["ours"], row["unit"]), _figure(row["theirs"], row["unit"])
    return f"| `{name}` | {row['what']} | {ours} | {row['against']} | {theirs} | {row['ratio']:.2f} | {goal} |"


def _figure(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.4g} {unit}"
