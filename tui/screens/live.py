"""Queries as they happen: what the enclave counts and times, what was asked from here, what licenses have left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from textual.containers import Grid, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Sparkline, Static

from tui.desk.watching import AskedHere, BudgetFacts, Budgets, Counters
from tui.page import Page
from tui.rates import Readings, quantile, refusals, total
from tui.widgets.cells import cell
from tui.widgets.charts import bar, chart
from tui.widgets.table import Table
from tui.words import CROSS, OPEN, amount, counted, moment, plain, short
from vault.plain_text import error_sentence

SLOW_EVERY: Final = 5  # beats: what this home asked, and its budgets
LINES_KEPT: Final = 6
ASKED_SHOWN: Final = 100
REASONS_SHOWN: Final = 8
BUDGETS_SHOWN: Final = 20
BUDGET_CELLS: Final = 20
PANEL_EDGES: Final = 8
WIDE: Final = 110
ANSWERS: Final = ("answered", "partial", "repeated", "cancelled")
NO_METRICS: Final = (
    "no metrics are configured. An enclave started with [bold]--metrics HOST:PORT[/] gives them to whom its operator "
    'lets in: set [bold]metrics = "HOST:PORT"[/] in coffer.toml'
)
NO_LICENSES: Final = "An enclave's metrics name no license, dataset or word; licenses and prices stand in receipts."


class LivePage(Page):
    """Counts and times; never a word of what is asked."""

    NAME = "live"
    ABOUT = (
        "# Live\n"
        "**At the enclave** is what its operator's metrics count: questions by how they ended, passages, and the time "
        "in each stage as *half* and *95 %* of the questions were through. They are the operator's word, not evidence, "
        f"and are read every two seconds from the setting `metrics`. {NO_LICENSES}\n\n"
        "**Asked from this home** are the receipts kept here, with license, passages and price. **Extraction budgets** "
        "are those of the credentials that are open: open one on the screen *Ask* with `c`.\n\n"
        "No query text is shown, here or in any log."
    )

    def __init__(self) -> None:
        super().__init__()
        self._readings = Readings()
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._beats = 0
        self._asked: tuple[AskedHere, ...] = ()

    def body(self) -> Iterable[Widget]:
        """Lay out four panels and a table; in a narrow terminal one under another."""
        happening = Vertical(
            Static("[dim]asking …[/]", id="happening"),
            Sparkline([0, 0], id="beats"),
            Static("", id="came"),
            classes="panel",
        )
        happening.border_title = "At the enclave"
        stages = Vertical(Static("[dim]no metrics yet[/]", id="stages"), classes="panel")
        stages.border_title = "Time by stage"
        refused = Vertical(Static("[dim]no metrics yet[/]", id="refused"), classes="panel")
        refused.border_title = "Refusals by reason"
        budgets = Vertical(Static("[dim]asking …[/]", id="budgets"), classes="panel")
        budgets.border_title = "Extraction budgets"
        asked = Vertical(
            Static(f"[dim]{NO_LICENSES}[/]"),
            Table(id="asked", cursor_type="row"),
            classes="panel",
            id="asked-panel",
        )
        asked.border_title = "Asked from this home"
        yield VerticalScroll(Grid(happening, stages, refused, budgets, id="live-grid"), asked, id="live-body")

    def on_mount(self) -> None:
        """Name the columns, and begin to ask again and again."""
        self.query_one("#asked", Table).add_columns("At (UTC)", "License", "Passages", "Price", "Left")
        super().on_mount()
        self.set_interval(self.coffer.beat_s, self._beat)

    def action_refresh(self) -> None:
        """Ask for everything again."""
        if not self.coffer.has_desk:
            return
        self._beats = 0
        self._beat()

    def _beat(self) -> None:
        if not self.coffer.has_desk:
            return
        desk = self.coffer.desk.watching
        if desk.metrics_address():
            self.slow("the metrics", lambda job: desk.counters(), self._counted, failed=self._lost)
        else:
            self.query_one("#happening", Static).update(NO_METRICS)
        if self.app.screen is self and self._beats % SLOW_EVERY == 0:
            self.slow("what was asked", lambda job: desk.asked(), self._show_asked)
            self.slow("the budgets", lambda job: desk.budgets(), self._show_budgets)
        self._beats += 1

    def _lost(self, error: Exception) -> None:
        self.query_one("#happening", Static).update(f"{CROSS} {plain(error_sentence(error))}; asking again")

    def _counted(self, now: Counters) -> None:
        came = self._readings.add(now)
        if came is not None and total(came):
            self._lines.appendleft(
                f"[dim]{time.strftime('%H:%M:%S', time.gmtime(self.coffer.clock()))}[/] {_came(came)}"
            )
        window = self._readings.window()
        self.query_one("#happening", Static).update(_happening(now, window))
        self.query_one("#beats", Sparkline).data = [0, *(self._readings.questions() or [0])]  # one alone is full
        self.query_one("#came", Static).update("\n".join(self._lines))
        recent = window[0] if window is not None and total(window[0]) else now
        which = "in the last minute" if recent is not now else "since it began"
        self.query_one("#stages", Static).update(_stages(recent, which))
        self.query_one("#refused", Static).update(self._refused(now))

    def _refused(self, now: Counters) -> str:
        rows = refusals(now)
        if not rows:
            return "[dim]nothing was refused since it began[/]"
        across = self.size.width // 2 if self.size.width >= WIDE else self.size.width
        return chart(rows[:REASONS_SHOWN], width=across - PANEL_EDGES, number=lambda n: f"{n:,}", color="$warning")

    def _show_asked(self, asked: tuple[AskedHere, ...]) -> None:
        table = self.query_one("#asked", Table)
        chosen, self._asked = table.cursor_row, asked[:ASKED_SHOWN]
        table.clear()
        for one in self._asked:
            table.add_row(
                cell(moment(one.at)),
                cell(short(one.license, 14, 4)),
                cell(counted(one.passages, "passage")),
                cell(amount(one.price, one.currency)),
                cell(f"{one.budget_left:,}"),
            )
        table.move_cursor(row=chosen, scroll=False)

    def copyable(self) -> str:
        """Return the license of the chosen question."""
        row = self.query_one("#asked", Table).cursor_row
        return self._asked[row].license if row < len(self._asked) else ""

    def _show_budgets(self, budgets: Budgets) -> None:
        lines = [_budget(one) for one in budgets.parts[:BUDGETS_SHOWN]]
        if len(budgets.parts) > BUDGETS_SHOWN:
            lines.append(f"[dim]and {len(budgets.parts) - BUDGETS_SHOWN} more[/]")
        lines += [f"{CROSS} {plain(problem)}" for problem in budgets.problems]
        lines += [f"{OPEN} {plain(name, 40)} is sealed: open it on the screen Ask" for name in budgets.sealed]
        self.query_one("#budgets", Static).update("\n".join(lines) or "[dim]no credential is in this home[/]")


def _happening(now: Counters, window: tuple[Counters, float] | None) -> str:
    outcomes = dict(now.outcomes)
    if window is None:
        rate = "[dim]rates after the next reading[/]"
    else:
        rate = f"[bold]{total(window[0]) / window[1]:.2f}[/] questions a second"
    said = ", ".join(
        f"{outcomes.get(name, 0):,} {name}" for name in ANSWERS if outcomes.get(name) or name == "answered"
    )
    refused = sum(count for _, count in refusals(now))
    return (
        f"{rate}, {now.under_way:,} under way\n"
        f"since it began: {said}, {refused:,} refused; {counted(now.passages, 'passage')}"
    )


def _came(came: Counters) -> str:
    outcomes = dict(came.outcomes)
    parts = [f"{outcomes[name]:,} {name}" for name in ANSWERS if outcomes.get(name)]
    parts += [f"{count:,} refused ({plain(reason)})" for reason, count in refusals(came)]
    return f"{', '.join(parts)}; {counted(came.passages, 'passage')}"


def _stages(counters: Counters, which: str) -> str:
    lines = [f"[dim]{'':<8}│{'half':>10}  │{'95 %':>10}  │{'mean':>10}  │ {which}[/]"]
    for stage in counters.stages:
        mean = stage.total_s / stage.count if stage.count else None
        times = "│".join(_ms(one) for one in (quantile(stage, 0.5), quantile(stage, 0.95), mean))
        lines.append(f"{plain(stage.name, 8):<8}│{times}│ {counted(stage.count, 'question')}")
    return "\n".join(lines)


def _ms(seconds: float | None) -> str:
    return f"{'-':>10}  " if seconds is None else f"{seconds * 1000:7.1f} ms  "


def _budget(one: BudgetFacts) -> str:
    filled = bar(one.seen, one.passages_max, BUDGET_CELLS)
    what = plain(one.what, 30) if one.what else f"[bold]{short(one.license, 10, 4)}[/] in all"
    rest = "░" * (BUDGET_CELLS - len(filled))
    color = "$error" if one.passages_max and one.seen >= one.passages_max else "$primary"
    return f"[{color}]{filled}[/][dim]{rest}[/] {one.seen:,} of {one.passages_max:,} passages  {what}"
