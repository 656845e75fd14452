"""Records read straight into their fields: for those that are read with every receipt that is checked.

What `Record.from_bytes` takes is taken and what it refuses is refused, at a third of its cost: there, a value is built
first, and encoded again by a general encoder. Here the record is built from what the parser gives, its fields check
themselves, and it is then written again by `vault.record_encoding`, which has to give the same bytes (rule X1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import cbor2

from storage.cid import DAG_CBOR, Cid
from storage.errors import InvalidCid
from vault.codec import LINK_TAG, OBJECT_BYTES_MAX, Record, parse
from vault.errors import MalformedObject
from vault.record_encoding import encoded

LINKS_KEPT = 256  # read before: receipts of one session name the same objects again and again
R = TypeVar("R", bound=Record)
Reader: TypeAlias = "Callable[[Any], Any]"


def decoded(cls: type[R], data: bytes, *, bytes_max: int = OBJECT_BYTES_MAX) -> R:
    """Return the record whose canonical bytes are exactly `data`, or raise `MalformedObject`."""
    record: R = _record_reader(cls)(parse(data, bytes_max=bytes_max))
    if encoded(record) != data:
        raise MalformedObject("not the canonical encoding of its value")
    object.__setattr__(record, "_cid", Cid.of(DAG_CBOR, data))  # as `Record.cid` would find it, by encoding once more
    return record


def _record_reader(cls: type[Record]) -> Reader:
    if cls not in _READERS:
        _READERS[cls] = _made_reader(cls)
    return _READERS[cls]


def _made_reader(cls: type[Record]) -> Reader:
    if cls.from_value.__func__ is not Record.from_value.__func__:  # type: ignore[attr-defined]  # a classmethod's
        raise TypeError(f"{cls.__name__} is not read field by field")
    hints = get_type_hints(cls, include_extras=True)
    readers = [(item.name, _reader(hints[item.name])) for item in fields(cls) if item.init]
    count, kind = len(readers) + bool(cls.TYPE), cls.TYPE

    def read_record(wire: Any) -> Record:
        if type(wire) is not dict or len(wire) != count or (kind and wire.get("type") != kind):
            raise MalformedObject(f"{cls.__name__}: fields or type are not those of {kind or cls.__name__}")
        try:
            found = {name: wire[name] if read is None else read(wire[name]) for name, read in readers}
        except KeyError as error:
            raise MalformedObject(f"{cls.__name__}: a field is missing or is not one of {kind}") from error
        return cls(**found)

    return read_record


def _reader(hint: Any) -> Reader | None:
    """Return how a value of this annotation is read; None where it stands as the parser gives it."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _reader(get_args(hint)[0])
    if origin in (Union, UnionType):
        (inner,) = [_reader(arm) for arm in get_args(hint) if arm is not NoneType]
        return None if inner is None else lambda wire: None if wire is None else inner(wire)
    if origin is tuple:
        return _list_reader(_reader(get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, Record):
        return _record_reader(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _member_reader(hint)
    if hint is Cid:
        return _link
    if hint in (bool, int, bytes, str):
        return None
    raise TypeError(f"{hint} has no canonical form")


def _list_reader(item: Reader | None) -> Reader:
    def read_list(wire: Any) -> tuple[Any, ...]:
        if type(wire) is not list:
            raise MalformedObject("a list was expected")
        return tuple(wire) if item is None else tuple([item(one) for one in wire])

    return read_list


def _member_reader(kind: type[StrEnum]) -> Reader:
    members = {str(member): member for member in kind}

    def read_member(wire: Any) -> StrEnum:
        if type(wire) is not str or wire not in members:
            raise MalformedObject(f"not one of {', '.join(kind)}")
        return members[wire]

    return read_member


def _link(wire: Any) -> Cid:
    if type(wire) is not cbor2.CBORTag or wire.tag != LINK_TAG:
        raise MalformedObject("a link was expected")
    value = wire.value
    if type(value) is not bytes or value[:1] != b"\x00":
        raise MalformedObject("a link was expected")
    try:
        return _cid(value)
    except InvalidCid as error:
        raise MalformedObject("not canonical DAG-CBOR") from error


@lru_cache(maxsize=LINKS_KEPT)
def _cid(link: bytes) -> Cid:
    return Cid(link[1:])


_READERS: dict[type[Record], Reader] = {}
