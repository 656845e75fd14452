"""Windows: which of those that custodians report count as lost, and what losing one costs (rule F3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from tests.builders import dao, seeded, wallet
from tests.vault.test_ledger import ACCOUNT, LICENSEE, paid_in, query
from vault.charter import WINDOW_ENTRIES_MAX, WINDOW_PASSAGES_MAX, WINDOW_SPEND_MAX, Charter, Window
from vault.entry import Entry, Kind, SealedVectors
from vault.errors import LedgerTampered, MalformedObject
from vault.ledger import Books
from vault.losses import SUSPENSE_S, suspense_of
from vault.made_entries import opening_entry, refund_entry, snapshot_entry
from vault.window import OpenWindow, WindowId, last_of_each, lost_windows

WINDOW = Window(entries=10, passages=20, spend=300)
INSTANCE, OTHER = bytes(32), seeded("another instance")  # `query` books for the first


def open_window(instance: bytes = INSTANCE, start: int = 1, window: Window = WINDOW) -> OpenWindow:
    return OpenWindow(instance=instance, start=start, window=window)


@pytest.mark.parametrize(
    ("field", "most"),
    [("entries", WINDOW_ENTRIES_MAX), ("passages", WINDOW_PASSAGES_MAX), ("spend", WINDOW_SPEND_MAX)],
)
def test_a_window_lets_something_through_and_has_a_bound(field: str, most: int) -> None:
    for size in (1, most):
        replace(WINDOW, **{field: size})
    for size in (0, most + 1):
        with pytest.raises(MalformedObject):
            replace(WINDOW, **{field: size})


class TestReports:
    def charter(self, n: int, q: int, f: int) -> Charter:
        return replace(dao(1, custodians=n).charter, shares=q, signatures=q, liars=f)

    def numbers(self) -> list[tuple[int, int, int]]:
        return [(n, q, f) for n in range(1, 8) for f in range(n) for q in range((n + f) // 2 + 1, n - f + 1)]

    def test_whatever_q_custodians_signed_is_found_by_any_q_that_answer_whichever_f_lie(self) -> None:
        for n, q, f in self.numbers():
            charter = self.charter(n, q, f)
            signed, liars = set(range(q)), set(range(f))  # liars that signed, and forget it now: the worst
            for size in range(q, n + 1):
                for answering in combinations(range(n), size):
                    reports = [[open_window()] if key in signed - liars else [] for key in answering]
                    assert lost_windows(reports, charter) == (open_window(),), (n, q, f, answering)

    def test_f_liars_invent_nothing_while_all_answer(self) -> None:
        for n, q, f in self.numbers():
            reports = [[open_window(OTHER)]] * f + [[]] * (n - f)
            assert lost_windows(reports, self.charter(n, q, f)) == ()

    def test_the_start_is_never_before_the_true_one(self) -> None:
        """Entries from before would count as shown in the window, and so hide some that are gone."""
        charter = self.charter(4, 3, 1)
        reports = [[open_window(start=start)] for start in (0, 5, 5, 7)]
        assert lost_windows(reports, charter) == (open_window(start=5),)

    def test_one_custodian_that_lists_a_window_many_times_counts_once(self) -> None:
        reports = [[open_window(start=start) for start in range(5)], [], [], []]
        assert lost_windows(reports, self.charter(4, 3, 1)) == ()

    def test_a_size_that_liars_alone_name_does_not_count(self) -> None:
        huge = replace(WINDOW, passages=1_000)
        reports = [[open_window(window=huge)], [open_window()], [open_window()], []]
        assert lost_windows(reports, self.charter(4, 3, 1)) == (open_window(),)

    def test_the_last_window_of_each_instance_is_what_gets_settled(self) -> None:
        windows = [open_window(start=3), open_window(OTHER, 2), open_window(start=1)]
        assert set(last_of_each(windows)) == {
            WindowId(instance=INSTANCE, start=3),
            WindowId(instance=OTHER, start=2),
        }


class TestLosses:
    """Books of 1,000 in credit, entry 1, and of an answer that cost 100 and showed two passages, entry 2."""

    @pytest.fixture
    def books(self) -> Books:
        books = Books()
        books.book(paid_in(books, 1_000))
        books.book(query(books))
        return books

    def lose(self, books: Books, *windows: OpenWindow, at: int = 0) -> int:
        books.book(opening_entry(books, OTHER, windows, at=at))
        assert sum(books.balances().values()) == 0
        return books.last_sequence

    @pytest.mark.parametrize(
        ("start", "instance", "passages", "held"),
        [(1, INSTANCE, 18, 200), (2, INSTANCE, 20, 300), (1, OTHER, 20, 300)],
    )
    def test_entries_of_that_very_window_count_in_favor(
        self, books: Books, start: int, instance: bytes, passages: int, held: int
    ) -> None:
        self.lose(books, open_window(instance, start))
        assert books.lost_passages(LICENSEE) == passages
        assert books.lost_passages(wallet("stranger").address) == 20
        assert (books.balance(ACCOUNT), books.balance(suspense_of(ACCOUNT))) == (900 - held, held)

    def test_several_add_up_and_no_more_is_held_than_there_is(self, books: Books) -> None:
        self.lose(books, *(open_window(seeded(f"instance {number}")) for number in range(5)))
        assert books.lost_passages(LICENSEE) == 100
        assert (books.balance(ACCOUNT), books.balance(suspense_of(ACCOUNT))) == (0, 900)

    def test_passages_shown_before_count_for_nothing(self, books: Books) -> None:
        books.book(query(books, "the same passages again"))
        self.lose(books, open_window(start=2))
        assert books.lost_passages(LICENSEE) == 20

    def test_credit_comes_back_after_its_time_once(self, books: Books) -> None:
        opening = self.lose(books, open_window(start=2), at=1_000)
        over = 1_000 + SUSPENSE_S
        assert (books.due(over - 1), books.due(over)) == ([], [opening])
        with pytest.raises(LedgerTampered, match="nothing to refund"):
            books.book(refund_entry(books, opening, at=over - 1))
        effect = books.book(refund_entry(books, opening, at=over))
        assert effect.credited == ((ACCOUNT, 300),)
        assert (books.balance(ACCOUNT), books.balance(suspense_of(ACCOUNT)), books.due(over)) == (900, 0, [])
        with pytest.raises(LedgerTampered, match="nothing to refund"):
            books.book(refund_entry(books, opening, at=over))
        assert books.lost_passages(LICENSEE) == 20  # budgets do not come back

    def test_an_opening_that_lost_nothing_costs_nothing_and_settles_what_was_before(self, books: Books) -> None:
        opening = self.lose(books)
        assert (books.decided, books.opened_by, books.lost_passages(LICENSEE)) == (opening, OTHER, 0)
        assert books.balance(ACCOUNT) == 900

    def test_read_again_the_books_are_the_same(self, books: Books) -> None:
        self.lose(books, open_window())
        again = Books()
        again.book(paid_in(again, 1_000))
        again.book(Entry.from_bytes(query(again).encoded()))
        again.book(Entry.from_bytes(opening_entry(again, OTHER, (open_window(),), at=0).encoded()))
        assert again.balances() == books.balances()
        assert again.lost_passages(LICENSEE) == books.lost_passages(LICENSEE)

    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.OPENING, Kind.CHANNEL, Kind.VOUCHER)])
    def test_windows_are_lost_at_an_opening_alone(self, books: Books, kind: Kind) -> None:
        entry: Any = query(books)
        if kind is Kind.SNAPSHOT:
            vectors = SealedVectors(manifest=entry.query.passages[0].manifest, root=entry.query.policy)
            entry = snapshot_entry(books, vectors, at=0)
        elif kind is not Kind.QUERY:
            entry = replace(opening_entry(books, OTHER, (), at=0), kind=kind)
        with pytest.raises(MalformedObject, match="lost at an opening"):
            replace(entry, lost=(open_window(),))
