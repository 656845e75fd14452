"""`coffer piece-cid`: the piece commitment by which Filecoin's providers know a file."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated

import typer

from cli.console import fail, reported, say, show_json
from cli.options import JsonOption
from storage.commp import piece_cid as piece_cid_of


def piece_cid(
    path: Annotated[Path, typer.Argument(help="A file.")],
    v1: Annotated[bool, typer.Option("--v1", help="Print version 1, baga…, which older tools read.")] = False,
    json: JsonOption = False,
) -> None:
    """Print a file's piece CID (commP, FRC-0069). Nothing is stored or sent.

    Version 2 says how long the data is; version 1 does not, so its padded size has to go with it (see --json).
    """
    with reported():
        if not stat.S_ISREG(path.stat().st_mode):
            fail(f"{path} is no regular file; a piece is made of one, such as a CAR")
        with path.open("rb", buffering=0) as file:
            piece = piece_cid_of(file)
        if json:
            sizes = {"bytes": piece.raw_bytes, "padded_bytes": piece.padded_bytes}
            show_json({"piece_cid": str(piece), "piece_cid_v1": piece.v1, **sizes})
        else:
            say(piece.v1 if v1 else str(piece))
