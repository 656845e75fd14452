"""`coffer dao cancel|revoke`: guardians stop a grant before it is carried out, or revoke at once. They never grant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import FAILED, say, show_json
from cli.dao_custody import (
    Places,
    carried_json,
    carried_over,
    caught_up,
    custody_of,
    say_carried,
    say_failures,
)
from cli.dao_hand import Hand, SignatureOption, TypedDataOption, hand_of
from cli.dao_opened import Opened, opened_dao, opened_proposal
from cli.dao_options import ProposalArgument
from cli.dao_subject import subject_from
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption
from vault.action import Scope
from vault.errors import InvalidDecision, VaultError
from vault.gathering import Gathered, act_to_sign, acts_on, cancel_act, put_act, revoke_act, with_signature
from vault.guardian import STRUCT, Act, GuardianAct, GuardianSignature
from vault.signing import address_text

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board

GuardianOption = Annotated[
    str | None, typer.Option("--guardian", help="The guardian's wallet: a name in the home folder, or a path.")
]
SignerOption = Annotated[
    str | None, typer.Option("--signer", help="The guardian's address, its wallet being elsewhere.")
]


def cancel(
    proposal: ProposalArgument,
    guardian: GuardianOption = None,
    signer: SignerOption = None,
    typed_data: TypedDataOption = False,
    signature: SignatureOption = None,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Cancel a proposal to adopt a policy, at any time before it is carried out; k guardians together.

    Each of them runs this. The signatures gather on boards and at the custodians; with the last one, it is done.
    """
    with opened_proposal(proposal, dao, home, custodian) as (opened, found):
        hand = hand_of(opened.settings, guardian, signer, signature, typed_data=typed_data, option="--signer")
        if found.action.adopts is None:
            raise InvalidDecision("guardians cancel what would grant; charter changes and revocations are not theirs")
        _act(opened, lambda now: cancel_act(now, found.cid()), hand, typed_data=typed_data, json=json)


def revoke(
    scope: Annotated[Scope, typer.Argument(help="What to take away.")],
    subject: Annotated[
        str | None, typer.Argument(help="Which: a policy's or manifest's CID, an address, a measurement.")
    ] = None,
    guardian: GuardianOption = None,
    signer: SignerOption = None,
    typed_data: TypedDataOption = False,
    signature: SignatureOption = None,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke at once, without a vote; k guardians together. Members vote on one with: coffer dao propose --revoke."""
    with opened_dao(dao, home, custodian) as opened:
        hand = hand_of(opened.settings, guardian, signer, signature, typed_data=typed_data, option="--signer")
        named = subject_from(opened.settings, opened.history, scope, subject)
        _act(opened, lambda now: revoke_act(now, scope, named), hand, typed_data=typed_data, json=json)


def _act(opened: Opened, wanted: Callable[[History], Act], hand: Hand, *, typed_data: bool, json: bool) -> None:
    """Show a guardian's wallet what to sign, or act with its signature."""
    _, board, history = opened
    if typed_data:
        act = act_to_sign(board, history, wanted(history), hand.address)
        show_json(history.charter.domain(history.genesis).typed_data(STRUCT, act.message()))
    else:
        _show(acted(*opened, wanted, hand), json=json)


def acted(
    settings: Settings, board: Board, history: History, wanted: Callable[[History], Act], hand: Hand
) -> dict[str, Any]:
    """Add a guardian's signature; once there are enough, have it carried out."""
    act_to_sign(board, history, wanted(history), hand.address)
    with custody_of(settings, history) as places:
        history = caught_up(board, history, places)
        _gather(board, history, places)
        act = act_to_sign(board, history, wanted(history), hand.address)
        digest = history.charter.domain(history.genesis).digest(STRUCT, act.message())
        mine = GuardianSignature(guardian=hand.address, signature=hand.sign(digest))
        gathered = with_signature(board, history, act, mine)
        if not gathered.is_enough:
            failures = _left_with(gathered.signed, places)
            put_act(board, history, gathered.signed)
            return _said(gathered) | {"is_in_effect": False, "failed": failures}
        put_act(board, history, gathered.signed)
        done = carried_over(board, history, gathered.signed, {}, places)
        return _said(gathered) | carried_json(done, places)


def _gather(board: Board, history: History, places: Places) -> None:
    """Put on the board what other guardians left with the custodians."""
    for client in places.clients.values():
        with suppress(VaultError):
            for gathered in acts_on(board, history, *client.acts(history.genesis)):
                put_act(board, history, gathered.signed)


def _left_with(signed: GuardianAct, places: Places) -> dict[str, str]:
    """Leave an act that lacks signatures with the custodians; return why some did not take it, raise where none did."""
    failures: dict[bytes, VaultError] = {}
    for key, client in places.clients.items():
        try:
            client.submit_act(signed)
        except VaultError as error:
            failures[key] = error
    if len(failures) == len(places.clients):
        raise next(iter(failures.values()))
    return places.noted(failures)


def _said(gathered: Gathered) -> dict[str, Any]:
    return {
        "act": gathered.signed.act.words(),
        "digest": gathered.signed.act.digest().hex(),
        "guardians": [address_text(one.guardian) for one in gathered.signed.signatures],
        "signed": len(gathered.signed.signatures),
        "needed": gathered.needed,
    }


def _show(said: dict[str, Any], *, json: bool) -> None:
    is_enough = said["signed"] >= said["needed"]
    if json:
        show_json(said)
    else:
        say(f"{said['act']}: {said['signed']} of {said['needed']} guardians signed")
        if is_enough:
            say_carried(said, "done")
        else:
            say("the others run the same command; what it takes is on this board and with the custodians")
            say_failures(said["failed"])
    if is_enough and not said["is_in_effect"]:
        raise typer.Exit(FAILED)


def acts_json(board: Board, history: History) -> list[dict[str, Any]]:
    """Return the acts that gather signatures, for programs."""
    return [_said(gathered) for gathered in acts_on(board, history)]
