"""`coffer dao vote|ballot|tally`: answer a proposal, with a wallet here or elsewhere, and see how it stands."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import reported, say, show_json
from cli.dao_custody import Places, brought, caught_up, collected_json, custody_of, say_collected
from cli.dao_hand import Hand, SignatureOption, TypedDataOption, hand_of, show_typed_data
from cli.dao_standing import say_tally, tally_json
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, WalletOption, cid_option
from cli.workplace import history_meant, opened_home
from storage.cid import Cid
from vault.acts import blank_ballot
from vault.assembly import named_blocks, proposal_on, put_vote, verified_vote
from vault.ballot import Ballot, Proposal, Support, Vote
from vault.collecting import Collected, handed_in_proposal, handed_in_vote
from vault.errors import ServiceUnavailable, VaultError
from vault.signing import address_text
from vault.standing import next_sequence, standing_of

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board

ProposalArgument = Annotated[str, typer.Argument(help="The proposal's CID.")]
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
    """Answer a proposal. While voting is open you may change your mind: the last answer counts.

    The vote goes to every custodian; each acknowledges when it had it. With enough acknowledgments, no set of ballots
    can be closed without it.
    """
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        cid = cid_option(proposal)
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            brought(settings, board, history, cid)
            hand = hand_of(settings, wallet, None, None, typed_data=False, option="--voter")
            said = _cast(settings, board, history, cid, support, hand, reason, sequence)
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
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        cid = cid_option(proposal)
        hand = hand_of(settings, None, voter, signature, typed_data=typed_data, option="--voter")
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            found = brought(settings, board, history, cid)
            if typed_data:
                verified_weight(board, history, hand.address)
                blank = _blank(board, history, found, support, hand.address, reason, sequence)
                show_typed_data(blank, history.charter.domain(history.genesis))
                return
            said = _cast(settings, board, history, cid, support, hand, reason, sequence)
        _show(said, json=json)


def tally(
    proposal: ProposalArgument,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask the custodians for what they hold first.")] = False,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print how a vote stands. Before the close this is what this board knows; what counts, custodians say then."""
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        cid = cid_option(proposal)
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            brought(settings, board, history, cid, is_fresh=fresh)
            said = tally_json(standing_of(board, history, cid, at=wiring.clock()))
        show_json(said) if json else say_tally(said)


def verified_weight(board: Board, history: History, address: bytes) -> int:
    """Return a member's weight; raise `AccessDenied` for a stranger."""
    from vault.assembly import roll_of

    return roll_of(board, history.charter).weight_of(address)


def _blank(
    board: Board,
    history: History,
    proposal: Proposal,
    support: Support,
    voter: bytes,
    reason: str,
    sequence: int | None,
) -> Ballot:
    least = next_sequence(board, history, proposal.cid(), voter, at=wiring.clock())
    if sequence is not None and sequence < least:
        raise typer.BadParameter(f"an answer with sequence {least - 1} was given before; take {least} or more")
    chosen = least if sequence is None else sequence
    return blank_ballot(proposal, voter, support, sequence=chosen, reason=reason)


def _cast(
    settings: Settings,
    board: Board,
    history: History,
    cid: Cid,
    support: Support,
    hand: Hand,
    reason: str,
    sequence: int | None,
) -> dict[str, Any]:
    """Sign a ballot, hand it to the custodians, and keep it on the board; nothing is kept that none of them took."""
    proposal = proposal_on(board, history, cid)
    verified_weight(board, history, hand.address)
    blank = _blank(board, history, proposal, support, hand.address, reason, sequence)
    made = hand.signed(blank, history.charter.domain(history.genesis))
    vote = verified_vote(board, history, proposal, made)
    with custody_of(settings, history) as places:
        collected = _acknowledged(board, caught_up(board, history, places), places, proposal, vote)
        answers = collected_json(collected, places, len(history.charter.custodians))
    put_vote(board, history, cid, vote)
    count = standing_of(board, history, cid, at=wiring.clock()).tally
    return answers | {
        "vote": str(vote.cid()),
        "voter": address_text(made.voter),
        "support": support.value,
        "sequence": made.sequence,
        "for": count.weight_for,
        "against": count.weight_against,
        "abstain": count.weight_abstain,
        "total": count.total,
    }


def _acknowledged(board: Board, history: History, places: Places, proposal: Proposal, vote: Vote) -> Collected:
    """Hand a vote in; where a custodian refuses it, perhaps it has not heard of the proposal, so hand that in too."""
    try:
        collected = handed_in_vote(places.clients, history.charter, history.genesis, vote)
        if all(isinstance(error, ServiceUnavailable) for error in collected.failures.values()):
            return collected
    except ServiceUnavailable:
        raise
    except VaultError:
        pass
    with suppress(VaultError):
        handed_in_proposal(places.clients, history.charter, proposal, named_blocks(board, proposal))
    return handed_in_vote(places.clients, history.charter, history.genesis, vote)


def _show(said: dict[str, Any], *, json: bool) -> None:
    if json:
        show_json(said)
        return
    say(f"voted {said['support']}; for {said['for']}, against {said['against']}, of {said['total']}")
    say_collected(said, "it is counted")
