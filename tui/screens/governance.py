"""Proposals with what they would change, votes, decisions on their way, emergency revocations, and the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.coordinate import Coordinate
from textual.widget import Widget
from textual.widgets import RichLog, Static, TabbedContent, TabPane

from tui.desk.governing import ProposalFacts, Proposals, Revocable, Taken
from tui.page import Page
from tui.pulse import Pulse
from tui.slow import Job
from tui.widgets.bars import tee_badge
from tui.widgets.cells import cell
from tui.widgets.dialogs import ConfirmDialog
from tui.widgets.table import Table
from tui.widgets.tally import SIGNS, bars, next_words
from tui.widgets.voting import RevokeDialog, VoteDialog
from tui.words import CROSS, OPEN, TICK, counted, plain, short, time_left_text
from vault.plain_text import error_sentence
from vault.tee_kind import SIMULATED

COUNTDOWN_S: Final = 1.0
OKAY, WRONG = "[green]✓[/]", "[bold red]✗[/]"  # a log knows no theme
OVER: Final = frozenset({"executed", "defeated", "canceled", "outdated", "lapsed"})


class GovernancePage(Page):
    """What members decide, and what guardians stop."""

    NAME = "governance"
    ABOUT = (
        "# Governance\n"
        "Choose a proposal to read in words **what it would change**, how its vote stands against quorum and "
        "threshold, and what comes next. `f`, `a` and `b` vote **for**, **against** or **abstain**, with a reason that "
        "is public; while voting is open you may change your mind, and the last answer counts.\n\n"
        "After the vote, anyone may have it closed (`c`) and, its timelock over, carried out (`x`). **Guardians** "
        "cancel a grant (`k`) or revoke at once (`e`), and never grant.\n\n"
        "`h` verifies everything that was ever decided, from the charter on, a tick for each link that holds."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "vote('for')", "For"),
        Binding("a", "vote('against')", "Against"),
        Binding("b", "vote('abstain')", "Abstain"),
        Binding("c", "close_vote", "Close"),
        Binding("x", "carry_out", "Execute"),
        Binding("k", "cancel", "Cancel (guardian)", show=False),
        Binding("e", "revoke", "Revoke"),
        Binding("h", "verify", "History"),
        Binding("r", "refresh", "Refresh", show=False),
        Binding("y", "copy", "Copy CID", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._known = Proposals(proposals=(), refused=(), voters=(), guardians=())
        self._epoch = -1

    def body(self) -> Iterable[Widget]:
        """Lay out the proposals, the chosen one, and the history."""
        with TabbedContent(initial="proposals-tab", id="governance-tabs"):
            with TabPane("Proposals", id="proposals-tab"):
                table = Table(id="proposals", cursor_type="row", zebra_stripes=True)
                yield table
                chosen = VerticalScroll(Static("[dim]asking …[/]", id="proposal"), classes="panel", id="proposal-panel")
                chosen.border_title = "Chosen proposal"
                yield chosen
            with TabPane("History", id="history-tab"):
                yield Horizontal(Static("[dim]h verifies everything, from the charter on[/]", id="history-said"))
                yield RichLog(id="history", markup=True, wrap=True)

    def on_mount(self) -> None:
        """Name the columns, and count down."""
        self.query_one("#proposals", Table).add_columns("State", "What", "For", "Against", "Left")
        self.set_interval(COUNTDOWN_S, self._count_down)
        super().on_mount()

    def action_refresh(self) -> None:
        """Ask the custodians for what they hold."""
        if self.coffer.has_desk:
            desk = self.coffer.desk.governing
            self.slow("the proposals", lambda job: desk.proposals(), self._show)

    def pulsed(self, pulse: Pulse) -> None:
        """Ask again when the DAO has gone on, or somebody proposed."""
        if pulse.dao is not None and self._epoch != pulse.dao.epoch + 1_000_000 * pulse.dao.open_proposals:
            self._epoch = pulse.dao.epoch + 1_000_000 * pulse.dao.open_proposals
            self.action_refresh()

    def _show(self, known: Proposals) -> None:
        table = self.query_one("#proposals", Table)
        chosen = self._chosen_cid()
        self._known = known
        table.clear()
        for one in known.proposals:
            table.add_row(*self._row(one), key=one.cid)
        if chosen in {one.cid for one in known.proposals}:
            table.move_cursor(row=table.get_row_index(chosen))
        is_shown = self.query_one("#governance-tabs", TabbedContent).active == "proposals-tab"
        if is_shown and self.focused is not table:  # focus would show its tab
            table.focus()
        if known.refused:
            self.trouble(known.refused[0])
        self._show_chosen()

    def _row(self, one: ProposalFacts) -> tuple[Any, ...]:
        color = {"executed": "success", "open": "accent", "ready": "accent"}.get(one.state, "")
        return (
            cell(f"{SIGNS[one.state]} {one.state}", color=color, app=self.app),
            cell(one.title, chars_max=60 if self.size.width >= 110 else 34),
            cell(f"{one.weight_for:,}"),
            cell(f"{one.weight_against:,}"),
            cell(self._left(one)),
        )

    def _left(self, one: ProposalFacts) -> str:
        at = int(self.coffer.clock())
        ends = {"open": one.closes_at, "queued": one.free_at or at, "closing": one.final_at, "pending": one.opens_at}
        return time_left_text(ends[one.state] - at) if one.state in ends else ""

    def _count_down(self) -> None:
        if not self.is_current or not self._known.proposals:
            return
        at = int(self.coffer.clock())
        is_due = any(self._is_due(one, at) for one in self._known.proposals)
        if is_due:
            self.action_refresh()
        table = self.query_one("#proposals", Table)
        for row, one in enumerate(self._known.proposals):
            if one.state not in OVER and row < table.row_count:
                table.update_cell_at(Coordinate(row, 4), cell(self._left(one)))
        self._show_chosen()

    @staticmethod
    def _is_due(one: ProposalFacts, at: int) -> bool:
        """Say whether a proposal's state has changed by the passing of time."""
        ends = {"open": one.closes_at, "queued": one.free_at or at, "closing": one.final_at, "pending": one.opens_at}
        return one.state in ends and at >= ends[one.state]

    def _chosen_cid(self) -> str:
        table = self.query_one("#proposals", Table)
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value) if table.row_count else ""

    def _chosen(self) -> ProposalFacts | None:
        cid = self._chosen_cid()
        one = next((one for one in self._known.proposals if one.cid == cid), None)
        if one is None:
            self.trouble("there is no proposal yet; make one with: coffer dao propose")
        return one

    def on_resize(self) -> None:
        """Fit the titles to the width."""
        if self._known.proposals:
            self._show(self._known)

    def on_data_table_row_highlighted(self) -> None:
        """Show the chosen one."""
        self._show_chosen()

    def _show_chosen(self) -> None:
        cid = self._chosen_cid()
        one = next((one for one in self._known.proposals if one.cid == cid), None)
        words = "[dim]no proposal is known here; members make one with: coffer dao propose[/]"
        if one is not None:
            words = proposal_text(one, int(self.coffer.clock()))
        self.query_one("#proposal", Static).update(words)

    def action_vote(self, support: str) -> None:
        """Answer the chosen proposal."""
        one = self._chosen()
        if one is None:
            return
        if not self._known.voters:
            self.trouble("no wallet of this home is a member's, so nobody can vote from here")
            return
        proposal = one

        def answered(answer: tuple[str, str] | None) -> None:
            if answer is None:
                return
            wallet, reason = answer
            desk = self.coffer.desk.governing

            def cast() -> None:
                self.slow(
                    "voting", lambda job: desk.vote(proposal.cid, support, wallet, reason), self._taken, is_told=True
                )

            self.with_wallet(wallet, cast)

        self.app.push_screen(VoteDialog(support, one.title, self._known.voters, warning=one.warning), answered)

    def action_close_vote(self) -> None:
        """Have the chosen vote closed."""
        one = self._chosen()
        if one is not None:
            cid, desk = one.cid, self.coffer.desk.governing
            self.slow("closing the vote", lambda job: desk.close_vote(cid), self._taken, is_told=True)

    def action_carry_out(self) -> None:
        """Have the chosen decision carried out."""
        one = self._chosen()
        if one is not None:
            cid, desk = one.cid, self.coffer.desk.governing
            self.slow("carrying it out", lambda job: desk.carry_out(cid), self._taken, is_told=True)

    def action_cancel(self) -> None:
        """As a guardian, cancel the chosen grant."""
        one = self._chosen()
        if one is None:
            return
        cid, desk = one.cid, self.coffer.desk.governing
        words = f"Cancel: {one.title}? Members have to propose it anew."
        self._as_guardian("Cancel a grant", words, lambda wallet: desk.cancel(cid, wallet))

    def action_revoke(self) -> None:
        """As a guardian, revoke something at once."""
        if not self._known.guardians:
            self.trouble("no wallet of this home is a guardian's; members revoke by a vote")
            return
        desk = self.coffer.desk.governing

        def chosen(what: Revocable | None) -> None:
            if what is not None:
                words = f"Revoke {what.words}? It takes effect at once, and enclaves stop within one lease."
                self._as_guardian("Emergency revocation", words, lambda wallet: desk.revoke(what, wallet))

        def show(choices: tuple[Revocable, ...]) -> None:
            self.app.push_screen(RevokeDialog(choices), chosen)

        self.slow("what can be revoked", lambda job: desk.revocable(), show)

    def _as_guardian(self, title: str, words: str, act: Callable[[str], Taken]) -> None:
        if not self._known.guardians:
            self.trouble("no wallet of this home is a guardian's; members decide by a vote")
            return
        wallet = self._known.guardians[0]

        def confirmed(is_sure: bool | None) -> None:
            if is_sure:
                self.with_wallet(wallet, sign)

        def sign() -> None:
            self.slow(title.lower(), lambda job: act(wallet), self._taken, is_told=True)

        self.app.push_screen(ConfirmDialog(title, words, yes="Do it", is_grave=True), confirmed)

    def _taken(self, taken: Taken) -> None:
        self.notify(taken.words, severity="information" if taken.is_enough else "warning", markup=False)
        self.trouble(taken.problems[0] if taken.problems and not taken.is_enough else "")
        self.coffer.beat(is_fresh=True)
        self.action_refresh()

    def action_verify(self) -> None:
        """Verify everything that was ever decided; a tick for each link that holds."""
        desk = self.coffer.desk.governing
        log, said = self.query_one("#history", RichLog), self.query_one("#history-said", Static)
        self.set_focus(None)  # a focused table would bring its own tab back
        self.query_one("#governance-tabs", TabbedContent).active = "history-tab"
        self.call_after_refresh(log.focus)
        log.clear()
        said.update("verifying from the charter on …")

        def show(markup: str) -> None:
            log.write(markup)

        def work(job: Job) -> int:
            def tell(link: str) -> None:
                job.require_going()
                self.post_message(self.Ended(lambda: show(f"{OKAY} {plain(link)}")))

            return desk.verify(tell)

        def failed(error: Exception) -> None:
            show(f"{WRONG} {plain(error_sentence(error))}")
            said.update(f"{CROSS} something does not hold; what is above the cross does")

        def held(links: int) -> None:
            said.update(f"{TICK} all of it holds: {counted(links, 'link')}, verified here from the charter on")

        self.slow("verifying the history", work, held, failed=failed, is_told=True)

    def copyable(self) -> str:
        """Return the chosen proposal's CID."""
        return self._chosen_cid()


def proposal_text(one: ProposalFacts, at: int) -> str:
    """Return a proposal in words: what it changes, how its vote stands, who said what."""
    lines = [f"[bold]{plain(one.title)}[/]  [dim]{short(one.cid, 14, 6)} by {short(one.proposer, 8, 4)}[/]"]
    if one.accepts_simulated:
        lines.append(f"{tee_badge(SIMULATED)} [bold $error]it accepts a TEE that protects nothing[/]")
    if one.warning:
        lines.append(f"[bold $error]! {plain(one.warning)}[/]")
    lines += [f"[bold]{SIGNS[one.state]} {one.state}[/]: {next_words(one, at)}", "", bars(one)]
    if not one.is_settled and one.state not in OVER:
        lines.append("[dim]as far as this home knows; which votes came in time, custodians say at the close[/]")
    lines += ["", "[bold]What it changes[/]", *(f"  {OPEN} {plain(change)}" for change in one.changes)]
    if one.votes:
        lines += ["", "[bold]Votes[/]"]
        for vote in one.votes:
            who = f"{short(vote.voter, 8, 4)}{' (you)' if vote.is_mine else ''}"
            why = f": {plain(vote.reason)}" if vote.reason else ""
            lines.append(f"  {vote.support:<8} {who}, weight {vote.weight:,}{why}")
    lines += [f"{CROSS} {plain(problem)}" for problem in one.problems]
    return "\n".join(lines)
