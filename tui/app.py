"""`coffer tui`: the terminal of owners and members.

The first screen is painted before anything heavy is imported; the desk that it asks is opened in a thread afterwards.
Everything slow runs in threads, a lost service is said and asked again, and what was shown stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Final

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from tui.desk import Desk
from tui.page import Page
from tui.pages import FIRST, PAGES, Entry
from tui.pulse import Pulse
from tui.slow import EXPECTED, Job, Progress
from tui.theme import DARK, LIGHT
from vault.plain_text import error_sentence

BEAT_S: Final = 2.0
FIRST_ENTRY: Final = Entry(FIRST, "First steps", "tui.screens.first", "FirstPage")
DAO_EVERY: Final = 5  # beats


def page_named(entry: Entry) -> Page:
    """Return a new page; its module is imported when it is first shown."""
    page: Page = getattr(import_module(entry.module), entry.kind)()
    return page


class CofferApp(App[None]):
    """The numbered screens over one desk."""

    TITLE = "Coffer"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        entry.name: partial(page_named, entry) for entry in (*PAGES, FIRST_ENTRY)
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"go('{entry.name}')", entry.title, show=False, system=True)
            for number, entry in enumerate(PAGES, 1)
        ),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("f1", "help", "Help", show=False),  # where a field takes a ? as a letter
        Binding("d", "toggle_theme", "Light or dark", show=False),
        Binding("q", "quit", "Quit"),
    ]

    pulse: reactive[Pulse] = reactive(Pulse(), always_update=True)

    class Opened(Message):
        """The desk is open, or could not be opened."""

        def __init__(self, desk: Desk | None, problem: str = "", *, is_new: bool = False) -> None:
            super().__init__()
            self.desk, self.problem, self.is_new = desk, problem, is_new

    class Opening(Message):
        """How far opening the desk has come; only the demo's takes long."""

        def __init__(self, progress: Progress) -> None:
            super().__init__()
            self.progress = progress

    class Beat(Message):
        """What the services said last."""

        def __init__(self, changes: dict[str, object]) -> None:
            super().__init__()
            self.changes = changes

    def __init__(
        self,
        open_desk: Callable[[Job], Desk],
        *,
        clock: Callable[[], float] = time.time,
        beat_s: float = BEAT_S,
        first: str = "overview",
        browse_from: str = "~",
    ) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]
        self._open_desk = open_desk
        self._desk: Desk | None = None
        self._first = first
        self.beat_s = beat_s
        self._beats = 0
        self._is_asking = False
        self.clock = clock
        self.browse_from = str(Path(browse_from).expanduser())

    @property
    def desk(self) -> Desk:
        """Return the desk; only after it was opened."""
        if self._desk is None:
            raise RuntimeError("the desk is not open yet")
        return self._desk

    @property
    def has_desk(self) -> bool:
        """Say whether the desk is open."""
        return self._desk is not None

    def on_mount(self) -> None:
        """Show the first screen, and open the desk beside it."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name
        self.switch_mode(self._first)
        self.call_after_refresh(self._open)

    @work(thread=True)
    def _open(self) -> None:
        job = Job(self._tell_opening)
        try:
            desk = self._open_desk(job)
            is_new = desk.starting.steps().is_new
        except EXPECTED as error:
            self.post_message(self.Opened(None, error_sentence(error)))
        else:
            self.post_message(self.Opened(desk, is_new=is_new))

    def on_coffer_app_opened(self, message: CofferApp.Opened) -> None:
        """Begin to ask."""
        page = self.screen_stack[0]
        if isinstance(page, Page):
            page.opened(message.problem)
        if message.desk is None:
            return
        self._desk = message.desk
        if message.is_new:
            self.switch_mode(FIRST)
        elif isinstance(page, Page):
            page.action_refresh()
        self.set_interval(self.beat_s, self.beat)
        self.beat()

    def _tell_opening(self, progress: Progress) -> None:
        self.post_message(self.Opening(progress))

    def on_coffer_app_opening(self, message: CofferApp.Opening) -> None:
        """Show how far it has come."""
        page = self.screen_stack[0]
        if isinstance(page, Page):
            page.opening(message.progress)

    def beat(self, *, is_fresh: bool = False) -> None:
        """Ask the services how they stand; one asking at a time."""
        if self._desk is None or (self._is_asking and not is_fresh):
            return
        self._is_asking = True
        self._ask(self._desk, is_fresh=is_fresh, with_dao=is_fresh or self._beats % DAO_EVERY == 0)
        self._beats += 1

    @work(thread=True, group="pulse")
    def _ask(self, desk: Desk, *, is_fresh: bool, with_dao: bool) -> None:
        changes: dict[str, object] = {}
        try:
            changes |= {"party": desk.overview.party()}
            if with_dao:
                changes |= {
                    "custodians": desk.overview.custodians()
                }  # first: what they know more of the DAO is taken over
                changes |= {"dao": desk.overview.dao(), "dao_problem": ""}
        except EXPECTED as error:
            changes["dao_problem"] = error_sentence(error)
        party = changes.get("party")
        if getattr(party, "enclave", ""):
            try:
                changes |= {"enclave": desk.overview.enclave(is_fresh=is_fresh), "enclave_problem": ""}
            except EXPECTED as error:
                changes["enclave_problem"] = error_sentence(error)
        self.post_message(self.Beat(changes))

    def on_coffer_app_beat(self, message: CofferApp.Beat) -> None:
        """Let every screen know."""
        self._is_asking = False
        self.pulse = replace(self.pulse, at=int(self.clock()), **message.changes)  # type: ignore[arg-type]

    def action_go(self, page: str) -> None:
        """Show a screen."""
        self.switch_mode(page)

    def leave_first(self, page: str) -> None:
        """Leave the first steps for a screen."""
        self.switch_mode(page)

    def action_help(self) -> None:
        """Say what the screen is for, and its keys."""
        from tui.widgets.dialogs import HelpDialog

        if not isinstance(self.screen, HelpDialog):
            self.push_screen(HelpDialog(self.screen))

    def action_toggle_theme(self) -> None:
        """Switch between the light and the dark theme."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield what the command palette offers."""
        if isinstance(screen, Page):
            for title, help, call in screen.commands():
                yield SystemCommand(title, help, call)
        for number, entry in enumerate(PAGES, 1):
            yield SystemCommand(f"Go to {entry.title}", f"screen {number}", partial(self.action_go, entry.name))
        yield SystemCommand("Help", "what this screen is for, and its keys", self.action_help)
        yield SystemCommand("Light or dark", "switch the theme", self.action_toggle_theme)
        yield SystemCommand("Quit", "leave; what is under way is stopped", self.action_quit)

    async def action_quit(self) -> None:
        """Leave, and let go of keys and connections."""
        self.exit()

    def on_unmount(self) -> None:
        """Close the desk."""
        if self._desk is not None:
            self._desk.close()
