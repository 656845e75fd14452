"""An enclave's metrics as anyone reads them: over plain HTTP, bounded, and no more believed than its operator is."""

from __future__ import annotations

import math
import re
import time
from importlib.util import find_spec
from typing import Any, Final

from cli.options import host_and_port
from storage.errors import StorageError
from storage.http_place import HttpPlace
from tui.desk.watching import Counters, StageTimes
from vault.errors import MalformedObject, ServiceUnavailable

BYTES_MAX: Final = 1 << 20
TIMEOUT_S: Final = 3.0
LABELS_MAX: Final = 64  # outcomes, or stages
BUCKETS_MAX: Final = 128
COUNT_MAX: Final = 2**53
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def scraped(address: str) -> Counters:
    """Read the metrics at `host:port`; raise `ServiceUnavailable`, or `MalformedObject` for what is no enclave's."""
    if find_spec("prometheus_client") is None:
        raise ServiceUnavailable("metrics need prometheus-client; install it with: pip install 'coffer[tui]'")
    host, port = host_and_port(address)
    shown = f"[{host}]" if ":" in host else host
    try:
        place = HttpPlace(
            f"http://{shown}:{port}", name=f"metrics at {address}", timeout_s=TIMEOUT_S, allow_private=True
        )
        with place.ask("GET", "/metrics", headers={"Accept": "text/plain; version=0.0.4"}) as answer:
            if answer.status != 200:
                raise ServiceUnavailable(f"the metrics at {address} answer with status {answer.status}")
            body = answer.body(bytes_max=BYTES_MAX)
    except StorageError as error:
        raise ServiceUnavailable(
            f"{error}; start the enclave with --metrics, or name another address in the setting metrics"
        ) from error
    return counters_from(body, at=time.monotonic())


def counters_from(body: bytes, *, at: float) -> Counters:
    """Return what an enclave's metrics say, in Prometheus's text format 0.0.4; raise `MalformedObject`.

    Args:
        at: when they were read.
    """
    found = _Found()
    try:
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families(body.decode("utf-8")):
            for sample in family.samples:
                found.take(sample.name, sample.labels, sample.value)
        return found.counters(at)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise MalformedObject(f"these are no metrics of an enclave: {_sentence(error)}") from error


class _Found:
    """The samples that matter; all others are passed over."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.singles: dict[str, int] = {}
        self.buckets: dict[str, dict[float, int]] = {}
        self.sums: dict[str, float] = {}

    def take(self, name: str, labels: dict[str, str], value: float) -> None:
        """Keep a sample where it is one of ours."""
        match name:
            case "coffer_questions_total":
                _put(self.outcomes, _name(labels["outcome"]), _count(value), LABELS_MAX)
            case "coffer_passages_total" | "coffer_under_way":
                _put(self.singles, name, _count(value), LABELS_MAX)
            case "coffer_stage_seconds_bucket":
                stage = self.buckets.setdefault(_name(labels["stage"]), {})
                _put(stage, float(labels["le"]), _count(value), BUCKETS_MAX)
            case "coffer_stage_seconds_sum":
                if not 0 <= value < COUNT_MAX:
                    raise ValueError("a sum of times is none")
                _put(self.sums, _name(labels["stage"]), float(value), LABELS_MAX)
        if len(self.buckets) > LABELS_MAX:
            raise ValueError("too many stages")

    def counters(self, at: float) -> Counters:
        """Return all of it; raise `ValueError` where something is missing."""
        if "coffer_passages_total" not in self.singles:
            raise ValueError("they count no passages")
        return Counters(
            at=at,
            outcomes=tuple(sorted(self.outcomes.items())),
            passages=self.singles["coffer_passages_total"],
            under_way=self.singles.get("coffer_under_way", 0),
            stages=tuple(_stage(name, counts, self.sums.get(name, 0.0)) for name, counts in self.buckets.items()),
        )


def _stage(name: str, counts: dict[float, int], total_s: float) -> StageTimes:
    bounds = sorted(counts)
    if not bounds or not math.isinf(bounds[-1]) or bounds[0] <= 0:
        raise ValueError(f"the times of stage {name} have no end")
    return StageTimes(name=name, bounds=tuple(bounds), counts=tuple(counts[bound] for bound in bounds), total_s=total_s)


def _put(into: dict[Any, Any], key: str | float, value: float, most: int) -> None:
    if key in into or key != key or len(into) >= most:  # NaN is not itself
        raise ValueError("a sample stands twice, or there are too many")
    into[key] = value


def _name(label: str) -> str:
    if not NAME.fullmatch(label):
        raise ValueError("a label is no name")
    return label


def _count(value: float) -> int:
    if not 0 <= value < COUNT_MAX or value != int(value):
        raise ValueError("a count is no whole number")
    return int(value)


def _sentence(error: Exception) -> str:
    return str(error)[:200] if type(error) is ValueError else "they cannot be read"
