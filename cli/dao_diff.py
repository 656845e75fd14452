"""`coffer dao diff`: what a proposal would change, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from cli import wiring
from cli.console import reported, say, show_json, warn_simulated
from cli.dao_charter import MEMBERS_SHOWN, charter_changes
from cli.dao_custody import brought
from cli.dao_datasets import corpora_known
from cli.dao_voting import ProposalArgument
from cli.home import Settings
from cli.options import GenesisOption, HomeOption, JsonOption, cid_option
from cli.workplace import history_meant, opened_home
from vault.assembly import charter_of_proposal, charter_then, policy_of, roll_of
from vault.charter import Charter
from vault.errors import VaultError
from vault.policy import Policy
from vault.policy_diff import changes

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.history import History
    from vault.records.board import Board
    from vault.roll import Roll


def diff(
    proposal: ProposalArgument,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print what a proposal would change, in words: of a policy also what its licensees together could ever read."""
    with reported():
        settings, _ = opened_home(home)
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            found = brought(settings, board, history, cid_option(proposal))
            most = None if json else MEMBERS_SHOWN
            lines, policy = changes_of(settings, board, history, found, most=most), policy_of(board, found)
        is_simulated = policy is not None and policy.accepts_simulated()
        if json:
            said = {"proposal": str(found.cid()), "action": found.action.words(), "changes": lines}
            show_json(said | {"accepts_simulated": is_simulated})
            return
        say(escape(found.action.words()))
        if is_simulated:
            warn_simulated()
        for line in lines:
            say(f"  {escape(line)}")


def changes_of(
    settings: Settings, board: Board, history: History, proposal: Proposal, *, most: int | None = MEMBERS_SHOWN
) -> list[str]:
    """Return what a proposal would change, a line for each.

    Args:
        most: how many changes of members are told; None for all.
    """
    policy, charter = policy_of(board, proposal), charter_of_proposal(board, proposal)
    if policy is not None:
        return _policy_changes(settings, history, proposal, policy)
    if charter is not None:
        before = charter_then(board, history, proposal)
        return list(charter_changes(before, charter, _rolls(board, before, charter), most=most))
    return _revocation_changes(history, proposal)


def _policy_changes(settings: Settings, history: History, proposal: Proposal, policy: Policy) -> list[str]:
    """Compare with the policy that is dropped, or else with the one in force that has most datasets in common."""
    before = _nearest(history, proposal, policy)
    lines = [f"dropped: policy {cid}" for cid in proposal.action.drops]
    return [*lines, *changes(before, policy, corpora=corpora_known(settings, history, (before, policy)))]


def _nearest(history: History, proposal: Proposal, policy: Policy) -> Policy | None:
    dropped = [history.policies[cid] for cid in proposal.action.drops if cid in history.policies]
    others = [known for cid, known in history.policies.items() if cid != policy.cid()]

    def shared(known: Policy) -> int:
        return len({one.dataset for one in known.datasets} & {one.dataset for one in policy.datasets})

    near = max(dropped or others, key=shared, default=None)
    return near if near is not None and (dropped or shared(near)) else None


def _rolls(board: Board, before: Charter, after: Charter) -> tuple[Roll, Roll] | None:
    try:
        return roll_of(board, before), roll_of(board, after)
    except VaultError:
        return None


def _revocation_changes(history: History, proposal: Proposal) -> list[str]:
    from vault.history import subjects_of

    scope, subject = proposal.action.revokes, proposal.action.subject
    ended = [
        f"ends policy {cid} ({policy.title})"
        for cid, policy in history.policies.items()
        if scope == "dao" or (scope, subject) in subjects_of(policy)
    ]
    return ended or ["ends no policy in force; licenses, enclaves and queued grants that it names end with it"]
