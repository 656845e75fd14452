"""The charter: who votes with what weight, what a decision needs, and which custodians hold keys.

Rule B3: the charter holds a random nonce and never its own id. The CID of the first one, the *genesis*, is the DAO's
identity; its digest is the DAO id and the salt of every signature. Members stand in a *roll* (`vault.roll`) that the
charter names; for who has no roll, the charter itself holds the root of the weights' Merkle tree and their total, both
32 bytes (rule X1). The custodians' numbers follow PROTOCOL: n custodians, t shares rebuild a key, q signatures make
something fresh, f liars are tolerated, with q ≥ ⌊(n+f)/2⌋+1 and f < t ≤ q ≤ n-f. It also fixes the size of a *window*:
how much an enclave may serve before its next renewal, and so what a host that destroys an enclave could hide (rule F3).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.codec import Address, Digest, Label, Length, PublicKey, Record, Weight, record
from vault.errors import MalformedObject
from vault.typed_data import Domain

MEMBERS_MAX = 100_000
CUSTODIANS_MAX = 16  # SLIP-39's bound on shares
GUARDIANS_MAX = 16
BASIS_POINTS = 10_000
LEASE_S_MAX = 3600  # rule E4: fresh evidence at least hourly
PERIOD_S_MAX = 365 * 86_400  # of voting, and of each wait before and after it
ROUND_S_MAX = 3600
PROPOSALS_PER_DAY_MAX = 1000
WINDOW_ENTRIES_MAX = 1 << 20
WINDOW_PASSAGES_MAX = 1 << 20
WINDOW_SPEND_MAX = 10**15  # micro-units


@record
class SuiteKey(Record):
    """An HPKE public key in its raw form and the suite it is for."""

    suite: Annotated[str, Length(1, 40)]
    key: Annotated[bytes, Length(32, 1216)]


@record
class Custodian(Record):
    """A custodian as the charter knows it: the key it signs with and the keys shares are sealed to."""

    key: PublicKey
    hpke: Annotated[tuple[SuiteKey, ...], Length(1, 4)]


@record
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


@record
class Voting(Record):
    """How a DAO decides: the waits in seconds, the bars in basis points of the total weight."""

    quorum_bps: int  # votes cast of any kind
    threshold_bps: int  # votes for (rule G3); over half, so that nothing omitted could outvote it
    delay_s: int  # from a proposal's first acknowledgment to its opening, so that nobody is surprised
    period_s: int
    extension_s: int  # voting lasts that much longer where the quorum was reached no earlier than that before its close
    round_s: int  # how long custodians have to hand a ballot on to one another; the set is closed f+1 rounds later
    timelock_s: int  # from the close until the decision may be carried out
    proposal_weight: Weight  # the least that may propose
    proposals_per_day: int  # of one member
    delegations_every_s: int  # at most one batch of delegations takes effect in so long

    def check(self) -> None:
        """Refuse what could never decide, or would never end."""
        if not (0 < self.quorum_bps <= BASIS_POINTS and BASIS_POINTS // 2 < self.threshold_bps <= BASIS_POINTS):
            raise MalformedObject("quorum is 1 … 10000 and threshold 5001 … 10000 basis points of the total weight")
        if not 1 <= self.period_s <= PERIOD_S_MAX:
            raise MalformedObject("the voting period is 1 s … 365 d")
        if max(self.delay_s, self.extension_s, self.timelock_s, self.delegations_every_s) > PERIOD_S_MAX:
            raise MalformedObject("voting delay, extension, timelock and wait for delegations are at most 365 d each")
        if not 1 <= self.round_s <= ROUND_S_MAX:
            raise MalformedObject(f"a round of custodians takes 1 … {ROUND_S_MAX} s")
        if self.extension_s > self.period_s:
            raise MalformedObject("voting is extended by its own period at most")
        if not 1 <= self.proposals_per_day <= PROPOSALS_PER_DAY_MAX:
            raise MalformedObject(f"a member makes 1 … {PROPOSALS_PER_DAY_MAX} proposals a day")


@record
class Charter(Record):
    """The rule by which a DAO decides."""

    TYPE: ClassVar[str] = "coffer/charter/v1"

    nonce: Digest
    name: Label
    chain_id: int
    roll: Cid  # who the members are; see `vault.roll`
    members: int  # how many stand in it
    weights_root: Digest  # of OpenZeppelin's standard tree over (address, uint256)
    total_weight: Weight
    voting: Voting
    guardians: Annotated[tuple[Address, ...], Length(0, GUARDIANS_MAX)]  # ascending; they may stop, and never grant
    guardian_signatures: int  # k of them
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
        if not 1 <= self.members <= MEMBERS_MAX or self.total() < self.members:
            raise MalformedObject(f"a DAO has 1 … {MEMBERS_MAX} members, each with a weight of 1 or more")
        if int.from_bytes(self.voting.proposal_weight, "big") > self.total():
            raise MalformedObject("nobody could ever propose: that takes more than the total weight")
        if list(self.guardians) != sorted(set(self.guardians)):
            raise MalformedObject("guardians must stand once each, ascending by address")
        if not min(1, len(self.guardians)) <= self.guardian_signatures <= len(self.guardians):
            raise MalformedObject("guardians act with 1 … all of their signatures; where there are none, with 0")
        if not 1 <= self.lease_s <= LEASE_S_MAX:
            raise MalformedObject(f"a lease lasts 1 … {LEASE_S_MAX} s")
        if len({custodian.key for custodian in self.custodians}) != len(self.custodians):
            raise MalformedObject("a custodian stands in the charter once")
        n, t, q, f = len(self.custodians), self.shares, self.signatures, self.liars
        if not (q >= (n + f) // 2 + 1 and f < t <= q <= n - f):
            raise MalformedObject(f"n={n} t={t} q={q} f={f} break q ≥ ⌊(n+f)/2⌋+1 and f < t ≤ q ≤ n-f")

    def total(self) -> int:
        """Return the sum of all weights."""
        return int.from_bytes(self.total_weight, "big")

    def custodian(self, key: bytes) -> Custodian | None:
        """Return the custodian that signs with `key`, if the charter has one."""
        return next((custodian for custodian in self.custodians if custodian.key == key), None)

    def domain(self, genesis: Cid) -> Domain:
        """Return the EIP-712 domain of the DAO founded by `genesis`."""
        return Domain(chain_id=self.chain_id, dao_id=genesis.digest)

    def require_successor(self, after: Charter) -> None:
        """Raise `MalformedObject` unless a decision may put `after` in this charter's place.

        What signatures and sealed shares rest on stays: another chain would be another signing domain, and no share of
        any key is sealed to another custodian. What votes are counted by changes with the roll that members can look
        into, and not under it: one set of members has one roll and one Merkle root.
        """
        fixed = ("chain_id", "custodians", "shares", "signatures", "liars", "suite_floor")
        if changed := [name for name in fixed if getattr(self, name) != getattr(after, name)]:
            raise MalformedObject(f"a decision cannot change {', '.join(changed)}: keys rest on them; found a new DAO")
        counted = ("members", "weights_root", "total_weight")
        if after.roll == self.roll and any(getattr(self, name) != getattr(after, name) for name in counted):
            raise MalformedObject(
                "votes would be counted by other weights than those of the roll, which stays the same"
            )
        if after.roll != self.roll and after.weights_root == self.weights_root:
            raise MalformedObject("the roll changes, and votes would be counted by the weights of the former one")
        if after == self:
            raise MalformedObject("this is the charter that is in force already")
