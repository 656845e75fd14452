"""Dialogs of governing: an answer with its reason, and what guardians take away."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Select, Static
from textual.widgets.option_list import Option

from tui.desk.governing import Revocable
from tui.widgets.dialog import Dialog
from tui.words import plain

REASON_CHARS_MAX = 200


class VoteDialog(Dialog[tuple[str, str]]):
    """Asks with which wallet, and why; the reason is public."""

    def __init__(self, support: str, title: str, wallets: tuple[str, ...], *, warning: str = "") -> None:
        super().__init__()
        self._support, self._title, self._wallets, self._warning = support, title, wallets, warning

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog") as box:
            box.border_title = f"Vote {self._support}"
            box.border_subtitle = "Enter votes, Esc cancels"
            yield Static(f"You vote [bold]{self._support}[/]: {plain(self._title)}")
            if self._warning:
                yield Static(f"[bold $error]![/] {plain(self._warning)}")
            yield Input(placeholder="why, if you like; it is public", id="reason", max_length=REASON_CHARS_MAX)
            yield Select(
                [(f"with wallet {name}", name) for name in self._wallets],
                value=self._wallets[0],
                allow_blank=False,
                id="voter",
                compact=True,
            )

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Take the answer."""
        self.dismiss((str(self.query_one("#voter", Select).value), message.value.strip()))


class RevokeDialog(Dialog[Revocable]):
    """Asks what guardians take away."""

    def __init__(self, choices: tuple[Revocable, ...]) -> None:
        super().__init__()
        self._choices = choices

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Revoke at once, without a vote"
            box.border_subtitle = "Enter chooses, Esc cancels"
            yield Static("What is taken away stays away until members vote for a new grant.\n")
            yield OptionList(*(Option(plain(one.words)) for one in self._choices), id="revocable")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Take the answer."""
        self.dismiss(self._choices[message.option_index])
