"""Dialogs of earning: whose statements are fetched, and where the table goes."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.desk.wallets import Wallet
from tui.widgets.dialog import Dialog
from tui.words import plain, short

PATH_CHARS_MAX = 4096


class PayeeDialog(Dialog[str]):
    """Asks whose statements are wanted; they are told to the payee alone."""

    def __init__(self, wallets: tuple[Wallet, ...]) -> None:
        super().__init__()
        self._wallets = wallets

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Whose statements?"
            box.border_subtitle = "Enter chooses, Esc cancels"
            yield Static("The enclave tells a payee's statements to whoever signs with its wallet.\n")
            lines = (f"{plain(one.name, 40)}  [dim]{short(one.address, 8, 6)}[/]" for one in self._wallets)
            yield OptionList(*(Option(line) for line in lines), id="payees")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Take the answer."""
        self.dismiss(self._wallets[message.option_index].name)


class TableDialog(Dialog[str]):
    """Asks which file the table is written to."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Export as CSV"
            box.border_subtitle = "Enter writes, Esc cancels"
            yield Static(
                "Every kept statement is verified first. The table names your passages: it is for you, and whoever "
                "does your books."
            )
            yield Input(self._path, placeholder="a new file", id="table-path", max_length=PATH_CHARS_MAX)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Take the answer."""
        if message.value.strip():
            self.dismiss(message.value.strip())
