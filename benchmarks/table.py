"""The README's benchmark table, made from the committed results and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS

_PATHS = {"sealed": "sealed", "plain": "plain", "hybrid": "sealed, vectors and words"}
START, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def write_table(readme: Path) -> None:
    """Replace what stands between the markers. Raises `ValueError` where they are missing."""
    write_between(readme, START, END, table())


def write_between(page: Path, opening: str, closing: str, lines: str) -> None:
    """Replace what stands between two markers of a page. Raises `ValueError` where they are missing."""
    before, start, rest = page.read_text().partition(opening)
    _, end, after = rest.partition(closing)
    if not start or not end:
        raise ValueError(f"{page} lacks the markers {opening} and {closing}")
    page.write_text(f"{before}{opening}\n{lines}\n{closing}{after}")


def table() -> str:
    """Return the Markdown table of all committed results."""
    measured = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    speeds = [one for one in measured if "rows" in one]
    qualities = [one for one in measured if "sealed" in one]
    return "\n".join([*_speed(speeds), *_quality(qualities), "", f"Measured on {_machines(measured)}."])


def _speed(results: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| Benchmark | What | Ours | Against | Theirs | Ratio | Goal |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [_line(one["name"], row) for one in results for row in one["rows"]]


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
    goal = "-" if row["goal"] is None else f"≥ {row['goal']:g}: {'met' if row['met'] else '**not met**'}"
    ours, theirs = f"{row['ours']:.4g} {row['unit']}", f"{row['theirs']:.4g} {row['unit']}"
    return f"| `{name}` | {row['what']} | {ours} | {row['against']} | {theirs} | {row['ratio']:.2f} | {goal} |"
