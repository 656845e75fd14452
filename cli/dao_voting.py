"""`coffer dao vote|ballot|tally`: answer a proposal, with a wallet here or elsewhere, and see how it stands."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import say, show_json, warn
from cli.dao_custody import Places, caught_up, collected_json, custody_of, say_collected
from cli.dao_hand import Hand, SignatureOption, TypedDataOption, hand_of, show_typed_data
from cli.dao_opened import opened_proposal
from cli.dao_options import ProposalArgument
from cli.dao_rolls import seen_in
from cli.dao_standing import say_tally, tally_json
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, WalletOption
from cli.quantities import counted
from vault.acts import blank_ballot
from vault.assembly import named_blocks, put_vote, verified_vote
from vault.ballot import Ballot, Proposal, Support, Vote
from vault.ballot_box import BALLOTS_PER_VOTER
from vault.collecting import Collected, handed_in_proposal, handed_in_vote
from vault.errors import InvalidDecision, ServiceUnavailable, VaultError
from vault.signing import address_text
from vault.standing import next_sequence, standing_of

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
        said = _cast(*opened, found, support, hand, reason, sequence)
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
    with opened_proposal(proposal, dao, home, custodian) as ((settings, board, history), found):
        hand = hand_of(settings, None, voter, signature, typed_data=typed_data, option="--voter")
        if typed_data:
            if warning := _warning(board, found, support):
                warn(warning)
            verified_weight(board, history, hand.address)
            blank = _blank(board, history, found, support, hand.address, reason, sequence)
            show_typed_data(blank, history.charter.domain(history.genesis))
            return
        _show(_cast(settings, board, history, found, support, hand, reason, sequence), json=json)


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
    proposal: Proposal,
    support: Support,
    hand: Hand,
    reason: str,
    sequence: int | None,
) -> dict[str, Any]:
    """Sign a ballot, hand it to the custodians, and keep it on the board; nothing is kept that none of them took."""
    warning = _warning(board, proposal, support)
    with custody_of(settings, history) as places:
        history = caught_up(board, history, places)
        verified_weight(board, history, hand.address)
        blank = _blank(board, history, proposal, support, hand.address, reason, sequence)
        made = hand.signed(blank, history.charter.domain(history.genesis))
        vote = verified_vote(board, history, proposal, made)
        collected = _acknowledged(board, history, places, proposal, vote)
        answers = collected_json(collected, places, len(history.charter.custodians))
    put_vote(board, history, proposal.cid(), vote)
    standing = standing_of(board, history, proposal.cid(), at=wiring.clock())
    count, given = standing.tally, sum(one.ballot.voter == made.voter for one in standing.votes)
    return answers | {
        "warning": warning,
        "changes_left": max(0, BALLOTS_PER_VOTER - given),
        "vote": str(vote.cid()),
        "voter": address_text(made.voter),
        "support": support.value,
        "sequence": made.sequence,
        "for": count.weight_for,
        "against": count.weight_against,
        "abstain": count.weight_abstain,
        "total": count.total,
    }


def _warning(board: Board, proposal: Proposal, support: Support) -> str:
    """Return what a voter has to know of a charter's members; refuse to vote for others than those it names."""
    seen = seen_in(board, proposal)
    if seen.is_contradicted and support is Support.FOR:
        raise InvalidDecision(seen.warning)
    return seen.warning


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
    if said["warning"]:
        warn(said["warning"])
    say(f"voted {said['support']}; for {said['for']}, against {said['against']}, of {said['total']}")
    say_collected(said, "it is counted")
    left = said["changes_left"]
    say(f"custodians take {counted(left, 'more answer')} of yours" if left else "this was your last answer to it")
