"""A playground: ask as a licensee, see the passages with their sources, and the receipt checked link by link."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Select, Static, TabbedContent, TabPane, Tree

from tui.desk.asking import Asked, Credential, Found, Link, ReceiptFacts, Terms
from tui.page import Page
from tui.slow import EXPECTED, Job
from tui.widgets.bars import tee_badge
from tui.widgets.dialogs import PasswordDialog
from tui.widgets.long_list import LongList
from tui.words import amount, counted, moment, plain
from vault.errors import WrongKey
from vault.plain_text import error_sentence, printable
from vault.question import TEXT_CHARS_MAX

K: Final = 5
MODES: Final = (("by meaning", "dense"), ("by words", "keyword"), ("both", "hybrid"))
BAR_CELLS: Final = 10


class AskPage(Page):
    """One question at a time; nothing is sent before the enclave has proved what it is."""

    NAME = "ask"
    ABOUT = (
        "# Ask\n"
        "Ask as a **licensee**, with a credential of this home. Before a word is sent the enclave proves what it is. "
        "Each answer is charged, its receipt is kept in this home and checked **link by link**, offline.\n\n"
        "`/` goes to the question, Enter asks. *Receipts* lists all that were kept: Enter checks the chosen one again. "
        "The question is kept in the receipt file alone, never in a log."
    )
    AUTO_FOCUS = ""  # so that numbers and letters are keys until a person goes to the question
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "question", "Question", key_display="/"),
        Binding("c", "credential", "Credential", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._credential = ""
        self._known: tuple[Credential, ...] = ()
        self._terms: Terms | None = None
        self._receipt = ""

    def body(self) -> Iterable[Widget]:
        """Lay out the terms, the question, and what came of it."""
        yield Static("[dim]looking for credentials …[/]", id="terms")
        yield Horizontal(
            Input(placeholder="Ask a question, then Enter", id="question", max_length=TEXT_CHARS_MAX),
            Select([(title, mode) for title, mode in MODES], value="dense", allow_blank=False, id="mode", compact=True),
            id="question-line",
        )
        with TabbedContent(initial="passages-tab", id="results"):
            with TabPane("Passages", id="passages-tab"):
                yield VerticalScroll(
                    Static("[dim]what comes of your question appears here[/]", id="answer"), id="answer-scroll"
                )
            with TabPane("Receipt", id="receipt-tab"):
                tree: Tree[str] = Tree("no receipt yet", id="receipt")
                yield tree
            with TabPane("Receipts kept", id="receipts-tab"):
                yield LongList(empty="no receipts yet: ask something first", id="receipts")

    def action_refresh(self) -> None:
        """Look for credentials and receipts again."""
        if not self.coffer.has_desk:
            return
        desk = self.coffer.desk.asking
        self.slow("credentials", lambda job: desk.credentials(), self._show_credentials)
        self.slow("kept receipts", lambda job: desk.receipts(), self.query_one("#receipts", LongList).show)

    def _show_credentials(self, known: tuple[Credential, ...]) -> None:
        self._known = known
        if not known:
            self._say("no credential is in this home: make one with [bold]coffer license accept[/]")
            return
        self._credential = self._credential or known[0].name
        chosen = next((one for one in known if one.name == self._credential), known[0])
        if chosen.is_open:
            self._connect()
        elif self._terms is None:
            self._say(f"credential [bold]{plain(chosen.name, 30)}[/] is sealed: press [bold]c[/] to open it")

    def _say(self, markup: str) -> None:
        self.query_one("#terms", Static).update(markup)

    def action_question(self) -> None:
        """Go to the question."""
        self.query_one("#question", Input).focus()

    def action_credential(self, problem: str = "") -> None:
        """Open the credential with its password; once for as long as the terminal runs."""
        if self._credential:
            what = f"for the credential {self._credential}"
            self.app.push_screen(PasswordDialog(what, problem=problem), self._open)

    def _open(self, password: str | None) -> None:
        if password is None:
            return
        desk, name = self.coffer.desk.asking, self._credential

        def failed(error: Exception) -> None:
            if isinstance(error, WrongKey):
                self.action_credential(problem="that is not its password; try again")
            else:
                self.trouble(error_sentence(error))

        self.slow(
            "opening the credential", lambda job: desk.open(name, password), lambda _: self._connect(), failed=failed
        )

    def _connect(self) -> None:
        desk, name = self.coffer.desk.asking, self._credential
        self.slow("the terms", lambda job: desk.terms(name), self._show_terms)

    def _show_terms(self, terms: Terms) -> None:
        self._terms = terms
        self.trouble("")
        price = amount(terms.price_per_query, terms.currency)
        if terms.price_per_passage:
            price += f" + {amount(terms.price_per_passage, terms.currency)} a passage"
        by_volume = f"\n[dim]{plain('; '.join(terms.by_volume))}[/]" if terms.by_volume else ""
        left = terms.passages_max - terms.passages_seen
        self._say(
            f"{tee_badge(terms.tee)} [bold]{plain(terms.policy, 40)}[/]  {price} a question  "
            f"credit {amount(terms.credit, terms.currency)}  "
            f"{left:,} of {terms.passages_max:,} passages left{by_volume}"
        )

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Ask."""
        text = message.value.strip()
        if not text:
            self.trouble("type a question first")
        elif not self._credential:
            self.trouble("there is no credential to ask with; make one with: coffer license accept")
        elif self._terms is None:
            self.action_credential()
        else:
            self._ask(text)

    def _ask(self, text: str) -> None:
        desk, name, mode = self.coffer.desk.asking, self._credential, str(self.query_one("#mode", Select).value)
        k = min(K, self._terms.k_max) if self._terms is not None else K
        self.query_one("#results", TabbedContent).active = "passages-tab"
        self.slow("asking", lambda job: desk.ask(name, text, k=k, mode=mode), self._show_answer, is_told=True)

    def _show_answer(self, asked: Asked) -> None:
        self.trouble("")
        self.query_one("#answer", Static).update(_answer_text(asked))
        self.query_one("#answer-scroll", VerticalScroll).scroll_home(animate=False)
        self._verify(asked.receipt)
        self._connect()
        desk = self.coffer.desk.asking
        self.slow("kept receipts", lambda job: desk.receipts(), self.query_one("#receipts", LongList).show)

    def _verify(self, name: str) -> None:
        desk = self.coffer.desk.asking
        self._receipt = name

        def work(_: Job) -> tuple[ReceiptFacts, tuple[Link, ...]]:
            return desk.receipt(name), desk.verify(name)

        self.slow("checking the receipt", work, lambda checked: self._show_receipt(name, *checked))

    def _show_receipt(self, name: str, facts: ReceiptFacts, links: tuple[Link, ...]) -> None:
        tree = self.query_one("#receipt", Tree)
        tree.clear()
        holds = all(link.holds for link in links)
        mark = "✓ holds" if holds else "✗ does not hold"
        tree.root.set_label(f"receipt {facts.sequence}: {mark}")
        what = tree.root.add("what it says", expand=True)
        for words in (
            f"at {moment(facts.at)} UTC",
            f"{counted(facts.passages, 'passage')} for {amount(facts.price, facts.currency)}",
            f"{facts.budget_left:,} passages left to see",
            f"TEE {facts.tee.upper() if facts.tee == 'simulated' else facts.tee}",
            f"file {name}",
        ):
            what.add_leaf(printable(words))
        how = tree.root.add(f"its check: {len(links)} links, offline", expand=True)
        for link in links:
            how.add_leaf(f"{'✓' if link.holds else '✗'} {printable(link.words)}")
        tree.root.expand_all()

    def on_long_list_wanted(self, message: LongList.Wanted) -> None:
        """Read what the receipts in sight say."""
        desk = self.coffer.desk.asking

        def work(job: Job) -> dict[str, str]:
            lines = {}
            for name in message.names:
                job.require_going()
                try:
                    lines[name] = _receipt_line(desk.receipt(name))
                except EXPECTED as error:
                    lines[name] = f"✗ {error_sentence(error)}"
            return lines

        self.slow(f"receipts from {message.names[0]}", work, message.sender.tell)

    def on_long_list_chosen(self, message: LongList.Chosen) -> None:
        """Check the chosen receipt again."""
        self._verify(message.name)
        self.query_one("#results", TabbedContent).active = "receipt-tab"

    def copyable(self) -> str:
        """Return the name of the receipt that is shown, or else of the one under the cursor."""
        return self._receipt or self.query_one("#receipts", LongList).name_at_cursor

    def commands(self) -> Iterable[tuple[str, str, Callable[[], Any]]]:
        """Offer the credentials, too."""
        yield from super().commands()
        for one in self._known:
            yield f"Use credential {one.name}", "ask with this one", partial(self._use, one.name)

    def _use(self, name: str) -> None:
        self._credential, self._terms = name, None
        self.action_refresh()


def _answer_text(asked: Asked) -> str:
    head = [
        f"[bold]{amount(asked.price, asked.currency)}[/], receipt {asked.sequence}, "
        f"{asked.budget_left:,} passages left  [dim]{_ms(asked.total_s)}: "
        f"embedding {_ms(asked.embed_s)}, search {_ms(asked.search_s)}[/]"
    ]
    if asked.is_repeat:
        head.append("this answer was given, and charged, before; it was not charged again")
    if asked.is_partial:
        head.append("[$warning]partial:[/] the extraction budget held some back")
    if not asked.passages:
        head.append("no passage was found")
    return "\n\n".join(["\n".join(head), *(_passage_text(rank, one) for rank, one in enumerate(asked.passages, 1))])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:6.1f} ms"


def _passage_text(rank: int, one: Found) -> str:
    cells = max(0, min(BAR_CELLS, round(one.score * BAR_CELLS)))
    bar = f"[$primary]{'█' * cells}[/][dim]{'░' * (BAR_CELLS - cells)}[/]"
    where = f"[bold]{plain(one.source, 60)}[/] {one.start}-{one.end}  [dim]{plain(one.dataset, 40)}[/]"
    text = plain(" ".join(printable(one.text).split()))
    black = "  [$warning](parts blacked out)[/]" if one.is_redacted else ""
    return f"{rank}. {bar} {one.score:.3f}  {where}{black}\n{text}"


def _receipt_line(facts: ReceiptFacts) -> str:
    price = amount(facts.price, facts.currency)
    passages = counted(facts.passages, "passage")
    return f"{facts.sequence:>7}  {moment(facts.at)}  {passages:>12}  {price:>18}  TEE {facts.tee}"
