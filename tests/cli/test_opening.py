"""How an enclave's opening comes along: how many passages, how many a second, and how long the rest will take."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cli import console, workplace
from cli.opening import show_opening
from cli.workplace import progress_bar
from enclave.channel import EnclaveChannel
from enclave.status import State, Status
from tests.cli.party import Party
from tests.deployment import deployed


def test_its_status_says_how_fast_and_how_long(tmp_path: Path) -> None:
    party = Party(tmp_path / "home")
    with deployed(tmp_path) as deployment:
        enclave = deployment.enclave
        status, at = enclave.instance.status, ("--enclave", enclave.address)
        assert "passages open" in party.run("enclave", "status", *at).stdout
        for seconds, done in ((0, 0), (10, 1_000), (20, 2_000)):
            deployment.world.clock.advance(10 if seconds else 0)
            enclave.on_loop(lambda done=done: enclave.instance._progress(done, 62_000))  # type: ignore[misc]
        assert (status.done, status.total) == (2_000, 62_000)
        assert (
            "opening 2,000 of 62,000 passages, 100 a second, about 10m left"
            in party.run("enclave", "status", *at).stdout
        )
        told = party.json("enclave", "status", *at)
        assert (told["passages_per_second"], told["seconds_left"]) == (100, 600)
        channel = EnclaveChannel(enclave.address)
        try:
            assert channel.status().seconds_left == pytest.approx(600)
        finally:
            channel.close()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal that keeps what is drawn on it."""
    drawn = io.StringIO()
    monkeypatch.setattr(workplace, "err", Console(file=drawn, force_terminal=True, width=120))
    monkeypatch.setattr(workplace, "is_quiet", lambda: False)
    return drawn


def test_a_bar_of_passages_says_how_many_a_second(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    with progress_bar("passages embedded", total=1_000, is_json=False) as progress:
        progress(0)
        progress(400)
        progress(500)
    assert "500/1000" in screen.getvalue()
    assert "/s" in screen.getvalue().replace("500/1000", "")


async def test_whoever_serves_sees_it_and_the_bar_ends_once_it_serves(screen: io.StringIO) -> None:
    seen = iter([(State.WAITING, 0, 0), (State.OPENING, 10, 80), (State.OPENING, 70, 80), (State.SERVING, 80, 80)])

    def status() -> Status:
        state, done, total = next(seen)
        return Status(state=state, done=done, total=total)

    await show_opening(status, is_json=False)
    assert next(seen, None) is None
    assert "70/80" in screen.getvalue()


async def test_a_program_sees_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    await show_opening(lambda: Status(state=State.SERVING), is_json=True)
    assert capsys.readouterr().err == ""
    assert console.is_quiet()
