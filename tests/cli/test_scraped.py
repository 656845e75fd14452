"""Metrics of an enclave, read from outside: what it counted comes back, and nothing else is believed."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from cli.scraped import BYTES_MAX, counters_from, scraped
from enclave.metrics import Metrics, Stage
from tui.desk.watching import Counters, StageTimes
from tui.rates import Readings, quantile, refusals, since, total
from vault.errors import CreditExhausted, MalformedObject, ServiceUnavailable


def counted(*, answered: int = 0, refused: int = 0, seconds: float = 0.003) -> bytes:
    """Return what an enclave shows after so many questions."""
    metrics = Metrics()
    for _ in range(answered):
        with metrics.question() as outcome:
            outcome.answered(3, is_partial=False, is_repeat=False)
        metrics.observe(Stage.SEARCH, seconds)
    for _ in range(refused):
        with pytest.raises(CreditExhausted), metrics.question():
            raise CreditExhausted("no credit")
    return generate_latest(metrics.registry)


def at(seconds: float, *, answered: int = 0, refused: int = 0) -> Counters:
    return counters_from(counted(answered=answered, refused=refused), at=seconds)


def test_what_was_counted_comes_back() -> None:
    found = at(1.0, answered=4, refused=2)
    assert dict(found.outcomes) == {"answered": 4, "refused_credit_exhausted": 2}
    assert (found.passages, found.under_way, found.at) == (12, 0, 1.0)
    assert [stage.name for stage in found.stages] == [stage.value for stage in Stage]
    search = next(stage for stage in found.stages if stage.name == "search")
    assert search.count == 4 and search.total_s == pytest.approx(0.012)
    assert math.isinf(search.bounds[-1])
    assert refusals(found) == [("credit exhausted", 2)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"coffer_passages_total 12.0", b"coffer_passages_total -1.0"),
        (b"coffer_passages_total 12.0", b"coffer_passages_total NaN"),
        (b"coffer_passages_total 12.0", b"coffer_passages_total 1.5"),
        (b"coffer_passages_total 12.0", b"coffer_passages_total 1e300"),
        (b"coffer_passages_total 12.0", b""),
        (b'outcome="answered"', b'outcome="[bold]"'),
        (b'outcome="answered"', b'reason="answered"'),
        (b'le="+Inf"', b'le="20"'),
        (b'le="0.005",stage="search"} 4.0', b'le="0.005",stage="search"} 9.0'),
        (b'le="0.005"', b'le="nan"'),
        (b'le="0.005"', b'le="0.01"'),
        (b'stage="search"', b'stage="queue"'),
        (b"coffer_stage_seconds_sum", b"coffer_stage_seconds_sum{stage="),
        (b"# TYPE", b"\xff"),
    ],
)
def test_each_changed_fact_is_refused(old: bytes, new: bytes) -> None:
    whole = counted(answered=4)
    assert old in whole
    with pytest.raises(MalformedObject, match="no metrics of an enclave"):
        counters_from(whole.replace(old, new), at=0)


def test_labels_without_end_are_refused() -> None:
    many = b"".join(b'coffer_questions_total{outcome="o%d"} 1\n' % number for number in range(1000))
    with pytest.raises(MalformedObject, match="too many"):
        counters_from(counted() + many, at=0)


@given(st.binary(max_size=300), st.integers(0, 4000))
def test_nothing_but_our_error_escapes(noise: bytes, place: int) -> None:
    whole = counted(answered=1)
    for body in (noise, whole[:place] + noise + whole[place:]):
        try:
            found = counters_from(body, at=0)
        except MalformedObject:
            continue
        assert total(found) >= 0


@given(st.text(alphabet='{}",=\\\n #abcoffer_total019.e+', max_size=120))
def test_nothing_but_our_error_escapes_what_looks_like_metrics(text: str) -> None:
    with suppress(MalformedObject):
        counters_from(f"coffer_passages_total 1\ncoffer_questions_total{text}\n".encode(), at=0)


@pytest.fixture
def endless() -> Iterator[str]:
    """A server whose answer has no end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"# x\n" * (BYTES_MAX // 2))
            except OSError:
                return  # hung up, as it should

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    thread.join()
    listening.close()


def test_an_answer_without_end_is_cut(endless: str) -> None:
    with pytest.raises(ServiceUnavailable, match="more than"):
        scraped(endless)


def test_nobody_there_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceUnavailable, match="start the enclave with --metrics"):
        scraped(address)


def test_rates_are_taken_over_the_last_minute() -> None:
    readings = Readings()
    assert readings.add(at(0, answered=5)) is None and readings.window() is None
    assert total(readings.add(at(100, answered=10)) or at(0)) == 5
    readings.add(at(110, answered=12, refused=1))
    window = readings.window()
    assert window is not None
    assert (total(window[0]), window[1]) == (3, 10)
    assert readings.questions() == [5, 3]


def test_an_enclave_that_started_anew_is_counted_from_nothing() -> None:
    readings = Readings()
    readings.add(at(0, answered=5))
    assert readings.add(at(2, answered=1)) is None
    assert readings.window() is None and readings.latest == at(2, answered=1)
    assert since(at(0, refused=1), at(1, answered=9)) is None  # a reason is not forgotten


SEARCH = StageTimes(name="search", bounds=(0.01, 0.1, math.inf), counts=(50, 100, 100), total_s=4.0)


@pytest.mark.parametrize(
    ("stage", "part", "seconds"),
    [
        (SEARCH, 0.25, 0.005),
        (SEARCH, 0.5, 0.01),
        (SEARCH, 0.75, 0.055),
        (replace(SEARCH, counts=(0, 0, 7)), 0.5, 0.1),
        (replace(SEARCH, counts=(0, 0, 0)), 0.5, None),
        (replace(SEARCH, counts=(0, 10, 10)), 1.0, 0.1),
    ],
)
def test_times_are_told_from_buckets(stage: StageTimes, part: float, seconds: float | None) -> None:
    assert quantile(stage, part) == (None if seconds is None else pytest.approx(seconds))
