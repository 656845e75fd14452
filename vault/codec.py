"""Canonical DAG-CBOR: one value, one encoding, and records that cannot be malformed.

Rule X1: decoding and encoding again must give the same bytes; no floats; integers 0 … 2^63-1. A link is tag 42
over 0x00 and a CIDv1 of 36 bytes. The form is RFC 8949, section 4.2.3 (length-first map keys), as DAG-CBOR asks.

A `Record` is a frozen dataclass whose annotations are its schema: it is checked whenever one is made, so neither a
decoded nor a built record can break its bounds. Foreign bytes are bounded before they are parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Self, TypeAlias, Union, get_args, get_origin, get_type_hints

import cbor2

from storage.cid import DAG_CBOR, Cid
from storage.errors import InvalidCid
from vault.errors import MalformedObject

OBJECT_BYTES_MAX = 1 << 20  # one block every IPFS node takes
DEPTH_MAX = 32
INTEGER_MAX = (1 << 63) - 1
LINK_TAG = 42

Value: TypeAlias = "bool | int | str | bytes | Cid | list[Value] | dict[str, Value] | None"


def _refuse_tag(_: object, *__: object) -> None:
    raise MalformedObject("only links may be tagged")


_BUILT_IN_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_REFUSED_TAGS = dict.fromkeys(_BUILT_IN_TAGS, _refuse_tag)


def encode(value: Value) -> bytes:
    """Return the canonical encoding. Raises `MalformedObject` for what DAG-CBOR or rule X1 cannot hold."""
    try:
        return cbor2.dumps(_to_wire(value, DEPTH_MAX), canonical=True)
    except UnicodeEncodeError:
        raise MalformedObject("text holds half of a surrogate pair") from None  # the cause would carry the text


def decode(data: bytes, *, bytes_max: int = OBJECT_BYTES_MAX) -> Value:
    """Return the value that `encode` turns into exactly `data`, or raise `MalformedObject`."""
    if len(data) > bytes_max:
        raise MalformedObject(f"object of {len(data)} bytes is over the limit of {bytes_max}")
    try:
        wire = cbor2.loads(
            data,
            semantic_decoders=_REFUSED_TAGS,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,  # a key of numbers can be made to collide with all others
        )
        value = _from_wire(wire)
    except (cbor2.CBORError, RecursionError, UnicodeDecodeError, InvalidCid, OverflowError, MemoryError) as error:
        raise MalformedObject("not canonical DAG-CBOR") from error
    if cbor2.dumps(wire, canonical=True) != data:
        raise MalformedObject("not the canonical encoding of its value")
    return value


def _to_wire(value: Value, levels: int) -> Any:
    if levels == 0 and isinstance(value, (list, tuple, dict, Cid)):
        raise MalformedObject(f"nested deeper than {DEPTH_MAX} levels")
    match value:
        case None | bool() | str() | bytes():
            return value
        case int():
            if not 0 <= value <= INTEGER_MAX:
                raise MalformedObject("integer outside 0 … 2^63-1")
            return value
        case Cid():
            return cbor2.CBORTag(LINK_TAG, b"\x00" + value.binary)
        case list() | tuple():
            return [_to_wire(item, levels - 1) for item in value]
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise MalformedObject("map keys must be text")
            return {key: _to_wire(item, levels - 1) for key, item in value.items()}
        case _:
            raise MalformedObject(f"{type(value).__name__} has no canonical encoding")


def _from_wire(wire: Any) -> Value:
    match wire:
        case None | bool() | str() | bytes():
            return wire
        case int() if 0 <= wire <= INTEGER_MAX:
            return wire
        case list():
            return [_from_wire(item) for item in wire]
        case dict() if all(isinstance(key, str) for key in wire):
            return {key: _from_wire(item) for key, item in wire.items()}
        case cbor2.CBORTag(tag=42, value=bytes() as link) if link[:1] == b"\x00":
            return Cid(link[1:])
        case _:
            raise MalformedObject(f"{type(wire).__name__} is not allowed in an object")


@dataclass(frozen=True, slots=True)
class Length:
    """Bounds on a text, byte string or list, both inclusive."""

    least: int
    most: int


Digest = Annotated[bytes, Length(32, 32)]
Address = Annotated[bytes, Length(20, 20)]
PublicKey = Annotated[bytes, Length(32, 32)]  # Ed25519, RFC 8032
WalletSignature = Annotated[bytes, Length(65, 65)]  # r ‖ s ‖ v
MachineSignature = Annotated[bytes, Length(64, 64)]  # Ed25519
Weight = Annotated[bytes, Length(32, 32)]  # big-endian, as EIP-712's uint256
Label = Annotated[str, Length(0, 200)]

_Check = Callable[[Any], Value]
_Build = Callable[[Value], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A typed object with one encoding. Subclasses set `TYPE` and may override `check`."""

    TYPE: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, (to_value, _) in _schema(type(self)).items():
            try:
                to_value(getattr(self, name))
            except MalformedObject as error:
                raise MalformedObject(f"{type(self).__name__}.{name}: {error}") from error
        self.check()

    def check(self) -> None:
        """Raise `MalformedObject` where fields, each fine alone, do not fit together."""

    def value(self) -> dict[str, Value]:
        """Return the record as an encodable map, its type among the entries."""
        body = {name: to_value(getattr(self, name)) for name, (to_value, _) in _schema(type(self)).items()}
        return {"type": self.TYPE, **body} if self.TYPE else body

    def encoded(self) -> bytes:
        """Return the record's canonical bytes."""
        return encode(self.value())

    def cid(self) -> Cid:
        """Return the CID of the canonical bytes: the record's identity."""
        return Cid.of(DAG_CBOR, self.encoded())

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """Build the record from a decoded map with exactly its fields, or raise `MalformedObject`."""
        schema = _schema(cls)
        if not isinstance(value, dict):
            raise MalformedObject(f"{cls.__name__}: a map was expected")
        expected = set(schema) | ({"type"} if cls.TYPE else set())
        if set(value) != expected or (cls.TYPE and value["type"] != cls.TYPE):
            raise MalformedObject(f"{cls.__name__}: fields or type are not those of {cls.TYPE or cls.__name__}")
        return cls(**{name: build(value[name]) for name, (_, build) in schema.items()})

    @classmethod
    def from_bytes(cls, data: bytes, *, bytes_max: int = OBJECT_BYTES_MAX) -> Self:
        """Decode canonical bytes of at most `bytes_max`, or raise `MalformedObject`."""
        return cls.from_value(decode(data, bytes_max=bytes_max))


_SCHEMAS: dict[type, dict[str, tuple[_Check, _Build]]] = {}


def _schema(cls: type[Record]) -> dict[str, tuple[_Check, _Build]]:
    if cls not in _SCHEMAS:
        hints = get_type_hints(cls, include_extras=True)
        _SCHEMAS[cls] = {field.name: _converters(hints[field.name]) for field in fields(cls)}
    return _SCHEMAS[cls]


def _converters(hint: Any) -> tuple[_Check, _Build]:
    """Return (checked value from attribute, attribute from value) for one annotation."""
    origin = get_origin(hint)
    if origin is Annotated:
        base, *bounds = get_args(hint)
        return _bounded(_converters(base), [bound for bound in bounds if isinstance(bound, Length)])
    if origin in (Union, UnionType):
        (inner,) = [_converters(arm) for arm in get_args(hint) if arm is not NoneType]
        return (
            lambda x: None if x is None else inner[0](x),
            lambda v: None if v is None else inner[1](v),
        )
    if origin is tuple:
        item, dots = get_args(hint)
        if dots is not Ellipsis:
            raise TypeError("only tuple[X, ...] has a canonical form")
        return _sequence(_converters(item))
    if isinstance(hint, type) and issubclass(hint, Record):
        return _instance(hint, lambda record: record.value()), hint.from_value
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _instance(hint, str), _member(hint)
    if hint is str:
        return _text, _text
    if hint in (bool, bytes, Cid):
        check = _instance(hint, lambda x: x)
        return check, check
    if hint is int:
        return _integer, _integer
    raise TypeError(f"{hint} has no canonical form")


def _instance(cls: type, to_value: Callable[[Any], Value]) -> _Check:
    def check(x: Any) -> Value:
        if type(x) is not cls:
            raise MalformedObject(f"{cls.__name__} was expected")
        return to_value(x)

    return check


def _text(x: Any) -> str:
    if type(x) is not str:
        raise MalformedObject("text was expected")
    if not x.isascii():
        try:
            x.encode()
        except UnicodeEncodeError:
            raise MalformedObject("text holds half of a surrogate pair") from None  # the cause would carry the text
    return x


def _integer(x: Any) -> int:
    if type(x) is not int or not 0 <= x <= INTEGER_MAX:
        raise MalformedObject("an integer of 0 … 2^63-1 was expected")
    return x


def _member(cls: type[StrEnum]) -> _Build:
    def build(value: Value) -> Any:
        try:
            return cls(value)  # type: ignore[arg-type]  # any other value is the ValueError below
        except ValueError as error:
            raise MalformedObject(f"not one of {', '.join(cls)}") from error

    return build


def _sequence(inner: tuple[_Check, _Build]) -> tuple[_Check, _Build]:
    def check(x: Any) -> Value:
        if type(x) is not tuple:
            raise MalformedObject("a tuple was expected")
        return [inner[0](item) for item in x]

    def build(value: Value) -> Any:
        if not isinstance(value, list):
            raise MalformedObject("a list was expected")
        return tuple(inner[1](item) for item in value)

    return check, build


def _bounded(inner: tuple[_Check, _Build], bounds: list[Length]) -> tuple[_Check, _Build]:
    def check(x: Any) -> Value:
        value = inner[0](x)
        for bound in bounds:
            if not bound.least <= len(x) <= bound.most:
                raise MalformedObject(f"length {len(x)} is outside {bound.least} … {bound.most}")
        return value

    return check, inner[1]
