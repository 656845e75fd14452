"""What every screen shares: two lines above, the footer below, slow work in threads, help, copying."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from tui.pulse import Pulse
from tui.slow import EXPECTED, Job, Progress, Stopped
from tui.widgets.bars import PageTabs, StateLine
from tui.widgets.doing import Doing, Trouble
from vault.errors import WrongKey
from vault.plain_text import error_sentence

if TYPE_CHECKING:
    from tui.app import CofferApp

Result = TypeVar("Result")


class Page(Screen[None]):
    """One of the numbered screens. A subclass lays out `body`, and asks its desk by `slow`."""

    NAME: ClassVar[str]
    ABOUT: ClassVar[str] = ""  # Markdown, shown by `?`
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", show=False),
        Binding("r", "refresh", "Refresh"),
        Binding("y", "copy", "Copy", show=False),
    ]

    class Ended(Message):
        """Work in a thread came to an end; its outcome is taken over on the screen's own thread."""

        def __init__(self, take: Callable[[], None]) -> None:
            super().__init__()
            self.take = take

    def __init__(self) -> None:
        super().__init__(id=self.NAME)
        self._jobs: dict[str, Job] = {}

    @property
    def coffer(self) -> CofferApp:
        """Return the app."""
        from tui.app import CofferApp

        assert isinstance(self.app, CofferApp)  # noqa: S101  # pages are shown by no other
        return self.app

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield PageTabs(self.NAME)
        yield StateLine()
        with Vertical(id="body"):
            yield from self.body()
        yield Trouble()
        yield Doing()
        yield Footer(compact=True, show_command_palette=False)

    def body(self) -> Iterable[Widget]:
        """Yield what is between the lines above and below."""
        return ()

    def on_mount(self) -> None:
        """Follow the services."""
        self.watch(self.app, "pulse", self._pulsed)
        self.watch(self.app, "theme", self._themed, init=False)

    def _pulsed(self, pulse: Pulse) -> None:
        self.query_one(StateLine).show(pulse)
        self.pulsed(pulse)

    def pulsed(self, pulse: Pulse) -> None:
        """Take over what is new of the services."""

    def _themed(self) -> None:
        self.call_after_refresh(self.themed)

    def themed(self) -> None:
        """Draw what has colors of its own in those of another theme."""
        self.action_refresh()

    def on_screen_resume(self) -> None:
        """Ask anew whenever the screen is shown."""
        if self.coffer.has_desk:
            self.action_refresh()

    def opening(self, progress: Progress) -> None:
        """Show how far opening the desk has come."""
        doing = self.query_one(Doing)
        if not doing.has_class("-busy"):
            doing.begin(progress.what, is_stoppable=False)
        doing.show(progress)

    def opened(self, problem: str) -> None:
        """Say why the desk could not be opened, or nothing."""
        self.query_one(Doing).end()
        self.trouble(problem)

    def action_refresh(self) -> None:
        """Ask again for what this screen shows."""

    def slow(
        self,
        what: str,
        work: Callable[[Job], Result],
        then: Callable[[Result], None],
        *,
        failed: Callable[[Exception], None] | None = None,
        is_told: bool = False,
    ) -> Job:
        """Do work in a thread and take its result over; the same work begun before is stopped.

        Args:
            what: in words; also tells one piece of work from another.
            failed: takes an expected error; by default it is said in one sentence.
            is_told: show that it goes on, and how to stop it.
        """
        if what in self._jobs:
            self._jobs[what].stop()
        job = Job(lambda progress: self._post(job, lambda: self._progressed(progress)))
        self._jobs[what] = job
        if is_told:
            self.trouble("")
            self.query_one(Doing).begin(what)
        self.run_worker(
            lambda: self._work(job, what, work, then, failed or self._failed), thread=True, group=what, exclusive=True
        )
        return job

    def with_wallet(self, name: str, then: Callable[[], None], *, problem: str = "") -> None:
        """Do something once a wallet is open: asked for its password once for as long as the terminal runs."""
        from tui.widgets.dialogs import PasswordDialog

        def failed(error: Exception) -> None:
            if isinstance(error, WrongKey):
                self.app.push_screen(PasswordDialog(f"for the wallet {name}", problem=problem), given)
            else:
                self._failed(error)

        def given(password: str | None) -> None:
            if password is not None:
                self.slow("opening the wallet", lambda job: desk.open(name, password), lambda _: then(), failed=wrong)

        def wrong(error: Exception) -> None:
            if isinstance(error, WrongKey):
                self.with_wallet(name, then, problem="that is not its password; try again")
            else:
                self._failed(error)

        desk = self.coffer.desk.wallets
        self.slow("opening the wallet", lambda job: desk.open(name, ""), lambda _: then(), failed=failed)

    def _work(
        self,
        job: Job,
        what: str,
        work: Callable[[Job], Result],
        then: Callable[[Result], None],
        failed: Callable[[Exception], None],
    ) -> None:
        try:
            result = work(job)
        except Stopped:
            self._post(job, lambda: self._over(job, what, lambda: self.stopped(what)), always=True)
        except EXPECTED as error:
            caught = error
            self._post(job, lambda: self._over(job, what, lambda: failed(caught)))
        else:
            self._post(job, lambda: self._over(job, what, lambda: then(result)))

    def _post(self, job: Job, take: Callable[[], None], *, always: bool = False) -> None:
        if always or not job.is_stopped:
            self.post_message(self.Ended(take))

    def _over(self, job: Job, what: str, take: Callable[[], None]) -> None:
        if self._jobs.get(what) is job:
            del self._jobs[what]
            self.query_one(Doing).end()
        take()

    def on_page_ended(self, message: Page.Ended) -> None:
        """Take an outcome over."""
        message.stop()
        message.take()

    def _progressed(self, progress: Progress) -> None:
        self.query_one(Doing).show(progress)

    def _failed(self, error: Exception) -> None:
        self.trouble(error_sentence(error))

    def stopped(self, what: str) -> None:
        """Say that work was stopped."""
        self.notify(f"stopped: {what}")

    def trouble(self, sentence: str) -> None:
        """Say what went wrong; nothing, to clear it."""
        self.query_one(Trouble).say(sentence)

    def action_stop(self) -> None:
        """Stop what a person began, and clear what was said of trouble."""
        doing = self.query_one(Doing)
        if doing.has_class("-busy"):
            for job in self._jobs.values():
                job.stop()
        else:
            self.trouble("")
            self.set_focus(None)

    def copyable(self) -> str:
        """Return what `y` copies; nothing where nothing is chosen."""
        return ""

    def action_copy(self) -> None:
        """Copy what is chosen to the clipboard."""
        text = self.copyable()
        if not text:
            self.notify("choose a line first; then y copies its identity", severity="warning")
            return
        self.app.copy_to_clipboard(text)
        self.notify(f"copied {text}", markup=False)

    def commands(self) -> Iterable[tuple[str, str, Callable[[], Any]]]:
        """Yield what the command palette offers on this screen, which is what its keys do: title, help, call."""
        for node, binding, is_enabled, _ in self.active_bindings.values():
            if node is self and is_enabled and binding.description and "." not in binding.action:
                key = binding.key_display or self.app.get_key_display(binding)
                yield binding.description, f"key {key}", partial(self.run_action, binding.action)
