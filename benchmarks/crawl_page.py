"""The crawl's plot and table in docs/benchmarks.md, made from one measured result and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.peers_page import COLORS, PAGE
from benchmarks.table import write_between

PLOT = PAGE.parent / "images" / "crawl.svg"
START, END = "<!-- crawl -->", "<!-- /crawl -->"
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 30, 50
STEPS = 5
Curve = Sequence[Sequence[int]]  # questions asked, passages crawled


def write(measured: dict[str, Any]) -> None:
    """Write the plot, and the part of the page between the markers. Raises `ValueError` where they are missing."""
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(plot(measured["curves"], measured["passages"]))
    write_between(PAGE, START, END, section(measured))


def section(measured: dict[str, Any]) -> str:
    """Return the Markdown of a result: every row, and the plot."""
    machine = measured["machine"]
    lines = [
        f"Measured on {machine['cpu']}, {machine['cores']} cores.",
        "",
        "| What | Measured | Against | Its value |",
        "|---|---|---|---|",
        *(_line(row) for row in measured["rows"]),
        "",
        f"![Share of the corpus crawled by questions asked](images/{PLOT.name})",
    ]
    return "\n".join(lines)


def plot(curves: dict[str, Curve], passages: int) -> str:
    """Return an SVG of the share of the corpus that was crawled, by questions asked."""
    most = max(point[0] for curve in curves.values() for point in curve)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '  font-family="sans-serif" font-size="12">',
        "<title>Share of the corpus crawled by questions asked</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for step in range(STEPS + 1):
        x, y = _x(most * step / STEPS, most), _y(step / STEPS)
        parts.append(_segment(x, TOP, x, HEIGHT - BOTTOM))
        parts.append(_segment(LEFT, y, WIDTH - RIGHT, y))
        parts.append(_label(x, HEIGHT - BOTTOM + 18, f"{most * step // STEPS:,}", "middle"))
        parts.append(_label(LEFT - 8, y + 4, f"{100 * step // STEPS} %", "end"))
    parts.append(_label(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 10, "questions asked", "middle"))
    parts.append(_label(LEFT, TOP - 10, f"of {passages:,} passages, crawled", "start"))
    for number, (name, curve) in enumerate(curves.items()):
        color, row = COLORS[number % len(COLORS)], TOP + 14 + 20 * number
        line = " ".join(f"{_x(asked, most):.1f},{_y(found / passages):.1f}" for asked, found in curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<circle cx="{WIDTH - RIGHT + 24}" cy="{row - 4}" r="5" fill="{color}"/>')
        parts.append(_label(WIDTH - RIGHT + 36, row, name, "start"))
    return "\n".join([*parts, "</svg>", ""])


def _line(row: dict[str, Any]) -> str:
    return f"| {row['what']} | {row['ours']:g} {row['unit']} | {row['against']} | {row['theirs']:g} {row['unit']} |"


def _x(asked: float, most: int) -> float:
    return LEFT + asked / most * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _segment(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
