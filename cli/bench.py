"""`coffer bench`: speed as ratios measured in one run, from a source checkout's `benchmarks/` folder."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import cli
from cli.console import FAILED, MISUSED, fail, out, reported, say, show_json
from cli.options import JsonOption

ROOT = Path(cli.__file__).resolve().parent.parent
NAMES = (
    *("seal", "ask", "attest", "govern", "retrieve", "embed", "serve", "open"),
    *("meter", "receipt", "budget", "crawl", "store", "big", "client", "terminal", "peers"),
)
SIZED = "big"


def bench(
    name: Annotated[str, typer.Argument(help=f"Which one: {', '.join(NAMES)}.")],
    json: JsonOption = False,
    save: Annotated[bool, typer.Option("--save", help="Write benchmarks/results and the pages' tables.")] = False,
    size: Annotated[
        float | None, typer.Option(min=0.1, max=30, help="Of big: gigabytes; it needs twice that of disk here.")
    ] = None,
) -> None:
    """Measure one thing against the best alternative, in turn, in one run. Exit 1 where a goal is not met."""
    if name not in NAMES:
        fail(f"there is no benchmark {name!r}; there are: {', '.join(NAMES)}", MISUSED)
    if size is not None and name != SIZED:
        fail(f"--size is of the benchmark {SIZED} alone; leave it out", MISUSED)
    require_checkout()
    with reported():
        run = import_module(f"benchmarks.{name}").run
        measured: dict[str, Any] = run() if size is None else run(size)
    if save:
        save_result(measured)
    if json:
        show_json(measured)
    else:
        _show(measured)
    if any(row["met"] is False for row in measured["rows"]):
        raise typer.Exit(FAILED)


def require_checkout() -> None:
    """Make `benchmarks` importable, or fail where this is not a source checkout."""
    if not (ROOT / "benchmarks" / "harness.py").is_file():
        fail("benchmarks run from a source checkout; clone the project and install it with: make demo")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


def save_result(measured: dict[str, Any]) -> None:
    """Write a result into benchmarks/results, and the pages' tables from all that lie there."""
    harness = import_module("benchmarks.harness")
    harness.save({"machine": harness.machine(), **measured})
    import_module("benchmarks.table").write_tables(ROOT)
    pages = {"peers": "benchmarks.peers_page", "retrieve": "benchmarks.scale_page", "crawl": "benchmarks.crawl_page"}
    if measured["name"] in pages:
        import_module(pages[measured["name"]]).write(measured)


def _show(measured: dict[str, Any]) -> None:
    table = Table("what", "ours", "against", "theirs", "ratio", "goal", box=None)
    for row in measured["rows"]:
        goal = "" if row["goal"] is None else f"{row['goal']:.2f} {'met' if row['met'] else 'NOT MET'}"
        ours, theirs = f"{row['ours']:.2f} {row['unit']}", f"{row['theirs']:.2f} {row['unit']}"
        table.add_row(row["what"], ours, row["against"], theirs, f"{row['ratio']:.2f}", goal)
    out.print(table)
    say(f"[dim]{measured['machine']['cpu']}, {measured['machine']['cores']} cores[/]")
