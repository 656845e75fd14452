"""The plot and the table of docs/benchmarks.md, made from one measured result and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.table import write_between

DOCS = Path(__file__).resolve().parents[1] / "docs"
PLOT = DOCS / "images" / "peers.svg"
PAGE = DOCS / "benchmarks.md"
START, END = "<!-- peers -->", "<!-- /peers -->"
RECALLS = (0.95, 0.99)
WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 180, 30, 50
RECALL_FROM, RECALL_TO, RECALL_STEPS = 0.75, 1.0, 5
# Okabe and Ito's colors, which people who see fewer colors can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000", "#999999")
Point = dict[str, Any]


def write(measured: dict[str, Any]) -> None:
    """Write the plot, and the part of the page between the markers. Raises `ValueError` where they are missing."""
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(plot(measured["points"]))
    write_between(PAGE, START, END, section(measured))


def section(measured: dict[str, Any]) -> str:
    """Return the Markdown of a result: what was measured, the table, the plot."""
    machine = measured["machine"]
    named = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {machine['system']}"
    lines = [
        f"{measured['passages']:,} passages of dimension {measured['dimension']}, k = {measured['k']}, on {named}.",
        "",
        "| Engine | Recall | Queries a second at recall ≥ 95 % | at recall ≥ 99 % | Seconds to build |",
        "|---|---|---|---|---|",
        *(_line(name, points) for name, points in by_engine(measured["points"])),
    ]
    if measured["absent"]:
        lines += ["", f"Not measured: {'; '.join(measured['absent'])}."]
    return "\n".join([*lines, "", f"![Recall against queries per second](images/{PLOT.name})"])


def by_engine(points: Iterable[Point]) -> list[tuple[str, list[Point]]]:
    """Return each engine with its points, in order of effort."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point["engine"], []).append(point)
    return [(name, sorted(some, key=lambda point: point["effort"])) for name, some in found.items()]


def plot(points: list[Point]) -> str:
    """Return an SVG of recall against queries a second; further up and to the right is better."""
    axes = Axes.around(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '  font-family="sans-serif" font-size="12">',
        "<title>Recall against queries per second</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *axes.drawn(),
    ]
    for number, (name, some) in enumerate(by_engine(points)):
        parts += _curve(axes, some, number)
        row = TOP + 14 + 20 * number
        color = COLORS[number % len(COLORS)]
        parts.append(f'<circle cx="{WIDTH - RIGHT + 24}" cy="{row - 4}" r="5" fill="{color}"/>')
        parts.append(_label(WIDTH - RIGHT + 36, row, name, "start"))
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class Axes:
    """Where points lie: recall to the right, queries a second up, by powers of ten."""

    low: int  # powers of ten
    high: int

    @classmethod
    def around(cls, points: list[Point]) -> Axes:
        """Return axes that hold all speeds."""
        speeds = [point["per_s"] for point in points]
        return cls(floor(log10(min(speeds))), floor(log10(max(speeds))) + 1)

    def x(self, recall: float) -> float:
        """Return where a recall stands; those below the axis are not drawn."""
        return LEFT + (recall - RECALL_FROM) / (RECALL_TO - RECALL_FROM) * (WIDTH - LEFT - RIGHT)

    def y(self, per_s: float) -> float:
        """Return where a speed stands."""
        share = (log10(per_s) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def drawn(self) -> list[str]:
        """Return the grid and its labels."""
        parts = []
        for step in range(RECALL_STEPS + 1):
            recall = RECALL_FROM + (RECALL_TO - RECALL_FROM) * step / RECALL_STEPS
            parts.append(_segment(self.x(recall), TOP, self.x(recall), HEIGHT - BOTTOM))
            parts.append(_label(self.x(recall), HEIGHT - BOTTOM + 18, f"{recall:.2f}", "middle"))
        for power in range(self.low, self.high + 1):
            at = self.y(10.0**power)
            parts.append(_segment(LEFT, at, WIDTH - RIGHT, at))
            parts.append(_label(LEFT - 8, at + 4, f"{10.0**power:,g}", "end"))
        middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
        parts.append(_label(middle, HEIGHT - 10, "recall of the ten best", "middle"))
        parts.append(_label(LEFT, TOP - 8, "queries per second, one at a time", "start"))
        return parts


def _curve(axes: Axes, points: list[Point], number: int) -> list[str]:
    color = COLORS[number % len(COLORS)]
    dash = ' stroke-dasharray="6 3"' if number >= len(COLORS) else ""
    shown = [point for point in points if point["recall"] >= RECALL_FROM]
    places = [(axes.x(point["recall"]), axes.y(point["per_s"])) for point in shown]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    radius = 5 if len(points) == 1 else 3
    return [
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"{dash}/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{color}"/>' for x, y in places),
    ]


def _line(name: str, points: list[Point]) -> str:
    cells = [_cell(points, least) for least in RECALLS]
    recalls = [point["recall"] for point in points]
    span = f"{max(recalls):.3f}" if len(points) == 1 else f"{min(recalls):.3f} to {max(recalls):.3f}"
    name = f"**{name}**" if points[0]["is_ours"] else name
    return f"| {name} | {span} | {' | '.join(cells)} | {points[0]['build_s']:.1f} |"


def _cell(points: list[Point], least: float) -> str:
    enough = [point for point in points if point["recall"] >= least]
    if not enough:
        return "-"
    best = max(enough, key=lambda point: point["per_s"])
    effort = f" (effort {best['effort']}, recall {best['recall']:.3f})" if best["effort"] else ""
    return f"{best['per_s']:,.0f}{effort}"


def _segment(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
