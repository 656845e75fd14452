"""Dialogs of sealing: which folder under which title, and the words that go onto paper."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, DirectoryTree, Input, Select, Static

from tui.desk.sealing import PaperShares, Wish
from tui.widgets.choices import Tick
from tui.widgets.dialog import Dialog
from tui.words import plain

TITLE_CHARS_MAX = 200


class SealDialog(Dialog[Wish]):
    """Picks a folder, and what others will see it called."""

    def __init__(self, wallets: tuple[str, ...], *, start: str, replaces: str = "", title: str = "") -> None:
        super().__init__()
        self._wallets, self._start, self._replaces, self._title = wallets, start, replaces, title
        self._folder = ""

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with Vertical(classes="dialog -seal") as box:
            box.border_title = "Seal the next version" if self._replaces else "Seal a folder"
            box.border_subtitle = "Enter picks a folder, Tab goes on, Esc cancels"
            yield DirectoryTree(self._start, id="folders")
            yield Static("[dim]pick a folder above[/]", id="picked")
            yield Input(self._title, placeholder="title: others see it", id="title", max_length=TITLE_CHARS_MAX)
            with Horizontal(classes="line"):
                yield Select(
                    [(name, name) for name in self._wallets],
                    value=self._wallets[0],
                    allow_blank=False,
                    id="owner",
                    compact=True,
                )
                yield Tick("allow SIMULATED TEEs", id="simulated", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Seal and publish", variant="primary", id="seal")
                yield Button("Cancel", id="cancel")
            yield Static("", id="problem")

    def on_directory_tree_directory_selected(self, message: DirectoryTree.DirectorySelected) -> None:
        """Pick a folder."""
        self._pick(message.path)

    def on_directory_tree_file_selected(self, message: DirectoryTree.FileSelected) -> None:
        """Pick one file: that is sealed too."""
        self._pick(message.path)

    def _pick(self, path: Path) -> None:
        self._folder = str(path)
        self.query_one("#picked", Static).update(f"seals [bold]{plain(path.name or str(path), 60)}[/]")
        title = self.query_one("#title", Input)
        title.value = title.value or path.name

    def on_input_submitted(self) -> None:
        """Take the answer."""
        self._answer()

    def on_button_pressed(self, message: Button.Pressed) -> None:
        """Take the answer, or none."""
        if message.button.id == "seal":
            self._answer()
        else:
            self.dismiss(None)

    def _answer(self) -> None:
        if not self._folder:
            self.query_one("#problem", Static).update("[bold $error]✗[/] pick a folder first: Enter on its name")
            return
        self.dismiss(
            Wish(
                folder=self._folder,
                title=self.query_one("#title", Input).value.strip(),
                owner=str(self.query_one("#owner", Select).value),
                allow_simulated=self.query_one("#simulated", Tick).value,
                replaces=self._replaces,
            )
        )


class PaperDialog(ModalScreen[bool]):
    """Shows a key's lists of words one by one, and asks for a word of each before it believes in the paper."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Not now")]

    def __init__(self, paper: PaperShares) -> None:
        super().__init__()
        self._paper = paper
        self._number = 0
        self._asked: int | None = None  # which word of the list is asked for; None while the list is shown

    def compose(self) -> ComposeResult:
        """Lay the dialog out."""
        with VerticalScroll(classes="dialog -paper") as box:
            box.border_title = "The key on paper"
            box.border_subtitle = "Enter goes on, Esc stops"
            yield Static("", id="said")
            yield Static("", id="words")
            yield Input(id="word", placeholder="the word")
            yield Button("It is written down", variant="primary", id="next")

    def on_mount(self) -> None:
        """Show the first list."""
        self._show()

    def _show(self) -> None:
        words = self._paper.lists[self._number].split()
        of = len(self._paper.lists)
        is_asking = self._asked is not None
        said = (
            f"Word {(self._asked or 0) + 1} of list {self._number + 1}, from your paper:"
            if is_asking
            else f"[bold $error]These words are the key.[/] List {self._number + 1} of {of}; any {self._paper.needed} "
            "rebuild it. Write it down and keep the lists in different places."
        )
        self.query_one("#said", Static).update(said)
        numbered = [f"{number:>2} {word:<10}" for number, word in enumerate(words, 1)]
        rows = ["  ".join(numbered[start : start + 4]) for start in range(0, len(numbered), 4)]
        self.query_one("#words", Static).update("" if is_asking else "\n".join(rows))
        word = self.query_one("#word", Input)
        word.display, word.value = is_asking, ""
        self.query_one("#next", Button).display = not is_asking
        (word if is_asking else self.query_one("#next", Button)).focus()

    def on_button_pressed(self) -> None:
        """Ask for a word."""
        self._asked = secrets.randbelow(len(self._paper.lists[self._number].split()))
        self._show()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Compare the word, and go on to the next list."""
        right = self._paper.lists[self._number].split()[self._asked or 0]
        if message.value.strip().lower() != right:
            self._asked = None
            self._show()
            self.query_one("#said", Static).update(
                "[bold $error]✗[/] that is another word; look at the list again and correct your paper"
            )
            return
        self._asked = None
        if self._number + 1 == len(self._paper.lists):
            self.dismiss(True)
            return
        self._number += 1
        self._show()

    def action_leave(self) -> None:
        """Stop; the paper is not confirmed."""
        self.dismiss(False)
