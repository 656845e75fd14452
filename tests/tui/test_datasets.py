"""Sealing, publishing, checking and backing up from the terminal, against a real custodian and a real folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from cli.home import Home, Settings
from tests.deployment import Deployment
from tests.tui.looking import shown, text_on, until
from tests.tui.party import PASSWORD, desk_of
from tui.app import CofferApp
from tui.desk.sealing import Wish
from tui.slow import Job, Progress, Stopped
from tui.widgets.sealing import PaperDialog, SealDialog

App = Callable[..., CofferApp]
SIZE = (140, 45)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tides"
    made.mkdir()
    for number in range(6):
        (made / f"{number}.txt").write_text(f"On day {number} the tide is {number} feet high, and the harbor is open.")
    (made / "picture.png").write_bytes(b"\x89PNG")
    return made


async def pick(pilot: Pilot[Any], folder: Path) -> None:
    """Choose the folder in the dialog's tree by keys, and give the answer."""
    await until(pilot, lambda: isinstance(pilot.app.screen, SealDialog) and folder.name in text_on(pilot), "no folders")
    tree = pilot.app.screen.query_one("#folders")
    tree.focus()
    await until(pilot, lambda: _line(tree, folder) is not None, "the folder is not in the tree")
    tree.cursor_line = _line(tree, folder)  # type: ignore[attr-defined]
    await pilot.press("enter")
    await shown(pilot, f"seals {folder.name}")
    pilot.app.screen.query_one("#title", Input).focus()
    await pilot.press("enter")


def _line(tree: Any, folder: Path) -> int | None:
    return next((line for line in range(tree.last_line + 1) if tree.get_node_at_line(line).data.path == folder), None)


async def give_password(pilot: Pilot[Any]) -> None:
    await shown(pilot, "Password")
    pilot.app.screen.query_one("#password", Input).value = PASSWORD
    await pilot.press("enter")


async def test_a_folder_is_sealed_and_published_and_its_copies_hold(app_of: App, folder: Path) -> None:
    async with app_of("datasets").run_test(size=SIZE) as pilot:
        await shown(pilot, "nothing is sealed here yet", "✓ proved")
        await pilot.press("n")
        await pick(pilot, folder)
        await give_password(pilot)
        screen = await shown(pilot, "✓ published", "stored, fetched back and checked", "Left out: 1")
        assert "files of the kind '.png' are not read" in " ".join(screen.split())
        await pilot.press("v")
        await shown(pilot, "decrypted to the corpus its owner signed")


async def test_the_wrong_password_is_said_and_asked_for_again(app_of: App, folder: Path) -> None:
    async with app_of("datasets").run_test(size=SIZE) as pilot:
        await shown(pilot, "nothing is sealed here yet", "✓ proved")
        await pilot.press("n")
        await pick(pilot, folder)
        await shown(pilot, "Password")
        pilot.app.screen.query_one("#password", Input).value = "another"
        await pilot.press("enter")
        await shown(pilot, "that is not its password")


async def test_the_key_counts_as_on_paper_once_a_word_of_each_list_was_typed(
    app_of: App, folder: Path, deployment: Deployment, settings: Settings
) -> None:
    desk = desk_of(deployment, settings)
    seal(desk, folder)
    desk.close()
    async with app_of("datasets").run_test(size=SIZE) as pilot:
        await shown(pilot, "its key is on no paper yet")
        await pilot.press("b")
        await give_password(pilot)
        await shown(pilot, "Show the key")
        await pilot.press("y")
        for number in range(3):
            await shown(pilot, f"List {number + 1} of 3")
            words = pilot.app.screen._paper.lists[number].split()  # type: ignore[attr-defined]
            await pilot.press("enter")
            await shown(pilot, f"of list {number + 1}, from your paper")
            assert isinstance(pilot.app.screen, PaperDialog)
            assert words[0] not in text_on(pilot)
            pilot.app.screen.query_one("#word", Input).value = words[pilot.app.screen._asked or 0]
            await pilot.press("enter")
        await shown(pilot, "its key is on paper, as you confirmed")


def seal(desk: Any, folder: Path, tell: Callable[..., None] = lambda *_: None) -> Any:
    desk.wallets.open("owner", PASSWORD)
    wish = Wish(folder=str(folder), title="Tides of May", owner="owner", allow_simulated=True)
    return desk.sealing.seal(wish, tell)


def left_in(settings: Settings, tmp_path: Path) -> list[Path]:
    place = Home(settings.home)
    return [file for folder in (place.staging, place.path / "keys", tmp_path / "blocks") for file in files_in(folder)]


def files_in(folder: Path) -> list[Path]:
    """Return the files below a folder, but for the one that a block store locks."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"] if folder.is_dir() else []


def test_sealing_that_is_stopped_leaves_nothing_behind(
    deployment: Deployment, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    desk, told = desk_of(deployment, settings), list[Progress]()
    job = Job(told.append)

    def tell(what: str, done: int, total: int | None) -> None:
        if done == 3:
            job.stop()
        job.tell(what, done, total)

    with pytest.raises(Stopped):
        seal(desk, folder, tell)
    assert told[0].total is None
    assert left_in(settings, tmp_path) == []
    assert desk.overview.sealed() == ()
    desk.close()


def test_publishing_that_is_stopped_leaves_nothing_in_the_storage_and_can_be_done_again(
    deployment: Deployment, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    desk = desk_of(deployment, settings)
    done = seal(desk, folder)

    def stop(what: str, done: int, total: int | None) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        desk.sealing.publish(done.manifest, stop)
    assert files_in(tmp_path / "blocks") == []
    assert desk.overview.sealed()[0].state == "sealed"
    assert desk.sealing.publish(done.manifest, lambda *_: None).custodians == 1
    assert desk.overview.sealed()[0].state == "published"
    desk.close()


def test_progress_knows_its_total_where_every_file_is_one_document(
    deployment: Deployment, settings: Settings, folder: Path
) -> None:
    desk, told = desk_of(deployment, settings), list[tuple[int, int | None]]()
    seal(desk, folder, lambda _, done, total: told.append((done, total)))
    assert told[-1] == (6, 6)
    desk.close()
