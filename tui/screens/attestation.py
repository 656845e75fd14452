"""What the enclave proves, field by field, beside what the policy in force demands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import DataTable, Static

from tui.page import Page
from tui.pulse import Pulse
from tui.widgets.bars import tee_badge
from tui.widgets.cells import cell
from tui.widgets.table import Table
from tui.words import CROSS, TICK, moment, plain, short
from vault.tee_kind import SIMULATED

if TYPE_CHECKING:
    from enclave.attestation.findings import Finding
    from enclave.inspection import Inspection

WIDE = 110
SIGNS = {True: "✓ fits", False: "✗ differs", None: "· not judged"}


class AttestationPage(Page):
    """The evidence of this very connection, judged here: the enclave's word counts for nothing."""

    NAME = "attestation"
    ABOUT = (
        "# Attestation\n"
        "Evidence is asked for over a nonce made on this machine, verified up to its vendor's root and compared "
        "**field by field** with what the policy in force demands. *This connection* ties it to the TLS key you are "
        "talking to and to the custodians' leases; *Machine* is what the hardware signed.\n\n"
        "`n` shows the next policy in force, `r` asks for new evidence, `y` copies the chosen field in full."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next_policy", "Next policy"),
        Binding("y", "copy", "Copy field"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._look: Inspection | None = None
        self._is_lost = False
        self._policy = 0
        self._findings: tuple[Finding, ...] = ()

    def body(self) -> Iterable[Widget]:
        """Lay out a verdict, a table, and the chosen field in full."""
        yield Static("[dim]asking …[/]", id="verdict")
        table = Table(id="fields", cursor_type="row", zebra_stripes=True)
        yield table
        full = Vertical(Static("", id="full"), classes="panel", id="full-panel")
        full.border_title = "Chosen field"
        yield full

    def on_mount(self) -> None:
        """Name the columns."""
        self.query_one("#fields", Table).add_columns("Of", "Field", "Judged", "Found", "Demanded")
        self.query_one("#fields", Table).focus()
        super().on_mount()

    def action_refresh(self) -> None:
        """Ask for new evidence."""
        if self.coffer.has_desk:
            self.coffer.beat(is_fresh=True)

    def pulsed(self, pulse: Pulse) -> None:
        """Show the latest look; the cursor stays where it is."""
        if pulse.enclave_problem:
            last = f"\n[dim]below: what it proved at {moment(self._look.at)} UTC[/]" if self._look is not None else ""
            self._verdict(f"{CROSS} {plain(pulse.enclave_problem)}; asking again{last}")
            self._is_lost = True
            return
        if pulse.enclave is None:
            is_named = pulse.party is None or pulse.party.enclave
            self._verdict(
                "[dim]asking …[/]" if is_named else "no enclave is configured: set enclave in coffer.toml, or --enclave"
            )
            return
        is_other = self._is_lost or self._look is None or self._look.at != pulse.enclave.at
        self._look, self._is_lost = pulse.enclave, False
        if is_other:
            self._show()

    def action_next_policy(self) -> None:
        """Compare with the next policy in force."""
        if self._look is not None and self._look.judged:
            self._policy = (self._policy + 1) % len(self._look.judged)
            self._show()

    def _verdict(self, words: str) -> None:
        self.query_one("#verdict", Static).update(words)

    def _show(self) -> None:
        look = self._look
        if look is None:
            return
        judged = look.judged[self._policy % len(look.judged)] if look.judged else None
        badge = tee_badge(look.status.tee)
        if judged is None:
            self._verdict(f"{badge} {CROSS} not proved: {plain(look.refusal)}")
        else:
            count = f" ({self._policy % len(look.judged) + 1} of {len(look.judged)})" if len(look.judged) > 1 else ""
            under = f"policy [bold]{plain(judged.policy.title, 50)}[/]{count}"
            says = f"{CROSS} refused: {plain(judged.refusal)}" if judged.refusal else f"{TICK} accepted"
            warning = "\n[bold $error]A simulated TEE protects nothing from whoever runs it.[/]"
            told = f"{badge} {says} under {under}, checked {moment(look.at)} UTC"
            self._verdict(told + (warning if look.status.tee == SIMULATED else ""))
        machine = [("machine", judged.findings)] if judged is not None else []
        self._fill([*machine, ("connection", look.connection)])

    def themed(self) -> None:
        """Fill the table again."""
        self._show()

    def on_resize(self) -> None:
        """Fit the table's values to the width."""
        self._show()

    def _fill(self, groups: list[tuple[str, tuple[Finding, ...]]]) -> None:
        table = self.query_one("#fields", Table)
        row, first = table.cursor_row, 22 if self.size.width >= WIDE else 9
        table.clear()
        self._findings = tuple(finding for _, findings in groups for finding in findings)
        for group, findings in groups:
            for one in findings:
                sign = SIGNS[one.fits]
                color = {True: "success", False: "error", None: ""}[one.fits]
                table.add_row(
                    group,
                    one.field,
                    cell(sign, color=color, app=self.app),
                    short(one.found, first, 4),
                    short(one.wanted, first, 4),
                )
        table.move_cursor(row=min(row, max(0, table.row_count - 1)))
        self._show_full(table.cursor_row)

    def on_data_table_row_highlighted(self, message: DataTable.RowHighlighted) -> None:
        """Show the chosen field in full."""
        self._show_full(message.cursor_row)

    def _show_full(self, row: int) -> None:
        if row < len(self._findings):
            one = self._findings[row]
            self.query_one("#full", Static).update(
                f"[bold]{plain(one.field)}[/]  {SIGNS[one.fits]}\n"
                f"found     {plain(one.found)}\ndemanded  {plain(one.wanted)}"
            )

    def copyable(self) -> str:
        """Return the chosen field's value."""
        row = self.query_one("#fields", Table).cursor_row
        return self._findings[row].found if row < len(self._findings) else ""
