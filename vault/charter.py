"""The charter: who votes with what weight, what a decision needs, and which custodians hold keys.

Rule B3: the charter holds a random nonce and never its own id. The CID of the first one, the *genesis*, is the DAO's
identity; its digest is the DAO id and the salt of every signature. Weights are 32 bytes big-endian (rule X1).
The custodians' numbers follow PROTOCOL: n custodians, t shares rebuild a key, q signatures make something fresh,
f liars are tolerated, with q ≥ ⌊(n+f)/2⌋+1 and f < t ≤ q ≤ n-f. It also fixes the size of a *window*: how much an
enclave may serve before its next renewal, and so what a host that destroys an enclave could hide (rule F3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.codec import Address, Digest, Label, Length, PublicKey, Record, Weight
from vault.errors import MalformedObject
from vault.typed_data import Domain

MEMBERS_MAX = 1000  # every member stands in the charter itself
CUSTODIANS_MAX = 16  # SLIP-39's bound on shares
BASIS_POINTS = 10_000
LEASE_S_MAX = 3600  # rule E4: fresh evidence at least hourly
VOTING_PERIOD_S_MAX = 365 * 86_400
WINDOW_ENTRIES_MAX = 1 << 20
WINDOW_PASSAGES_MAX = 1 << 20
WINDOW_SPEND_MAX = 10**15  # micro-units


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Record):
    """One voter and its weight."""

    address: Address
    weight: Weight

    def weight_value(self) -> int:
        """Return the weight as an integer."""
        return int.from_bytes(self.weight, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteKey(Record):
    """An HPKE public key in its raw form and the suite it is for."""

    suite: Annotated[str, Length(1, 40)]
    key: Annotated[bytes, Length(32, 1216)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Custodian(Record):
    """A custodian as the charter knows it: the key it signs with and the keys shares are sealed to."""

    key: PublicKey
    hpke: Annotated[tuple[SuiteKey, ...], Length(1, 4)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(Record):
    """How much an enclave may serve past the ledger entry it was leased at, before it renews (rule F3)."""

    entries: int  # ledger entries in all
    passages: int  # new distinct passages per licensee
    spend: int  # micro-units charged per licensee and currency

    def check(self) -> None:
        """Refuse a window that lets nothing through, or one without bound."""
        bounds = (
            (self.entries, WINDOW_ENTRIES_MAX),
            (self.passages, WINDOW_PASSAGES_MAX),
            (self.spend, WINDOW_SPEND_MAX),
        )
        if any(not 1 <= size <= most for size, most in bounds):
            raise MalformedObject(
                f"a window is 1 … {WINDOW_ENTRIES_MAX} entries, 1 … {WINDOW_PASSAGES_MAX} passages and "
                f"1 … {WINDOW_SPEND_MAX} micro-units"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter(Record):
    """The rule by which a DAO decides."""

    TYPE: ClassVar[str] = "coffer/charter/v1"

    nonce: Digest
    name: Label
    chain_id: int
    members: Annotated[tuple[Member, ...], Length(1, MEMBERS_MAX)]  # ascending by address
    quorum_bps: int  # votes cast of any kind, of the total weight
    threshold_bps: int  # votes for, of the total weight (rule G3); over half, so that nothing omitted could outvote it
    voting_period_s: int
    lease_s: int  # how long an enclave may serve on one lease
    window: Window  # how much it may serve on one lease
    custodians: Annotated[tuple[Custodian, ...], Length(1, CUSTODIANS_MAX)]
    shares: int  # t
    signatures: int  # q
    liars: int  # f
    suite_floor: Annotated[str, Length(1, 40)]  # weakest HPKE suite a release may use
    treasury: Address

    def check(self) -> None:
        """Refuse a charter that could never decide, or whose custodians could be outvoted by liars."""
        addresses = [member.address for member in self.members]
        if addresses != sorted(set(addresses)):
            raise MalformedObject("members must stand once each, ascending by address")
        if not 0 < self.total_weight() < 1 << 256:
            raise MalformedObject("the weights must add up to more than zero and fit 256 bits")
        if not (0 < self.quorum_bps <= BASIS_POINTS and BASIS_POINTS // 2 < self.threshold_bps <= BASIS_POINTS):
            raise MalformedObject("quorum is 1 … 10000 and threshold 5001 … 10000 basis points of the total weight")
        if not 1 <= self.voting_period_s <= VOTING_PERIOD_S_MAX or not 1 <= self.lease_s <= LEASE_S_MAX:
            raise MalformedObject("voting period is 1 s … 365 d, lease 1 … 3600 s")
        if len({custodian.key for custodian in self.custodians}) != len(self.custodians):
            raise MalformedObject("a custodian stands in the charter once")
        n, t, q, f = len(self.custodians), self.shares, self.signatures, self.liars
        if not (q >= (n + f) // 2 + 1 and f < t <= q <= n - f):
            raise MalformedObject(f"n={n} t={t} q={q} f={f} break q ≥ ⌊(n+f)/2⌋+1 and f < t ≤ q ≤ n-f")

    def total_weight(self) -> int:
        """Return the sum of all weights."""
        return sum(member.weight_value() for member in self.members)

    def weight_of(self, address: bytes) -> int:
        """Return the weight of `address`; zero for a stranger."""
        return next((member.weight_value() for member in self.members if member.address == address), 0)

    def custodian(self, key: bytes) -> Custodian | None:
        """Return the custodian that signs with `key`, if the charter has one."""
        return next((custodian for custodian in self.custodians if custodian.key == key), None)

    def domain(self, genesis: Cid) -> Domain:
        """Return the EIP-712 domain of the DAO founded by `genesis`."""
        return Domain(chain_id=self.chain_id, dao_id=genesis.digest)
