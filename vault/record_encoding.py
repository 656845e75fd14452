"""Records' canonical bytes, written straight from their fields: for those that are written with every query.

The bytes are those of `Record.encoded`, whose general way costs ten times as much: it builds a map, checks it again,
and has its keys sorted. Here the keys of a record's class are sorted and encoded once (RFC 8949, section 4.2.3), and
its values, which were checked when it was made, are written as they stand (section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import itemgetter
from struct import Struct
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, Union, get_args, get_origin, get_type_hints

from storage.cid import CID_BYTES, Cid
from vault.codec import Record
from vault.record_fields import fixed_length, values_of

Writer: TypeAlias = "Callable[[Any], bytes]"
Taking: TypeAlias = "Callable[[list[str]], Callable[[Any], Iterable[Any]]]"
NOTHING_KNOWN: Final[Mapping[str, Any]] = MappingProxyType({})
_UNSIGNED, _BYTES, _TEXT, _ARRAY, _MAP = 0x00, 0x40, 0x60, 0x80, 0xA0  # major types, shifted
_SHORT = 24  # from here on, the argument follows the first byte
_FALSE, _TRUE, _NULL = b"\xf4", b"\xf5", b"\xf6"
_LINK = b"\xd8\x2a\x58" + bytes([CID_BYTES + 1]) + b"\x00"  # tag 42 over a byte string that begins with zero


def encoded(record: Record) -> bytes:
    """Return a record's canonical bytes."""
    return _record_writer(type(record))(record)


@dataclass(frozen=True, slots=True)
class Written:
    """The canonical bytes of a record or a list, in its place."""

    encoded: bytes


def written_list(records: Sequence[Record]) -> Written:
    """Return a list of records as it is written, for where it is written more than once."""
    return Written(_head(_ARRAY, len(records)) + b"".join(map(encoded, records)))


def joined_list(items: Sequence[bytes]) -> Written:
    """Return a list of records that are written already."""
    return Written(_head(_ARRAY, len(items)) + b"".join(items))


def encoded_fields(cls: type[Record], fields: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of the record of these fields, without making it: none of them is checked.

    For what is written once with every query, of values that were checked where they came from. A record among the
    fields may be anything with its attributes; a record or a list may be `Written`.
    """
    return _fields_writer(cls)(fields)


def form_of(cls: type[Record], known: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
    """Return what `encoded_fields` does for records that have these fields in common, given the others of each."""
    return _made_writer(cls, _from_mapping, known)


def _record_writer(cls: type[Record]) -> Writer:
    if cls not in _WRITERS:
        _WRITERS[cls] = _made_writer(cls, values_of)
    return _WRITERS[cls]


def _fields_writer(cls: type[Record]) -> Writer:
    if cls not in _FIELDS_WRITERS:
        _FIELDS_WRITERS[cls] = _made_writer(cls, _from_mapping)
    return _FIELDS_WRITERS[cls]


class _Field(NamedTuple):
    key: bytes
    name: str  # empty for the type, which is always the same
    head: bytes  # of a value that always has the same length
    write: Writer


def _fields_of(cls: type[Record]) -> list[_Field]:
    """Return a record's fields in canonical order, its type among them."""
    if cls not in _FIELDS:
        _FIELDS[cls] = _found_fields(cls)
    return _FIELDS[cls]


def _found_fields(cls: type[Record]) -> list[_Field]:
    if cls.value is not Record.value:
        raise TypeError(f"{cls.__name__} is not written field by field")
    hints = get_type_hints(cls, include_extras=True)
    names = [item.name for item in fields(cls) if item.init]
    found = [_Field(_text(name), name, _fixed_head(hints[name]), _writer(hints[name])) for name in names]
    if cls.TYPE:
        found.append(_Field(_text("type"), "", b"", lambda _: _text(cls.TYPE)))
    return sorted(found, key=lambda field: (len(field.key), field.key))


def _made_writer(cls: type[Record], taking: Taking, known: Mapping[str, Any] = NOTHING_KNOWN) -> Writer:
    """Return what writes the records of a class, some of whose fields may be known already."""
    form = _constant(_head(_MAP, len(_fields_of(cls))))  # for the `%` of bytes: what is known, and places between
    sources: list[str] = []
    writers: list[tuple[int, Writer]] = []
    for key, name, head, write in _fields_of(cls):
        if not name or name in known:
            form += _constant(key + write(known.get(name)))
            continue
        if not head:
            writers.append((len(sources), write))
        sources.append(name)
        form += _constant(key + head) + b"%b"
    values = taking(sources)

    def write_record(record: Any) -> bytes:
        written = [*values(record)]
        for place, write in writers:
            written[place] = write(written[place])
        return form % (*written,)

    return write_record


def _constant(data: bytes) -> bytes:
    return data.replace(b"%", b"%%")


def _from_mapping(names: Sequence[str]) -> Callable[[Any], Iterable[Any]]:
    """Return what takes these entries of a map, in their order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda record: [record[name] for name in names]


def _fixed_head(hint: Any) -> bytes:
    """Return the head of a byte string that always has the same length; nothing for another value."""
    length = fixed_length(hint)
    return b"" if length is None else _head(_BYTES, length)


def _writer(hint: Any) -> Writer:
    origin = get_origin(hint)
    if origin is Annotated:
        return _writer(get_args(hint)[0])
    if origin in (Union, UnionType):
        (inner,) = [_writer(arm) for arm in get_args(hint) if arm is not NoneType]
        return lambda value: _NULL if value is None else inner(value)
    if origin is tuple:
        item_hint = get_args(hint)[0]
        if (length := fixed_length(item_hint)) is not None:
            return _joined(_head(_BYTES, length))
        return _list_writer(_writer(item_hint))
    if isinstance(hint, type) and issubclass(hint, Record):
        return _nested_writer(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {member: _text(str(member)) for member in hint}.__getitem__
    return _PLAIN[hint]


def _list_writer(item: Writer) -> Writer:
    def write_list(value: Any) -> bytes:
        if type(value) is Written:
            return value.encoded
        return _head(_ARRAY, len(value)) + b"".join(map(item, value))

    return write_list


def _nested_writer(cls: type[Record]) -> Writer:
    write = _record_writer(cls)
    return lambda value: value.encoded if type(value) is Written else write(value)


def _joined(head: bytes) -> Writer:
    """Return what writes a list of byte strings that all have the same head."""
    return lambda value: _head(_ARRAY, len(value)) + head + head.join(value) if value else _head(_ARRAY, 0)


def _head(major: int, argument: int) -> bytes:
    """Return the first bytes of an item: its major type, and its argument in the shortest form."""
    if argument < _SHORT:
        return _SHORT_HEADS[major | argument]
    for most, information, pack in _LONGER:
        if argument <= most:
            return pack(major | information, argument)
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


_FIELDS: dict[type[Record], list[_Field]] = {}
_WRITERS: dict[type[Record], Writer] = {}
_FIELDS_WRITERS: dict[type[Record], Writer] = {}
_LONGER = [  # what the argument is at most, what the first byte says of it, and the bytes of both
    (0xFF, 24, Struct(">BB").pack),
    (0xFFFF, 25, Struct(">BH").pack),
    (0xFFFFFFFF, 26, Struct(">BI").pack),
    (0xFFFFFFFFFFFFFFFF, 27, Struct(">BQ").pack),
]
_SHORT_HEADS = [bytes([first]) for first in range(256)]
_SMALL = [_head(_UNSIGNED, value) for value in range(1024)]
_HEADS_OF_BYTES = [_head(_BYTES, length) for length in range(256)]
_PLAIN: dict[Any, Writer] = {int: _integer, bytes: _bytes, str: _text, bool: _boolean, Cid: _link}
