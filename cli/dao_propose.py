"""`coffer dao propose`: put a policy, another charter or a revocation to the vote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import foreign, say, show_json, warn_simulated
from cli.dao_charter import pairs_from, rewritten
from cli.dao_custody import caught_up, collected_json, custody_of, say_collected
from cli.dao_diff import changes_of
from cli.dao_opened import opened_dao
from cli.dao_policy import policy_in
from cli.dao_rolls import require_counted
from cli.dao_subject import subject_from
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, WalletOption, cid_option
from cli.people import address_option, members_from
from cli.workplace import wallet_key
from vault.action import Action, Scope, adoption, charter_change, revocation
from vault.assembly import proposed, put_proposal
from vault.charter import Charter
from vault.collecting import handed_in_proposal
from vault.errors import MalformedObject
from vault.policy import Policy
from vault.roll import Roll
from vault.signing import SigningKey
from vault.utc import time_text

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.history import History
    from vault.records.board import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is put to the vote: the action, and what it names."""

    action: Action
    named: Policy | Charter | None = None
    roll: Roll | None = None  # of the charter, where its members change


def propose(
    wallet: WalletOption,
    subject: Annotated[str | None, typer.Argument(help="With --revoke: what to revoke.")] = None,
    policy: Annotated[Path | None, typer.Option(help="A policy in YAML; docs/policy.md says how one reads.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A policy's CID to drop at once, once per policy.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE to change in the charter, once per setting.")
    ] = None,
    members: Annotated[
        Path | None, typer.Option(help="The members from then on: a CSV file of address,weight lines.")
    ] = None,
    guardian: Annotated[list[str] | None, typer.Option(help="A guardian from then on, once per guardian.")] = None,
    no_guardians: Annotated[bool, typer.Option("--no-guardians", help="No guardians from then on.")] = False,
    revoke: Annotated[Scope | None, typer.Option(help="Take away instead of adopting.")] = None,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Put a policy, another charter, or a revocation to the vote, and print the proposal's CID.

    A policy:      coffer dao propose --wallet W --policy policy.yaml [--drop CID]

    A charter:     coffer dao propose --wallet W --set quorum=60% --members members.csv

    A revocation:  coffer dao propose --wallet W --revoke policy|dataset|licensee|measurement|dao [SUBJECT]
    """
    changes_charter = bool(set_ or members or guardian or no_guardians)
    _require_one_kind(policy, revoke, subject, drop or [], changes_charter=changes_charter)
    with opened_dao(dao, home, custodian) as (settings, board, history):
        if policy is not None:
            wanted = _adopting(settings, history, policy, drop or [])
        elif revoke is not None:
            wanted = Wanted(action=revocation(revoke, subject_from(settings, history, revoke, subject)))
        else:
            wanted = _rechartering(history, set_ or [], members, _guardians(guardian, none=no_guardians))
        said = put_to_vote(settings, board, history, wanted, wallet_key(settings, wallet))
        show_json(said) if json else say_proposed(said)


def _require_one_kind(
    policy: Path | None, revoke: Scope | None, subject: str | None, drop: list[str], *, changes_charter: bool
) -> None:
    if sum((policy is not None, revoke is not None, changes_charter)) != 1:
        raise typer.BadParameter(
            "propose one thing: --policy FILE, --revoke SCOPE [SUBJECT], or changes of the charter: --set, --members, "
            "--guardian or --no-guardians"
        )
    if revoke is None and subject is not None:
        raise typer.BadParameter("a subject goes with --revoke")
    if policy is None and drop:
        raise typer.BadParameter("--drop goes with --policy; a policy is revoked with --revoke policy CID")


def _adopting(settings: Settings, history: History, file: Path, drop: list[str]) -> Wanted:
    policy = policy_in(settings, history, file)
    drops = tuple(cid_option(cid) for cid in drop)
    if missing := [cid for cid in drops if cid not in history.policies]:
        raise MalformedObject(
            f"policy {missing[0]} is not in force, so it cannot be dropped; coffer dao show lists them"
        )
    return Wanted(action=adoption(policy.cid(), drops), named=policy)


def _guardians(given: list[str] | None, *, none: bool) -> tuple[bytes, ...] | None:
    if none and given:
        raise typer.BadParameter("either --guardian or --no-guardians")
    return () if none else tuple(address_option(text) for text in given) if given else None


def _rechartering(
    history: History, pairs: list[str], members: Path | None, guardians: tuple[bytes, ...] | None
) -> Wanted:
    roll = None if members is None else Roll.of(members_from([], members))
    charter = rewritten(history.charter, pairs_from(pairs), roll=roll, guardians=guardians)
    history.charter.require_successor(charter)
    return Wanted(action=charter_change(charter.cid()), named=charter, roll=roll)


def put_to_vote(settings: Settings, board: Board, history: History, wanted: Wanted, key: SigningKey) -> dict[str, Any]:
    """Sign a proposal, hand it to the custodians, and keep it on the board; nothing is kept that none of them took."""
    if isinstance(wanted.named, Charter):
        require_counted(board, wanted.named, wanted.roll)
    with custody_of(settings, history) as places:
        history = caught_up(board, history, places)
        proposal = proposed(board, history, wanted.action, key, at=wiring.clock())
        blocks = {wanted.named.cid(): wanted.named.encoded()} if wanted.named is not None else {}
        collected = handed_in_proposal(places.clients, history.charter, proposal, blocks)
        answers = collected_json(collected, places, len(history.charter.custodians))
    put_proposal(board, history, proposal, wanted.named, wanted.roll)
    changes = changes_of(settings, board, history, proposal)
    return answers | _proposed_json(proposal, wanted) | {"changes": changes}


def _proposed_json(proposal: Proposal, wanted: Wanted) -> dict[str, Any]:
    is_policy = isinstance(wanted.named, Policy)
    return {
        "proposal": str(proposal.cid()),
        "action": proposal.action.words(),
        "policy": str(wanted.named.cid()) if wanted.named is not None and is_policy else None,
        "charter": str(wanted.named.cid()) if wanted.named is not None and not is_policy else None,
        "accepts_simulated": isinstance(wanted.named, Policy) and wanted.named.accepts_simulated(),
        "opens_at": proposal.opens_at,
        "closes_at": proposal.closes_at,
    }


def say_proposed(said: dict[str, Any]) -> None:
    """Print a new proposal: its CID, what it would change, and what comes next."""
    say(f"proposed [bold]{said['proposal']}[/]\n{foreign(said['action'])}")
    if said["accepts_simulated"]:
        warn_simulated()
    for change in said["changes"]:
        say(f"  {foreign(change)}")
    say_collected(said, "it can be voted on")
    opens, closes = time_text(said["opens_at"]), time_text(said["closes_at"])
    say(f"voting is open from {opens} to {closes}; next: coffer dao vote {said['proposal']} for --wallet W")
