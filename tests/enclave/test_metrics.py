"""What is counted and timed, and that no label says whose question it was (rule R6)."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, Histogram

from enclave.metrics import BUCKETS_S, Metrics, Stage
from tests.deployment import deployed
from tests.enclaves import world
from vault.errors import AccessDenied, BudgetExhausted


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_question_is_counted_by_how_it_ended() -> None:
    metrics = Metrics()
    with metrics.question() as outcome:
        assert value(metrics, "coffer_under_way") == 1
        outcome.answered(3, is_partial=False, is_repeat=False)
    with metrics.question() as outcome:
        outcome.answered(1, is_partial=True, is_repeat=False)
    with metrics.question() as outcome:
        outcome.answered(2, is_partial=True, is_repeat=True)
    for error in (AccessDenied("why"), BudgetExhausted("why"), ZeroDivisionError("secret words")):
        with pytest.raises(type(error)), metrics.question():
            raise error
    outcomes = (
        "answered",
        "partial",
        "repeated",
        "refused_access_denied",
        "refused_budget_exhausted",
        "refused_internal",
    )
    for name in outcomes:
        assert value(metrics, "coffer_questions_total", outcome=name) == 1
    assert value(metrics, "coffer_passages_total") == 6
    assert value(metrics, "coffer_under_way") == 0


@given(st.lists(st.sampled_from(BUCKETS_S) | st.floats(0, 20), max_size=30))
def test_times_are_told_as_prometheus_own_histogram_tells_them(seconds: list[float]) -> None:
    metrics, registry = Metrics(), CollectorRegistry()
    own = Histogram("coffer_stage_seconds", "The same.", ["stage"], buckets=BUCKETS_S, registry=registry)
    for one in seconds:
        metrics.observe(Stage.BOOK, one)
        own.labels("book").observe(one)
    samples = [sample for family in registry.collect() for sample in family.samples]
    told = [sample for sample in samples if not sample.name.endswith("_created")]
    assert len(told) == (len(BUCKETS_S) + 3) * bool(seconds)
    for sample in told:
        assert value(metrics, sample.name, **sample.labels) == pytest.approx(sample.value)


class Spans(trace.Tracer):
    """Takes spans as an SDK would, and keeps what they say."""

    def __init__(self) -> None:
        self.taken: list[Span] = []

    def start_span(self, name: str, *_: Any, **__: Any) -> Span:
        self.taken.append(Span(name))
        return self.taken[-1]

    start_as_current_span: Any = None  # not asked for: it would put an error's message into the span's status


class Span(trace.NonRecordingSpan):
    def __init__(self, name: str) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.said: dict[str, object] = {"name": name}
        self.is_over = False

    def set_attribute(self, key: str, value: object) -> None:
        self.said[key] = value

    def set_status(self, *status: Any, **_: Any) -> None:
        self.said["status"] = status

    def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
        self.said["exception"] = exception

    def end(self, end_time: int | None = None) -> None:
        self.is_over = True


def test_a_span_says_how_a_question_ended_and_none_of_its_words() -> None:
    spans = Spans()
    metrics = Metrics(spans)
    with metrics.question() as outcome:
        outcome.answered(3, is_partial=False, is_repeat=False)
    with pytest.raises(AccessDenied), metrics.question():
        raise AccessDenied("secret words")
    assert [span.said for span in spans.taken] == [
        {"name": "coffer.question", "coffer.outcome": "answered", "coffer.passages": 3},
        {"name": "coffer.question", "coffer.outcome": "refused_access_denied", "coffer.passages": 0},
    ]
    assert all(span.is_over for span in spans.taken)


def test_a_span_says_in_which_bucket_each_stage_of_its_own_question_lies() -> None:
    spans = Spans()
    metrics = Metrics(spans)
    metrics.observe(Stage.SEARCH, 1)  # of no question
    with metrics.question() as outcome:
        metrics.observe(Stage.SEARCH, 3e-3)
        metrics.observe(Stage.EMBED, 100)
        with metrics.timed(Stage.RULES):
            pass
        outcome.answered(3, is_partial=False, is_repeat=False)
    metrics.observe(Stage.QUEUE, 1)
    (span,) = spans.taken
    assert span.said.pop("coffer.rules_seconds_le") == "5e-05"
    assert span.said == {
        "name": "coffer.question",
        "coffer.search_seconds_le": "0.005",
        "coffer.embed_seconds_le": "+Inf",
        "coffer.outcome": "answered",
        "coffer.passages": 3,
    }


def test_a_served_questions_span_names_every_stage_and_none_of_its_words(tmp_path: Path) -> None:
    """With OpenTelemetry's own SDK, as an operator's process has it."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with deployed(tmp_path) as deployment:
        deployment.add_credit(1_000)
        deployment.enclave.service._answering._metrics = Metrics(provider.get_tracer("test"))
        with deployment.client() as client:
            client.search_batch([client.question("tide table", k=2), client.question("secret words", k=99)])
    answered, refused = sorted(exporter.get_finished_spans(), key=lambda span: str(span.attributes["coffer.outcome"]))  # type: ignore[index]
    buckets = {f"coffer.{stage}_seconds_le" for stage in Stage}
    assert set(answered.attributes or {}) == {"coffer.outcome", "coffer.passages"} | buckets
    assert set(refused.attributes or {}) == {"coffer.outcome", "coffer.passages", "coffer.rules_seconds_le"}
    assert not any(word in span.to_json() for span in (answered, refused) for word in ("tide", "secret"))


def test_stages_fall_into_buckets_from_microseconds_to_seconds() -> None:
    metrics = Metrics()
    for seconds in (80e-6, 3e-3, 1.7):
        metrics.observe(Stage.SEARCH, seconds)
    assert BUCKETS_S[0] <= 100e-6
    assert BUCKETS_S[-1] >= 5
    assert value(metrics, "coffer_stage_seconds_bucket", stage="search", le="0.0001") == 1
    assert value(metrics, "coffer_stage_seconds_bucket", stage="search", le="0.005") == 2
    assert value(metrics, "coffer_stage_seconds_count", stage="search") == 3


def test_a_scrape_says_nothing_of_who_asked_what(tmp_path: Path) -> None:
    setting = world()
    with deployed(tmp_path, setting) as deployment:
        deployment.add_credit(1_000)
        metrics = Metrics()
        deployment.enclave.service._answering._metrics = metrics
        with deployment.client() as client:
            client.search("tide table", k=2)
            with pytest.raises(AccessDenied):
                client.search("tide table", k=99)
        where = metrics.serve("127.0.0.1", 0)
        with urllib.request.urlopen(f"http://{where}/metrics") as response:  # our own, on loopback
            page = response.read().decode()
    labels = set(re.findall(r"(\w+)=\"", page))
    assert labels == {"stage", "outcome", "le"}
    assert 'coffer_questions_total{outcome="answered"} 1.0' in page
    for stage in Stage:
        assert f'coffer_stage_seconds_count{{stage="{stage}"}}' in page
    for secret in ("tide", setting.policy.title, setting.dataset.manifest.title, str(setting.genesis)):
        assert secret not in page
