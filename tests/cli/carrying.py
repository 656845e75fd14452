"""Carrying a dataset away in one file: writing it, taking it apart, and what an import left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli import wiring
from storage.car import read_car, write_car
from storage.cid import Cid
from tests.cli.conftest import Founded, Party

OWNER = ("--owner", "owner")
TEXT = "The harbor closes at noon on Sundays."
Blocks = list[tuple[Cid, bytes]]


def published(dao: Founded, documents: Path) -> str:
    manifest = str(dao.party.json("dataset", "seal", documents, *OWNER, "--allow-simulated")["manifest"])
    dao.party.run("dataset", "publish", manifest, *OWNER)
    return manifest


def exported(dao: Founded, manifest: str, file: Path, *more: object) -> dict[str, Any]:
    return dao.party.json("dataset", "export", manifest, "--car", file, *more)


def elsewhere(folder: Path, dao: Founded) -> Party:
    """Return a new machine: an empty home, and the custodians' addresses."""
    party = Party(folder / "elsewhere", env=dict(dao.party.env))
    party.run("init")
    return party


def parts(file: Path) -> tuple[list[Cid], Blocks]:
    with file.open("rb") as stream:
        roots, blocks = read_car(stream, blocks_max=10_000, bytes_max=1 << 30)
        return list(roots), list(blocks)


def written(file: Path, roots: list[Cid], blocks: Blocks) -> Path:
    with file.open("wb") as stream:
        write_car(stream, roots, blocks)
    return file


def state(party: Party) -> tuple[set[str], int, bool]:
    """Return what an import could have left: blocks, entries, and whether a DAO is known."""
    files = {path.name for folder in ("staging", "blocks", "importing") for path in (party.home / folder).rglob("*")}
    with wiring.open_database(wiring.Settings(home=party.home)) as records:
        from vault.records.board import Board

        geneses = Board(records).geneses()
    blocks = {name for name in files if len(name) > 40}
    return blocks, len(party.json("dataset", "list")["datasets"]), bool(geneses)


NOTHING: tuple[set[str], int, bool] = (set(), 0, False)
