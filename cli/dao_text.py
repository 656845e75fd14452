"""How a DAO, a proposal and a policy read: as values for programs, as lines for people."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from cli import wiring
from cli.console import out, say, tee_text
from cli.quantities import counted, duration_text, percent_text, time_left_text
from cli.tables import show_table
from vault.assembly import Board, Standing, policy_of, standing_of, time_text
from vault.errors import VaultError
from vault.head import History
from vault.policy import Policy
from vault.signing import address_text


def standing_json(board: Board, standing: Standing) -> dict[str, Any]:
    """Return how a proposal stands, for programs."""
    proposal, tally, at = standing.proposal, standing.tally, wiring.clock()
    policy = policy_of(board, proposal)
    return {
        "proposal": str(proposal.cid()),
        "action": proposal.action.words(),
        "policy": policy_json(policy) if policy is not None else None,
        "proposer": address_text(proposal.proposer),
        "state": standing.words(at),
        "for": tally.weight_for,
        "against": tally.weight_against,
        "abstain": tally.weight_abstain,
        "total": tally.total,
        "quorum_bps": tally.quorum_bps,
        "threshold_bps": tally.threshold_bps,
        "has_quorum": tally.has_quorum(),
        "is_carried": tally.is_carried(),
        "closes_at": proposal.closes_at,
        "seconds_left": max(0, proposal.closes_at - at),
        "refused": list(standing.refused),
    }


def policy_json(policy: Policy) -> dict[str, Any]:
    """Return what a policy says, for programs."""
    return {
        "policy": str(policy.cid()),
        "title": policy.title,
        "datasets": [str(dataset) for dataset in policy.datasets],
        "issuer": address_text(policy.issuer),
        "price": policy.price_per_query,
        "currency": policy.currency,
        "k": policy.k_max,
        "per_minute": policy.queries_per_minute,
        "budget": policy.passages_max,
        "tees": sorted({tee.kind for tee in policy.tees}),
        "treasury": address_text(policy.treasury),
        "operator": address_text(policy.operator),
        "treasury_bps": policy.treasury_bps,
        "operator_bps": policy.operator_bps,
        "expires_at": policy.expires_at,
    }


def dao_json(board: Board, history: History) -> dict[str, Any]:
    """Return how a whole DAO stands, for programs."""
    charter, standings, unreadable = history.charter, [], []
    for cid, _ in board.list("proposal", history.genesis):
        try:
            standings.append(standing_json(board, standing_of(board, history, cid)))
        except VaultError as error:
            unreadable.append(f"proposal {cid} does not count: {error}")
    return {
        "name": charter.name,
        "genesis": str(history.genesis),
        "head": str(history.head.cid()),
        "epoch": history.head.epoch,
        "members": {address_text(member.address): member.weight_value() for member in charter.members},
        "custodians": [custodian.key.hex() for custodian in charter.custodians],
        "shares": charter.shares,
        "signatures": charter.signatures,
        "liars": charter.liars,
        "voting_period_s": charter.voting_period_s,
        "treasury": address_text(charter.treasury),
        "policies": [policy_json(policy) for policy in history.policies.values()],
        "revocations": [f"{revoked.scope} {revoked.subject.hex()}".rstrip() for revoked in history.head.revocations],
        "proposals": standings,
        "refused": unreadable,
    }


def say_dao(whole: dict[str, Any]) -> None:
    """Print how a whole DAO stands."""
    say(f"[bold]{whole['genesis']}[/], epoch {whole['epoch']}, head {whole['head']}")
    out.print(whole["name"], markup=False)
    numbers = f"t={whole['shares']} q={whole['signatures']} f={whole['liars']}"
    say(f"{counted(len(whole['members']), 'member')}; {counted(len(whole['custodians']), 'custodian')} ({numbers})")
    say(f"votes stay open {duration_text(whole['voting_period_s'])}")
    for policy in whole["policies"]:
        say("[bold]in force[/]")
        say_policy(policy)
    if whole["proposals"]:
        columns = ("proposal", "for", "against", "abstain", "state", "action")
        rows = [shown | {"state": _state(shown)} for shown in whole["proposals"]]
        show_table(columns, [[str(row[column]) for column in columns] for row in rows])
    for sentence in whole["refused"]:
        say(f"[yellow]{sentence}[/]")


def say_standing(shown: dict[str, Any]) -> None:
    """Print how a proposal stands."""
    say(f"[bold]{shown['proposal']}[/] by {shown['proposer']}\n{shown['action']}")
    if shown["policy"] is not None:
        say_policy(shown["policy"])
    quorum = "met" if shown["has_quorum"] else "not met"
    say(f"for {shown['for']}, against {shown['against']}, abstain {shown['abstain']}, of {shown['total']}")
    say(f"quorum {percent_text(shown['quorum_bps'])} {quorum}; threshold {percent_text(shown['threshold_bps'])} for")
    say(_state(shown))
    for sentence in shown["refused"]:
        say(f"[yellow]{sentence}[/]")


def _state(shown: dict[str, Any]) -> str:
    if shown["state"] == "open":
        return f"open, {time_left_text(shown['seconds_left'])} left"
    return "carried; next: coffer dao execute" if shown["state"] == "carried" else str(shown["state"])


def say_policy(policy: dict[str, Any]) -> None:
    """Print a policy in words; a simulated TEE in red."""
    out.print(f"  {policy['title']}", markup=False)
    say(f"  policy {policy['policy']}, until {time_text(policy['expires_at'])}")
    limits = f"k up to {policy['k']}, {policy['per_minute']} a minute"
    say(f"  {policy['price']} micro-{escape(policy['currency'])} a query, {limits}")
    say(f"  at most {policy['budget']} distinct passages per licensee; licenses from {policy['issuer']}")
    shares = f"treasury {percent_text(policy['treasury_bps'])}, operator {percent_text(policy['operator_bps'])}"
    say(f"  {shares}, the rest to the owners; TEE {' or '.join(tee_text(kind) for kind in policy['tees'])}")
    for dataset in policy["datasets"]:
        say(f"  dataset {dataset}")
