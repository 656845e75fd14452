"""YAML in which nothing is guessed: mappings, lists and words, as they stand.

YAML 1.1 turns an address such as 0x12ab into a number and `no` into false, lets a key stand twice, and lets a few lines
expand to gigabytes through aliases. Here every scalar is the text that was written, a key stands once, and anchors,
aliases, tags, second documents and `<<` are refused. Events are bounded in number and depth before anything is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vault.errors import MalformedObject

BYTES_MAX = 64 << 10
NODES_MAX = 4096
DEPTH_MAX = 8
_SHOWN_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar, as it was written."""

    line: int
    value: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, its keys in the order in which they stand."""

    line: int
    entries: dict[str, Node]


Node = Text | Sequence | Mapping


def tree_from(data: bytes) -> Node:
    """Return the one document in `data`, or raise `MalformedObject` with the line."""
    import yaml  # type: ignore[import-untyped]  # it ships no types

    if len(data) > BYTES_MAX:
        raise MalformedObject(f"the file has {len(data)} bytes; at most {BYTES_MAX} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedObject("the file is not UTF-8 text") from error
    try:
        events = _Events(iter(yaml.parse(text, Loader=yaml.SafeLoader)))
        events.take("StreamStart")
        events.take("DocumentStart", otherwise="the file is empty")
        tree = _node(events, events.take(), 1)
        events.take("DocumentEnd")
        events.take("StreamEnd", otherwise="there is a second document; a policy is one")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise MalformedObject(f"line {line}: this is not YAML ({error.problem})") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, MalformedObject):
            raise
        raise MalformedObject("this is not YAML; it holds a character or number that YAML does not allow") from error
    return tree


class _Events:
    """The parser's events, counted."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._left = 4 * NODES_MAX

    def take(self, kind: str = "", *, otherwise: str = "") -> Any:
        """Return the next event; raise `MalformedObject` if it is not of this kind, or one too many."""
        event = next(self._events)
        self._left -= 1
        if not self._left:
            raise MalformedObject(f"the file holds more than {NODES_MAX} values")
        if kind and type(event).__name__ != f"{kind}Event":
            raise MalformedObject(f"line {_line(event)}: {otherwise or 'this does not belong here'}")
        return event


def _node(events: _Events, event: Any, depth: int) -> Node:
    kind, line = type(event).__name__.removesuffix("Event"), _line(event)
    if depth > DEPTH_MAX:
        raise MalformedObject(f"line {line}: values are nested more than {DEPTH_MAX} deep")
    if kind == "Alias" or getattr(event, "anchor", None) is not None:
        raise MalformedObject(f"line {line}: anchors and aliases are not allowed; write the value out")
    if getattr(event, "tag", None) is not None:
        raise MalformedObject(f"line {line}: tags such as {shown(event.tag)} are not allowed")
    match kind:
        case "Scalar":
            return Text(line, event.value)
        case "SequenceStart":
            return Sequence(line, tuple(_items(events, depth)))
        case "MappingStart":
            return Mapping(line, _entries(events, depth))
    raise MalformedObject(f"line {line}: a value was expected")


def _items(events: _Events, depth: int) -> Iterator[Node]:
    while type(event := events.take()).__name__ != "SequenceEndEvent":
        yield _node(events, event, depth + 1)


def _entries(events: _Events, depth: int) -> dict[str, Node]:
    entries: dict[str, Node] = {}
    while type(event := events.take()).__name__ != "MappingEndEvent":
        key = _node(events, event, depth + 1)
        if not isinstance(key, Text):
            raise MalformedObject(f"line {key.line}: a key is one word")
        if key.value in entries:
            raise MalformedObject(f"line {key.line}: {shown(key.value)} stands twice")
        entries[key.value] = _node(events, events.take(), depth + 1)
    return entries


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def shown(text: str) -> str:
    """Return foreign text as messages may show it: quoted, and not too much of it."""
    return repr(text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…")
