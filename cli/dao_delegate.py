"""`coffer dao delegate|delegations`: have another member vote, as far as one does not vote oneself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import foreign, say, show_json
from cli.dao_custody import carried_json, carried_over, caught_up, custody_of, handed_in, say_carried
from cli.dao_hand import OwnWalletOption, SignatureOption, TypedDataOption, hand_of, show_typed_data
from cli.dao_opened import opened_dao
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption
from cli.people import address_option
from cli.tables import show_table
from vault.assembly import put
from vault.board import Kind
from vault.errors import NotYet
from vault.gathering import blank_choice, next_batch, proven, waiting
from vault.signing import address_text
from vault.vote_delegation import ProvenDelegation, in_force

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board


def delegate(
    to: Annotated[str | None, typer.Argument(help="The member that is to vote; none with --back.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Vote yourself again.")] = False,
    wallet: OwnWalletOption = None,
    delegator: Annotated[str | None, typer.Option(help="Whose votes, where its wallet is elsewhere.")] = None,
    typed_data: TypedDataOption = False,
    signature: SignatureOption = None,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Have another member vote for you, as far as you do not vote yourself; your own vote always overrides.

    It counts for proposals made after it stands in the head. Delegations go there in batches, no oftener than the
    charter says; until then this one waits on the board, and goes with the next batch that anyone hands in.
    """
    if (to is None) != back:
        raise typer.BadParameter("name the member that is to vote, or --back to vote yourself again")
    with opened_dao(dao, home, custodian) as (settings, board, history):
        hand = hand_of(settings, wallet, delegator, signature, typed_data=typed_data, option="--delegator")
        chosen = hand.address if to is None else address_option(to)
        domain = history.charter.domain(history.genesis)
        one = _waiting(board, history, hand.address, chosen)
        if one is None or typed_data:
            blank = blank_choice(board, history, hand.address, chosen)
            if typed_data:
                show_typed_data(blank, domain)
                return
            one = proven(board, history, hand.signed(blank, domain))
        said = _delegated(settings, board, history, one)
        show_json(said) if json else _say_delegated(said)


def _waiting(board: Board, history: History, delegator: bytes, delegate_to: bytes) -> ProvenDelegation | None:
    """Return the same choice where it waits on this board already."""
    wanted = (delegator, delegate_to)
    choices = ((one.delegation.delegator, one.delegation.delegate, one) for one in waiting(board, history))
    return next((one for *choice, one in choices if tuple(choice) == wanted), None)


def _delegated(settings: Settings, board: Board, history: History, one: ProvenDelegation) -> dict[str, Any]:
    choice = one.delegation
    said: dict[str, Any] = {
        "delegator": address_text(choice.delegator),
        "delegate": address_text(choice.delegate),
        "is_taken_back": choice.delegate == choice.delegator,
        "sequence": choice.sequence,
    }
    with custody_of(settings, history) as places:
        history = caught_up(board, history, places)
        if _stands(history, one):
            accepted, failed = handed_in(board, history, places)
            head = {"epoch": history.head.epoch, "head": str(history.head.cid()), "lost_to": []}
            return said | head | {"why": "", "is_in_effect": True, "custodians": accepted, "failed": failed}
        put(board, Kind.DELEGATION, history.genesis, one)
        batch = next_batch(board, history, one)
        try:
            done = carried_over(board, history, batch, {}, places)
        except NotYet as error:
            return said | {"is_in_effect": False, "why": str(error), "failed": places.failures}
        return said | {"why": ""} | carried_json(done, places)


def _stands(history: History, one: ProvenDelegation) -> bool:
    """Say whether this very choice is in the head already: custodians hand on what waits."""
    choice = one.delegation
    last = next(reversed(history.delegations.get(choice.delegator, ())), None)
    return last is not None and (last.delegate, last.sequence) == (choice.delegate, choice.sequence)


def _say_delegated(said: dict[str, Any]) -> None:
    if said["is_taken_back"]:
        say("taken back: you vote yourself")
    else:
        say(f"{said['delegate']} votes for {said['delegator']}, as far as that one does not vote itself")
    if said["why"]:
        say(f"[yellow]it waits on this board: {foreign(said['why'])}; then run it again[/]")
    else:
        say_carried(said, "it counts for proposals made from now on")


def delegations(dao: GenesisOption = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """List who votes for whom: in the head, and waiting on this board."""
    with opened_dao(dao, home) as (_, board, history):
        rows = _rows(board, history)
        if json:
            show_json({"delegations": rows})
        elif rows:
            columns = ("delegator", "delegate", "weight", "state")
            show_table(columns, [[str(row[column]) for column in columns] for row in rows])
        else:
            say("nobody votes for anyone else")


def _rows(board: Board, history: History) -> list[dict[str, Any]]:
    rows = [
        {
            "delegator": address_text(delegator),
            "delegate": address_text(choice.delegate),
            "weight": choice.weight,
            "epoch": choice.epoch,
            "state": f"since epoch {choice.epoch}",
        }
        for delegator, choice in sorted(in_force(history.delegations, epoch=history.head.epoch).items())
    ]
    for one in waiting(board, history):
        choice = one.delegation
        is_back = choice.delegate == choice.delegator
        rows.append(
            {
                "delegator": address_text(choice.delegator),
                "delegate": address_text(choice.delegate),
                "weight": int.from_bytes(one.weight, "big"),
                "epoch": None,
                "state": "waits to be taken back" if is_back else "waits for the next batch",
            }
        )
    return rows
