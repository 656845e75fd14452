"""What commands of `coffer dao` begin with: the settings, this home's board, and the DAO that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cli import wiring
from cli.console import reported
from cli.dao_custody import brought
from cli.home import Settings
from cli.options import cid_option
from cli.workplace import history_meant, opened_home

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.history import History
    from vault.records.board import Board


class Opened(NamedTuple):
    """The settings, the board in this home's records, and the verified history of the DAO that is meant."""

    settings: Settings
    board: Board
    history: History


@contextmanager
def opened_dao(dao: str | None, home: Path | None, custodians: list[str] | None = None) -> Iterator[Opened]:
    """Open the home and its records for as long as a command works, and report what goes wrong in it."""
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodians or ()))
        with wiring.open_database(settings) as records:
            yield Opened(settings, *history_meant(records, dao))


@contextmanager
def opened_proposal(
    text: str, dao: str | None, home: Path | None, custodians: list[str] | None = None, *, is_fresh: bool = False
) -> Iterator[tuple[Opened, Proposal]]:
    """Open a DAO, and find a proposal by its CID: on the board, or else with the custodians.

    Args:
        is_fresh: ask the custodians for its votes even so.
    """
    cid = cid_option(text)
    with opened_dao(dao, home, custodians) as opened:
        proposal, history = brought(*opened, cid, is_fresh=is_fresh)
        yield opened._replace(history=history), proposal
