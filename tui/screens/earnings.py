"""What a payee has earned: statements of royalty epochs, by dataset and by day, verified and exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static, TabbedContent, TabPane

from tui.desk.asking import Link
from tui.desk.earning import StatementFacts, Statements
from tui.desk.wallets import Wallet
from tui.page import Page
from tui.widgets.cells import cell
from tui.widgets.charts import chart
from tui.widgets.earning import PayeeDialog, TableDialog
from tui.widgets.table import Table
from tui.words import CROSS, OPEN, TICK, amount, counted, day, moment, plain, short

DAY_S: Final = 86_400
BARS_MAX: Final = 60  # days, or epochs
TABS: Final = ("datasets-pane", "days-pane", "epochs-pane", "check-pane")
NOBODY_SAYS: Final = "passages of datasets that are not served any more, or shown too seldom to be named"
NO_LICENSEES: Final = (
    "Statements do not say who asked: a payment is told by a hash that only the licensee's receipt opens."
)
NOTHING: Final = "no statement is kept here yet: press [bold]f[/] to fetch those of a wallet that earns"


class EarningsPage(Page):
    """Every statement that is kept here; the chosen one's account is drawn below."""

    NAME = "earnings"
    ABOUT = (
        "# Earnings\n"
        "`f` **fetches** a wallet's statements of every royalty epoch that has closed and is not kept here yet; the "
        "enclave proves itself first, and each statement is checked before it is kept. `v` **verifies** the chosen one "
        "link by link, from the DAO's genesis on, offline. `x` **exports** all of them as one CSV table, verified "
        "before.\n\n"
        "The charts show the chosen statement's account over all that is kept: `c` goes from datasets to days and "
        "epochs. *Earned* is what passages brought; *due* is after refunds and debts of earlier epochs.\n\n"
        f"{NO_LICENSEES}"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "fetch", "Fetch"),
        Binding("v", "verify", "Verify"),
        Binding("x", "export", "Export"),
        Binding("c", "chart", "Chart"),
        Binding("y", "copy", "Copy file's name", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, StatementFacts] = {}
        self._checked: dict[StatementFacts, tuple[Link, ...]] = {}

    def body(self) -> Iterable[Widget]:
        """Lay out the sums, the statements, and the charts of the chosen one's account."""
        yield Static("[dim]reading statements …[/]", id="earned")
        table = Table(id="statements", cursor_type="row", zebra_stripes=True)
        yield table
        with TabbedContent(initial=TABS[0], id="charts"):
            for pane, title in zip(TABS, ("By dataset", "By day", "By epoch", "Check"), strict=True):
                with TabPane(title, id=pane), VerticalScroll(can_focus=False):
                    yield Static("", id=f"{pane}-chart")

    def on_mount(self) -> None:
        """Name the columns."""
        self.query_one("#statements", Table).add_columns(
            "Epoch", "Closed (UTC)", "As", "Check", "Due", "In all", "Earned", "Address"
        )
        super().on_mount()

    def action_refresh(self) -> None:
        """Read what is kept again."""
        if self.coffer.has_desk:
            self.slow("kept statements", lambda job: self.coffer.desk.earning.statements(), self._show)

    def _show(self, statements: Statements) -> None:
        table = self.query_one("#statements", Table)
        chosen = self._chosen_name()
        self._rows = {one.name: one for one in statements.kept}
        self._checked = {one: links for one, links in self._checked.items() if self._rows.get(one.name) == one}
        table.clear()
        for one in statements.kept:
            table.add_row(*self._cells(one), key=one.name)
        if chosen in self._rows:
            table.move_cursor(row=table.get_row_index(chosen))
        if not self.focused:
            table.focus()
        self.query_one("#earned", Static).update(_head(statements))
        if statements.unread:
            names = ", ".join(statements.unread[:3])
            self.trouble(f"{counted(len(statements.unread), 'file')} cannot be read as a statement: {names}")
        self._draw()

    def _cells(self, one: StatementFacts) -> list[Any]:
        links = self._checked.get(one)
        holds = None if links is None else all(link.holds for link in links)
        sign, color = {None: ("• not yet", ""), True: ("✓ holds", "success"), False: ("✗ wrong", "error")}[holds]
        return [
            cell(one.epoch),
            cell(moment(one.at)),
            cell(one.kind),
            cell(sign, color=color, app=self.app),
            *(cell(amount(micro, one.currency)) for micro in (one.amount, one.total, one.earned)),
            cell(short(one.address, 6, 4)),
        ]

    def _chosen_name(self) -> str:
        table = self.query_one("#statements", Table)
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def _chosen(self) -> StatementFacts | None:
        one = self._rows.get(self._chosen_name())
        if one is None:
            self.trouble("no statement is kept here yet; press f to fetch those of a wallet that earns")
        return one

    def on_data_table_row_highlighted(self) -> None:
        """Draw the chosen one's account."""
        self._draw()

    def on_resize(self) -> None:
        """Fit the bars to the width."""
        self._draw()

    def _draw(self) -> None:
        one = self._rows.get(self._chosen_name())
        words = ("", "", "", "")
        if one is not None:
            account = sorted(
                (each for each in self._rows.values() if each.account == one.account), key=lambda each: each.epoch
            )
            number, width = partial(amount, currency=one.currency), max(40, self.size.width - 4)
            words = (
                _by_dataset(account, number, width),
                chart(by_day(account)[-BARS_MAX:], width=width, number=number),
                chart(
                    [(f"epoch {each.epoch}", each.amount) for each in account][-BARS_MAX:], width=width, number=number
                ),
                self._check_words(one),
            )
        for pane, text in zip(TABS, words, strict=True):
            self.query_one(f"#{pane}-chart", Static).update(text)

    def _check_words(self, one: StatementFacts) -> str:
        links = self._checked.get(one)
        head = f"[bold]{plain(one.account)}[/], epoch {one.epoch}, {counted(one.payments, 'payment')}"
        if links is None:
            return f"{head}\n[dim]press v to check it link by link, offline[/]"
        return "\n".join([head, *(f"{TICK if link.holds else CROSS} {plain(link.words)}" for link in links)])

    def action_chart(self) -> None:
        """Show the next chart."""
        tabs = self.query_one("#charts", TabbedContent)
        tabs.active = TABS[(TABS.index(tabs.active) + 1) % len(TABS)]

    def action_fetch(self) -> None:
        """Fetch the statements of one of this home's wallets."""
        self.slow("the wallets", lambda job: self.coffer.desk.wallets.wallets(), self._choose_payee)

    def _choose_payee(self, wallets: tuple[Wallet, ...]) -> None:
        if not wallets:
            self.trouble("no wallet is in this home, and statements are told to a payee's wallet alone")
        elif len(wallets) == 1:
            self._fetch(wallets[0].name)
        else:
            self.app.push_screen(PayeeDialog(wallets), lambda name: self._fetch(name) if name is not None else None)

    def _fetch(self, wallet: str) -> None:
        desk = self.coffer.desk.earning

        def fetch() -> None:
            self.slow("fetching statements", lambda job: desk.fetch(wallet, job.tell), self._fetched, is_told=True)

        self.with_wallet(wallet, fetch)

    def _fetched(self, came: int) -> None:
        self.notify(f"{counted(came, 'statement')} fetched, checked and kept" if came else "nothing new has closed")
        self.action_refresh()

    def action_verify(self) -> None:
        """Check the chosen statement again."""
        one = self._chosen()
        if one is None:
            return
        desk = self.coffer.desk.earning
        self.query_one("#charts", TabbedContent).active = TABS[-1]
        self.slow("checking the statement", lambda job: desk.verify(one.name), partial(self._show_check, one))

    def _show_check(self, one: StatementFacts, links: tuple[Link, ...]) -> None:
        self._checked[one] = links
        table = self.query_one("#statements", Table)
        if self._rows.get(one.name) == one:
            row = table.get_row_index(one.name)
            for column, value in enumerate(self._cells(one)):
                table.update_cell_at((row, column), value)  # type: ignore[arg-type]
        self._draw()

    def action_export(self) -> None:
        """Write everything that is kept as one table."""
        if not self._rows:
            self._chosen()
            return
        path = str(Path(self.coffer.browse_from) / f"earnings-{day(int(self.coffer.clock()))}.csv")
        self.app.push_screen(TableDialog(path), self._export)

    def _export(self, path: str | None) -> None:
        if path is None:
            return
        desk = self.coffer.desk.earning
        self.slow(
            "exporting statements",
            lambda job: desk.export(path, job.tell),
            lambda count: self.notify(f"{counted(count, 'statement')} verified, and written to {path}", markup=False),
            is_told=True,
        )

    def copyable(self) -> str:
        """Return the chosen statement's file name."""
        return self._chosen_name()


def _head(statements: Statements) -> str:
    if not statements.kept:
        return NOTHING
    latest = {one.account: one for one in reversed(statements.kept)}
    sums: Counter[tuple[str, str]] = Counter()
    for one in latest.values():
        sums[one.kind, one.currency] += one.total
    said = "  ".join(
        f"as {kind} [bold]{plain(amount(total, currency))}[/]" for (kind, currency), total in sorted(sums.items())
    )
    more = f"  {OPEN} {counted(statements.left_out, 'older statement')} not shown" if statements.left_out else ""
    return f"earned in all: {said}{more}"


def by_day(account: Iterable[StatementFacts]) -> list[tuple[str, int]]:
    """Return what was due by the day its epoch began, days without anything among them, the oldest first."""
    sums: Counter[int] = Counter()
    for one in account:
        sums[one.began_at // DAY_S] += one.amount
    if not sums:
        return []
    first = max(min(sums), max(sums) - BARS_MAX)
    return [(day(number * DAY_S), sums[number]) for number in range(first, max(sums) + 1)]


def _by_dataset(account: Iterable[StatementFacts], number: Callable[[int], str], width: int) -> str:
    sums: Counter[str] = Counter()
    for one in account:
        for each in one.datasets:
            sums[each.dataset] += each.amount
    rows = [(label or "the rest", value) for label, value in sums.most_common()]
    shown = chart(rows, width=width, number=number) if rows else "[dim]nothing was earned yet[/]"
    rest = f"\n[dim]the rest: {NOBODY_SAYS}[/]" if "" in sums else ""
    return f"{shown}{rest}\n[dim]{NO_LICENSEES}[/]"
