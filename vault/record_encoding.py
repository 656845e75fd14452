"""Records' canonical bytes, written straight from their fields: for those that are written with every query.

The bytes are those of `Record.encoded`, whose general way costs ten times as much: it builds a map, checks it again,
and has its keys sorted. Here the keys of a record's class are sorted and encoded once (RFC 8949, section 4.2.3), and
its values, which were checked when it was made, are written as they stand (section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from storage.cid import CID_BYTES, Cid
from vault.codec import Length, Record

Writer: TypeAlias = "Callable[[Any], bytes]"
_UNSIGNED, _BYTES, _TEXT, _ARRAY, _MAP = 0x00, 0x40, 0x60, 0x80, 0xA0  # major types, shifted
_SHORT = 24  # from here on, the argument follows the first byte
_FALSE, _TRUE, _NULL = b"\xf4", b"\xf5", b"\xf6"
_LINK = b"\xd8\x2a\x58" + bytes([CID_BYTES + 1]) + b"\x00"  # tag 42 over a byte string that begins with zero


def encoded(record: Record) -> bytes:
    """Return a record's canonical bytes."""
    return _record_writer(type(record))(record)


def _record_writer(cls: type[Record]) -> Writer:
    if cls not in _WRITERS:
        _WRITERS[cls] = _made_writer(cls)
    return _WRITERS[cls]


def _made_writer(cls: type[Record]) -> Writer:
    if cls.value is not Record.value:
        raise TypeError(f"{cls.__name__} is not written field by field")
    hints = get_type_hints(cls, include_extras=True)
    names = {_text(item.name): item.name for item in fields(cls) if item.init}
    before = _head(_MAP, len(names) + bool(cls.TYPE))
    steps: list[tuple[bytes, Writer | None]] = []
    order: list[str] = []
    for key in sorted([*names, *([_text("type")] if cls.TYPE else [])], key=lambda text: (len(text), text)):
        if key not in names:
            before += key + _text(cls.TYPE)
            continue
        name = names[key]
        head = _fixed_head(hints[name])
        steps.append((before + key + head, None if head else _writer(hints[name])))
        order.append(name)
        before = b""
    end, values_of = before, _values(order)

    def write_record(record: Record) -> bytes:
        parts: list[bytes] = []
        for (constant, write), value in zip(steps, values_of(record), strict=True):
            parts.append(constant)
            parts.append(value if write is None else write(value))
        parts.append(end)
        return b"".join(parts)

    return write_record


def _values(names: list[str]) -> Callable[[Record], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    one = attrgetter(*names)
    return lambda record: (one(record),)


def _fixed_head(hint: Any) -> bytes:
    """Return the head of a byte string that always has the same length; nothing for another value."""
    if get_origin(hint) is Annotated:
        base, *bounds = get_args(hint)
        for bound in bounds:
            if base is bytes and isinstance(bound, Length) and bound.least == bound.most:
                return _head(_BYTES, bound.least)
    return b""


def _writer(hint: Any) -> Writer:
    origin = get_origin(hint)
    if origin is Annotated:
        return _writer(get_args(hint)[0])
    if origin in (Union, UnionType):
        (inner,) = [_writer(arm) for arm in get_args(hint) if arm is not NoneType]
        return lambda value: _NULL if value is None else inner(value)
    if origin is tuple and (head := _fixed_head(get_args(hint)[0])):
        return lambda value: _head(_ARRAY, len(value)) + head + head.join(value) if value else _head(_ARRAY, 0)
    if origin is tuple:
        item = _writer(get_args(hint)[0])
        return lambda value: _head(_ARRAY, len(value)) + b"".join(map(item, value))
    if isinstance(hint, type) and issubclass(hint, Record):
        return _record_writer(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {member: _text(str(member)) for member in hint}.__getitem__
    return _PLAIN[hint]


def _head(major: int, argument: int) -> bytes:
    """Return the first bytes of an item: its major type, and its argument in the shortest form."""
    if argument < _SHORT:
        return _SHORT_HEADS[major | argument]
    for information, length in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument >> 8 * length == 0:
            return bytes([major | information]) + argument.to_bytes(length, "big")
    raise ValueError("an argument has 64 bits at most")


def _integer(value: int) -> bytes:
    return _SMALL[value] if value < len(_SMALL) else _head(_UNSIGNED, value)


def _bytes(value: bytes) -> bytes:
    length = len(value)
    return (_HEADS_OF_BYTES[length] if length < len(_HEADS_OF_BYTES) else _head(_BYTES, length)) + value


def _text(value: str) -> bytes:
    data = value.encode()
    return _head(_TEXT, len(data)) + data


def _boolean(value: bool) -> bytes:
    return _TRUE if value else _FALSE


def _link(value: Cid) -> bytes:
    return _LINK + value.binary


_WRITERS: dict[type[Record], Writer] = {}
_SHORT_HEADS = [bytes([first]) for first in range(256)]
_SMALL = [_head(_UNSIGNED, value) for value in range(1024)]
_HEADS_OF_BYTES = [_head(_BYTES, length) for length in range(256)]
_PLAIN: dict[Any, Writer] = {int: _integer, bytes: _bytes, str: _text, bool: _boolean, Cid: _link}
