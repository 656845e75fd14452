"""Leases: a custodian's word, good for a short while, that an instance may serve a head and go on from an anchor.

Serving needs q leases that agree (rule F1): on head, manifests, ledger, anchor, instance and window. Who checks them
needs only the charter and a clock. What a custodian reports of others' windows stands beside the terms, since
custodians need not agree on it. A lease that grants a window names the public log's root at its anchor, so whoever
signs it is the log's witness (rule R3).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import Charter, Window
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.errors import ForkedHistory, InvalidSignature, StaleState
from vault.machine import MachineSigned
from vault.policy import DATASETS_MAX
from vault.window import EMPTY_ANCHOR as EMPTY_ANCHOR
from vault.window import Anchor as Anchor
from vault.window import HandBack, Reported

CLOCK_SKEW_S = 30
MANIFESTS_MAX = 4 * DATASETS_MAX


@record
class Terms(Record):
    """What the leases of one instance must agree on."""

    genesis: Cid
    head: Cid
    epoch: int
    manifests: Annotated[tuple[Cid, ...], Length(0, MANIFESTS_MAX)]
    ledger: Digest
    anchor: Anchor
    instance: PublicKey
    evidence: Digest  # the evidence it was appraised by
    window: Window | None  # past the anchor; None while shares are released, since nothing is served on that lease
    log: Digest | None  # root of the public log as far as the anchor: who signs the lease is its witness (rule R3)


@record
class Lease(MachineSigned):
    """One custodian's lease."""

    TYPE: ClassVar[str] = "coffer/lease/v1"

    custodian: PublicKey
    nonce: Digest
    terms: Terms
    issued_at: int
    not_after: int
    remembered: Anchor  # how far the ledger had come, as this custodian knew before; proves the branch
    windows: Reported  # of other instances, open as far as this custodian knows
    returned: HandBack | None  # the last one this custodian was given

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian


def agreed_terms(leases: Sequence[Lease], charter: Charter, *, genesis: Cid, at: int) -> Terms:
    """Return what q valid leases of this charter's custodians agree on at `at` (UTC seconds).

    Raises: `InvalidSignature` for a stranger's or unsigned lease, `StaleState` where fewer than q are in time or agree.
    """
    current: dict[bytes, Lease] = {}
    for lease in leases:
        if charter.custodian(lease.custodian) is None:
            raise InvalidSignature("a lease is from a machine that is no custodian of this DAO")
        lease.verify()
        if _is_in_time(lease, at) and lease.terms.genesis == genesis:
            current[lease.custodian] = lease
    terms = [lease.terms for lease in current.values()]
    best = max(terms, key=terms.count, default=None)
    if best is None or terms.count(best) < charter.signatures:
        raise StaleState(f"fewer than {charter.signatures} custodians' leases are in time and agree")
    return best


def require_in_time(leases: Sequence[Lease], charter: Charter, terms: Terms, *, at: int) -> None:
    """Raise `StaleState` unless q of the leases that `agreed_terms` verified for these terms are still in time."""
    current = {lease.custodian for lease in leases if lease.terms == terms and _is_in_time(lease, at)}
    if len(current) < charter.signatures:
        raise StaleState(f"fewer than {charter.signatures} custodians' leases are in time and agree")


def remembered_anchor(last: tuple[int, bytes] | None, claimed: Anchor, *, is_verified: bool) -> Anchor:
    """Return the anchor that a custodian remembers next, or raise `ForkedHistory` for a ledger that was rolled back.

    An enclave that still lacks the state key only claims what the host's database says. Remembering that would let
    a host brick a ledger with an invented anchor; so it counts once the enclave has verified it and renews.
    """
    sequence, mac = last or (EMPTY_ANCHOR.sequence, EMPTY_ANCHOR.mac)
    if claimed.sequence < sequence or (claimed.sequence == sequence and claimed.mac != mac):
        raise ForkedHistory(
            f"the ledger ends at entry {claimed.sequence}, but entry {sequence} was anchored; "
            "restore the newer database"
        )
    return claimed if is_verified else Anchor(sequence=sequence, mac=mac)


def _is_in_time(lease: Lease, at: int) -> bool:
    return lease.issued_at - CLOCK_SKEW_S <= at < lease.not_after


def ledger_id(genesis: Cid) -> bytes:
    """Return the id of a DAO's books."""
    return sha256(b"coffer/ledger/v1" + genesis.binary).digest()
