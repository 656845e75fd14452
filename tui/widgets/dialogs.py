"""Dialogs over a screen: help, a password, a yes or no."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Input, Markdown, Static

from tui.pages import PAGES
from tui.widgets.dialog import Dialog
from tui.words import plain

PASSWORD_CHARS_MAX = 1024


class HelpDialog(ModalScreen[None]):
    """What a screen is for, and every key that works on it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "Close", key_display="Esc"),
    ]

    def __init__(self, about: Screen[object]) -> None:
        super().__init__()
        self._about = getattr(about, "ABOUT", "") or "Choose with the keys below."
        self._keys = _keys_of(about)

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with VerticalScroll(classes="dialog -help") as box:
            box.border_title = "Help"
            box.border_subtitle = "Esc closes"
            yield Markdown(f"{self._about}\n\n{self._keys}")


def _keys_of(screen: Screen[object]) -> str:
    """Return the keys that work, as a Markdown table; each action once."""
    rows: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description and not binding.system:
            key = binding.key_display or screen.app.get_key_display(binding)
            rows.setdefault(binding.description, []).append(key)
    lines = "\n".join(f"| {' '.join(keys)} | {what} |" for what, keys in rows.items())
    shared = f"| 1 … {len(PAGES)} | the screens, by number |\n| ^p | every command, by name |"
    return f"| Key | Does |\n|---|---|\n{shared}\n{lines}"


class PasswordDialog(Dialog[str]):
    """Asks for a password; it is not shown, not kept here, and not put into any message but the answer."""

    def __init__(self, what: str, *, problem: str = "", is_new: bool = False) -> None:
        super().__init__()
        self._what, self._problem, self._is_new = what, problem, is_new

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog") as box:
            box.border_title = "New password" if self._is_new else "Password"
            box.border_subtitle = "Enter goes on, Esc cancels"
            yield Static(plain(self._what))
            yield Input(password=True, max_length=PASSWORD_CHARS_MAX, id="password", placeholder="password")
            if self._is_new:
                yield Input(password=True, max_length=PASSWORD_CHARS_MAX, id="again", placeholder="the same again")
            yield Static(f"[bold $error]✗[/] {plain(self._problem)}" if self._problem else "", id="problem")

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Take the answer."""
        password = self.query_one("#password", Input).value
        if not password:
            self._say("type a password, or press Esc")
        elif not self._is_new:
            self.dismiss(password)
        elif message.input.id == "password":
            self.query_one("#again", Input).focus()
        elif self.query_one("#again", Input).value != password:
            self._say("these are two different passwords; type the same one twice")
        else:
            self.dismiss(password)

    def _say(self, sentence: str) -> None:
        self.query_one("#problem", Static).update(f"[bold $error]✗[/] {plain(sentence)}")


class ConfirmDialog(ModalScreen[bool]):
    """Says what will happen, and asks whether it should."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, title: str, words: str, *, yes: str = "Yes", is_grave: bool = False) -> None:
        super().__init__()
        self._title, self._words, self._yes, self._is_grave = title, words, yes, is_grave

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            box.border_subtitle = "y or n"
            yield Static(self._words, markup=False)
            with Horizontal(classes="buttons"):
                yield Button(f"{self._yes} (y)", variant="error" if self._is_grave else "primary", id="yes")
                yield Button("No (n)", id="no")

    def on_mount(self) -> None:
        """Have the harmless answer ready."""
        self.query_one("#no" if self._is_grave else "#yes", Button).focus()

    def on_button_pressed(self, message: Button.Pressed) -> None:
        """Take the answer."""
        self.dismiss(message.button.id == "yes")

    def action_answer(self, is_yes: bool) -> None:
        """Take the answer."""
        self.dismiss(is_yes)
