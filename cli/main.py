"""The `coffer` command: one group of commands per file."""

from __future__ import annotations

import typer

from cli import custodian, enclave
from cli.bench import bench
from cli.demo.command import demo
from cli.evaluate import evaluation

app = typer.Typer(
    name="coffer",
    help="A confidential data vault with private retrieval.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.add_typer(custodian.app, name="custodian", no_args_is_help=True)
app.add_typer(enclave.app, name="enclave", no_args_is_help=True)

app.command("demo")(demo)
app.command("bench")(bench)
app.command("eval")(evaluation)


def run() -> None:
    """Run the command line."""
    app()
