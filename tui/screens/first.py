"""The first start: a wallet, a DAO, a first folder, one step after the other; nothing is asked twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Input, RadioSet, Static

from tui.desk.starting import Steps
from tui.page import Page
from tui.widgets.choices import Choice
from tui.widgets.dialogs import PasswordDialog
from tui.words import OPEN, TICK, plain

WELCOME = (
    "[bold]Welcome to Coffer.[/] Your documents are encrypted on this machine; a DAO that you found or join votes on "
    "who may ask questions of them, at what price and within what limits. Three steps:"
)


class FirstPage(Page):
    """Leads through what everything else needs."""

    NAME = "first"
    ABOUT = (
        "# First steps\n"
        "1. A **wallet**: a key of yours, sealed under a password. Without the password nobody can recover it.\n"
        "2. A **DAO**: join one with its genesis CID and the board that its members use, or found one with the "
        "custodians that will hold shares of its keys.\n"
        "3. A **first folder** to seal. You can do that later, too.\n\n"
        "Esc goes to the overview; this page comes back at the next start until a DAO is known here."
    )
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Later"),
        Binding("f1", "app.help", "Help"),  # fields take a ? as a letter
    ]

    def body(self) -> Iterable[Widget]:
        """Lay out the three steps."""
        wallet = Vertical(
            Static("", id="wallet-said"),
            Horizontal(
                Input(placeholder="a name for your wallet", id="wallet-name", max_length=60),
                Button("Make it", id="make-wallet", variant="primary"),
                classes="line",
            ),
            classes="panel",
            id="wallet-step",
        )
        wallet.border_title = "1. A wallet"
        dao = Vertical(
            Static("", id="dao-said"),
            RadioSet(Choice("Join a DAO", value=True), Choice("Found a DAO"), id="dao-how", compact=True),
            Input(placeholder="its genesis CID, from somebody you trust", id="dao-name", max_length=200),
            Input(placeholder="its board: HOST:PORT, or a folder", id="dao-board", max_length=500),
            Input(placeholder="its custodians: HOST:PORT HOST:PORT …", id="dao-custodians", max_length=2000),
            Horizontal(
                Input(placeholder="its enclave: HOST:PORT, if it runs", id="dao-enclave", max_length=200),
                Button("Go on", id="go-dao", variant="primary"),
                classes="line",
            ),
            classes="panel",
            id="dao-step",
        )
        dao.border_title = "2. A DAO"
        seal = Vertical(
            Static("", id="seal-said"), Button("Pick a folder", id="go-seal", variant="primary"), classes="panel"
        )
        seal.border_title = "3. A first folder"
        yield VerticalScroll(Static(WELCOME, id="welcome"), wallet, dao, seal, id="first-body", can_focus=False)

    def action_refresh(self) -> None:
        """See which steps are done."""
        if self.coffer.has_desk:
            self.slow("the first steps", lambda job: self.coffer.desk.starting.steps(), self._show)

    def _show(self, steps: Steps) -> None:
        self._mark("#wallet", steps.has_wallet, "you have a wallet", "a key of yours, sealed under a password")
        self._mark("#dao", steps.has_dao, "a DAO is known here", "who decides about what you seal")
        self._mark("#seal", steps.has_datasets, "something is sealed here", "encrypted here, before anything leaves")
        self.query_one("#wallet-step").set_class(steps.has_wallet, "-done")
        self.query_one("#dao-step").set_class(steps.has_dao, "-done")
        self.query_one("#go-dao", Button).disabled = not steps.has_wallet
        self.query_one("#go-seal", Button).disabled = not steps.has_dao
        target = "#go-seal" if steps.has_dao else "#dao-how" if steps.has_wallet else "#wallet-name"
        self.query_one(target).focus()

    def _mark(self, step: str, is_done: bool, done: str, before: str) -> None:
        self.query_one(f"{step}-said", Static).update(f"{TICK} {done}" if is_done else f"{OPEN} {before}")

    def on_radio_set_changed(self, message: RadioSet.Changed) -> None:
        """Ask for what joining or founding takes."""
        is_founding = message.index == 1
        self.query_one("#dao-name", Input).placeholder = (
            "its name" if is_founding else "its genesis CID, from somebody you trust"
        )
        self.query_one("#dao-board").display = not is_founding

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Go on with the next field, or with the step."""
        if message.input.id == "wallet-name":
            self._make_wallet()
        elif message.input.id == "dao-enclave":
            self._go_dao()
        else:
            self.focus_next()

    def on_button_pressed(self, message: Button.Pressed) -> None:
        """Do a step."""
        steps = {"make-wallet": self._make_wallet, "go-dao": self._go_dao, "go-seal": self._go_seal}
        steps[str(message.button.id)]()

    def _make_wallet(self) -> None:
        name = self.query_one("#wallet-name", Input).value.strip()
        if not name or "/" in name or name.startswith("."):
            self.trouble("give the wallet a name of letters and digits, such as: alice")
            return
        desk = self.coffer.desk

        def given(password: str | None) -> None:
            if password is not None:
                self.slow(
                    "making the wallet", lambda job: make(password), lambda _: self.action_refresh(), is_told=True
                )

        def make(password: str) -> None:
            desk.starting.begin()
            desk.wallets.new(name, password)

        self.app.push_screen(PasswordDialog(f"for the new wallet {plain(name)}", is_new=True), given)

    def _go_dao(self) -> None:
        def value(of: str) -> str:
            return self.query_one(f"#dao-{of}", Input).value.strip()

        desk, custodians = self.coffer.desk, tuple(value("custodians").replace(",", " ").split())
        name, board, enclave = value("name"), value("board"), value("enclave")
        is_founding = self.query_one("#dao-how", RadioSet).pressed_index == 1

        def found(wallet: str) -> None:
            self.slow(
                "founding the DAO",
                lambda job: desk.starting.found(name, wallet, custodians=custodians, enclave=enclave),
                self._belongs,
                is_told=True,
            )

        if is_founding:
            self.slow(
                "wallets",
                lambda job: desk.wallets.wallets()[0].name,
                lambda wallet: self.with_wallet(wallet, lambda: found(wallet)),
            )
        else:
            self.slow(
                "joining the DAO",
                lambda job: desk.starting.join(name, board, custodians=custodians, enclave=enclave),
                self._belongs,
                is_told=True,
            )

    def _belongs(self, said: str) -> None:
        self.notify(f"{said} is known here now", markup=False)
        self.coffer.beat(is_fresh=True)
        self.action_refresh()

    def _go_seal(self) -> None:
        self.coffer.leave_first("datasets")

    def action_leave(self) -> None:
        """Go to the overview."""
        self.coffer.leave_first("overview")
