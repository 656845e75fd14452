"""The journal's promises, over SQLite and PostgreSQL: whole, in order, one history, even when killed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.at_once import at_once, winners
from vault.errors import ForkedHistory
from vault.records.database import Records, open_records
from vault.records.journal import APPEND_ROWS_MAX, PAGE_ROWS, Journal
from vault.records.model import JournalRow
from vault.records.tables import SEALED_BYTES_MAX

pytest_plugins = ["tests.records"]

LEDGER, OTHER_LEDGER = bytes([1]) * 32, bytes([2]) * 32
ROOT = Path(__file__).parents[2]


def journal_row(sequence: int, sealed: bytes = b"sealed") -> JournalRow:
    return JournalRow(sequence, sealed, hashlib.sha256(b"%d" % sequence + sealed).digest())


def journal_rows(first: int, last: int) -> list[JournalRow]:
    return [journal_row(sequence) for sequence in range(first, last + 1)]


def test_rows_come_back_in_order_over_several_pages(records: Records) -> None:
    journal, written = Journal(records, LEDGER), journal_rows(1, 2 * PAGE_ROWS + 1)
    journal.append(written)
    assert list(journal.rows()) == written
    assert list(journal.rows(after=PAGE_ROWS)) == written[PAGE_ROWS:]
    assert list(journal.rows(after=len(written))) == []
    assert journal.last() == written[-1]


def test_rows_of_several_entries_follow_one_another(records: Records) -> None:
    journal = Journal(records, LEDGER)
    written = [replace(journal_row(last), entries=entries) for last, entries in [(3, 3), (4, 1), (1028, 1024)]]
    journal.append(written[:2])
    journal.append(written[2:])
    assert [*journal.rows()] == written
    assert [*journal.rows(after=3)] == written[1:]
    assert [*journal.rows(after=5)] == written[2:]  # the row that entry 6 is in
    for last, entries in [(1029, 2), (1030, 1), (1028, 1)]:
        with pytest.raises(ForkedHistory, match="next entry is 1029"):
            journal.append([replace(journal_row(last), entries=entries)])


def test_a_page_is_bounded_by_its_bytes(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.records.journal.PAGE_BYTES", 1_000)
    journal, sizes = Journal(records, LEDGER), (300, 300, 400, 1, 1_000, 2_000, 5)
    written = [journal_row(number, bytes(size)) for number, size in enumerate(sizes, 1)]
    journal.append(written)
    assert [len(journal._page(after)) for after in (0, 3, 4, 5, 6)] == [3, 1, 1, 1, 1]
    assert [*journal.rows()] == written


def test_batches_of_every_size_are_written_whole(records: Records) -> None:
    journal, written = Journal(records, LEDGER), list[JournalRow]()
    for size in (1, 2, 3, 4, 11, 12, 47, 48, 49, 191, 192, 193, 317, APPEND_ROWS_MAX):
        batch = [journal_row(len(written) + n, b"%d" % n * n) for n in range(1, size + 1)]
        journal.append(batch)
        written += batch
    assert list(journal.rows()) == written


def test_an_empty_journal_has_no_rows(records: Records) -> None:
    journal = Journal(records, LEDGER)
    journal.append([])
    assert journal.last() is None
    assert list(journal.rows()) == []


def test_ledgers_do_not_mix(records: Records) -> None:
    Journal(records, LEDGER).append(journal_rows(1, 3))
    other = Journal(records, OTHER_LEDGER)
    assert other.last() is None
    other.append(journal_rows(1, 1))
    assert list(other.rows()) == journal_rows(1, 1)
    assert list(Journal(records, LEDGER).rows()) == journal_rows(1, 3)


def test_rows_outlast_a_restart(records_url: str) -> None:
    with open_records(records_url) as before:
        Journal(before, LEDGER).append(journal_rows(1, 5))
    with open_records(records_url) as after:
        assert list(Journal(after, LEDGER).rows()) == journal_rows(1, 5)


@pytest.mark.parametrize("sequences", [(3,), (1,), (5,), (4, 6), (4, 4), (5, 4), (4, 5, 3)], ids=str)
def test_a_sequence_out_of_line_forks_and_nothing_of_its_batch_is_kept(
    records: Records, sequences: tuple[int, ...]
) -> None:
    journal = Journal(records, LEDGER)
    journal.append(journal_rows(1, 3))
    with pytest.raises(ForkedHistory, match="next entry is"):
        journal.append([journal_row(sequence, b"other") for sequence in sequences])
    assert list(journal.rows()) == journal_rows(1, 3)


@pytest.mark.parametrize(
    "bad",
    [
        replace(journal_row(2), mac=bytes(31)),
        replace(journal_row(2), sealed=b""),
        replace(journal_row(1026), entries=1025),
        replace(journal_row(2), sealed=bytes(SEALED_BYTES_MAX + 1)),
    ],
    ids=["short mac", "empty", "too many", "too long"],
)
def test_a_value_out_of_bounds_is_our_bug_and_nothing_of_its_batch_is_kept(records: Records, bad: JournalRow) -> None:
    journal = Journal(records, LEDGER)
    with pytest.raises(ValueError, match="outside what its column takes"):
        journal.append([journal_row(1), bad])
    many = [
        *journal_rows(1, 400),
        replace(bad, sequence=400 + bad.entries),
    ]  # it fails in a statement that others came before
    with pytest.raises(ValueError, match="outside what its column takes"):
        journal.append(many)
    assert journal.last() is None


def test_the_largest_row_fits(records: Records) -> None:
    journal, row = Journal(records, LEDGER), journal_row(1, bytes(SEALED_BYTES_MAX))
    journal.append([row])
    assert journal.last() == row


def test_a_batch_is_bounded(records: Records) -> None:
    with pytest.raises(ValueError, match=str(APPEND_ROWS_MAX)):
        Journal(records, LEDGER).append(journal_rows(1, APPEND_ROWS_MAX + 1))


def test_of_threads_that_append_the_same_sequence_one_wins(records: Records) -> None:
    journal = Journal(records, LEDGER)
    for sequence in range(1, 6):
        rows = [journal_row(sequence, b"%d" % writer) for writer in range(4)]
        outcomes = at_once(*(partial(journal.append, [row]) for row in rows))
        assert winners(outcomes, refused_with=ForkedHistory) == 1
        assert journal.last() == rows[outcomes.index(None)]
    assert [row.sequence for row in journal.rows()] == [1, 2, 3, 4, 5]


def test_a_row_waits_for_whoever_writes_where_it_may_and_is_not_written_where_it_may_not(records: Records) -> None:
    journal = Journal(records, LEDGER)
    journal.append([journal_row(1)])
    with records.writing(b"journal" + LEDGER) as session:
        session.connection()
        assert not journal.append_now(journal_row(2))
        waiting = threading.Thread(target=journal.append, args=([journal_row(2)],))
        waiting.start()
    waiting.join()
    assert journal.append_now(journal_row(3)) is (records.engine.dialect.name == "sqlite")
    assert not journal.append_now(journal_row(9))
    assert [row.sequence for row in journal.rows()][:2] == [1, 2]


@pytest.mark.parametrize("wrong", [{"sealed": b""}, {"entries": 1025}, {"mac": b"short"}])
def test_a_row_alone_that_no_column_takes_is_our_bug(records: Records, wrong: dict[str, Any]) -> None:
    journal = Journal(records, LEDGER)
    journal.append([journal_row(1)])
    row = replace(journal_row(2), **wrong)
    row = replace(row, sequence=row.sequence + row.entries - 1)
    with pytest.raises(ValueError, match="outside what its column takes"):
        journal.append([row])
    journal.append([journal_row(2)])  # and the next one is none the worse for it


def test_processes_that_start_and_write_at_once_share_one_history(records_url: str) -> None:
    writers = [spawned(RACER, records_url) for _ in range(3)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    wins = [int(writer.communicate(timeout=30)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert sum(wins) == 20
    with open_records(records_url) as records:
        assert list(Journal(records, LEDGER).rows()) == journal_rows(1, 20)


def test_a_killed_writer_leaves_a_whole_prefix(records_url: str) -> None:
    with spawned(WRITER, records_url) as writer:
        confirmed = [int(writer.stdout.readline()) for _ in range(5)]
        writer.kill()
        confirmed += [int(line) for line in writer.stdout if line.endswith("\n")]
    with open_records(records_url) as records:
        with records.writing(b"journal" + LEDGER):
            pass  # a server may still be at the dead writer's last commit
        sequences = [row.sequence for row in Journal(records, LEDGER).rows()]
        Journal(records, LEDGER).append([journal_row(len(sequences) + 1)])
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) >= confirmed[-1]
    assert len(sequences) % 5 == 0


def test_any_sequence_of_calls_agrees_with_a_list(records: Records) -> None:
    ledgers = iter(range(1 << 16))

    class Machine(RuleBasedStateMachine):
        @initialize()
        def start(self) -> None:
            self.journal = Journal(records, next(ledgers).to_bytes(32, "big"))
            self.model: list[JournalRow] = []

        @rule(count=st.integers(0, 3), offset=st.integers(-2, 2), sealed=st.binary(min_size=1, max_size=8))
        def append(self, count: int, offset: int, sealed: bytes) -> None:
            first = len(self.model) + 1 + offset
            rows = [journal_row(first + place, sealed) for place in range(count)]
            if offset and count:
                with pytest.raises(ForkedHistory):
                    self.journal.append(rows)
            else:
                self.journal.append(rows)
                self.model += rows

        @rule(after=st.integers(0, 12))
        def read(self, after: int) -> None:
            assert list(self.journal.rows(after=after)) == self.model[after:]

        @invariant()
        def last_agrees(self) -> None:
            if hasattr(self, "model"):
                assert self.journal.last() == (self.model[-1] if self.model else None)

    run_state_machine_as_test(Machine, settings=settings(max_examples=15, stateful_step_count=8, deadline=None))


def spawned(script: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own interpreter and script
        [sys.executable, "-c", script, url], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


_PREAMBLE = """
import hashlib, sys
from vault.errors import ForkedHistory
from vault.records.database import open_records
from vault.records.journal import Journal
from vault.records.model import JournalRow

def row(sequence):
    return JournalRow(sequence, b"sealed", hashlib.sha256(b"%d" % sequence + b"sealed").digest())
"""
RACER = f"""{_PREAMBLE}
print("ready", flush=True)
sys.stdin.readline()
won = 0
with open_records(sys.argv[1]) as records:
    journal = Journal(records, {LEDGER!r})
    for sequence in range(1, 21):
        try:
            journal.append([row(sequence)])
            won += 1
        except ForkedHistory:
            pass
print(won)
"""
WRITER = f"""{_PREAMBLE}
with open_records(sys.argv[1]) as records:
    journal = Journal(records, {LEDGER!r})
    for first in range(1, 100_000, 5):
        journal.append([row(sequence) for sequence in range(first, first + 5)])
        print(first + 4, flush=True)
"""
