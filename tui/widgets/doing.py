"""What goes on and what went wrong: two lines above the footer, gone when there is nothing to say."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import ProgressBar, Static

from tui.slow import Progress
from tui.words import plain, time_left_text


class Doing(Horizontal):
    """Work under way: how far it is, how fast it goes, how long it will take, and how to stop it."""

    def __init__(self) -> None:
        super().__init__(id="doing")
        self._is_stoppable = True

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static("", id="doing-what")
        yield ProgressBar(id="doing-bar", show_eta=False, show_percentage=False)
        yield Static("", id="doing-rate")

    def begin(self, what: str, *, is_stoppable: bool = True) -> None:
        """Say what was begun."""
        self._is_stoppable = is_stoppable
        self.query_one("#doing-what", Static).update(f"{plain(what)} …")
        self.query_one("#doing-rate", Static).update("[dim]Esc stops it[/]" if is_stoppable else "")
        self.query_one(ProgressBar).update(total=None, progress=0)
        self.add_class("-busy")

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        self.query_one("#doing-what", Static).update(plain(progress.what))
        bar = self.query_one(ProgressBar)
        bar.update(total=progress.total, progress=progress.done)
        bar.display = progress.total is not None or progress.done == 0
        left = progress.left_s
        ends = f", {time_left_text(left)} left" if left is not None else ""
        done = f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total is not None else "")
        said = f"{done}, {progress.rate:,.0f}/s{ends}  " if progress.done else ""
        self.query_one("#doing-rate", Static).update(said + ("[dim]Esc stops it[/]" if self._is_stoppable else ""))

    def end(self) -> None:
        """Say nothing any more."""
        self.remove_class("-busy")


class Trouble(Static):
    """One sentence about what went wrong, and what to do."""

    def __init__(self) -> None:
        super().__init__("", id="trouble")

    def say(self, sentence: str) -> None:
        """Show a sentence; an empty one clears the line."""
        self.update(f"[bold $error]✗[/] {plain(sentence)}" if sentence else "")
        self.set_class(bool(sentence), "-said")
