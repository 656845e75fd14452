"""How the demo tells what happens: numbered scenes, a bar for every long step, and the seconds each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.console import err, is_quiet, out, printable


class Advance(Protocol):
    """Moves a bar; a total of zero means it is not known."""

    def __call__(self, done: int, total: int = 0, /) -> None: ...  # noqa: D102


@dataclass(slots=True)
class Narrator:
    """Prints scenes and keeps their times."""

    seconds: dict[str, float] = field(default_factory=dict)
    to_stderr: bool = False  # where standard output is for a program alone
    _count: int = 0

    @contextmanager
    def scene(self, key: str, title: str) -> Iterator[None]:
        """Number and time one scene."""
        self._count += 1
        self._say(f"\n[bold]{self._count}. {title}[/]")
        started = time.perf_counter()
        yield
        self.seconds[key] = round(time.perf_counter() - started, 2)
        self._say(f"   [dim]{self.seconds[key]:.1f} s[/]")

    @contextmanager
    def bar(self, what: str) -> Iterator[Advance]:
        """Show a bar on a terminal; print the outcome alone where nobody watches."""
        if is_quiet():
            yield lambda done, total=0: None
            return
        columns = (
            SpinnerColumn(),
            TextColumn("   {task.description}"),
            BarColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task(what, total=None)
            yield lambda done, total=0: progress.update(task, completed=done, total=total or None)

    def note(self, text: str) -> None:
        """Print one fact of a scene."""
        self._say(f"   {text}")

    def _say(self, text: str) -> None:
        (err if self.to_stderr else out).print(printable(text), soft_wrap=True)
