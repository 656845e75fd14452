"""The first screen: what is sealed, whether the TEE is proved, how fresh everything is, what happened today."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.containers import Grid, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import OptionList, Sparkline, Static
from textual.widgets.option_list import Option

from tui.attention import Attention, attention
from tui.desk.overview import SealedFacts, Today
from tui.page import Page
from tui.pulse import Pulse
from tui.widgets.bars import tee_badge
from tui.widgets.table import Table
from tui.words import CROSS, OPEN, TICK, amount, counted, opened_words, plain, short, size, time_left_text

if TYPE_CHECKING:
    from enclave.inspection import Inspection


class OverviewPage(Page):
    """Everything at a glance; what needs attention leads to its screen."""

    NAME = "overview"
    ABOUT = (
        "# Overview\n"
        "What your DAO's enclave **proves**, which custodians answer, what you have **sealed** and where its copies "
        "are, and what happened in the last 24 hours.\n\n"
        "*Needs attention* lists what waits for you; Enter goes to the screen where it is done. "
        "**TEE SIMULATED** means that nothing is protected from whoever runs that machine."
    )

    def __init__(self) -> None:
        super().__init__()
        self._sealed: tuple[SealedFacts, ...] = ()
        self._shown: tuple[Attention, ...] = ()

    def body(self) -> Iterable[Widget]:
        """Lay out five panels; in a narrow terminal one under another."""
        attention_panel = Vertical(
            OptionList(id="attention"), Static("[dim]looking …[/]", id="calm"), classes="panel", id="attention-panel"
        )
        attention_panel.border_title = "Needs attention"
        enclave = Vertical(Static("[dim]asking …[/]", id="enclave"), classes="panel")
        enclave.border_title = "Enclave"
        custodians = Vertical(Static("[dim]asking …[/]", id="custodians"), classes="panel")
        custodians.border_title = "DAO and custodians"
        today = Vertical(
            Static("[dim]adding up …[/]", id="today"),
            Sparkline([0] * 24, id="hours"),
            classes="panel",
            id="today-panel",
        )
        today.border_title = "Last 24 hours"
        sealed = Vertical(Table(id="sealed", cursor_type="row"), classes="panel", id="sealed-panel")
        sealed.border_title = "Sealed here"
        grid = Grid(attention_panel, enclave, custodians, today, id="overview-grid")
        yield VerticalScroll(grid, sealed, id="overview-body")

    def on_mount(self) -> None:
        """Name the columns."""
        table = self.query_one("#sealed", Table)
        table.add_columns("Title", "Version", "State", "Passages", "Size", "Copies", "Paper")
        super().on_mount()

    def action_refresh(self) -> None:
        """Ask for everything again."""
        if not self.coffer.has_desk:
            return
        desk = self.coffer.desk.overview
        self.coffer.beat(is_fresh=True)
        self.slow("what is sealed", lambda job: desk.sealed(), self._show_sealed)
        self.slow("the last 24 hours", lambda job: desk.today(), self._show_today)

    def pulsed(self, pulse: Pulse) -> None:
        """Show how the services stand."""
        self.query_one("#enclave", Static).update(_enclave_text(pulse))
        self.query_one("#custodians", Static).update(_custodians_text(pulse))
        self._show_attention(pulse)

    def _show_sealed(self, sealed: tuple[SealedFacts, ...]) -> None:
        self._sealed = sealed
        table = self.query_one("#sealed", Table)
        table.clear()
        for one in sealed:
            state = {"published": "published", "pending": "copies pending"}.get(one.state, "sealed only")
            copies = ", ".join(one.copies) or "this machine only"
            table.add_row(
                plain(one.title or "untitled", 28),
                str(one.version),
                state,
                f"{one.passages:,}",
                size(one.sealed_bytes),
                plain(copies, 34),
                "✓ confirmed" if one.has_paper else "✗ not yet",
                key=one.manifest,
            )
        self._show_attention(self.coffer.pulse)

    def _show_today(self, today: Today) -> None:
        queries, paid = sum(today.queries), sum(today.amounts)
        self.query_one("#today", Static).update(
            f"[bold]{queries:,} {'query' if queries == 1 else 'queries'}[/], {amount(paid, today.currency)}  "
            f"[dim]{plain(today.whose)}[/]"
        )
        self.query_one("#hours", Sparkline).data = list(today.queries)

    def _show_attention(self, pulse: Pulse) -> None:
        if pulse.party is None:
            return
        found = attention(pulse, self._sealed)
        if found == self._shown and self.query_one("#calm", Static).has_class("-settled"):
            return
        self._shown = found
        options = self.query_one("#attention", OptionList)
        options.clear_options()
        options.add_options(
            Option(f"{'[bold $error]![/]' if one.is_grave else '[$warning]•[/]'} {plain(one.words)}") for one in found
        )
        options.display = bool(found)
        calm = self.query_one("#calm", Static)
        calm.update(f"{TICK} nothing waits for you")
        calm.display = not found
        calm.add_class("-settled")

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Go where it is done."""
        self.coffer.action_go(self._shown[message.option_index].page)

    def copyable(self) -> str:
        """Return the chosen dataset's CID, or the DAO's."""
        table = self.query_one("#sealed", Table)
        if table.has_focus and table.row_count:
            return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)
        return self.coffer.pulse.dao.genesis if self.coffer.pulse.dao is not None else ""


def _enclave_text(pulse: Pulse) -> str:
    look = pulse.enclave
    if look is None:
        if pulse.enclave_problem:
            return f"{CROSS} {plain(pulse.enclave_problem)}\n[dim]asking again[/]"
        is_named = pulse.party is None or pulse.party.enclave
        return "[dim]asking …[/]" if is_named else "no enclave is configured\n[dim]set enclave in coffer.toml[/]"
    lines = [f"{tee_badge(look.status.tee)}  {plain(look.status.state)}, {_opened(look)}"]
    if pulse.enclave_problem:
        lines.insert(0, f"{CROSS} lost, asking again; this is what it said last")
    if look.is_proved and look.appraisal is not None:
        measurement = look.appraisal.measurement.hex()
        lines.append(f"{TICK} proves that it runs {short(measurement, 12, 6)}")
    else:
        lines.append(f"{CROSS} {plain(look.refusal or look.status.reason)}")
    if look.leased_until is not None:
        lines.append(f"{_lease_mark(look, pulse.at)} lease ends in {time_left_text(look.leased_until - pulse.at)}")
    if look.grounds is not None:
        titles = ", ".join(plain(policy.title, 40) for policy in look.grounds.policies.values())
        lines.append(f"policies in force: {titles or 'none'}")
    return "\n".join(lines)


def _opened(look: Inspection) -> str:
    status = look.status
    if status.passages_total and status.passages_done < status.passages_total:
        return f"opening: {opened_words(status)}"
    return counted(status.passages_total, "passage")


def _lease_mark(look: Inspection, at: int) -> str:
    return TICK if look.leased_until is not None and look.leased_until > at else CROSS


def _custodians_text(pulse: Pulse) -> str:
    dao = pulse.dao
    if dao is None:
        if pulse.dao_problem:
            return plain(pulse.dao_problem)
        return "[dim]opening …[/]" if pulse.party is None else "no DAO is known here yet: found or join one"
    lines = [
        f"[bold]{plain(dao.name)}[/], {counted(dao.members, 'member')}, epoch {dao.epoch}",
        f"genesis {short(dao.genesis, 14, 6)}",
    ]
    for one in pulse.custodians:
        if one.problem:
            lines.append(f"{CROSS} {plain(one.address)} does not answer")
        elif one.epoch is None:
            lines.append(f"{OPEN} {plain(one.address)} does not know this DAO yet")
        else:
            is_fresh = one.epoch >= dao.epoch
            lines.append(f"{TICK if is_fresh else OPEN} {plain(one.address)} follows epoch {one.epoch}")
    return "\n".join(lines)
