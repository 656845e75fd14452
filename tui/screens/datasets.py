"""An owner's datasets: seal a folder and publish it, see its versions, check its copies, put its key on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from tui.desk.overview import SealedFacts
from tui.desk.sealing import Checked, Done, LeftOut, PaperShares, Published, Wish
from tui.desk.wallets import Wallet
from tui.page import Page
from tui.slow import Job
from tui.widgets.cells import cell
from tui.widgets.dialogs import ConfirmDialog
from tui.widgets.sealing import PaperDialog, SealDialog
from tui.widgets.table import Table
from tui.words import CROSS, OPEN, TICK, counted, moment, plain, short, size

LEFT_OUT_SHOWN: Final = 200
STATES: Final = {
    "published": ("✓ published", "success"),
    "pending": ("• copies pending", "warning"),
    "sealed": ("• sealed only", "warning"),
}
SHARES, LISTS = 2, 3  # of the paper: any two of three lists rebuild the key


class DatasetsPage(Page):
    """What was sealed in this home, and everything that is done with it."""

    NAME = "datasets"
    ABOUT = (
        "# Datasets\n"
        "`n` **seals a folder** and publishes it: documents are read, cut and encrypted on this machine, stored, "
        "fetched back and checked, and each custodian gets its share of the key. "
        "**Esc stops it and leaves nothing behind.**\n\n"
        "`u` seals the next version of the chosen dataset, `p` publishes one that is sealed only, `v` fetches every "
        "block again and checks it, `b` shows the key as words for paper.\n\n"
        "Whatever is not read is listed with why."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "seal", "New"),
        Binding("u", "next_version", "Update"),
        Binding("p", "publish", "Publish"),
        Binding("v", "verify", "Verify"),
        Binding("b", "paper", "Paper"),
        Binding("y", "copy", "Copy CID", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, SealedFacts] = {}
        self._left_out: tuple[LeftOut, ...] = ()
        self._said: dict[str, str] = {}  # what a check said last, by manifest

    def body(self) -> Iterable[Widget]:
        """Lay out the table, the chosen dataset, and what was left out."""
        table = Table(id="datasets-table", cursor_type="row", zebra_stripes=True)
        yield table
        chosen = VerticalScroll(Static("", id="chosen"), classes="panel", id="chosen-panel", can_focus=False)
        chosen.border_title = "Chosen dataset"
        left_out = VerticalScroll(Static("", id="left-out"), classes="panel", id="left-out-panel")
        left_out.border_title = "Left out"
        yield Horizontal(chosen, left_out, id="datasets-below")

    def on_mount(self) -> None:
        """Name the columns."""
        self.query_one("#datasets-table", Table).add_columns(
            "Title", "Version", "State", "Documents", "Passages", "Size", "Paper"
        )
        super().on_mount()

    def action_refresh(self) -> None:
        """Read the catalog again."""
        if self.coffer.has_desk:
            self.slow("what is sealed", lambda job: self.coffer.desk.overview.sealed(), self._show)

    def _show(self, sealed: tuple[SealedFacts, ...]) -> None:
        table = self.query_one("#datasets-table", Table)
        chosen = self._chosen_cid()
        self._rows = {one.manifest: one for one in sealed}
        table.clear()
        for one in sealed:
            state, color = STATES[one.state]
            paper = ("✓ safe", "") if one.has_paper else ("✗ missing", "warning")
            table.add_row(
                cell(one.title or "untitled", chars_max=30),
                cell(f"v{one.version}"),
                cell(state, color=color, app=self.app),
                cell(f"{one.documents:,}"),
                cell(f"{one.passages:,}"),
                cell(size(one.sealed_bytes)),
                cell(paper[0], color=paper[1], app=self.app),
                key=one.manifest,
            )
        if chosen in self._rows:
            table.move_cursor(row=table.get_row_index(chosen))
        table.focus()
        self._show_chosen()

    def _chosen_cid(self) -> str:
        table = self.query_one("#datasets-table", Table)
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def _chosen(self) -> SealedFacts | None:
        one = self._rows.get(self._chosen_cid())
        if one is None:
            self.trouble("nothing is sealed in this home yet; press n to seal a folder")
        return one

    def on_data_table_row_highlighted(self) -> None:
        """Show the chosen one."""
        self._show_chosen()

    def _show_chosen(self) -> None:
        one = self._rows.get(self._chosen_cid())
        words = "[dim]nothing is sealed here yet: press [bold]n[/] to pick a folder[/]"
        if one is not None:
            where = plain(", ".join(one.copies)) if one.copies else "this machine only"
            words = "\n".join(
                [
                    f"[bold]{plain(one.title or 'untitled', 60)}[/] version {one.version}, "
                    f"sealed {moment(one.created_at)} UTC",
                    f"{counted(one.documents, 'document')}, {counted(one.passages, 'passage')}, "
                    f"{size(one.sealed_bytes)} sealed",
                    f"owner {short(one.owner, 12, 6)}",
                    f"{TICK if one.copies else OPEN} blocks in {where}"
                    + (", key shares with the custodians" if one.copies else "; press [bold]p[/] to publish"),
                    f"{TICK} its key is on paper, as you confirmed"
                    if one.has_paper
                    else f"{CROSS} its key is on no paper yet: a lost disk would lose it; press [bold]b[/]",
                    self._said.get(one.manifest, "[dim]press v to fetch every block again and check it[/]"),
                    f"[dim]{one.manifest}[/]",
                ]
            )
        self.query_one("#chosen", Static).update(words)

    def _show_left_out(self) -> None:
        panel = self.query_one("#left-out-panel")
        panel.border_title = f"Left out: {len(self._left_out)}"
        panel.set_class(bool(self._left_out), "-any")
        lines = [f"[bold]{plain(one.name, 60)}[/]\n  {plain(one.reason)}" for one in self._left_out[:LEFT_OUT_SHOWN]]
        more = len(self._left_out) - LEFT_OUT_SHOWN
        self.query_one("#left-out", Static).update("\n".join([*lines, *([f"and {more} more"] if more > 0 else [])]))

    def action_seal(self) -> None:
        """Pick a folder, then seal and publish it."""
        self._begin()

    def action_next_version(self) -> None:
        """Pick a folder for the next version of the chosen dataset."""
        one = self._chosen()
        if one is not None:
            self._begin(replaces=one)

    def _begin(self, replaces: SealedFacts | None = None) -> None:
        def ask(wallets: tuple[Wallet, ...]) -> None:
            names = tuple(
                wallet.name
                for wallet in wallets
                if replaces is None or wallet.address.lower() == replaces.owner.lower()
            )
            if not names:
                self.trouble("no wallet of this home can own it; make one with: coffer wallet new NAME")
                return
            follows = {"replaces": replaces.manifest, "title": replaces.title} if replaces is not None else {}
            self.app.push_screen(SealDialog(names, start=self.coffer.browse_from, **follows), self._wished)

        self.slow("wallets", lambda job: self.coffer.desk.wallets.wallets(), ask)

    def _wished(self, wish: Wish | None) -> None:
        if wish is not None:
            self.with_wallet(wish.owner, lambda: self._seal(wish))

    def _seal(self, wish: Wish) -> None:
        desk = self.coffer.desk.sealing
        name = Path(wish.folder).name

        def work(job: Job) -> tuple[Done, Published]:
            done = desk.seal(wish, job.tell)
            self.post_message(self.Ended(lambda: self._sealed(done)))
            return done, desk.publish(done.manifest, job.tell)

        self.slow(f"sealing {name}", work, lambda both: self._published(both[0].manifest, both[1]), is_told=True)

    def _sealed(self, done: Done) -> None:
        self._left_out = done.left_out
        self._show_left_out()
        self.notify(f"sealed {counted(done.documents, 'document')}, {counted(len(done.left_out), 'file')} left out")
        self.action_refresh()

    def _published(self, manifest: str, published: Published) -> None:
        self._said[manifest] = (
            f"{TICK} {size(published.stored_bytes)} stored, fetched back and checked; "
            f"{counted(published.custodians, 'custodian')} took a share of the key"
        )
        if published.verified_copies < published.wanted_copies:
            missing = f"{published.verified_copies} of {published.wanted_copies} copies are verified"
            self._said[manifest] += f"\n{OPEN} {missing}; coffer storage watch goes on with the others"
        self.notify("published; next: put its key on paper with b, and propose a policy")
        self.action_refresh()

    def stopped(self, what: str) -> None:
        """Say that nothing is left of it."""
        super().stopped(what)
        self.action_refresh()

    def action_publish(self) -> None:
        """Publish the chosen dataset."""
        self._with_owner("publishing", self._publish)

    def _publish(self, manifest: str) -> None:
        desk = self.coffer.desk.sealing
        self.slow(
            "publishing",
            lambda job: desk.publish(manifest, job.tell),
            lambda published: self._published(manifest, published),
            is_told=True,
        )

    def action_verify(self) -> None:
        """Fetch every block of the chosen dataset again, and check it."""
        one = self._chosen()
        if one is None:
            return
        desk, manifest = self.coffer.desk.sealing, one.manifest

        def show(checked: Checked) -> None:
            how = "decrypted to the corpus its owner signed" if checked.is_opened else "checked by their CIDs"
            self._said[manifest] = (
                f"{TICK} {counted(checked.segments, 'segment')}, {size(checked.checked_bytes)}, {how}"
            )
            self._show_chosen()

        self.slow("checking copies", lambda job: desk.verify(manifest, job.tell), show, is_told=True)

    def action_paper(self) -> None:
        """Show the chosen dataset's key as words for paper, and have them confirmed."""
        self._with_owner("opening its key", self._paper)

    def _paper(self, manifest: str) -> None:
        desk = self.coffer.desk.sealing

        def confirmed(is_safe: bool | None) -> None:
            if is_safe:
                self.slow("paper", lambda job: desk.confirm_paper(manifest), lambda _: self.action_refresh())

        def show(paper: PaperShares) -> None:
            self.app.push_screen(PaperDialog(paper), confirmed)

        def ask(is_alone: bool | None) -> None:
            if is_alone:
                self.slow("the key", lambda job: desk.paper(manifest, shares=SHARES, of=LISTS), show)

        words = (
            f"The key will be shown as {LISTS} lists of words; any {SHARES} of them rebuild it, and no revocation "
            "reaches whoever has them. Is nobody looking, and is this screen not recorded?"
        )
        self.app.push_screen(ConfirmDialog("Show the key", words, yes="Show it", is_grave=True), ask)

    def _with_owner(self, what: str, then: Callable[[str], None]) -> None:
        one = self._chosen()
        if one is None:
            return
        desk, manifest = self.coffer.desk.sealing, one.manifest
        self.slow(
            what, lambda job: desk.owner_wallet(manifest), lambda name: self.with_wallet(name, lambda: then(manifest))
        )

    def copyable(self) -> str:
        """Return the chosen dataset's CID."""
        return self._chosen_cid()
