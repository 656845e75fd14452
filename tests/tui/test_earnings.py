"""A payee's whole way at the terminal: fetch, see, verify, export; against an enclave that really settles."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from cli import wiring
from cli.home import Home, Settings
from cli.sealed_files import write_private
from cli.statement_files import read_statement
from tests.deployment import Deployment, deployed
from tests.enclaves import license_of
from tests.people import DAY_S, NOW
from tests.tui.looking import shown, text_on, until
from tests.tui.party import PASSWORD, with_credential
from tui.app import CofferApp
from tui.desk.earning import Earned, StatementFacts
from tui.screens.earnings import by_day
from vault.statement import SHOWN_MIN

App = Callable[..., CofferApp]
SIZE = (140, 45)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with deployed(tmp_path, epoch_s=DAY_S) as running:
        monkeypatch.setattr(wiring, "clock", running.world.clock)
        yield running


@pytest.fixture
def earned(deployment: Deployment, settings: Settings) -> Settings:
    """A home whose owner earned in two epochs, a day each."""
    with_credential(deployment, settings)
    earn(deployment)
    earn(deployment)
    return settings


def earn(deployment: Deployment) -> None:
    """Have one epoch go by in which a licensee asks often enough that passages are named."""
    ends = NOW + 3 * DAY_S
    license = license_of(deployment.world, expires_at=ends)
    with deployment.client(deployment.credential(license=license, expires_at=ends)) as client:
        for question in ("tide table", *["harbor"] * SHOWN_MIN):
            client.search(question, k=2)
    deployment.world.clock.advance(DAY_S + 1)
    deployment.until_serving()


async def fetch(pilot: Pilot[Any], *, has_password: bool = True) -> None:
    await pilot.press("f")
    await shown(pilot, "Whose statements?", "owner")
    await pilot.press("down", "enter")  # member 0, then owner
    if has_password:
        await shown(pilot, "Password")
        pilot.app.screen.query_one("#password", Input).value = PASSWORD
        await pilot.press("enter")


async def noticed(pilot: Pilot[Any], words: str) -> None:
    """Wait for a notice, which lies over the screen."""
    notices = pilot.app._notifications
    await until(pilot, lambda: any(words in notice.message for notice in notices), f"no notice says {words}")


async def fetched(pilot: Pilot[Any]) -> None:
    await shown(pilot, "no statement is kept here yet", "✓ proved")
    await fetch(pilot)
    await shown(pilot, "earned in all", "as owner", "• not yet", "By dataset")


async def test_every_closed_epoch_is_fetched_drawn_and_verified(app_of: App, earned: Settings) -> None:
    async with app_of("earnings").run_test(size=SIZE) as pilot:
        await fetched(pilot)
        screen = text_on(pilot)
        kept = sorted(Home(earned.home).statements.glob("*.statement"))
        assert [read_statement(path).statement.epoch for path in kept] == [1, 2]
        assert "bafyrei" in text_on(pilot, "#charts") and "█" in text_on(pilot, "#charts")
        assert "do not say who asked" in screen
        await pilot.press("c")
        await shown(pilot, "-", "█", on="#days-pane")
        assert len([line for line in text_on(pilot, "#days-pane").splitlines() if "█" in line]) == 2
        await pilot.press("c")
        await shown(pilot, "epoch 1", "epoch 2", on="#epochs-pane")
        await pilot.press("v")
        screen = await shown(pilot, "✓ holds", "is a leaf of the sum tree", "follows from what is kept of epoch 1")
        assert "✗" not in text_on(pilot, "#check-pane")
        assert screen.count("• not yet") == 1


async def test_only_what_is_new_is_fetched_again(app_of: App, earned: Settings, deployment: Deployment) -> None:
    async with app_of("earnings").run_test(size=SIZE) as pilot:
        await fetched(pilot)
        await fetch(pilot, has_password=False)  # the wallet stays open
        await noticed(pilot, "nothing new has closed")
        before = {path.name for path in Home(earned.home).statements.iterdir()}
        earn(deployment)
        await fetch(pilot, has_password=False)
        await noticed(pilot, "1 statement fetched")
        assert len({path.name for path in Home(earned.home).statements.iterdir()} - before) == 2  # and its passages


async def test_a_changed_statement_does_not_hold_and_is_not_exported(
    app_of: App, earned: Settings, tmp_path: Path
) -> None:
    async with app_of("earnings").run_test(size=SIZE) as pilot:
        await fetched(pilot)
        newest = max(Home(earned.home).statements.glob("*.statement"))
        file = read_statement(newest)
        forged = replace(file.statement, claim=file.statement.claim + 1)
        write_private(newest, replace(file, proven=replace(file.proven, statement=forged)).encoded())
        await pilot.press("r", "v")
        await shown(pilot, "✗ wrong", "amount: the statement is not a leaf")
        await pilot.press("x")
        await shown(pilot, "Export as CSV")
        await pilot.press("enter")
        await shown(pilot, "does not hold, so nothing was written")
        assert not list(tmp_path.glob("*.csv"))


async def test_everything_is_exported_as_one_table(app_of: App, earned: Settings, tmp_path: Path) -> None:
    async with app_of("earnings").run_test(size=SIZE) as pilot:
        await fetched(pilot)
        await pilot.press("x")
        await shown(pilot, "Export as CSV")
        await pilot.press("enter")
        await noticed(pilot, "2 statements verified")
        await pilot.press("x")
        await shown(pilot, "Export as CSV")
        await pilot.press("enter")
        await shown(pilot, "already; name another one")
    (table,) = tmp_path.glob("earnings-*.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    kept = [read_statement(path).statement for path in Home(earned.home).statements.glob("*.statement")]
    assert sum(int(row["micro_units"]) for row in rows) == sum(one.amount for one in kept) > 0
    assert table.stat().st_mode & 0o777 == 0o600


async def test_what_is_no_statement_is_named_and_the_rest_is_shown(app_of: App, earned: Settings) -> None:
    folder = Home(earned.home).statements
    async with app_of("earnings").run_test(size=SIZE) as pilot:
        await fetched(pilot)
        write_private(folder / "3-owner-00-USDC.statement", b"something else")
        await pilot.press("r")
        await shown(pilot, "1 file cannot be read as a statement: 3-owner-00-USDC.statement", "as owner")


async def test_a_wallet_that_earns_nothing_and_an_epoch_that_goes_on_are_said(
    app_of: App, settings: Settings, deployment: Deployment
) -> None:
    async with app_of("earnings").run_test(size=SIZE) as pilot:
        await shown(pilot, "no statement is kept here yet", "✓ proved")
        await pilot.press("v")
        await shown(pilot, "press f to fetch")
        await fetch(pilot)
        await shown(pilot, "✗ royalty epoch 1 has not closed yet")
        await until(pilot, lambda: not Home(settings.home).statements.exists(), "something was kept")


FACTS = StatementFacts(
    name="1",
    epoch=1,
    began_at=10 * 86_400,
    at=11 * 86_400,
    account="owner/0x/USDC",
    kind="owner",
    address="0x",
    currency="USDC",
    earned=5,
    refunded=0,
    owed=0,
    amount=5,
    total=5,
    payments=1,
    datasets=(Earned(dataset="Tides", amount=5),),
)


def test_days_without_earnings_stand_among_the_others() -> None:
    later = replace(FACTS, epoch=2, began_at=12 * 86_400 + 5, amount=7)
    same_day = replace(later, epoch=3, began_at=12 * 86_400 + 9, amount=1)
    assert by_day([FACTS, later, same_day]) == [("1970-01-11", 5), ("1970-01-12", 0), ("1970-01-13", 8)]
    assert by_day([]) == []


def test_a_statement_of_the_far_future_does_not_draw_a_million_days() -> None:
    assert len(by_day([FACTS, replace(FACTS, began_at=10**11)])) <= 61
