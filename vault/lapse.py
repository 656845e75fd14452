"""Until when a decision may be carried out: what nobody carried out in time was decided about another day.

Otherwise whoever holds an old decision could bring it up years later, with a policy that has expired, or a revocation
of what was granted anew since. This rules what custodians vote for, by their own clocks, and not what is followed: a
head that q of them signed in time stays true for ever, and so does a chain that is verified years later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from storage.cid import Cid
from vault.ballot import Proposal
from vault.charter import Charter
from vault.errors import InvalidDecision
from vault.policy import Policy
from vault.utc import time_text

EXECUTION_S: Final = 30 * 86_400  # a month, in which custodians and members that are out of reach come back


def lapses_at(proposal: Proposal, charter: Charter) -> int:
    """Return from when on (UTC seconds) a proposal may not be carried out any more, however it was decided.

    The window is counted from the end of the timelock of a prolonged vote, so that no vote has to be counted for it.
    """
    voting = charter.voting
    return proposal.closes_at + voting.extension_s + voting.timelock_s + EXECUTION_S


def require_timely(proposal: Proposal, charter: Charter, fetch: Callable[[Cid], bytes], *, at: int) -> None:
    """Raise `InvalidDecision` where a decision comes too late to be carried out, or adopts a policy that has expired.

    Args:
        charter: the one that the proposal was made under.
        fetch: gives the block of the policy that the proposal names.
        at: now (UTC seconds).
    """
    if at >= (end := lapses_at(proposal, charter)):
        raise InvalidDecision(f"the decision lapsed at {time_text(end)}, since nobody carried it out; propose it anew")
    if proposal.action.adopts is None:
        return
    policy = Policy.from_bytes(fetch(proposal.action.adopts))
    if at >= policy.expires_at:
        raise InvalidDecision(f"the policy expired at {time_text(policy.expires_at)}; propose one that holds longer")
