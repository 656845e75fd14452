"""EIP-712 digests for the flat structs that people sign, with every field checked before it is hashed.

Wallet libraries pad a short `bytes32`, hash `None` as text and ignore extra fields, all silently; here each of them is
an error. The domain is ours: name, version, chain id, and the DAO id as salt (rule B3), so that a signature for one
DAO means nothing to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from vault.errors import MalformedObject

DOMAIN_NAME = "Coffer"
DOMAIN_VERSION = "1"
TEXT_BYTES_MAX = 8192  # the longest: an action that adopts one policy and drops 64
_UINT_ENDS = {f"uint{bits}": 1 << bits for bits in range(8, 257, 8)}


def keccak(data: bytes) -> bytes:
    """Return Keccak-256 of `data`, as Ethereum uses it (not SHA3-256)."""
    import sha3

    digest: bytes = sha3.keccak_256(data).digest()
    return digest


_Encoder = Callable[[Any], bytes | None]
"""Returns the word of a value, or None where it is none of the type's."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the digests of one struct have in common."""

    type_hash: bytes
    names: frozenset[str]
    encoders: tuple[tuple[str, str, _Encoder], ...]


@dataclass(frozen=True, slots=True)
class Struct:
    """An EIP-712 struct of atomic fields and strings: (name, type) in order."""

    name: str
    fields: tuple[tuple[str, str], ...]

    _plan: _Plan | None = field(default=None, init=False, repr=False, compare=False)  # made when first asked for

    def type_text(self) -> str:
        """Return `encodeType` of EIP-712."""
        return f"{self.name}({','.join(f'{kind} {name}' for name, kind in self.fields)})"

    def hash(self, values: Mapping[str, Any]) -> bytes:
        """Return `hashStruct`, or raise `MalformedObject` where a field is missing, extra or out of range."""
        plan = self._plan or self._planned()
        if values.keys() != plan.names:
            raise MalformedObject(f"{self.name} takes exactly {', '.join(name for name, _ in self.fields)}")
        words = [plan.type_hash]
        for name, kind, encode in plan.encoders:
            if (encoded := encode(values[name])) is None:
                raise MalformedObject(f"{self.name}.{name} is not a {kind}")
            words.append(encoded)
        return keccak(b"".join(words))

    def _planned(self) -> _Plan:
        encoders = tuple((name, kind, _encoder(kind)) for name, kind in self.fields)
        plan = _Plan(keccak(self.type_text().encode()), frozenset(name for name, _ in self.fields), encoders)
        object.__setattr__(self, "_plan", plan)
        return plan


DOMAIN_STRUCT = Struct(
    "EIP712Domain", (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("salt", "bytes32"))
)
CONTRACT_DOMAIN_STRUCT = Struct(
    "EIP712Domain",
    (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyDomain:
    """What a signature over typed data is for."""

    STRUCT: ClassVar[Struct]

    _separator: bytes | None = field(default=None, init=False, repr=False, compare=False)  # made when first asked for

    def values(self) -> dict[str, Any]:
        """Return the domain's fields as a wallet shows them."""
        raise TypeError("a subclass says what its domain is")

    def digest(self, struct: Struct, values: Mapping[str, Any]) -> bytes:
        """Return the 32 bytes that a wallet signs (EIP-712, `encode`)."""
        return keccak(b"\x19\x01" + (self._separator or self.separator()) + struct.hash(values))

    def separator(self) -> bytes:
        """Return `domainSeparator` of EIP-712."""
        if self._separator is None:
            object.__setattr__(self, "_separator", self.STRUCT.hash(self.values()))
        return self._separator  # type: ignore[return-value]  # set above

    def typed_data(self, struct: Struct, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON of `eth_signTypedData_v4`; integers as decimal text, since JSON numbers end at 2^53."""
        self.digest(struct, values)
        return {
            "types": {
                item.name: [{"name": name, "type": kind} for name, kind in item.fields]
                for item in (self.STRUCT, struct)
            },
            "primaryType": struct.name,
            "domain": {name: _shown(value) for name, value in self.values().items()},
            "message": {name: _shown(value) for name, value in values.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain(AnyDomain):
    """Which DAO, on which chain, a signature is for."""

    STRUCT: ClassVar[Struct] = DOMAIN_STRUCT

    chain_id: int
    dao_id: bytes  # digest of the genesis charter's CID, 32 bytes

    def values(self) -> dict[str, Any]:
        """Return the domain's fields as a wallet shows them."""
        return {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": self.chain_id, "salt": self.dao_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDomain(AnyDomain):
    """Which contract, on which chain, a signature is for."""

    STRUCT: ClassVar[Struct] = CONTRACT_DOMAIN_STRUCT

    name: str
    version: str
    chain_id: int
    contract: bytes  # address

    def values(self) -> dict[str, Any]:
        """Return the domain's fields as a wallet shows them."""
        return {
            "name": self.name,
            "version": self.version,
            "chainId": self.chain_id,
            "verifyingContract": self.contract,
        }


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if type(value) is int else value


def word(kind: str, value: Any) -> bytes:
    """Return the 32 bytes that stand for a value of an atomic type or string, or raise `MalformedObject`."""
    encoded = _encoder(kind)(value)
    if encoded is None:
        raise MalformedObject(f"a value is not a {kind}")
    return encoded


def _encoder(kind: str) -> _Encoder:
    if kind in _UINT_ENDS:
        return partial(_uint, _UINT_ENDS[kind])
    return _ENCODERS.get(kind, _nothing)


def _uint(end: int, value: Any) -> bytes | None:
    return value.to_bytes(32, "big") if type(value) is int and 0 <= value < end else None


def _string(value: Any) -> bytes | None:
    if type(value) is not str:
        return None
    text = _utf8(value)
    return keccak(text) if len(text) <= TEXT_BYTES_MAX else None


def _bytes32(value: Any) -> bytes | None:
    return value if type(value) is bytes and len(value) == 32 else None


def _address(value: Any) -> bytes | None:
    return value.rjust(32, b"\x00") if type(value) is bytes and len(value) == 20 else None


def _bool(value: Any) -> bytes | None:
    return int(value).to_bytes(32, "big") if type(value) is bool else None


def _nothing(_: Any) -> bytes | None:
    return None


_ENCODERS: dict[str, _Encoder] = {"string": _string, "bytes32": _bytes32, "address": _address, "bool": _bool}


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MalformedObject("text holds half of a surrogate pair") from None  # the cause would carry the text
