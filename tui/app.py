"""`coffer tui`: an overview that refreshes itself.

Everything slow runs in a worker; a lost service is said and asked again, and the screen stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.markup import escape
from textual.widgets import DataTable, Footer, Header, Static
from textual.worker import get_current_worker

from enclave.verified import Grounds
from storage.cid import Cid
from tui.overview import Overview, look
from vault.errors import VaultError
from vault.evidence import Appraiser
from vault.policy import SIMULATED

REFRESH_S = 2.0


class CofferApp(App[None]):
    """One enclave at a glance: what it proves, the policies in force, the datasets it serves."""

    TITLE = "Coffer"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "refresh", "Refresh"),
        Binding("d", "toggle_dark", "Light or dark"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self, address: str, genesis: Cid, appraiser: Appraiser, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._clock = clock
        self._address = address
        self._genesis = genesis
        self._appraiser = appraiser

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Header()
        with VerticalScroll():
            yield Static("asking …", id="state")
            yield Static("", id="proof")
            yield Static("Policies in force", classes="title")
            yield DataTable(id="policies", cursor_type="row", zebra_stripes=True)
            yield Static("Datasets served", classes="title")
            yield DataTable(id="datasets", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Start refreshing."""
        self.sub_title = self._address
        self.query_one("#policies", DataTable).add_columns("title", "price", "k", "budget", "until", "TEE")
        self.query_one("#datasets", DataTable).add_columns("title", "version", "passages", "owner", "manifest")
        self.set_interval(REFRESH_S, self.action_refresh)
        self.action_refresh()

    def action_refresh(self) -> None:
        """Ask again."""
        self._ask()

    def action_toggle_dark(self) -> None:
        """Switch between the light and the dark theme."""
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"

    @work(thread=True, exclusive=True)
    def _ask(self) -> None:
        worker = get_current_worker()
        try:
            overview = look(self._address, self._genesis, self._appraiser, at=int(self._clock()))
        except VaultError as error:
            if not worker.is_cancelled:
                self.call_from_thread(self._show_lost, str(error))
            return
        if not worker.is_cancelled:
            self.call_from_thread(self._show, overview)

    def _show_lost(self, sentence: str) -> None:
        self.query_one("#state", Static).update(f"[bold $error]lost[/] {escape(sentence)} Trying again.")

    def _show(self, overview: Overview) -> None:
        status = overview.status
        tee = "[bold white on red] TEE SIMULATED [/]" if status.tee == SIMULATED else escape(f"TEE {status.tee}")
        opened = f"{status.passages_done} of {status.passages_total} passages open"
        reason = f"\n{escape(status.reason)}" if status.reason else ""
        self.query_one("#state", Static).update(
            f"[bold]{status.state}[/]  {tee}  epoch {status.epoch}  {opened}{reason}"
        )
        mark = "[$success]✓ proved[/]" if overview.is_proved else "[bold $error]✗ not proved[/]"
        self.query_one("#proof", Static).update(f"{mark} {escape(overview.proof)}")
        if overview.grounds is not None:
            self._fill(overview.grounds)

    def _fill(self, grounds: Grounds) -> None:
        policies = self.query_one("#policies", DataTable)
        policies.clear()
        for policy in grounds.policies.values():
            policies.add_row(
                policy.title,
                f"{policy.price_per_query} micro-{policy.currency}",
                str(policy.k_max),
                str(policy.passages_max),
                datetime.fromtimestamp(policy.expires_at, UTC).date().isoformat(),
                ", ".join(sorted({tee.kind for tee in policy.tees})),
            )
        datasets = self.query_one("#datasets", DataTable)
        datasets.clear()
        for cid, manifest in grounds.manifests.items():
            owner = f"0x{manifest.owner.hex()[:8]}…"
            datasets.add_row(manifest.title, str(manifest.version), str(manifest.passages), owner, f"{str(cid)[:20]}…")
