"""`coffer dao show|list|log`: what is in force, what is being voted on, and what was decided when and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import foreign, say, show_json
from cli.dao_charter import SETTINGS
from cli.dao_guardians import acts_json
from cli.dao_opened import opened_dao
from cli.dao_standing import say_standing, standing_json
from cli.dao_text import guardians_text, policy_json, say_policy
from cli.options import GenesisOption, HomeOption, JsonOption, cid_option
from cli.tables import show_table
from vault.action import revocation_words
from vault.assembly import fetch_from, roll_of
from vault.board import Kind
from vault.decision import Decision
from vault.epochs import Epoch, ballots_of, count_text, verified_epochs
from vault.errors import VaultError
from vault.guardian import GuardianAct
from vault.plain_text import counted
from vault.signing import address_text
from vault.standing import standing_of
from vault.vote_delegation import DelegationBatch, in_force

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board


def show(
    proposal: Annotated[str | None, typer.Argument(help="A proposal's CID; the whole DAO by default.")] = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print the DAO's head, its charter, the policies in force, and how every proposal stands."""
    with opened_dao(dao, home) as (_, board, history):
        if proposal is not None:
            shown = standing_json(board, standing_of(board, history, cid_option(proposal), at=wiring.clock()))
            show_json(shown) if json else say_standing(shown)
            return
        whole = dao_json(board, history)
        show_json(whole) if json else say_dao(whole)


def list_(dao: GenesisOption = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """List every proposal with its state."""
    with opened_dao(dao, home) as (_, board, history):
        standings, refused = standings_json(board, history)
        if json:
            show_json({"proposals": standings, "refused": refused})
            return
        say_proposals(standings, refused)
        if not standings:
            say("no proposal is on this board; make one with: coffer dao propose, or get others' with: coffer dao sync")


def standings_json(board: Board, history: History) -> tuple[list[dict[str, Any]], list[str]]:
    """Return how every proposal stands, and a sentence for each that does not count."""
    standings, refused = [], []
    past: dict[int, History] | None = None
    for cid, _ in board.list(Kind.PROPOSAL, history.genesis):
        if past is None and history.charter_epoch:  # proposals under older charters need the histories of then
            chain = verified_epochs(fetch_from(board), history.genesis, history.head.cid(), at=wiring.clock())
            past = {epoch.after.head.epoch: epoch.after for epoch in chain}
        try:
            standings.append(standing_json(board, standing_of(board, history, cid, at=wiring.clock(), past=past)))
        except VaultError as error:
            refused.append(f"proposal {cid} does not count: {error}")
    return standings, refused


def dao_json(board: Board, history: History) -> dict[str, Any]:
    """Return how a whole DAO stands, for programs."""
    charter = history.charter
    standings, refused = standings_json(board, history)
    try:
        members = {address_text(address): weight for address, weight in roll_of(board, charter).members}
    except VaultError as error:
        members, refused = None, [*refused, f"the members are not known here: {error}"]
    return {
        "name": charter.name,
        "genesis": str(history.genesis),
        "head": str(history.head.cid()),
        "epoch": history.head.epoch,
        "charter": str(history.head.charter),
        "chain_id": charter.chain_id,
        "members": members,
        "members_count": charter.members,
        "total_weight": charter.total(),
        "custodians": [custodian.key.hex() for custodian in charter.custodians],
        "shares": charter.shares,
        "signatures": charter.signatures,
        "liars": charter.liars,
        "guardians": [address_text(guardian) for guardian in charter.guardians],
        "guardian_signatures": charter.guardian_signatures,
        "settings": {setting.name: setting.in_words(charter) for setting in SETTINGS},
        "voting_period_s": charter.voting.period_s,
        "treasury": address_text(charter.treasury),
        "policies": [policy_json(policy) for policy in history.policies.values()],
        "revocations": [
            revocation_words(one.scope, one.subject).removeprefix("revoke ") for one in history.head.revocations
        ],
        "delegations": len(in_force(history.delegations, epoch=history.head.epoch)),
        "acts": acts_json(board, history),
        "proposals": standings,
        "refused": refused,
    }


def say_dao(whole: dict[str, Any]) -> None:
    """Print how a whole DAO stands."""
    say(f"[bold]{whole['genesis']}[/], epoch {whole['epoch']}, head {whole['head']}")
    say(foreign(whole["name"]))
    numbers = f"t={whole['shares']} q={whole['signatures']} f={whole['liars']}"
    parts = [counted(whole["members_count"], "member"), f"{counted(len(whole['custodians']), 'custodian')} ({numbers})"]
    if whole["guardians"]:
        parts.append(guardians_text(len(whole["guardians"]), whole["guardian_signatures"]))
    if whole["delegations"]:
        parts.append(counted(whole["delegations"], "delegation"))
    say("; ".join(parts))
    said = whole["settings"]
    say(f"votes stay open {said['voting-period']}; delay {said['voting-delay']}, timelock {said['timelock']}")
    say(f"quorum {said['quorum']}, threshold {said['threshold']} of total weight {whole['total_weight']}")
    for policy in whole["policies"]:
        say("[bold]in force[/]")
        say_policy(policy)
    for revoked in whole["revocations"]:
        say(f"revoked: {foreign(revoked)}")
    for act in whole["acts"]:
        say(f"guardians: {foreign(act['act'])}: {act['signed']} of {act['needed']} signed")
    say_proposals(whole["proposals"], whole["refused"])


def say_proposals(standings: list[dict[str, Any]], refused: list[str]) -> None:
    """Print proposals as a table, and why others do not count."""
    if standings:
        columns = ("proposal", "for", "against", "abstain", "state", "action")
        show_table(columns, [[str(shown[column]) for column in columns] for shown in standings])
    for sentence in refused:
        say(f"[yellow]{foreign(sentence)}[/]")


def log(
    ballots: Annotated[bool, typer.Option("--ballots", help="Every ballot with its reason, too.")] = False,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print everything the DAO ever decided, epoch by epoch, each verified on the way."""
    with opened_dao(dao, home) as (_, board, history):
        chain = verified_epochs(fetch_from(board), history.genesis, history.head.cid(), at=wiring.clock())
        told = [epoch_json(board, epoch, with_ballots=ballots or json) for epoch in chain]
        if json:
            show_json({"genesis": str(history.genesis), "epochs": told})
            return
        for epoch in told:
            _say_epoch(epoch)


def epoch_json(board: Board, epoch: Epoch, *, with_ballots: bool) -> dict[str, Any]:
    """Return what happened at one epoch, for programs."""
    fetch, cause = fetch_from(board), epoch.cause
    told: dict[str, Any] = {
        "epoch": epoch.after.head.epoch,
        "head": str(epoch.after.head.cid()),
        "cause": str(cause.cid()) if cause is not None else None,
        "what": epoch.words(fetch),
    }
    match cause:
        case Decision():
            told |= _decision_json(epoch, cause, fetch, with_ballots=with_ballots)
        case GuardianAct():
            told["guardians"] = [address_text(one.guardian) for one in cause.signatures]
        case DelegationBatch():
            told["delegations"] = [
                [address_text(one.delegation.delegator), address_text(one.delegation.delegate)]
                for one in cause.delegations
            ]
    return told


def _decision_json(epoch: Epoch, cause: Decision, fetch: Any, *, with_ballots: bool) -> dict[str, Any]:
    count, cast = epoch.count(fetch), ballots_of(cause, fetch)
    told: dict[str, Any] = {
        "proposal": str(cause.proposal.cid()),
        "proposer": address_text(cause.proposal.proposer),
        "voters": len({one.ballot.voter for one in cast}),
        "custodians": len(cause.closings),
        "closed_at": count.closed_at if count is not None else None,
        "count": count_text(count) if count is not None else "",
    }
    if with_ballots:
        told["ballots"] = [
            {
                "voter": address_text(one.ballot.voter),
                "support": one.ballot.support.value,
                "weight": one.weight,
                "sequence": one.ballot.sequence,
                "reason": one.ballot.reason,
            }
            for one in cast
        ]
    return told


def _say_epoch(told: dict[str, Any]) -> None:
    say(f"[bold]epoch {told['epoch']}[/] {foreign(told['what'])}")
    if "count" in told:
        say(
            f"  {counted(told['voters'], 'voter')}: {told['count']}; "
            f"closed by {counted(told['custodians'], 'custodian')}"
        )
        say(f"  proposal {told['proposal']} by {told['proposer']}")
        for one in told.get("ballots", ()):
            reason = f": {foreign(one['reason'])}" if one["reason"] else ""
            say(f"    {one['voter']} {one['support']}, weight {one['weight']}{reason}")
    for guardian in told.get("guardians", ()):
        say(f"  signed by {guardian}")
    for delegator, delegate in told.get("delegations", ()):
        say(f"  {delegate} votes for {delegator}" if delegator != delegate else f"  {delegator} votes itself again")
    if told["cause"] is not None:
        say(f"  cause {told['cause']}")
    say(f"  head {told['head']}")
