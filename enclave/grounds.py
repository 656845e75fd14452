"""On what an instance serves: leases on which q custodians agree, and the chain they lead to (rules B2, F2, F3).

The age of a lease counts from before it was asked for, on this machine's monotonic clock, so a host that moves the wall
clock gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from enclave.chain import Chain
from enclave.gathering import Answer
from storage.cid import Cid
from vault.charter import Charter
from vault.errors import ForkedHistory, InvalidSignature, MalformedObject, StaleState
from vault.evidence import Binding, Evidence
from vault.history import History
from vault.lease import Anchor, Lease, Terms, agreed_terms
from vault.manifest import Manifest
from vault.release import HandBack
from vault.window import OpenWindow, WindowId, last_of_each, lost_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """On what an instance serves, and until when: public objects that anyone can check."""

    binding: Binding
    evidence: Evidence
    leases: tuple[Lease, ...]
    terms: Terms
    history: History
    manifests: tuple[Manifest, ...]
    time_base: int  # UTC seconds at `asked_at`
    asked_at: float  # monotonic seconds, before the leases were asked for
    lifetime_s: int
    lost: tuple[OpenWindow, ...]  # windows that others left open and did not return
    reported: tuple[WindowId, ...]  # windows of others that any custodian still has open

    def now(self, monotonic: float) -> int:
        """Return UTC seconds by the leases' time, whatever the host's clock says."""
        return self.time_base + int(monotonic - self.asked_at)

    def remaining_s(self, monotonic: float, *, at_most: float) -> float:
        """Return how many seconds the leases still last, `at_most` if longer, never below zero."""
        return max(0.0, min(at_most, self.asked_at + self.lifetime_s - monotonic))

    def require_branch(self, is_ours: Callable[[Anchor], bool]) -> None:
        """Raise `ForkedHistory` unless q custodians remember the ledger as books of ours had it (rule F3).

        A host can set aside the rows of an enclave that it stopped, have another one serve and anchor, and bring the
        first rows back: longer, genuine, and without what the second one answered.
        """
        ours = sum(is_ours(lease.remembered) for lease in self.leases)
        if ours < self.history.charter.signatures:
            raise ForkedHistory("the ledger is a branch of the one that was anchored; restore the other one")

    def require_fresh(self, monotonic: float) -> int:
        """Return the time, or raise `StaleState` where the leases have run out."""
        if monotonic - self.asked_at >= self.lifetime_s:
            raise StaleState("the enclave's lease has run out and could not be renewed; it does not serve")
        return self.now(monotonic)


def agreed_grounds(
    binding: Binding,
    evidence: Evidence,
    answers: Sequence[Answer],
    *,
    anchor: Anchor,
    log: bytes | None,
    known: History | None,
    chain: Chain,
    asked_at: float,
) -> Grounds:
    """Return the grounds that the custodians' answers give, or raise why they give none.

    Args:
        anchor, log: how far the ledger had come when the leases were asked for, and its public log's root then.
        known: the history so far, if this is a renewal.
        chain: fetches what of the DAO's chain did not come with the leases.
        asked_at: monotonic seconds, before the leases were asked for.
    """
    genesis = binding.genesis
    blocks = {cid: block for answer in answers for cid, block in answer.blocks.items()}
    charter = chain.charter(known, blocks)
    leases = tuple(answer.lease for answer in answers if charter.custodian(answer.lease.custodian) is not None)
    time_base = _time(leases, charter)
    terms = agreed_terms(leases, charter, genesis=genesis, at=time_base)
    _require_own(terms, binding, evidence, anchor=anchor, log=log, is_renewal=known is not None)
    agreeing = tuple(lease for lease in leases if lease.terms == terms)
    history = chain.reached(known, terms.head, blocks, [lease.custodian for lease in agreeing], at=time_base)
    if terms.window != (history.charter.window if known is not None else None):
        raise InvalidSignature("the leases grant another window than the charter's")
    return Grounds(
        binding=binding,
        evidence=evidence,
        leases=agreeing,
        terms=terms,
        history=history,
        manifests=_manifests(blocks, terms, charter),
        time_base=time_base,
        asked_at=asked_at,
        lifetime_s=_lifetime_s(agreeing, history.charter),
        lost=_lost(leases, charter, terms),
        reported=last_of_each([window for lease in leases for window in _others(lease, terms.instance)]),
    )


def _manifests(blocks: Mapping[Cid, bytes], terms: Terms, charter: Charter) -> tuple[Manifest, ...]:
    manifests = tuple(Manifest.from_bytes(_fetch(blocks, cid)) for cid in terms.manifests)
    for manifest in manifests:
        manifest.verify_owner(charter.domain(terms.genesis))
    return manifests


def _time(leases: Sequence[Lease], charter: Charter) -> int:
    """Return UTC seconds by the leases; f liars cannot move it forward (rule F2)."""
    times = sorted(lease.issued_at for lease in leases) or [0]
    return times[min(charter.liars, len(times) - 1)]


def _lifetime_s(agreeing: Sequence[Lease], charter: Charter) -> int:
    """Return how long q leases last: a liar among them neither lengthens nor shortens it."""
    lifetimes = sorted((lease.not_after - lease.issued_at for lease in agreeing), reverse=True)
    return min(charter.lease_s, lifetimes[charter.signatures - 1])


def _require_own(
    terms: Terms, binding: Binding, evidence: Evidence, *, anchor: Anchor, log: bytes | None, is_renewal: bool
) -> None:
    if (terms.instance, terms.evidence, terms.anchor) != (binding.receipt_key, evidence.digest(), anchor):
        raise InvalidSignature("the leases are for another instance, evidence or ledger state than ours")
    if is_renewal and terms.window is None:
        raise StaleState("another instance has held this ledger meanwhile; opening again")
    if terms.log != log:
        raise InvalidSignature("the leases name another root of the log than ours")


def _others(lease: Lease, instance: bytes) -> list[OpenWindow]:
    return [window for window in lease.windows if window.instance != instance]


def _lost(leases: Sequence[Lease], charter: Charter, terms: Terms) -> tuple[OpenWindow, ...]:
    """Return the windows lost with other instances: not those of one that signed that it stopped right here."""
    stopped = {
        lease.returned.instance
        for lease in leases
        if lease.returned is not None and _has_stopped(lease.returned, terms)
    }
    lost = lost_windows([_others(lease, terms.instance) for lease in leases], charter)
    return tuple(window for window in lost if window.instance not in stopped)


def _has_stopped(back: HandBack, terms: Terms) -> bool:
    """Say whether an instance signed that this ledger ended, for it, at the very anchor of these terms."""
    if (back.genesis, back.ledger, back.anchor) != (terms.genesis, terms.ledger, terms.anchor):
        return False
    try:
        back.verify()
    except InvalidSignature:
        return False
    return True


def _fetch(blocks: Mapping[Cid, bytes], cid: Cid) -> bytes:
    if cid not in blocks:
        raise MalformedObject(f"the custodians did not send block {cid}")
    return blocks[cid]
