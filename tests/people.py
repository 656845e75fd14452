"""People, custodians and the DAOs they found, the same on every run."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from hashlib import shake_256
from typing import Any

from storage.cid import Cid
from vault.charter import Charter, Custodian, Voting, Window
from vault.history import History, founded
from vault.hpke import CLASSIC, HpkeKeys
from vault.machine import MachineKey
from vault.roll import Roll
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
    roll: Roll
    wallets: tuple[SigningKey, ...]  # in the roll's order
    custodians: tuple[CustodianKeys, ...]

    @property
    def charter(self) -> Charter:
        """Return the charter."""
        return self.history.charter

    @property
    def genesis(self) -> Cid:
        """Return the CID that is the DAO's identity."""
        return self.history.genesis


def dao(
    members: int = 5,
    *,
    name: str = "Harbor",
    custodians: int = 1,
    weights: tuple[int, ...] | None = None,
    **charter_fields: Any,
) -> Dao:
    """Return a DAO; `charter_fields` replace fields of its charter or its voting, such as `shares`.

    Args:
        weights: those of member 0, 1, …; without them, members are equal.
    """
    roll = roll_of(members) if weights is None else weighted(weights)
    wallets = sorted((wallet(f"member {n}") for n in range(len(roll.members))), key=lambda key: key.address)
    machines = tuple(custodian(str(n)) for n in range(custodians))
    names = {field.name for field in fields(Voting)}
    changed = {key: charter_fields.pop(key) for key in names & set(charter_fields)}
    valid: dict[str, Any] = {
        "nonce": seeded(f"nonce {name}"),
        "name": name,
        "chain_id": CHAIN_ID,
        **roll_fields(roll),
        "voting": voting(**changed),
        "guardians": (),
        "guardian_signatures": 0,
        "lease_s": 600,
        "window": Window(entries=1_000, passages=100, spend=100_000),
        "custodians": tuple(machine.public() for machine in machines),
        "shares": custodians // 2 + 1,
        "signatures": custodians // 2 + 1,
        "liars": 0,
        "suite_floor": CLASSIC,
        "treasury": wallet("treasury").address,
    }
    charter = Charter(**(valid | charter_fields))
    return Dao(history=founded(charter), roll=roll, wallets=tuple(wallets), custodians=machines)


def voting(**changed: Any) -> Voting:
    """Return how the tests' DAOs vote: for a day, with neither delay, extension nor timelock."""
    valid: dict[str, Any] = {
        "quorum_bps": 4_000,
        "threshold_bps": 5_001,
        "delay_s": 0,
        "period_s": DAY_S,
        "extension_s": 0,
        "round_s": 1,
        "timelock_s": 0,
        "proposal_weight": weight(1),
        "proposals_per_day": 1_000,
        "delegations_every_s": 0,
    }
    return Voting(**(valid | changed))


def roll_of(members: int) -> Roll:
    """Return the roll of a DAO of so many equal members."""
    return weighted((1,) * members)


@cache
def weighted(weights: tuple[int, ...]) -> Roll:
    """Return the roll in which member 0, 1, … have these weights."""
    roll = Roll.of({wallet(f"member {n}").address: weight for n, weight in enumerate(weights)})
    _ROLLS[roll.cid] = roll
    return roll


_ROLLS: dict[Cid, Roll] = {}


def roll_in(charter: Charter) -> Roll:
    """Return the roll of one of the tests' charters."""
    return _ROLLS.get(charter.roll) or roll_of(charter.members)


def roll_fields(roll: Roll) -> dict[str, Any]:
    """Return the fields by which a charter names its roll."""
    return {
        "roll": roll.cid,
        "members": len(roll.members),
        "weights_root": roll.tree().root,
        "total_weight": weight(roll.total),
    }


def weight(value: int) -> bytes:
    """Return a voting weight as a charter holds it."""
    return value.to_bytes(32, "big")


def signed(history: History, key: SigningKey, record: Any) -> Any:
    """Return a record that a person signs, with the signature of `key` for this DAO."""
    return record.signed_by(key, history.charter.domain(history.genesis))


def resigned(history: History, key: SigningKey, record: Any, **fields: Any) -> Any:
    """Return a signed record with some fields replaced, and signed again."""
    return signed(history, key, replace(record, **fields))
