"""What a board looks at before it keeps an object: form, signatures, and how much of its kind there is already.

A board is no authority, and whoever reads it verifies everything again. It checks all the same, so that strangers
cannot fill it: nothing is kept but what a member, a guardian or enough custodians signed, and what such an object
names. Each of them may sign only so much. What costs little to refuse is looked at first: size, form, whether the vote
is over, the signer's quota; then the proof of the weight; then the signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.cid import DAG_CBOR, Cid
from vault.ballot import Proposal, Vote
from vault.board import Kept, Kind, Shelf
from vault.charter import Charter
from vault.closing import agreed_pages, final_at
from vault.codec import OBJECT_BYTES_MAX
from vault.decision import Decision, verify_proposal
from vault.errors import AccessDenied, ForkedHistory, InvalidDecision, MalformedObject, NotYet, StaleState
from vault.guardian import EPOCHS_VALID, GuardianAct
from vault.head import Head
from vault.history import History
from vault.posted import BYTES_MAX, bytes_max, named_by_action, named_in, require_named_form
from vault.roll import PAGE_MEMBERS, RollRoot
from vault.signing import address_text
from vault.vote_delegation import CHOICES_MAX, ProvenDelegation

VOTES_MAX: Final = 16  # of one voter on one proposal
PROPOSALS_SPARE: Final = 4  # of one member opening on one day, beside those the charter allows: some come to nothing
PROPOSALS_OPEN_MAX: Final = 1000
ACTS_MAX: Final = 1000  # that one guardian was the first to sign, or to add its signature to
DECISIONS_MAX: Final = 64  # on one proposal: the same ballots, closed by other custodians
AHEAD_S: Final = 86_400  # beyond the charter's delay, a proposal may open so much later
LATE_S: Final = 86_400  # after custodians can close a vote, what belongs to it is taken so much longer
DAY_S: Final = 86_400
PROPOSALS_AT_HAND: Final = 256
_TIME_MAX: Final = (1 << 63) - 1


class QuotaUsed(AccessDenied):
    """A signer has as many objects of this kind on the board as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What an object is checked against: the DAO's verified history, what its board keeps, and the time.

    Attributes:
        offered: blocks that came with the object, unchecked.
        at: UTC seconds.
        proposals: those that were looked at before; it is added to.
    """

    history: History
    shelf: Shelf
    offered: Mapping[Cid, bytes]
    at: int
    proposals: dict[Cid, Proposal] = field(default_factory=dict)

    def proposal(self, cid: Cid) -> Proposal:
        """Return a proposal that is on the board."""
        if cid not in self.proposals:
            proposal = Proposal.from_bytes(self.fetch(cid))
            while len(self.proposals) >= PROPOSALS_AT_HAND:
                del self.proposals[next(iter(self.proposals))]
            self.proposals[cid] = proposal
        return self.proposals[cid]

    def fetch(self, cid: Cid) -> bytes:
        """Return a block that was offered or is on the board, checked against its CID."""
        body = self.offered.get(cid) or self.shelf.get(cid)
        if body is None:
            raise NotYet(f"block {cid} is not on this board; hand it in first, or with what names it")
        if not cid.matches(body):
            raise MalformedObject(f"what came, or is kept, as {cid} is something else")
        return body

    def require_room(self, posting: Kept, most: int, what: str, *, parent: Cid | None = None) -> None:
        """Raise `QuotaUsed` where `most` objects count against a quota already."""
        genesis = self.history.genesis
        if self.shelf.count(posting.kind, genesis, parent=parent, quota=posting.quota) >= most:
            raise QuotaUsed(f"{what} on this board already, its limit; take it to another board, or to custodians")


Check = Callable[[bytes, Desk], Kept]


def checked(
    kind: str,
    body: bytes,
    *,
    history: History,
    shelf: Shelf,
    at: int,
    offered: Mapping[Cid, bytes] | None = None,
    proposals: dict[Cid, Proposal] | None = None,
) -> Kept:
    """Return what a board may keep of what members, guardians and custodians sign, or raise why it may not.

    Args:
        kind: proposal, vote, delegation, act or decision; heads are for `vault.pinboard` to follow.
        history: the DAO's, as this board has verified it.
        offered: blocks that came with it.
        at: UTC seconds.
        proposals: those that were looked at before; it is added to.
    """
    if len(body) > (most := bytes_max(kind)):
        raise MalformedObject(f"a {kind} of {len(body)} bytes is over the limit of {most}")
    if kind not in _SIGNED:
        raise MalformedObject(f"a {kind} is handed in with what names it")
    known = proposals if proposals is not None else {}
    desk = Desk(history=history, shelf=shelf, offered=offered or {}, at=at, proposals=known)
    return _SIGNED[Kind(kind)](body, desk)


def checked_named(body: bytes, *, history: History, shelf: Shelf, at: int, named_by: Cid) -> Kept:
    """Return what a board may keep of what nobody signs, because something on the board names it; or raise why not."""
    if len(body) > OBJECT_BYTES_MAX:
        raise MalformedObject(f"a block of {len(body)} bytes is over the limit of {OBJECT_BYTES_MAX}")
    if shelf.missing(history.genesis, [named_by]):
        raise NotYet(f"what is to name these blocks is not on this board: {named_by}")
    desk = Desk(history=history, shelf=shelf, offered={}, at=at)
    cid, above = Cid.of(DAG_CBOR, body), desk.fetch(named_by)
    kind = named_in(above).get(cid)
    if kind is None:
        raise InvalidDecision(f"{named_by} does not name {cid}")
    require_named_form(kind, body, history)
    if kind is Kind.ROLL:
        pages = -(-Charter.from_bytes(above).members // PAGE_MEMBERS)
        if len(RollRoot.from_bytes(body).pages) != pages:
            raise MalformedObject("the roll has more or fewer pages than its charter's members fill")
    return Kept(kind=kind, cid=cid, parent=named_by if kind is Kind.BLOCK else None, body=body)


def _proposal(body: bytes, desk: Desk) -> Kept:
    proposal, history = Proposal.from_bytes(body), desk.history
    if proposal.genesis != history.genesis:
        raise InvalidDecision("the proposal was made to another DAO")
    history.require_current(proposal)
    voting = history.charter.voting
    _require_not_over(proposal, desk)
    if proposal.opens_at > desk.at + voting.delay_s + AHEAD_S:
        raise NotYet("the proposal opens too far ahead; hand it in nearer to its time")
    verify_proposal(history.charter, proposal, genesis=history.genesis)
    day = min(proposal.opens_at // DAY_S, _TIME_MAX).to_bytes(8, "big")
    posting = Kept(
        kind=Kind.PROPOSAL,
        cid=proposal.cid(),
        parent=None,
        body=body,
        quota=proposal.proposer + day,
        until=proposal.closes_at,
    )
    most = voting.proposals_per_day + PROPOSALS_SPARE
    desk.require_room(posting, most, f"{most} proposals of {address_text(proposal.proposer)} for that day are")
    if desk.shelf.open_count(Kind.PROPOSAL, history.genesis, at=desk.at) >= PROPOSALS_OPEN_MAX:
        raise QuotaUsed(f"{PROPOSALS_OPEN_MAX} proposals are open on this board, its limit; try again later")
    for cid, kind in named_by_action(proposal).items():
        require_named_form(kind, desk.fetch(cid), history)
    return posting


def _require_not_over(proposal: Proposal, desk: Desk) -> None:
    if desk.at > final_at(proposal, desk.history.charter) + LATE_S:
        raise StaleState("voting on this proposal closed long ago")


def _vote(body: bytes, desk: Desk) -> Kept:
    vote, history = Vote.from_bytes(body), desk.history
    about = Cid.from_digest(DAG_CBOR, vote.ballot.proposal)
    proposal = desk.proposal(about)
    if proposal.genesis != history.genesis:
        raise InvalidDecision("the ballot is for another DAO's proposal")
    _require_not_over(proposal, desk)
    history.require_current(proposal)
    vote.verify(history.charter, proposal)
    voter = vote.ballot.voter
    posting = Kept(kind=Kind.VOTE, cid=vote.cid(), parent=about, body=body, quota=voter)
    desk.require_room(posting, VOTES_MAX, f"{VOTES_MAX} votes of {address_text(voter)} on it are", parent=about)
    return posting


def _delegation(body: bytes, desk: Desk) -> Kept:
    proven, history = ProvenDelegation.from_bytes(body), desk.history
    choice = proven.delegation
    known = history.delegations.get(choice.delegator, ())
    if known and choice.sequence <= known[-1].sequence:
        raise StaleState(f"a delegation with sequence {known[-1].sequence} is in force; this one is no later")
    proven.verify(history.charter, genesis=history.genesis)
    posting = Kept(kind=Kind.DELEGATION, cid=proven.cid(), parent=None, body=body, quota=choice.delegator)
    desk.require_room(posting, CHOICES_MAX, f"{CHOICES_MAX} delegations of {address_text(choice.delegator)} are")
    return posting


def _act(body: bytes, desk: Desk) -> Kept:
    signed, history = GuardianAct.from_bytes(body), desk.history
    act = signed.act
    if act.genesis != history.genesis or history.heads[act.epoch : act.epoch + 1] != (act.head,):
        raise InvalidDecision("the act was not made against a head of this DAO")
    if act.epoch + EPOCHS_VALID <= history.head.epoch or act.digest() in history.done:
        raise StaleState("the act was carried out before, or signed too many epochs ago")
    signed.verify_signatures(history.charter, genesis=history.genesis)
    about = Cid.from_digest(DAG_CBOR, act.digest())
    known = [GuardianAct.from_bytes(one) for _, one in desk.shelf.list(Kind.ACT, history.genesis, about)]
    signers = {one.guardian for other in known for one in other.signatures}
    enough = max(1, history.charter.guardian_signatures)
    is_first_whole = len(signed.signatures) >= enough > max((len(other.signatures) for other in known), default=0)
    new = [one.guardian for one in signed.signatures if one.guardian not in signers]
    if not new and not is_first_whole:
        raise StaleState("all of these signatures are on this board already")
    by = new[0] if new else signed.signatures[0].guardian
    posting = Kept(kind=Kind.ACT, cid=signed.cid(), parent=about, body=body, quota=by)
    desk.require_room(posting, ACTS_MAX, f"{ACTS_MAX} acts of guardian {address_text(by)} are")
    return posting


def _decision(body: bytes, desk: Desk) -> Kept:
    """Check the custodians' word; counting the ballots is for whoever follows a head that the decision causes."""
    decision, history = Decision.from_bytes(body), desk.history
    proposal = decision.proposal
    if proposal.genesis != history.genesis:
        raise InvalidDecision("the decision is another DAO's")
    history.require_current(proposal)
    about = proposal.cid()
    verify_proposal(history.charter, proposal, genesis=history.genesis)
    agreed_pages(decision.closings, history.charter, genesis=history.genesis, proposal=about.digest)
    posting = Kept(kind=Kind.DECISION, cid=decision.cid(), parent=about, body=body, quota=about.digest)
    desk.require_room(posting, DECISIONS_MAX, f"{DECISIONS_MAX} decisions on this proposal are")
    return posting


def head_from(body: bytes, history: History) -> Head:
    """Return a head that comes next in a history, or raise why it does not; what caused it is not looked at."""
    if len(body) > BYTES_MAX[Kind.HEAD]:
        raise MalformedObject(f"a head of {len(body)} bytes is over the limit of {BYTES_MAX[Kind.HEAD]}")
    head = Head.from_bytes(body)
    if head.genesis != history.genesis:
        raise ForkedHistory("the head is another DAO's")
    if head.epoch > history.head.epoch + 1:
        raise NotYet(f"this board is at epoch {history.head.epoch}; hand in the heads between first")
    if head.epoch <= history.head.epoch or head.previous != history.head.cid():
        raise ForkedHistory(f"the head does not grow from epoch {history.head.epoch}, which this board followed to")
    return head


_SIGNED: Final[dict[Kind, Check]] = {
    Kind.PROPOSAL: _proposal,
    Kind.VOTE: _vote,
    Kind.DELEGATION: _delegation,
    Kind.ACT: _act,
    Kind.DECISION: _decision,
}
