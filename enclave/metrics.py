"""What a serving enclave counts and times, for whoever runs it.

The host may see all of it, so there is no label of a license, a dataset, an owner or a question, and times fall into
coarse buckets (rule R6). Spans say which stages a call went through and how many passages it brought, never of what.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from vault.wire import status_of

BUCKETS_S: Final = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Stage(StrEnum):
    """Where the time of a question goes."""

    QUEUE = "queue"  # waiting for the engine, and for what it was answered together with
    EMBED = "embed"
    SEARCH = "search"
    RULES = "rules"  # who may ask, under which permit
    BOOK = "book"  # budgets and output rules, the charge, its sealed entry
    COMMIT = "commit"  # until the entry is durable and the receipt signed


class Metrics:
    """The counters of one enclave, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stages = Histogram(
            "coffer_stage_seconds",
            "Time a question spent in one stage.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage.value) for stage in Stage}
        self._questions = Counter(
            "coffer_questions", "Questions by how they ended.", ["outcome"], registry=self.registry
        )
        self._passages = Counter("coffer_passages", "Passages that left in answers.", registry=self.registry)
        self._under_way = Gauge("coffer_under_way", "Questions waiting or being answered.", registry=self.registry)
        self._tracer = trace.get_tracer("coffer.enclave")

    def observe(self, stage: Stage, seconds: float) -> None:
        """Count one stage of one question."""
        self._stages[stage].observe(seconds)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Time a block as one stage of one question."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages[stage].observe(time.perf_counter() - started)

    @contextmanager
    def question(self) -> Iterator[Outcome]:
        """Follow one question from its arrival to its answer; a refusal is counted by the reason it was given."""
        outcome = Outcome()
        self._under_way.inc()
        with self._tracer.start_as_current_span("coffer.question", record_exception=False) as span:
            try:
                yield outcome
            except Exception as error:
                outcome.name = f"refused_{status_of(error)[1].lower()}"
                raise
            finally:
                self._under_way.dec()
                self._questions.labels(outcome.name).inc()
                self._passages.inc(outcome.passages)
                span.set_attribute("coffer.outcome", outcome.name)
                span.set_attribute("coffer.passages", outcome.passages)

    def serve(self, host: str, port: int) -> str:
        """Answer Prometheus's scrapes over plain HTTP, and return where; for loopback or a private network.

        Raises: `OSError` where the address cannot be listened on.
        """
        server, _ = start_http_server(port, addr=host, registry=self.registry)
        return f"{host}:{server.server_port}"


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
