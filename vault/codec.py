"""Canonical DAG-CBOR: one value, one encoding, and records that cannot be malformed.

Rule X1: decoding and encoding again must give the same bytes; no floats; integers 0 … 2^63-1. A link is tag 42
over 0x00 and a CIDv1 of 36 bytes. The form is RFC 8949, section 4.2.3 (length-first map keys), as DAG-CBOR asks.

A `Record` is a frozen dataclass whose annotations are its schema: it is checked whenever one is made, so neither a
decoded nor a built record can break its bounds. Foreign bytes are bounded before they are parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import cbor2

from storage.cid import DAG_CBOR, Cid
from storage.errors import InvalidCid
from vault.errors import MalformedObject
from vault.record_fields import Length as Length
from vault.record_fields import fixed_length, only_type, quick_check, values_of

OBJECT_BYTES_MAX = 1 << 20  # one block every IPFS node takes
DEPTH_MAX = 32
INTEGER_MAX = (1 << 63) - 1
LINK_TAG = 42

Made = TypeVar("Made")
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
    wire = parse(data, bytes_max=bytes_max)
    try:
        value = _from_wire(wire)
    except InvalidCid as error:
        raise MalformedObject("not canonical DAG-CBOR") from error
    if cbor2.dumps(wire, canonical=True) != data:
        raise MalformedObject("not the canonical encoding of its value")
    return value


def parse(data: bytes, *, bytes_max: int) -> Any:
    """Return what a bounded, safe CBOR parser makes of `data`, or raise `MalformedObject`.

    Types and canonical form are still to be checked: by `decode`, or by whoever encodes it again and compares.
    """
    if len(data) > bytes_max:
        raise MalformedObject(f"object of {len(data)} bytes is over the limit of {bytes_max}")
    try:
        return cbor2.loads(
            data,
            semantic_decoders=_REFUSED_TAGS,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,  # a key of numbers can be made to collide with all others
        )
    except (cbor2.CBORError, RecursionError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise MalformedObject("not canonical DAG-CBOR") from error


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


Digest = Annotated[bytes, Length(32, 32)]
Address = Annotated[bytes, Length(20, 20)]
PublicKey = Annotated[bytes, Length(32, 32)]  # Ed25519, RFC 8032
WalletSignature = Annotated[bytes, Length(65, 65)]  # r ‖ s ‖ v
MachineSignature = Annotated[bytes, Length(64, 64)]  # Ed25519
Weight = Annotated[bytes, Length(32, 32)]  # big-endian, as EIP-712's uint256
Label = Annotated[str, Length(0, 200)]


@dataclass(frozen=True, slots=True)
class _Form:
    """How one annotation is checked, encoded and built.

    `check` may stop at a nested record, which was checked when it was made; `to_value` takes what was checked.
    """

    check: Callable[[Any], None]
    to_value: Callable[[Any], Value]
    build: Callable[[Value], Any]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[Made]) -> type[Made]:
    """Make a class a frozen dataclass that compares and prints as `Record` says, and compile its `__init__` when used.

    To write and compile methods for a hundred classes would be a quarter of what importing a client costs.
    """
    made = dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False, init=False)(cls)
    made.__init__ = _first_init  # type: ignore[method-assign]  # of this very class, or a parent's would do for its own
    return made


def _first_init(self: Any, **given: Any) -> None:
    """Have the first record of a class made; those that follow go to the class's own `__init__` at once."""
    cls: Any = type(self)
    own = [(item.name, item.type, _same_field(item)) for item in fields(cls)]
    checks = {"__post_init__": cls.__post_init__}
    twin: Any = make_dataclass(
        cls.__name__, own, namespace=checks, frozen=True, slots=True, kw_only=True, eq=False, repr=False
    )
    cls.__init__ = twin.__init__
    cls.__init__(self, **given)


def _same_field(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return field(default_factory=item.default_factory, init=item.init)
    return field(default=item.default, init=item.init)


@record
class Record:
    """A typed object with one encoding. Subclasses set `TYPE` and may override `check`."""

    TYPE: ClassVar[str] = ""

    _cid: Cid | None = field(default=None, init=False, repr=False, compare=False)  # computed when first asked for

    def __post_init__(self) -> None:
        cls = type(self)
        if not (_QUICK.get(cls) or _made_quick(cls))(self):
            for name, form in _schema(cls).items():
                try:
                    form.check(getattr(self, name))
                except MalformedObject as error:
                    raise MalformedObject(f"{cls.__name__}.{name}: {error}") from error
        self.check()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        values = _compared(type(self))
        return self is other or values(self) == values(other)

    def __hash__(self) -> int:
        return hash(_compared(type(self))(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr)
        return f"{type(self).__qualname__}({shown})"

    def check(self) -> None:
        """Raise `MalformedObject` where fields, each fine alone, do not fit together."""

    def value(self) -> dict[str, Value]:
        """Return the record as an encodable map, its type among the entries."""
        body = {name: form.to_value(getattr(self, name)) for name, form in _schema(type(self)).items()}
        return {"type": self.TYPE, **body} if self.TYPE else body

    def encoded(self) -> bytes:
        """Return the record's canonical bytes."""
        return encode(self.value())

    def cid(self) -> Cid:
        """Return the CID of the canonical bytes: the record's identity."""
        if self._cid is None:
            object.__setattr__(self, "_cid", Cid.of(DAG_CBOR, self.encoded()))
        return self._cid  # type: ignore[return-value]  # set above

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """Build the record from a decoded map with exactly its fields, or raise `MalformedObject`."""
        schema = _schema(cls)
        if not isinstance(value, dict):
            raise MalformedObject(f"{cls.__name__}: a map was expected")
        if len(value) != len(schema) + bool(cls.TYPE) or (cls.TYPE and value.get("type") != cls.TYPE):
            raise MalformedObject(f"{cls.__name__}: fields or type are not those of {cls.TYPE or cls.__name__}")
        try:
            return cls(**{name: form.build(value[name]) for name, form in schema.items()})
        except KeyError as error:
            raise MalformedObject(f"{cls.__name__}: a field is missing or is not one of {cls.TYPE}") from error

    @classmethod
    def from_bytes(cls, data: bytes, *, bytes_max: int = OBJECT_BYTES_MAX) -> Self:
        """Decode canonical bytes of at most `bytes_max`, or raise `MalformedObject`."""
        return cls.from_value(decode(data, bytes_max=bytes_max))


_SCHEMAS: dict[type, dict[str, _Form]] = {}
_QUICK: dict[type, Callable[[Any], bool]] = {}
_COMPARED: dict[type, Callable[[Any], tuple[Any, ...]]] = {}


def _compared(cls: type[Record]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values by which records of a class are equal, or not."""
    if cls not in _COMPARED:
        _COMPARED[cls] = values_of([item.name for item in fields(cls) if item.compare])
    return _COMPARED[cls]


def _made_quick(cls: type[Record]) -> Callable[[Any], bool]:
    hints = get_type_hints(cls, include_extras=True)
    checks = {name: (hints[name], form.check) for name, form in _schema(cls).items()}
    _QUICK[cls] = is_fine = quick_check(checks, integer_max=INTEGER_MAX, refusal=MalformedObject)
    return is_fine


def _schema(cls: type[Record]) -> dict[str, _Form]:
    if cls not in _SCHEMAS:
        hints = get_type_hints(cls, include_extras=True)
        _SCHEMAS[cls] = {item.name: _form(hints[item.name]) for item in fields(cls) if item.init}
    return _SCHEMAS[cls]


def _form(hint: Any) -> _Form:
    origin = get_origin(hint)
    if origin is Annotated:
        base, *bounds = get_args(hint)
        lengths = [bound for bound in bounds if isinstance(bound, Length)]
        return _bounded(_form(base), lengths, base) if lengths else _form(base)
    if origin in (Union, UnionType):
        (inner,) = [_form(arm) for arm in get_args(hint) if arm is not NoneType]
        return _optional(inner)
    if origin is tuple:
        item, dots = get_args(hint)
        if dots is not Ellipsis:
            raise TypeError("only tuple[X, ...] has a canonical form")
        return _sequence(item)
    if isinstance(hint, type) and issubclass(hint, Record):
        return _Form(_of_type(hint), lambda record: record.value(), hint.from_value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _Form(_of_type(hint), str, _member(hint))
    if hint in (bool, bytes, Cid):
        return _Form(_of_type(hint), _same, _same)
    if hint is str:
        return _Form(_check_text, _same, _same)
    if hint is int:
        return _Form(_check_integer, _same, _same)
    raise TypeError(f"{hint} has no canonical form")


def _same(x: Any) -> Any:
    return x


def _of_type(cls: type) -> Callable[[Any], None]:
    def check(x: Any) -> None:
        if type(x) is not cls:
            raise MalformedObject(f"{cls.__name__} was expected")

    return check


def _check_text(x: Any) -> None:
    if type(x) is not str:
        raise MalformedObject("text was expected")
    if not x.isascii():
        try:
            x.encode()
        except UnicodeEncodeError:
            raise MalformedObject("text holds half of a surrogate pair") from None  # the cause would carry the text


def _check_integer(x: Any) -> None:
    if type(x) is not int or not 0 <= x <= INTEGER_MAX:
        raise MalformedObject("an integer of 0 … 2^63-1 was expected")


def _member(cls: type[StrEnum]) -> Callable[[Value], Any]:
    def build(value: Value) -> Any:
        try:
            return cls(value)  # type: ignore[arg-type]  # any other value is the ValueError below
        except ValueError as error:
            raise MalformedObject(f"not one of {', '.join(cls)}") from error

    return build


def _optional(inner: _Form) -> _Form:
    return _Form(
        lambda x: None if x is None else inner.check(x),
        lambda x: None if x is None else inner.to_value(x),
        lambda v: None if v is None else inner.build(v),
    )


def _sequence(item_hint: Any) -> _Form:
    inner, length = _form(item_hint), fixed_length(item_hint)
    types, lengths = {only_type(item_hint)}, {length}

    def check(x: Any) -> None:
        if type(x) is not tuple:
            raise MalformedObject("a tuple was expected")
        if length is not None and set(map(type, x)) <= types and set(map(len, x)) <= lengths:
            return
        for item in x:
            inner.check(item)

    def build(value: Value) -> Any:
        if not isinstance(value, list):
            raise MalformedObject("a list was expected")
        return tuple(map(inner.build, value))

    return _Form(check, lambda x: list(map(inner.to_value, x)), build)


def _bounded(inner: _Form, bounds: list[Length], base: Any) -> _Form:
    least, most = max(bound.least for bound in bounds), min(bound.most for bound in bounds)

    def check(x: Any) -> None:
        if type(x) is base is bytes and least <= len(x) <= most:  # most of what there is, at a third of the time
            return
        inner.check(x)
        if not least <= len(x) <= most:
            raise MalformedObject(f"length {len(x)} is outside {least} … {most}")

    return _Form(check, inner.to_value, inner.build)
