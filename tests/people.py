"""People, custodians and the DAOs they found, the same on every run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from hashlib import shake_256
from typing import Any

from storage.cid import Cid
from vault.charter import Charter, Custodian, Member, Window
from vault.head import History, founded
from vault.hpke import CLASSIC, HpkeKeys
from vault.machine import MachineKey
from vault.signing import SigningKey

NOW = 1_800_000_000  # UTC seconds
DAY_S = 86_400
CHAIN_ID = 100


def seeded(name: str, size: int = 32) -> bytes:
    """Return `size` bytes that look random and depend on `name` alone."""
    return shake_256(b"coffer tests/" + name.encode()).digest(size)


@cache
def wallet(name: str) -> SigningKey:
    """Return the wallet of that name."""
    return SigningKey(seeded(f"wallet {name}"))


@dataclass(frozen=True, kw_only=True)
class CustodianKeys:
    """A custodian's private keys, and what the charter says of it."""

    signing: MachineKey
    hpke: HpkeKeys

    def public(self) -> Custodian:
        """Return the charter's entry."""
        return Custodian(key=self.signing.public, hpke=self.hpke.public)


@cache
def custodian(name: str) -> CustodianKeys:
    """Return the custodian of that name."""
    return CustodianKeys(
        signing=MachineKey(seeded(f"custodian {name}")), hpke=HpkeKeys.from_seed(seeded(f"hpke {name}", 128))
    )


@dataclass(frozen=True, kw_only=True)
class Dao:
    """A DAO that has decided nothing yet, with the keys of all its people and machines."""

    history: History
    wallets: tuple[SigningKey, ...]  # in the charter's order
    custodians: tuple[CustodianKeys, ...]

    @property
    def charter(self) -> Charter:
        """Return the charter."""
        return self.history.charter

    @property
    def genesis(self) -> Cid:
        """Return the CID that is the DAO's identity."""
        return self.history.genesis


def dao(members: int = 5, *, name: str = "Harbor", custodians: int = 1, **charter_fields: Any) -> Dao:
    """Return a DAO of equal members; `charter_fields` replace fields of its charter, such as `shares`."""
    wallets = sorted((wallet(f"member {n}") for n in range(members)), key=lambda key: key.address)
    machines = tuple(custodian(str(n)) for n in range(custodians))
    fields: dict[str, Any] = {
        "nonce": seeded(f"nonce {name}"),
        "name": name,
        "chain_id": CHAIN_ID,
        "members": tuple(Member(address=key.address, weight=weight(1)) for key in wallets),
        "quorum_bps": 4_000,
        "threshold_bps": 5_001,
        "voting_period_s": DAY_S,
        "lease_s": 600,
        "window": Window(entries=1_000, passages=100, spend=100_000),
        "custodians": tuple(machine.public() for machine in machines),
        "shares": custodians // 2 + 1,
        "signatures": custodians // 2 + 1,
        "liars": 0,
        "suite_floor": CLASSIC,
        "treasury": wallet("treasury").address,
    }
    charter = Charter(**(fields | charter_fields))
    return Dao(history=founded(charter), wallets=tuple(wallets), custodians=machines)


def weight(value: int) -> bytes:
    """Return a voting weight as a charter holds it."""
    return value.to_bytes(32, "big")


def signed(history: History, key: SigningKey, record: Any) -> Any:
    """Return a record that a person signs, with the signature of `key` for this DAO."""
    return record.signed_by(key, history.charter.domain(history.genesis))


def resigned(history: History, key: SigningKey, record: Any, **fields: Any) -> Any:
    """Return a signed record with some fields replaced, and signed again."""
    return signed(history, key, replace(record, **fields))
