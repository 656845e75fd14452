"""EIP-712 digests for the flat structs that people sign, with every field checked before it is hashed.

Wallet libraries pad a short `bytes32`, hash `None` as text and ignore extra fields, all silently; here each of them is
an error. The domain is ours: name, version, chain id, and the DAO id as salt (rule B3), so that a signature for one
DAO means nothing to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vault.errors import MalformedObject

DOMAIN_NAME = "Coffer"
DOMAIN_VERSION = "1"
TEXT_BYTES_MAX = 8192  # the longest: an action that adopts one policy and drops 64


def keccak(data: bytes) -> bytes:
    """Return Keccak-256 of `data`, as Ethereum uses it (not SHA3-256)."""
    import sha3

    digest: bytes = sha3.keccak_256(data).digest()
    return digest


@dataclass(frozen=True, slots=True)
class Struct:
    """An EIP-712 struct of atomic fields and strings: (name, type) in order."""

    name: str
    fields: tuple[tuple[str, str], ...]

    def type_text(self) -> str:
        """Return `encodeType` of EIP-712."""
        return f"{self.name}({','.join(f'{kind} {name}' for name, kind in self.fields)})"

    def hash(self, values: Mapping[str, Any]) -> bytes:
        """Return `hashStruct`, or raise `MalformedObject` where a field is missing, extra or out of range."""
        if set(values) != {name for name, _ in self.fields}:
            raise MalformedObject(f"{self.name} takes exactly {', '.join(name for name, _ in self.fields)}")
        words = [keccak(self.type_text().encode())]
        words += [_word(kind, values[name], f"{self.name}.{name}") for name, kind in self.fields]
        return keccak(b"".join(words))


DOMAIN_STRUCT = Struct(
    "EIP712Domain", (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("salt", "bytes32"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Which DAO, on which chain, a signature is for."""

    chain_id: int
    dao_id: bytes  # digest of the genesis charter's CID, 32 bytes

    def values(self) -> dict[str, Any]:
        """Return the domain's fields as a wallet shows them."""
        return {"name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": self.chain_id, "salt": self.dao_id}

    def digest(self, struct: Struct, values: Mapping[str, Any]) -> bytes:
        """Return the 32 bytes that a wallet signs (EIP-712, `encode`)."""
        return keccak(b"\x19\x01" + DOMAIN_STRUCT.hash(self.values()) + struct.hash(values))

    def typed_data(self, struct: Struct, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON of `eth_signTypedData_v4`; integers as decimal text, since JSON numbers end at 2^53."""
        struct.hash(values)
        return {
            "types": {
                item.name: [{"name": name, "type": kind} for name, kind in item.fields]
                for item in (DOMAIN_STRUCT, struct)
            },
            "primaryType": struct.name,
            "domain": {name: _shown(value) for name, value in self.values().items()},
            "message": {name: _shown(value) for name, value in values.items()},
        }


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value) if type(value) is int else value


def _word(kind: str, value: Any, where: str) -> bytes:
    if kind == "string" and type(value) is str and len(text := _utf8(value, where)) <= TEXT_BYTES_MAX:
        return keccak(text)
    if kind == "bytes32" and type(value) is bytes and len(value) == 32:
        return value
    if kind == "address" and type(value) is bytes and len(value) == 20:
        return value.rjust(32, b"\x00")
    if kind == "bool" and type(value) is bool:
        return int(value).to_bytes(32, "big")
    if kind.startswith("uint") and type(value) is int and 0 <= value < 1 << int(kind[4:]):
        return value.to_bytes(32, "big")
    raise MalformedObject(f"{where} is not a {kind}")


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MalformedObject(f"{where} holds half of a surrogate pair") from None  # the cause would carry the text
