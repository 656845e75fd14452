"""Records' canonical bytes, written straight from their fields: for those that are written with every query.

The bytes are those of `Record.encoded`, whose general way costs thirty times as much: it builds a map, checks it again,
and has its keys sorted. Here a class gets a function of its own, as `dataclasses` makes them: its keys are sorted and
encoded once (RFC 8949, section 4.2.3), and its values, which were checked when it was made, are written as they stand
(section 3.1), without a call for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from struct import Struct
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, Union, get_args, get_origin, get_type_hints

from storage.cid import CID_BYTES, Cid
from vault.codec import Record
from vault.record_fields import fixed_length

Writer: TypeAlias = "Callable[[Any], bytes]"
NOTHING_KNOWN: Final[Mapping[str, Any]] = MappingProxyType({})
_UNSIGNED, _BYTES, _TEXT, _ARRAY, _MAP = 0x00, 0x40, 0x60, 0x80, 0xA0  # major types, shifted
_SHORT = 24  # from here on, the argument follows the first byte
_FALSE, _TRUE, _NULL = b"\xf4", b"\xf5", b"\xf6"
_LINK = b"\xd8\x2a\x58" + bytes([CID_BYTES + 1]) + b"\x00"  # tag 42 over a byte string that begins with zero
_ATTRIBUTES, _ENTRIES = "record.{}", "record[{!r}]"  # where fields are taken from


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
    return _made_writer(cls, _ENTRIES, known)


def _record_writer(cls: type[Record]) -> Writer:
    if cls not in _WRITERS:
        _WRITERS[cls] = _made_writer(cls, _ATTRIBUTES)
    return _WRITERS[cls]


def _fields_writer(cls: type[Record]) -> Writer:
    if cls not in _FIELDS_WRITERS:
        _FIELDS_WRITERS[cls] = _made_writer(cls, _ENTRIES)
    return _FIELDS_WRITERS[cls]


class _Field(NamedTuple):
    key: bytes
    name: str  # empty for the type, which is always the same
    hint: Any
    head: bytes  # that all of its values begin with


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
    found = [_Field(_text(name), name, hints[name], _fixed_head(hints[name])) for name in names]
    if cls.TYPE:
        found.append(_Field(_text("type"), "", str, b""))
    return sorted(found, key=lambda field: (len(field.key), field.key))


def _made_writer(cls: type[Record], source: str, known: Mapping[str, Any] = NOTHING_KNOWN) -> Writer:
    """Return what writes the records of a class, some of whose fields may be known already."""
    found = _fields_of(cls)
    known = {name: known[name] for _, name, _, _ in found if name in known}
    key = (cls, source, frozenset(known))
    if key not in _MAKERS:
        _MAKERS[key] = _maker(cls, source, known)
    form = _constant(_head(_MAP, len(found)))  # for the `%` of bytes: what is known, and places between
    for field in found:
        if not field.name or field.name in known:
            value = known[field.name] if field.name else cls.TYPE
            form += _constant(field.key + _writer(field.hint)(value))
        else:
            form += _constant(field.key + field.head) + b"%b"
    return _MAKERS[key](form)


def _maker(cls: type[Record], source: str, known: Mapping[str, Any]) -> Callable[[bytes], Writer]:
    """Return what makes a writer, given the form: its code is the same for all that know the same fields."""
    names: dict[str, Any] = dict(_NAMES)
    lines, values = ["def make(form):", "    def write(record):"], []
    for place, field in enumerate(_fields_of(cls)):
        if field.name and field.name not in known:
            lines.append(f"        x{place} = {source.format(field.name)}")
            values.append(_expression(field.hint, f"x{place}", names))
    lines += [f"        return form % ({''.join(value + ', ' for value in values)})", "    return write"]
    exec("\n".join(lines), names)  # noqa: S102  # of the fields' names, and expressions of ours
    made: Callable[[bytes], Writer] = names["make"]
    return made


def _expression(hint: Any, value: str, names: dict[str, Any]) -> str:
    """Return the expression for a field's bytes after its head, and have `names` hold what it calls by name."""
    origin = get_origin(hint)
    if _fixed_head(hint):
        return f"{value}.binary" if hint is Cid else value
    if origin is Annotated:
        return _expression(get_args(hint)[0], value, names)
    if hint is int:
        return f"small[{value}] if {value} < {len(_SMALL)} else integer({value})"
    if hint is bool:
        return f"true if {value} else false"
    if origin in (Union, UnionType):
        (inner,) = [arm for arm in get_args(hint) if arm is not NoneType]
        return f"null if {value} is None else {_called(inner, value, names)}"
    return _called(hint, value, names)


def _called(hint: Any, value: str, names: dict[str, Any]) -> str:
    called = f"write_{value}"
    names[called] = _writer(hint)
    return f"{called}({value})"


def _constant(data: bytes) -> bytes:
    return data.replace(b"%", b"%%")


def _fixed_head(hint: Any) -> bytes:
    """Return what every value of a hint begins with before bytes that always have the same length, if it is such."""
    if hint is Cid:
        return _LINK
    length = fixed_length(hint)
    return b"" if length is None else _head(_BYTES, length)


def _writer(hint: Any) -> Writer:
    """Return what writes one value by itself."""
    if hint not in _BY_HINT:
        _BY_HINT[hint] = _found_writer(hint)
    return _BY_HINT[hint]


def _found_writer(hint: Any) -> Writer:
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
        is_record = isinstance(item_hint, type) and issubclass(item_hint, Record)
        return _list_writer(_record_writer(item_hint) if is_record else _writer(item_hint))
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
_MAKERS: dict[tuple[type[Record], str, frozenset[str]], Callable[[bytes], Writer]] = {}
_BY_HINT: dict[Any, Writer] = {}
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
_NAMES = {
    "small": _SMALL,
    "integer": _integer,
    "true": _TRUE,
    "false": _FALSE,
    "null": _NULL,
}  # that expressions call by name
