"""What an index is expected to cost in memory and time: from the arrays it consists of, and speeds measured elsewhere.

Predicted, not measured: two cores of a server with AVX512-BF16, or one H200. An order of magnitude is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from rag.faiss_structures import structure_bytes
from rag.index_plan import Device, IndexPlan, Kind

# Bytes an exact index keeps of each number, at most: float32 to score with, 8 bits to find candidates with.
EXACT_BYTES_PER_VALUE = 5

CPU_QUERY_US = 200  # of a query, besides looking at vectors
CPU_EXACT_BYTES_PER_US = 12_000  # of 16-bit values multiplied
CPU_FLAT_BYTES_PER_US = 5_000  # of float32 in inverted lists
CPU_SQ8_BYTES_PER_US = 1_500  # of 8-bit codes, which are decoded first
CPU_LINK_US = 0.25  # a row of a graph: its vector is rarely in a cache
HNSW_ROWS_PER_EF = 12  # rows looked at for each candidate kept, among 46,000; more with the number of layers
HNSW_ROWS_AT = 46_000
GPU_QUERY_US = 300
GPU_BYTES_PER_US = 3_000_000
CLASSES = ((1_000, "below 1 ms"), (10_000, "1 to 10 ms"), (100_000, "10 to 100 ms"), (1_000_000, "0.1 to 1 s"))
SLOWEST = "above 1 s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What an index of a plan is expected to cost."""

    plan: IndexPlan
    memory_bytes: int  # on the device the search runs on
    host_bytes: int  # beside a GPU: the exact index that scores candidates and answers filtered questions
    latency_us: int

    @property
    def latency_class(self) -> str:
        """Return the order of magnitude of a query's time, in words."""
        return next((words for most, words in CLASSES if self.latency_us < most), SLOWEST)


def predicted(plan: IndexPlan) -> Prediction:
    """Return what an index of this plan is expected to cost."""
    exact_bytes = plan.count * plan.dimension * EXACT_BYTES_PER_VALUE
    on_gpu = plan.device is Device.GPU
    is_split = on_gpu and plan.kind is not Kind.EXACT
    return Prediction(
        plan=plan,
        memory_bytes=structure_bytes(plan) + (0 if is_split else exact_bytes),
        host_bytes=exact_bytes if is_split else 0,
        latency_us=_latency_us(plan),
    )


def bytes_text(count: int) -> str:
    """Return a number of bytes in the largest unit that leaves at least one of it."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count} bytes"


def ms_text(microseconds: int) -> str:
    """Return a time in milliseconds, to two digits."""
    return f"{microseconds / 1000:.2g} ms" if microseconds < 100_000 else f"{microseconds / 1000:.0f} ms"


def _latency_us(plan: IndexPlan) -> int:
    """Return about how long one query takes, asked alone."""
    vector = 4 * plan.dimension
    if plan.device is Device.GPU:
        rows = plan.count if plan.kind is Kind.EXACT else _rows_probed(plan)
        return GPU_QUERY_US + rows * vector // GPU_BYTES_PER_US
    if plan.kind is Kind.EXACT:
        return CPU_QUERY_US + plan.count * plan.dimension * 2 // CPU_EXACT_BYTES_PER_US
    if plan.kind is Kind.HNSW:
        visited = plan.ef_search * HNSW_ROWS_PER_EF * max(log2(plan.count) / log2(HNSW_ROWS_AT), 0.5)
        return CPU_QUERY_US + int(visited * CPU_LINK_US * plan.dimension / 384)
    cells_us = plan.nlist * vector // CPU_FLAT_BYTES_PER_US
    if plan.kind is Kind.IVF_FLAT:
        return CPU_QUERY_US + cells_us + _rows_probed(plan) * vector // CPU_FLAT_BYTES_PER_US
    return CPU_QUERY_US + cells_us + _rows_probed(plan) * plan.dimension // CPU_SQ8_BYTES_PER_US


def _rows_probed(plan: IndexPlan) -> int:
    return plan.count * plan.nprobe // plan.nlist
