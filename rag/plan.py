"""Which index to take for so many passages, so much memory and such a recall, and what it will cost.

What is said here is predicted, from the arrays an index consists of and from speeds measured on other corpora. Only
`rag.measure` knows how an index answers on this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt, log2, sqrt

from rag.index_costs import Prediction, bytes_text, ms_text, predicted
from rag.index_plan import DIMENSION_MAX, EF_MAX, NPROBE_MAX, PPM, Device, IndexPlan, Kind, UnusablePlan
from rag.model import K_MAX

COUNT_MAX = 1_000_000_000
HNSW_COUNT_MAX = 20_000_000  # beyond, linking the rows takes days
MEMORY_BYTES_MAX = 1 << 50
LATENCY_US_MAX = 60_000_000
TRAINING_ROWS_PER_CELL = 39  # FAISS's least for a centroid
OVERSAMPLING = {Kind.IVF_FLAT: 1, Kind.IVF_SQ8: 4}  # codes of 8 bits put rows in a slightly wrong order
HNSW_M = 32
HNSW_EF_CONSTRUCTION = 200
# The effort taken for a recall at 10 until it is measured: a first guess. On SciFact's 48,000 sentences 64 of 1,024
# cells gave 0.957; what is above that, and `ef_search`, is not measured at that size.
EF_SEARCH = ((900_000, 32), (950_000, 64), (980_000, 128), (990_000, 256), (995_000, 512), (PPM, EF_MAX))
NPROBE = ((900_000, 24), (950_000, 64), (980_000, 128), (990_000, 256), (995_000, 384), (PPM, 1024))
NPROBE_AT_NLIST = 1024  # with more cells, more must be probed, as their square root grows


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an index shall hold, fit into and reach. Raises `UnusablePlan` for what nothing can be."""

    count: int
    dimension: int
    memory_bytes: int  # of the device the search runs on
    recall_ppm: int
    k: int
    device: Device
    latency_us: int  # a single query's

    def __post_init__(self) -> None:
        _require("the number of passages", self.count, COUNT_MAX)
        _require("the dimension", self.dimension, DIMENSION_MAX)
        _require("the memory in bytes", self.memory_bytes, MEMORY_BYTES_MAX)
        _require("the recall in millionths", self.recall_ppm, PPM)
        _require("k", self.k, K_MAX)
        _require("the latency in microseconds", self.latency_us, LATENCY_US_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A kind of index that was considered, and what speaks against it."""

    kind: Kind
    prediction: Prediction | None  # None: it cannot be built at all
    against: str  # empty for what was chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The index to take, why, and what else was considered."""

    prediction: Prediction
    why: str
    options: tuple[Option, ...]


def choose(wanted: Wanted) -> Choice:
    """Return the simplest index that fits and is fast enough: exact, then HNSW, then inverted lists.

    Where none is fast enough, the fastest that fits.

    Raises: UnusablePlan: none fits into the memory; the message says how much the smallest needs.
    """
    feasible = {kind: _predicted(kind, wanted) for kind in Kind}
    fitting = [
        one for one in feasible.values() if isinstance(one, Prediction) and one.memory_bytes <= wanted.memory_bytes
    ]
    if not fitting:
        least = min(one.memory_bytes for one in feasible.values() if isinstance(one, Prediction))
        raise UnusablePlan(
            f"{wanted.count} vectors of dimension {wanted.dimension} need {bytes_text(least)} at least, and"
            f" {bytes_text(wanted.memory_bytes)} may be used; allow more, or split the dataset"
        )
    order = (Kind.EXACT, Kind.HNSW, Kind.IVF_FLAT, Kind.IVF_SQ8)
    fast = [one for kind in order for one in fitting if one.plan.kind is kind and one.latency_us <= wanted.latency_us]
    chosen = fast[0] if fast else min(fitting, key=lambda one: one.latency_us)
    options = tuple(_option(kind, feasible[kind], chosen, wanted) for kind in order)
    return Choice(prediction=chosen, why=_why(chosen, wanted, is_fast=bool(fast)), options=options)


def plan_for(kind: Kind, wanted: Wanted) -> IndexPlan:
    """Return a kind's parameters for a corpus, with a first guess of the effort. Raises `UnusablePlan`."""
    if kind is not Kind.EXACT and wanted.recall_ppm == PPM:
        raise UnusablePlan("only exact search finds everything, and a recall of 100% is wanted")
    if kind is Kind.HNSW and wanted.device is Device.CPU and wanted.count > HNSW_COUNT_MAX:
        raise UnusablePlan(f"linking more than {HNSW_COUNT_MAX} rows takes too long")
    bare = IndexPlan(kind=Kind.EXACT, device=wanted.device, count=wanted.count, dimension=wanted.dimension)
    if kind is Kind.EXACT:
        return bare
    if kind is Kind.HNSW:
        ef = _for_recall(EF_SEARCH, wanted.recall_ppm)
        return replace(bare, kind=kind, m=HNSW_M, ef_construction=HNSW_EF_CONSTRUCTION, ef_search=ef, oversampling=1)
    nlist = cells_for(wanted.count)
    nprobe = round(_for_recall(NPROBE, wanted.recall_ppm) * sqrt(nlist / NPROBE_AT_NLIST))
    nprobe = min(max(nprobe, 1), nlist, NPROBE_MAX)
    return replace(bare, kind=kind, nlist=nlist, nprobe=nprobe, oversampling=OVERSAMPLING[kind])


def cells_for(count: int) -> int:
    """Return the number of inverted lists: the power of two next to 4 √count that training has vectors for."""
    most = max(count // TRAINING_ROWS_PER_CELL, 1)
    return 1 << min(round(log2(max(4 * isqrt(count), 1))), most.bit_length() - 1)


def _predicted(kind: Kind, wanted: Wanted) -> Prediction | str:
    """Return what a kind would cost, or why it cannot be had."""
    try:
        return predicted(plan_for(kind, wanted))
    except UnusablePlan as error:
        return str(error)


def _option(kind: Kind, feasible: Prediction | str, chosen: Prediction, wanted: Wanted) -> Option:
    if isinstance(feasible, str):
        return Option(kind=kind, prediction=None, against=feasible)
    against = ""
    if feasible.memory_bytes > wanted.memory_bytes:
        against = f"needs {bytes_text(feasible.memory_bytes)}, {bytes_text(wanted.memory_bytes)} may be used"
    elif kind is chosen.plan.kind:
        against = ""
    elif feasible.latency_us > wanted.latency_us:
        against = f"about {ms_text(feasible.latency_us)} a query, more than the {ms_text(wanted.latency_us)} wanted"
    elif chosen.plan.kind is Kind.EXACT:
        against = "may miss passages, and exact search is fast enough"
    else:
        against = f"{chosen.plan.kind} comes first among those that are fast enough"
    return Option(kind=kind, prediction=feasible, against=against)


def _why(chosen: Prediction, wanted: Wanted, *, is_fast: bool) -> str:
    time = f"about {ms_text(chosen.latency_us)} a query"
    if not is_fast:
        return f"nothing that fits is as fast as wanted; this is the fastest, at {time}"
    if chosen.plan.kind is Kind.EXACT:
        return f"exact search misses nothing, fits, and takes {time}"
    names = {
        Kind.HNSW: "a graph fits",
        Kind.IVF_FLAT: "inverted lists fit",
        Kind.IVF_SQ8: "inverted lists of 8-bit codes fit",
    }
    exact = predicted(plan_for(Kind.EXACT, wanted))
    failing = "does not fit" if exact.memory_bytes > wanted.memory_bytes else "would be too slow"
    return f"exact search {failing}; {names[chosen.plan.kind]}, at {time}"


def _for_recall(table: tuple[tuple[int, int], ...], recall_ppm: int) -> int:
    return next(effort for most, effort in table if recall_ppm <= most)


def _require(what: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise UnusablePlan(f"{what} must be 1 to {most}, got {value}")
