"""What an approximate index is made with, and how well it answers: whole numbers and names, so that both can be bound.

A sealed snapshot and a receipt name an index by these. Their records hold only integers and strings, in one way each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TypeVar

from rag.errors import RagError
from rag.model import K_MAX

PPM = 1_000_000
COUNT_MAX = 2**31 - 1  # FAISS's HNSW numbers rows in 32 bits
DIMENSION_MAX = 8192
NLIST_MAX = 1 << 20
NPROBE_MAX = 2048  # of FAISS on a GPU
M_MAX = 128
EF_MAX = 4096
OVERSAMPLING_MAX = 16
SEED_MAX = 2**31 - 1  # FAISS takes an int
QUERIES_MAX = 100_000  # of one measurement
SOURCE_CHARS_MAX = 100


class UnusablePlan(RagError):
    """An index cannot be built, or was not built, as a plan says; the message says what to change."""


class Kind(StrEnum):
    """How rows are found."""

    EXACT = "exact"
    IVF_FLAT = "ivf-flat"
    IVF_SQ8 = "ivf-sq8"
    HNSW = "hnsw"


class Device(StrEnum):
    """Where the search runs."""

    CPU = "cpu"
    GPU = "gpu"


IVF_KINDS = (Kind.IVF_FLAT, Kind.IVF_SQ8)
Record = dict[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlan:
    """A kind of index and its parameters; those that the kind does not have are 0. Raises `UnusablePlan`."""

    kind: Kind
    device: Device
    count: int
    dimension: int
    nlist: int = 0  # IVF: cells the vectors are divided into
    nprobe: int = 0  # IVF: cells a query looks into
    m: int = 0  # HNSW: links of a row on the upper layers, half of those on the lowest
    ef_construction: int = 0  # HNSW: candidates looked at when a row is linked
    ef_search: int = 0  # HNSW: candidates looked at by a query; never fewer than are fetched
    oversampling: int = 0  # candidates scored exactly, for each hit asked for
    seed: int = 0  # of the training

    def __post_init__(self) -> None:
        is_ivf, is_hnsw = self.kind in IVF_KINDS, self.kind is Kind.HNSW
        _between("count", self.count, 1, COUNT_MAX)
        _between("dimension", self.dimension, 1, DIMENSION_MAX)
        _between("nlist", self.nlist, int(is_ivf), min(NLIST_MAX, self.count) if is_ivf else 0)
        _between("nprobe", self.nprobe, int(is_ivf), min(NPROBE_MAX, self.nlist) if is_ivf else 0)
        _between("m", self.m, 2 * is_hnsw, M_MAX * is_hnsw)
        _between("ef_construction", self.ef_construction, int(is_hnsw), EF_MAX * is_hnsw)
        _between("ef_search", self.ef_search, int(is_hnsw), EF_MAX * is_hnsw)
        is_approximate = self.kind is not Kind.EXACT
        _between("oversampling", self.oversampling, int(is_approximate), OVERSAMPLING_MAX * is_approximate)
        _between("seed", self.seed, 0, SEED_MAX * is_approximate)
        if is_hnsw and self.device is Device.GPU:
            raise UnusablePlan("FAISS has no HNSW on a GPU; take ivf-flat or ivf-sq8 there, or hnsw on the CPU")

    @property
    def effort(self) -> int:
        """Return the parameter that trades time for recall: `nprobe` or `ef_search`; 0 for an exact index."""
        return self.nprobe or self.ef_search

    def record(self) -> Record:
        """Return the plan as integers and strings."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> IndexPlan:
        """Return the plan of which `record` is the record. Raises `UnusablePlan`."""
        values = _checked(cls, record, texts=("kind", "device"))
        kind, device = _member(Kind, values.pop("kind")), _member(Device, values.pop("device"))
        return cls(kind=kind, device=device, **{name: int(value) for name, value in values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRecall:
    """How many of the exact answers' hits an index found, on queries that had no part in choosing its parameters."""

    k: int
    queries: int  # how many were asked: the sample's size
    found: int
    wanted: int  # hits of the exact answers: at most k a query
    lower_ppm: int  # one-sided 95 % confidence bound of the recall, in millionths
    source: str  # where the queries come from

    def __post_init__(self) -> None:
        _between("k", self.k, 1, K_MAX)
        _between("queries", self.queries, 1, QUERIES_MAX)
        _between("wanted", self.wanted, 1, self.k * self.queries)
        _between("found", self.found, 0, self.wanted)
        _between("lower_ppm", self.lower_ppm, 0, self.recall_ppm)
        if not 0 < len(self.source) <= SOURCE_CHARS_MAX or not self.source.isprintable():
            raise UnusablePlan(f"the source of queries is 1 to {SOURCE_CHARS_MAX} printable characters")

    @property
    def recall_ppm(self) -> int:
        """Return the recall in millionths, rounded down."""
        return self.found * PPM // self.wanted

    def record(self) -> Record:
        """Return the measurement as integers and strings."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> MeasuredRecall:
        """Return the measurement of which `record` is the record. Raises `UnusablePlan`."""
        values = _checked(cls, record, texts=("source",))
        source = str(values.pop("source"))
        return cls(source=source, **{name: int(value) for name, value in values.items()})


def _plain(value: int | str) -> int | str:
    return str(value) if isinstance(value, str) else value


def _between(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UnusablePlan(f"{name} must be {least} to {most}, got {value}")


_Member = TypeVar("_Member", bound=StrEnum)


def _member(names: type[_Member], value: int | str) -> _Member:
    try:
        return names(str(value))
    except ValueError:
        raise UnusablePlan(f"{names.__name__.lower()} must be one of {', '.join(names)}") from None


def _checked(cls: type[IndexPlan | MeasuredRecall], record: Mapping[str, object], texts: tuple[str, ...]) -> Record:
    """Return the fields of a record that has exactly a class's names and types."""
    names = {field.name for field in fields(cls)}
    if set(record) != names:
        raise UnusablePlan(f"a record has the fields {', '.join(sorted(names))}, no fewer and no others")
    checked: Record = {}
    for name, value in record.items():
        wanted = str if name in texts else int
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise UnusablePlan(f"{name} is {'text' if name in texts else 'a whole number'}")
        checked[name] = value
    return checked
