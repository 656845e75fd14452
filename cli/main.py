"""The `coffer` command: one group of commands per file."""

from __future__ import annotations

import typer

from cli import (
    attest,
    board,
    credit,
    custodian,
    dao,
    dataset,
    enclave,
    index,
    license,
    receipt,
    records,
    royalty,
    storage,
    wallet,
)
from cli.bench import bench
from cli.cid import cid
from cli.count import count
from cli.demo.command import demo
from cli.doctor import doctor
from cli.evaluate import evaluation
from cli.init import init
from cli.mcp import mcp
from cli.piece_cid import piece_cid
from cli.query import query
from cli.terminal import tui
from cli.terms import describe, embed, quote

app = typer.Typer(
    name="coffer",
    help="A confidential data vault with private retrieval.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.command("init")(init)
app.add_typer(wallet.app, name="wallet", no_args_is_help=True)
app.add_typer(dao.app, name="dao", no_args_is_help=True)
app.add_typer(dataset.app, name="dataset", no_args_is_help=True)
app.add_typer(storage.app, name="storage", no_args_is_help=True)
app.add_typer(license.app, name="license", no_args_is_help=True)
app.add_typer(credit.app, name="credit", no_args_is_help=True)
app.command("query")(query)
app.command("count")(count)
app.command("quote")(quote)
app.command("describe")(describe)
app.command("embed")(embed)
app.add_typer(receipt.app, name="receipt", no_args_is_help=True)
app.add_typer(royalty.app, name="royalty", no_args_is_help=True)
app.add_typer(board.app, name="board", no_args_is_help=True)
app.add_typer(custodian.app, name="custodian", no_args_is_help=True)
app.add_typer(enclave.app, name="enclave", no_args_is_help=True)
app.add_typer(records.app, name="records", no_args_is_help=True)
app.add_typer(index.app, name="index", no_args_is_help=True)
app.add_typer(attest.app, name="attest", no_args_is_help=True)
app.command("cid")(cid)
app.command("piece-cid")(piece_cid)
app.command("mcp")(mcp)
app.command("doctor")(doctor)
app.command("tui")(tui)
app.command("demo")(demo)
app.command("bench")(bench)
app.command("eval")(evaluation)


def run() -> None:
    """Run the command line."""
    app()
