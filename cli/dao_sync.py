"""`coffer dao sync`: exchange a DAO's affairs with a board: a service, a folder of files, or a directory on IPFS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import wiring
from cli.console import fail, foreign, reported, say, show_json
from cli.home import Settings
from cli.options import GenesisOption, HomeOption, JsonOption, cid_option
from cli.workplace import dao_meant, opened_home
from storage.cid import Cid
from storage.errors import InvalidCid
from vault.errors import MalformedObject, VaultError

if TYPE_CHECKING:
    from vault.board import Board
    from vault.board_giving import Counts
    from vault.records.board import Board as OwnBoard

UNFOLLOWED: Final = "its chain is not followed"
_ADDRESS: Final = re.compile(r"[^/\\]+:[0-9]{1,5}")


def sync(
    board: Annotated[
        list[str] | None,
        typer.Argument(help="HOST:PORT of a board, a folder, or the CID of a directory; several, one after another."),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put all of it into block storage as an IPFS directory; print its CID.")
    ] = False,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take what verifies from boards, and give them what they lack. Nothing is believed: everything is verified here.

    For a DAO that is new here, name it with --dao. A directory's CID is only read.
    """
    with reported():
        if not board and not publish:
            raise MalformedObject("name a board: HOST:PORT, a folder, or a directory's CID; or use --publish")
        settings, _ = opened_home(home)
        shown = synced_with(settings, board or [], dao, is_published=publish)
        if json:
            show_json(shown)
        else:
            _say(shown)
        if shown["failures"]:
            fail("; ".join(f"{name}: {why}" for name, why in shown["failures"].items()))


def synced_with(settings: Settings, names: list[str], dao: str | None, *, is_published: bool) -> dict[str, Any]:
    """Exchange with each board by name; say what came of it, and why not where it did not."""
    from vault.directory_board import published
    from vault.records.board import Board as OwnBoard

    boards: dict[str, Any] = {}
    failures: dict[str, str] = {}
    with wiring.open_database(settings) as records:
        here = OwnBoard(records)
        genesis: Cid | None = None
        for name in names:
            try:
                with _opened(settings, name) as (there, is_given):
                    genesis = _meant(here, there, dao)
                    boards[name], problem = _exchanged(here, there, genesis, is_giving=is_given)
            except VaultError as error:
                problem = str(error)
            if problem:
                failures[name] = problem
        if genesis is None and (is_published or not failures):
            genesis = dao_meant(here, dao)
        shown: dict[str, Any] = {"genesis": genesis and str(genesis), "boards": boards, "failures": failures}
        if is_published and genesis is not None:
            blobs = wiring.open_storage(settings)
            shown["directory"] = str(published(here, [genesis], blobs))
    return shown


def _exchanged(here: OwnBoard, there: Board, genesis: Cid, *, is_giving: bool) -> tuple[dict[str, Any], str]:
    """Bring two boards to the same state; return what was done, and why that is not the same state, or nothing."""
    from vault.board_sync import synced

    counts = synced(here, there, genesis, at=wiring.clock(), is_giving=is_giving)
    return _shown(counts, there), _problem(counts, there, genesis)


def _problem(counts: Counts, there: Board, genesis: Cid) -> str:
    """Return why a run did not bring two boards to the same state, where it is not about single objects; or nothing."""
    unfollowed = [reason for reason in counts.reasons if reason.startswith(UNFOLLOWED)]
    if unfollowed:
        return unfollowed[0]
    if counts.taken or counts.given:
        return ""
    if not counts.given_up and there.tip(genesis) is not None:
        return ""
    why = counts.given_up or next(iter(counts.reasons), "")
    return f"nothing of DAO {genesis} could be exchanged" + (f": {why}" if why else "; there is nothing of it there")


@contextmanager
def _opened(settings: Settings, name: str) -> Iterator[tuple[Board, bool]]:
    """Yield the board that a person named, and whether it can be added to."""
    there, is_given = _named(settings, name)
    try:
        yield there, is_given
    finally:
        getattr(there, "close", _nothing)()


def _nothing() -> None:
    """Close nothing: a folder is not held open."""


def _named(settings: Settings, name: str) -> tuple[Board, bool]:
    from vault.board_client import BoardClient
    from vault.directory_board import DirectoryBoard
    from vault.folder_board import FolderBoard

    try:
        root = Cid.parse(name)
    except InvalidCid:
        if Path(name).exists() and not Path(name).is_dir():
            raise MalformedObject(f"{name} is a file; name a folder, HOST:PORT, or a directory's CID") from None
        is_address = _ADDRESS.fullmatch(name) is not None and not Path(name).exists()
        return (BoardClient(name) if is_address else FolderBoard(Path(name))), True
    return DirectoryBoard(wiring.open_storage(settings), root), False


def _meant(here: OwnBoard, there: Board, dao: str | None) -> Cid:
    """Return the DAO that a person named, or the only one here, or else the only one there."""
    if dao is not None:
        return cid_option(dao)
    if not here.geneses() and len(found := there.geneses()) == 1:
        return found[0]
    return dao_meant(here, None)


def _shown(counts: Counts, there: Board) -> dict[str, Any]:
    return {
        "taken": dict(counts.taken),
        "given": dict(counts.given),
        "refused": counts.refused,
        "not_taken": counts.not_taken,
        "epoch": counts.epoch,
        "given_up": counts.given_up,
        "reasons": [*counts.reasons, *getattr(there, "ignored", ())],
    }


def _say(shown: dict[str, Any]) -> None:
    for name, board in shown["boards"].items():
        exchanged = f"took {_summed(board['taken'])}; gave {_summed(board['given'])}; epoch {board['epoch']}"
        say(f"[bold]{foreign(name)}[/]: {exchanged}")
        for reason in filter(None, (board["given_up"], *board["reasons"])):
            say(f"  [yellow]{foreign(reason)}[/]")
    if "directory" in shown:
        say(f"published as [bold]{shown['directory']}[/]")


def _summed(by_kind: dict[str, int]) -> str:
    return ", ".join(f"{kind} {number}" for kind, number in sorted(by_kind.items())) or "nothing"
