"""`coffer dao queue|execute`: have the custodians close a vote, and carry out what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from cli import wiring
from cli.console import FAILED, fail, say, show_json
from cli.dao_custody import (
    Places,
    carried_json,
    carried_over,
    caught_up,
    custody_of,
    handed_in,
    say_carried,
    say_failures,
)
from cli.dao_opened import opened_proposal
from cli.dao_options import ProposalArgument
from cli.dao_text import does
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption
from storage.cid import Cid
from vault.assembly import fetch_from, put_decision, roll_of
from vault.collecting import decided, queued
from vault.decision import Bundle, Decision
from vault.epochs import count_text, decision_blocks
from vault.lapse import lapses_at, require_timely
from vault.plain_text import counted
from vault.pulling import pull_decision
from vault.standing import ready_decision, standing_of
from vault.utc import time_text

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.history import History
    from vault.records.board import Board


def queue(
    proposal: ProposalArgument,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Have the custodians close a vote, and keep the decision: the proof that anyone can check. Anyone may.

    The custodians keep it through its timelock, in which guardians may cancel a grant, and a vote that was left out can
    be shown.
    """
    with opened_proposal(proposal, dao, home, custodian) as ((settings, board, history), found):
        with custody_of(settings, history) as places:
            said = closed_and_queued(board, caught_up(board, history, places), places, found)
        if json:
            show_json(said)
        else:
            _say_queued(said)
        if not said["is_carried"]:
            fail(f"quorum or threshold is not met, so the proposal is defeated: {said['count']}")
        if not said["custodians"]:
            fail("no custodian keeps the decision through its timelock; it is on the board, so run the command again")


def closed_and_queued(board: Board, history: History, places: Places, proposal: Proposal) -> dict[str, Any]:
    """Have the custodians close a vote and keep what was decided through its timelock; say what came of it."""
    cid = proposal.cid()
    history.require_current(proposal)
    bundle = _known(board, history, cid) or decided(places.clients, history, roll_of(board, history.charter), proposal)
    count = history.counted(bundle.decision, _fetch_of(bundle, board))
    put_decision(board, history, bundle.decision, bundle.blocks)
    failures = queued(places.clients, bundle) if count.is_carried() else {}
    taken = sorted(places.address(key) for key in places.clients if key not in failures) if count.is_carried() else []
    return {
        "proposal": str(cid),
        "decision": str(bundle.decision.cid()),
        "is_carried": count.is_carried(),
        "is_extended": count.is_extended,
        "count": count_text(count),
        "free_at": count.closed_at + history.charter.voting.timelock_s,
        "lapses_at": lapses_at(proposal, history.charter),
        "closings": len(bundle.decision.closings),
        "custodians": taken,
        "failed": places.noted(failures),
    }


def _known(board: Board, history: History, cid: Cid) -> Bundle | None:
    """Return the decision that this board has already, if it verifies."""
    known = standing_of(board, history, cid, at=wiring.clock()).decision
    if known is None:
        return None
    decision = Decision.from_bytes(fetch_from(board)(known))
    return Bundle(decision=decision, blocks=decision_blocks(decision, fetch_from(board)))


def _fetch_of(bundle: Bundle, board: Board) -> Any:
    return lambda cid: bundle.blocks[cid] if cid in bundle.blocks else fetch_from(board)(cid)


def _say_queued(said: dict[str, Any]) -> None:
    say(f"closed by {counted(said['closings'], 'custodian')}: {said['count']}")
    if said["is_extended"]:
        say("a late quorum prolonged the voting")
    if not said["is_carried"]:
        return
    keeping = len(said["custodians"])
    say(f"decision [bold]{said['decision']}[/]; {counted(keeping, 'custodian')} {does(keeping, 'keep')} it")
    say_failures(said["failed"])
    free, end = time_text(said["free_at"]), time_text(said["lapses_at"])
    say(f"it may be carried out from {free} on, until {end}; next: coffer dao execute {said['proposal']}")


def execute(
    proposal: ProposalArgument,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Carry out a decision whose timelock is over: the custodians put it into the head. Anyone may.

    Again is fine, and hands the chain to custodians that missed it.
    """
    with opened_proposal(proposal, dao, home, custodian) as ((settings, board, history), found):
        with custody_of(settings, history) as places:
            said = carried_out(board, caught_up(board, history, places), places, found)
        show_json(said) if json else say_carried(said, "carried out")
        if not said["is_in_effect"]:
            raise typer.Exit(FAILED)


def carried_out(board: Board, history: History, places: Places, proposal: Proposal) -> dict[str, Any]:
    """Have the custodians put a decision into the head; say what came of it."""
    cid = proposal.cid()
    if history.is_carried(cid):
        accepted, failures = handed_in(board, history, places)
        head = {"epoch": history.head.epoch, "head": str(history.head.cid())}
        return head | {"is_in_effect": True, "custodians": accepted, "failed": failures}
    if standing_of(board, history, cid, at=wiring.clock()).decision is None:
        pull_decision(board, history, proposal, places.clients.values())
    decision = ready_decision(board, history, cid, at=wiring.clock())
    require_timely(proposal, history.charter, fetch_from(board), at=wiring.clock())
    blocks = decision_blocks(decision, fetch_from(board))
    return carried_json(carried_over(board, history, decision, blocks, places), places)
