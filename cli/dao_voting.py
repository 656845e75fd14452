"""`coffer dao vote|ballot|tally`: answer a proposal, with a wallet here or elsewhere, and see how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.casting import blank_for, cast, verified_weight, warning_of
from cli.console import say, show_json, warn
from cli.dao_custody import say_collected
from cli.dao_hand import Hand, SignatureOption, TypedDataOption, hand_of, show_typed_data
from cli.dao_opened import Opened, opened_proposal
from cli.dao_options import ProposalArgument
from cli.dao_standing import say_tally, tally_json
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, WalletOption
from vault.ballot import Ballot, Proposal, Support
from vault.errors import MalformedObject
from vault.plain_text import counted
from vault.standing import standing_of

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board

SupportArgument = Annotated[Support, typer.Argument(help="Your answer.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is public.")]
SequenceOption = Annotated[
    int | None, typer.Option(min=0, help="Above that of every answer before; derived from this board by default.")
]


def vote(
    proposal: ProposalArgument,
    support: SupportArgument,
    wallet: WalletOption,
    reason: ReasonOption = "",
    sequence: SequenceOption = None,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a proposal. While voting is open you may change your mind three times: the last answer counts.

    The vote goes to every custodian; each acknowledges when it had it. With enough acknowledgments, no set of ballots
    can be closed without it.
    """
    with opened_proposal(proposal, dao, home, custodian) as (opened, found):
        hand = hand_of(opened.settings, wallet, None, None, typed_data=False, option="--voter")
        said = _cast(opened, found, support, hand, reason, sequence)
        _show(said, json=json)


def ballot(
    proposal: ProposalArgument,
    support: SupportArgument,
    voter: Annotated[str, typer.Option(help="The voter's address.")],
    reason: ReasonOption = "",
    sequence: SequenceOption = None,
    typed_data: TypedDataOption = False,
    signature: SignatureOption = None,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Vote with a hardware or browser wallet, in two steps with the same words.

    First:  coffer dao ballot PROPOSAL for --voter ADDRESS --typed-data

    Then:   coffer dao ballot PROPOSAL for --voter ADDRESS --signature 0x…
    """
    with opened_proposal(proposal, dao, home, custodian) as (opened, found):
        settings, board, history = opened
        hand = hand_of(settings, None, voter, signature, typed_data=typed_data, option="--voter")
        if typed_data:
            if warning := warning_of(board, found, support):
                warn(warning)
            verified_weight(board, history, hand.address)
            blank = _blank(board, history, found, support, hand.address, reason, sequence)
            show_typed_data(blank, history.charter.domain(history.genesis))
            return
        _show(_cast(opened, found, support, hand, reason, sequence), json=json)


def tally(
    proposal: ProposalArgument,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask the custodians for what they hold first.")] = False,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print how a vote stands. Before the close this is what this board knows; what counts, custodians say then."""
    with opened_proposal(proposal, dao, home, custodian, is_fresh=fresh) as ((_, board, history), found):
        said = tally_json(standing_of(board, history, found.cid(), at=wiring.clock()))
        show_json(said) if json else say_tally(said)


def _cast(
    opened: Opened, proposal: Proposal, support: Support, hand: Hand, reason: str, sequence: int | None
) -> dict[str, Any]:
    settings, board, history = opened
    warning = warning_of(board, proposal, support)

    def made_under(history: History) -> Ballot:
        verified_weight(board, history, hand.address)
        blank = _blank(board, history, proposal, support, hand.address, reason, sequence)
        return hand.signed(blank, history.charter.domain(history.genesis))

    return cast(settings, board, history, proposal, made_under) | {"warning": warning}


def _blank(
    board: Board,
    history: History,
    proposal: Proposal,
    support: Support,
    voter: bytes,
    reason: str,
    sequence: int | None,
) -> Ballot:
    """Return the ballot to sign; a sequence that was given before is misuse."""
    try:
        return blank_for(board, history, proposal, support, voter, reason, sequence)
    except MalformedObject as error:
        raise typer.BadParameter(str(error)) from error


def _show(said: dict[str, Any], *, json: bool) -> None:
    if json:
        show_json(said)
        return
    if said["warning"]:
        warn(said["warning"])
    say(f"voted {said['support']}; for {said['for']}, against {said['against']}, of {said['total']}")
    say_collected(said, "it is counted")
    left = said["changes_left"]
    say(f"custodians take {counted(left, 'more answer')} of yours" if left else "this was your last answer to it")
