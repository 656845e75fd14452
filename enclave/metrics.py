"""What a serving enclave counts and times, for whoever runs it.

The host may see all of it, so there is no label of a license, a dataset, an owner or a question, and times fall into
coarse buckets (rule R6). A question's span says how it ended, how many passages it brought and in which of these
buckets each of its stages lies, never what it was about.

All of it is counted on the event loop in plain numbers, and told in Prometheus's form when it is asked for: its own
counters take a lock for each number, at an eighth of the time.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextvars import ContextVar
from enum import StrEnum
from itertools import accumulate
from typing import Final

from opentelemetry import trace
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from vault.wire import status_of

BUCKETS_S: Final = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 10)
_BOUNDS: Final = (*map(floatToGoString, BUCKETS_S), "+Inf")

_span: ContextVar[trace.Span | None] = ContextVar("span", default=None)  # of the question at hand, if anybody takes it


class Stage(StrEnum):
    """Where the time of a question goes."""

    QUEUE = "queue"  # waiting for the engine, and for what it was answered together with
    EMBED = "embed"
    SEARCH = "search"
    RULES = "rules"  # who may ask, under which permit
    BOOK = "book"  # budgets and output rules, the charge, its sealed entry
    COMMIT = "commit"  # until the entry is durable and the receipt signed


class Metrics(Collector):
    """The counters of one enclave, in a registry of their own."""

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        """Begin at zero; `tracer` takes the spans, by default whichever this process has been set up with, if any."""
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._stages = {stage: _Times(f"coffer.{stage}_seconds_le") for stage in Stage}
        self._questions: dict[str, int] = {}  # by outcome
        self._passages = 0
        self._under_way = 0
        self._tracer = tracer

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted so far; see `prometheus_client.registry.Collector`."""
        stages = HistogramMetricFamily("coffer_stage_seconds", "Time a question spent in one stage.", labels=["stage"])
        for stage, times in self._stages.items():
            stages.add_metric([stage.value], times.buckets(), times.total_s)
        yield stages
        questions = CounterMetricFamily("coffer_questions", "Questions by how they ended.", labels=["outcome"])
        for outcome, count in [*self._questions.items()]:
            questions.add_metric([outcome], count)
        yield questions
        yield CounterMetricFamily("coffer_passages", "Passages that left in answers.", value=self._passages)
        yield GaugeMetricFamily("coffer_under_way", "Questions waiting or being answered.", value=self._under_way)

    def observe(self, stage: Stage, seconds: float) -> None:
        """Count one stage of one question."""
        self._stages[stage].observe(seconds)

    def timed(self, stage: Stage) -> _Timed:
        """Time a block as one stage of one question."""
        return _Timed(self._stages[stage])

    def question(self) -> _Question:
        """Follow one question from its arrival to its answer; a refusal is counted by the reason it was given."""
        return _Question(self, self._tracer or _tracer())

    def began(self) -> None:
        """Count a question that has come."""
        self._under_way += 1

    def ended(self, outcome: Outcome) -> None:
        """Count a question that has its answer, or will have none."""
        self._under_way -= 1
        self._questions[outcome.name] = self._questions.get(outcome.name, 0) + 1
        self._passages += outcome.passages

    def serve(self, host: str, port: int) -> str:
        """Answer Prometheus's scrapes over plain HTTP, and return where; for loopback or a private network.

        Raises: `OSError` where the address cannot be listened on.
        """
        server, _ = start_http_server(port, addr=host, registry=self.registry)
        return f"{host}:{server.server_port}"


def _tracer() -> trace.Tracer | None:
    """Return what takes spans, or nothing where nobody does: making one that goes nowhere costs as much as a stage."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return trace.get_tracer("coffer.enclave")


class _Question:
    """One question on its way. Its span says how it ended, and nothing that an error's message could hold."""

    __slots__ = ("_before", "_metrics", "_outcome", "_span", "_tracer")

    def __init__(self, metrics: Metrics, tracer: trace.Tracer | None) -> None:
        self._metrics, self._tracer, self._outcome = metrics, tracer, Outcome()

    def __enter__(self) -> Outcome:
        self._metrics.began()
        self._span = self._tracer.start_span("coffer.question") if self._tracer is not None else None
        self._before = _span.set(self._span) if self._span is not None else None
        return self._outcome

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        outcome = self._outcome
        if isinstance(error, Exception):
            outcome.name = f"refused_{status_of(error)[1].lower()}"
        self._metrics.ended(outcome)
        if self._before is not None:
            _span.reset(self._before)
        if self._span is not None:
            self._span.set_attribute("coffer.outcome", outcome.name)
            self._span.set_attribute("coffer.passages", outcome.passages)
            self._span.end()


class _Times:
    """How long one stage took, by bucket; a question's span says its own bucket."""

    __slots__ = ("_attribute", "_counts", "total_s")

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute  # of spans
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one question."""
        bucket = bisect_left(BUCKETS_S, seconds)
        self._counts[bucket] += 1
        self.total_s += seconds
        if (span := _span.get()) is not None:
            span.set_attribute(self._attribute, _BOUNDS[bucket])

    def buckets(self) -> list[tuple[str, float]]:
        """Return how many were no longer than each bound, as Prometheus wants them."""
        return [*zip(_BOUNDS, map(float, accumulate(self._counts)), strict=True)]


class _Timed:
    """A block that is timed."""

    __slots__ = ("_started", "_times")

    def __init__(self, times: _Times) -> None:
        self._times = times

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._times.observe(time.perf_counter() - self._started)


class Outcome:
    """How a question ended."""

    __slots__ = ("name", "passages")

    def __init__(self) -> None:
        self.name = "cancelled"
        self.passages = 0

    def answered(self, passages: int, *, is_partial: bool, is_repeat: bool) -> None:
        """Note an answer."""
        self.name = "repeated" if is_repeat else "partial" if is_partial else "answered"
        self.passages = passages
