"""`coffer dao cancel|revoke`: guardians stop a grant before it is carried out, or revoke at once. They never grant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import FAILED, reported, say, show_json
from cli.dao_custody import (
    Places,
    brought,
    carried_json,
    carried_over,
    caught_up,
    custody_of,
    say_carried,
    say_failures,
)
from cli.dao_hand import Hand, SignatureOption, TypedDataOption, hand_of
from cli.dao_subject import subject_from
from cli.dao_voting import ProposalArgument
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, cid_option
from cli.workplace import history_meant, opened_home
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
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        cid = cid_option(proposal)
        hand = hand_of(settings, guardian, signer, signature, typed_data=typed_data, option="--signer")
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            found = brought(settings, board, history, cid)
            if found.action.adopts is None:
                raise InvalidDecision(
                    "guardians cancel what would grant; charter changes and revocations are not theirs"
                )
            if typed_data:
                _show_typed_data(board, history, cancel_act(history, cid), hand)
                return
            said = _acted(settings, board, history, lambda now: cancel_act(now, cid), hand)
        _show(said, json=json)


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
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        hand = hand_of(settings, guardian, signer, signature, typed_data=typed_data, option="--signer")
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            named = subject_from(settings, history, scope, subject)
            if typed_data:
                _show_typed_data(board, history, revoke_act(history, scope, named), hand)
                return
            said = _acted(settings, board, history, lambda now: revoke_act(now, scope, named), hand)
        _show(said, json=json)


def _show_typed_data(board: Board, history: History, wanted: Act, hand: Hand) -> None:
    act = act_to_sign(board, history, wanted, hand.address)
    show_json(history.charter.domain(history.genesis).typed_data(STRUCT, act.message()))


def _acted(
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
