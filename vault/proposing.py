"""Which proposals a custodian takes: those that could be carried out, made in time for all to hear of them (G2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, is_in_time, require_given, times_for
from vault.ballot import Proposal
from vault.charter import PERIOD_S_MAX, Charter
from vault.decision import verify_proposal
from vault.errors import MalformedObject
from vault.history import History
from vault.policy import Policy
from vault.policy_check import require_adoptable

TOLERANCE_S = 30  # between the clocks of a proposer and a custodian
OPENS_WITHIN_S = PERIOD_S_MAX  # after the charter's delay; a proposal takes room until its vote is closed


def require_proposable(
    history: History, proposal: Proposal, blocks: Mapping[Cid, bytes], *, at: int, production: bool
) -> dict[Cid, bytes]:
    """Return the block that a proposal names, or raise what is wrong with either.

    Args:
        at: UTC seconds.
        production: whether policies for a simulated TEE are refused.
    """
    history.require_current(proposal)
    verify_proposal(history.charter, proposal, genesis=history.genesis)
    named = proposal.action.adopts or proposal.action.charter
    if named is None:
        return {}
    block = blocks.get(named)
    if block is None:
        raise MalformedObject(f"the proposal names {named}; hand in that block with it")
    if not named.matches(block):
        raise MalformedObject(f"the block handed in for {named} is another one")
    if proposal.action.charter is not None:
        history.charter.require_successor(Charter.from_bytes(block))
    else:
        _require_policy(history, proposal, Policy.from_bytes(block), at=at, production=production)
    return {named: block}


def _require_policy(history: History, proposal: Proposal, policy: Policy, *, at: int, production: bool) -> None:
    require_adoptable(
        policy,
        genesis=history.genesis,
        window=history.charter.window,
        takes_effect_at=proposal.closes_at + history.charter.voting.timelock_s,
        at=at,
        production=production,
        revoked=lambda scope, subject: history.head.revoked_since(scope, subject, proposal.epoch),
    )


def require_vouched(
    given: Iterable[Acknowledgment], proposal: Proposal, charter: Charter
) -> tuple[Acknowledgment, ...]:
    """Return what custodians said of a proposal, each one's earliest word, or raise `InvalidSignature`."""
    words = list(given)
    require_given(words, charter, genesis=proposal.genesis, subject=proposal.cid().digest)
    earliest: dict[bytes, Acknowledgment] = {}
    for one in sorted(words, key=lambda word: word.arrived_at):
        earliest.setdefault(one.custodian, one)
    return tuple(earliest.values())


def is_timely(words: Iterable[Acknowledgment], own: bytes, proposal: Proposal, charter: Charter, *, at: int) -> bool:
    """Say whether a proposal came before the charter's delay, as custodian `own` sees it at `at` (UTC seconds)."""
    times = times_for(words)
    times.setdefault(own, at)
    by = proposal.opens_at - charter.voting.delay_s + TOLERANCE_S
    return is_in_time(times, own, by=by, round_s=charter.voting.round_s, liars=charter.liars)


def vouched_by(words: Iterable[Acknowledgment], own: bytes, proposal: Proposal, charter: Charter) -> int:
    """Return how many other custodians say that they had the proposal in time."""
    by = proposal.opens_at - charter.voting.delay_s + TOLERANCE_S
    return len({one.custodian for one in words if one.custodian != own and one.arrived_at <= by})
