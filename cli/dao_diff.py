"""`coffer dao diff`: what a proposal would change, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cli.console import foreign, say, show_json, warn, warn_simulated
from cli.dao_charter import MEMBERS_SHOWN, charter_changes
from cli.dao_datasets import corpora_known
from cli.dao_opened import opened_proposal
from cli.dao_options import ProposalArgument
from cli.dao_rolls import seen_in, seen_roll
from cli.home import Settings
from cli.options import GenesisOption, HomeOption, JsonOption
from vault.action import named_by
from vault.assembly import charter_of_proposal, charter_then, policies_then, policy_of
from vault.policy import Policy
from vault.policy_diff import changes

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.history import History
    from vault.records.board import Board


def diff(
    proposal: ProposalArgument,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print what a proposal would change, in words: of a policy also what its licensees together could ever read."""
    with opened_proposal(proposal, dao, home) as (opened, found):
        lines = changes_of(*opened, found, most=None if json else MEMBERS_SHOWN)
        policy = policy_of(opened.board, found)
        is_simulated = policy is not None and policy.accepts_simulated()
        warning = seen_in(opened.board, found).warning
        if json:
            said = {"proposal": str(found.cid()), "action": found.action.words(), "changes": lines}
            show_json(said | {"accepts_simulated": is_simulated, "warning": warning})
            return
        say(foreign(found.action.words()))
        if is_simulated:
            warn_simulated()
        if warning:
            warn(warning)
        for line in lines:
            say(f"  {foreign(line)}")


def changes_of(
    settings: Settings, board: Board, history: History, proposal: Proposal, *, most: int | None = MEMBERS_SHOWN
) -> list[str]:
    """Return what a proposal would change, a line for each; of one that was carried out, what it did change.

    Args:
        most: how many changes of members, or of licensees, are told; None for all.
    """
    policy, charter = policy_of(board, proposal), charter_of_proposal(board, proposal)
    history = replace(history, policies=policies_then(board, history, proposal))
    if policy is not None:
        return _policy_changes(settings, history, proposal, policy, most=most)
    if charter is not None:
        before = charter_then(board, history, proposal)
        rolls = seen_roll(board, before).roll, seen_roll(board, charter).roll
        return list(charter_changes(before, charter, rolls, most=most))
    return _revocation_changes(history, proposal)


def _policy_changes(
    settings: Settings, history: History, proposal: Proposal, policy: Policy, *, most: int | None
) -> list[str]:
    """Compare with the policy that is dropped, or else with the one in force that has most datasets in common."""
    before = _nearest(history, proposal, policy)
    lines = [f"dropped: policy {cid}" for cid in proposal.action.drops]
    corpora = corpora_known(settings, history, (before, policy))
    return [*lines, *changes(before, policy, corpora=corpora, most=most)]


def _nearest(history: History, proposal: Proposal, policy: Policy) -> Policy | None:
    dropped = [history.policies[cid] for cid in proposal.action.drops if cid in history.policies]
    others = [known for cid, known in history.policies.items() if cid != policy.cid()]

    def shared(known: Policy) -> int:
        return len({one.dataset for one in known.datasets} & {one.dataset for one in policy.datasets})

    near = max(dropped or others, key=shared, default=None)
    return near if near is not None and (dropped or shared(near)) else None


def _revocation_changes(history: History, proposal: Proposal) -> list[str]:
    from vault.history import subjects_of

    scope, subject = proposal.action.revokes, proposal.action.subject
    ended = [
        f"ends policy {cid} ({policy.title})"
        for cid, policy in history.policies.items()
        if scope == "dao" or (scope is not None and (scope, named_by(scope, subject)) in subjects_of(policy))
    ]
    return ended or ["ends no policy in force; licenses, enclaves and queued grants that it names end with it"]
