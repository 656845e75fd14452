"""Conditions on passages' metadata, with the must, should and must_not of Qdrant's filters.

On the wire a filter is a map of plain values, as canonical CBOR carries them; every node is one of

    {"key": K, "equals": V}           V is text, a whole number or a boolean; a list has it as one of its items
    {"key": K, "in": [V, ...]}        all texts, or all whole numbers
    {"key": K, "range": {"gte": N}}   at least one of gt or gte, lt or lte; whole numbers, times too
    {"key": K, "exists": true}        the key is there, and is no empty list
    {"must": [...], "should": [...], "must_not": [...]}   any of the three: all of, at least one of, none of

True is not 1. A key that is missing meets no condition, so `must_not` admits it. No message quotes a filter: what it
asks for is as secret as the question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rag.errors import RagError
from rag.model import is_encodable

DEPTH_MAX = 8  # clauses inside one another, conditions included
NODES_MAX = 256  # conditions and clauses
VALUES_MAX = 4096  # of all conditions together
RANGES_MAX = 16  # a range gathers up to half of all rows, where other conditions look up what is there
KEY_BYTES_MAX = 64
TEXT_BYTES_MAX = 1024
NUMBER_MAX = (1 << 63) - 1
NUMBER_MIN = -(1 << 63)
BOUNDS = ("gt", "gte", "lt", "lte")
CLAUSES = ("must", "should", "must_not")

Scalar: TypeAlias = str | int | bool


class MalformedFilter(RagError):
    """A filter breaks the form above or is over a bound; the message quotes none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equals:
    """The key has this value, or a list with it."""

    key: str = field(repr=False)
    value: Scalar = field(repr=False)
    kind: type = field(init=False, repr=False)  # part of equality, where True == 1 is not enough

    def __post_init__(self) -> None:
        _require_key(self.key)
        object.__setattr__(self, "kind", _kind(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class In:
    """The key has one of these values, or a list with one."""

    key: str = field(repr=False)
    values: tuple[str, ...] | tuple[int, ...] = field(repr=False)

    def __post_init__(self) -> None:
        _require_key(self.key)
        if not 1 <= len(self.values) <= VALUES_MAX:
            raise MalformedFilter(f"in takes 1 to {VALUES_MAX} values, got {len(self.values)}")
        if {_kind(value) for value in self.values} not in ({str}, {int}):
            raise MalformedFilter("in takes texts only or whole numbers only")
        if len(set(self.values)) != len(self.values):
            raise MalformedFilter("in names a value twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The key has a whole number between the bounds that are given."""

    key: str = field(repr=False)
    gt: int | None = field(default=None, repr=False)
    gte: int | None = field(default=None, repr=False)
    lt: int | None = field(default=None, repr=False)
    lte: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _require_key(self.key)
        given = [name for name in BOUNDS if getattr(self, name) is not None]
        if any(_kind(getattr(self, name)) is not int for name in given):
            raise MalformedFilter("a range's bounds have to be whole numbers")
        if not given or {"gt", "gte"} <= set(given) or {"lt", "lte"} <= set(given):
            raise MalformedFilter("a range takes gt or gte, lt or lte, or one of each")

    @property
    def lowest(self) -> int:
        """Return the smallest number inside; above `NUMBER_MAX` where there is none."""
        if self.gt is not None:
            return self.gt + 1
        return NUMBER_MIN if self.gte is None else self.gte

    @property
    def highest(self) -> int:
        """Return the largest number inside; below `NUMBER_MIN` where there is none."""
        if self.lt is not None:
            return self.lt - 1
        return NUMBER_MAX if self.lte is None else self.lte


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """The key is there, and is no empty list."""

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        _require_key(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """All of `must`, at least one of `should` where there are any, none of `must_not`."""

    must: tuple[Filter, ...] = ()
    should: tuple[Filter, ...] = ()
    must_not: tuple[Filter, ...] = ()

    def __post_init__(self) -> None:
        if not self.must and not self.should and not self.must_not:
            raise MalformedFilter("a clause takes at least one of must, should and must_not")


Filter: TypeAlias = Equals | In | Range | Exists | Clause


def all_of(*filters: Filter) -> Clause:
    """Return the filter that asks for all of these."""
    return Clause(must=filters)


def any_of(*filters: Filter) -> Clause:
    """Return the filter that asks for at least one of these."""
    return Clause(should=filters)


def none_of(*filters: Filter) -> Clause:
    """Return the filter that asks for none of these."""
    return Clause(must_not=filters)


def filter_from(wire: object) -> Filter:
    """Return the filter that `wire_of` turns into exactly this value, or raise `MalformedFilter`."""
    return _Parser().node(wire, DEPTH_MAX)


def wire_of(filter_: Filter) -> dict[str, Any]:
    """Return a filter as a map of plain values."""
    match filter_:
        case Equals():
            return {"key": filter_.key, "equals": filter_.value}
        case In():
            return {"key": filter_.key, "in": list(filter_.values)}
        case Range():
            bounds = {name: getattr(filter_, name) for name in BOUNDS}
            return {"key": filter_.key, "range": {name: at for name, at in bounds.items() if at is not None}}
        case Exists():
            return {"key": filter_.key, "exists": True}
        case Clause():
            parts = {name: [wire_of(part) for part in getattr(filter_, name)] for name in CLAUSES}
            return {name: filters for name, filters in parts.items() if filters}


class _Parser:
    """Counts what a filter holds while it reads it, so that nothing over a bound is ever built."""

    def __init__(self) -> None:
        self._nodes = self._values = self._ranges = 0

    def node(self, wire: object, levels: int) -> Filter:
        if levels == 0:
            raise MalformedFilter(f"a filter is at most {DEPTH_MAX} levels deep")
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise MalformedFilter(f"a filter has at most {NODES_MAX} conditions and clauses")
        if type(wire) is not dict or not all(type(name) is str for name in wire):
            raise MalformedFilter("every condition and clause of a filter has to be a map with text keys")
        if "key" in wire:
            return self._condition(wire)
        if not wire or not set(wire) <= set(CLAUSES):
            raise MalformedFilter("a clause takes must, should and must_not; a condition takes a key")
        return Clause(**{name: self._nodes_of(nodes, levels) for name, nodes in wire.items()})

    def _nodes_of(self, nodes: object, levels: int) -> tuple[Filter, ...]:
        if type(nodes) is not list or not nodes:
            raise MalformedFilter("must, should and must_not take lists that are not empty")
        return tuple(self.node(node, levels - 1) for node in nodes)

    def _condition(self, wire: dict[str, Any]) -> Filter:
        operators = set(wire) - {"key"}
        match sorted(operators):
            case ["equals"]:
                self._count(1)
                return Equals(key=wire["key"], value=wire["equals"])
            case ["in"]:
                return In(key=wire["key"], values=self._list(wire["in"]))
            case ["range"]:
                return self._range(wire["key"], wire["range"])
            case ["exists"] if wire["exists"] is True:
                return Exists(key=wire["key"])
            case _:
                raise MalformedFilter("a condition takes one of equals, in, range, or exists with true")

    def _list(self, values: object) -> tuple[Any, ...]:
        if type(values) is not list:
            raise MalformedFilter("in takes a list")
        self._count(len(values))
        return tuple(values)

    def _range(self, key: str, bounds: object) -> Range:
        self._ranges += 1
        if self._ranges > RANGES_MAX:
            raise MalformedFilter(f"a filter has at most {RANGES_MAX} ranges")
        if type(bounds) is not dict or not bounds or not all(type(name) is str and name in BOUNDS for name in bounds):
            raise MalformedFilter("a range takes a map of gt or gte, lt or lte")
        if any(bound is None for bound in bounds.values()):
            raise MalformedFilter("a range takes a map of gt or gte, lt or lte")
        self._count(len(bounds))
        return Range(key=key, **bounds)

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > VALUES_MAX:
            raise MalformedFilter(f"a filter has at most {VALUES_MAX} values")


def _require_key(key: object) -> None:
    if type(key) is not str or not is_encodable(key) or not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
        raise MalformedFilter(f"a key has to be a text of 1 to {KEY_BYTES_MAX} bytes")


def _kind(value: object) -> type:
    """Return the type of a value that a condition may name, or raise."""
    if type(value) is bool:
        return bool
    if type(value) is int and NUMBER_MIN <= value <= NUMBER_MAX:
        return int
    if type(value) is str and is_encodable(value) and len(value.encode()) <= TEXT_BYTES_MAX:
        return str
    raise MalformedFilter(
        f"a value has to be a text of at most {TEXT_BYTES_MAX} bytes, a number of 64 bits or a boolean"
    )
