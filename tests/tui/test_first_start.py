"""The first start in an empty home: a wallet, a DAO joined or founded with a running custodian, the way to a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, RadioButton

from cli.home import settings_from
from tests.deployment import Deployment
from tests.tui.looking import shown, until
from tests.tui.party import PASSWORD, desk_of
from tui.app import CofferApp
from vault.assembly import found
from vault.board_sync import synced
from vault.folder_board import FolderBoard
from vault.records.board import Board
from vault.records.database import open_records

SIZE = (100, 40)


@pytest.fixture
def new_app(deployment: Deployment, tmp_path: Path) -> Callable[[], CofferApp]:
    def make() -> CofferApp:
        settings = settings_from(home=tmp_path / "fresh")
        return CofferApp(
            lambda job: desk_of(deployment, settings),
            clock=deployment.world.clock,
            browse_from=str(tmp_path),
            beat_s=3600,
        )

    return make


@pytest.fixture
def board(deployment: Deployment, tmp_path: Path) -> Path:
    """A folder that members of the DAO use as their board."""
    folder = tmp_path / "board"
    folder.mkdir()
    with open_records(f"sqlite:///{tmp_path}/others.db") as records:
        theirs = Board(records)
        found(theirs, deployment.world.dao.charter, deployment.world.dao.roll)
        synced(theirs, FolderBoard(folder), deployment.world.genesis, at=deployment.world.clock(), is_giving=True)
    return folder


async def make_wallet(pilot: Pilot[Any]) -> None:
    await shown(pilot, "Welcome to Coffer", "1. A wallet")
    await until(pilot, lambda: getattr(pilot.app.focused, "id", "") == "wallet-name", "the name is not asked for")
    await pilot.press(*"alice", "enter")
    await shown(pilot, "New password")
    await pilot.press(*"one", "enter", *"two", "enter")
    await shown(pilot, "two different passwords")
    for field in ("password", "again"):
        pilot.app.screen.query_one(f"#{field}", Input).value = PASSWORD
    await pilot.press("enter")
    await shown(pilot, "✓ you have a wallet")


async def fill(pilot: Pilot[Any], **fields: str) -> None:
    for name, value in fields.items():
        pilot.app.screen.query_one(f"#dao-{name}", Input).value = value
    await until(pilot, lambda: not pilot.app.screen.query_one("#go-dao", Button).disabled, "the step is not open yet")
    pilot.app.screen.query_one("#dao-enclave", Input).focus()
    await pilot.press("enter")


async def test_a_new_home_makes_a_wallet_joins_a_dao_and_comes_to_its_first_folder(
    new_app: Callable[[], CofferApp], deployment: Deployment, board: Path
) -> None:
    async with new_app().run_test(size=SIZE) as pilot:
        await make_wallet(pilot)
        await fill(
            pilot,
            name=str(deployment.world.genesis),
            board=str(board),
            custodians=deployment.custodians[0].address,
            enclave=deployment.enclave.address,
        )
        await shown(pilot, "✓ a DAO is known here")
        await pilot.press("enter")
        await shown(pilot, "nothing is sealed here yet", "Harbor", "✓ proved")
    async with new_app().run_test(size=SIZE) as pilot:  # the second start needs no first steps
        await shown(pilot, "Needs attention", "Harbor")


async def test_a_dao_is_founded_with_a_running_custodian(
    new_app: Callable[[], CofferApp], deployment: Deployment
) -> None:
    async with new_app().run_test(size=SIZE) as pilot:
        await make_wallet(pilot)
        pilot.app.screen.query(RadioButton)[1].value = True
        await fill(pilot, name="Lighthouse", custodians=deployment.custodians[0].address)
        await shown(pilot, "✓ a DAO is known here", "Lighthouse")


async def test_what_is_missing_is_said_in_one_sentence(new_app: Callable[[], CofferApp]) -> None:
    async with new_app().run_test(size=SIZE) as pilot:
        await make_wallet(pilot)
        await fill(pilot, name="not a CID", board="nowhere:1")
        await shown(pilot, "✗ ")
        pilot.app.screen.query(RadioButton)[1].value = True
        await fill(pilot, name="Lighthouse", custodians="")
        await shown(pilot, "a DAO needs a custodian")
