"""What boards keep: how large an object of a kind may be, what it names, and whether what is named has its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage.cid import DAG_CBOR, Cid
from vault.ballot import Proposal
from vault.board import Kind
from vault.charter import Charter
from vault.closing import BallotPage
from vault.codec import OBJECT_BYTES_MAX, Record, decode
from vault.decision import Chunk, Decision
from vault.errors import InvalidDecision, MalformedObject
from vault.guardian import GuardianAct
from vault.head_vote import VOTE_BYTES_MAX
from vault.history import Cause, History
from vault.policy import Policy
from vault.roll import RollPage, RollRoot

BYTES_MAX: Final[Mapping[str, int]] = {
    Kind.CHARTER: 1 << 17,
    Kind.BLOCK: OBJECT_BYTES_MAX,
    Kind.ROLL: 1 << 12,
    Kind.POLICY: OBJECT_BYTES_MAX,
    Kind.PROPOSAL: 1 << 13,
    Kind.VOTE: 1 << 12,
    Kind.DELEGATION: 1 << 12,
    Kind.ACT: 1 << 12,
    Kind.DECISION: OBJECT_BYTES_MAX,
    Kind.HEAD: OBJECT_BYTES_MAX,
    Kind.HEAD_VOTE: VOTE_BYTES_MAX,
}
_NAMING: Final[dict[str, Kind]] = {
    Charter.TYPE: Kind.CHARTER,
    RollRoot.TYPE: Kind.ROLL,
    Proposal.TYPE: Kind.PROPOSAL,
    Decision.TYPE: Kind.DECISION,
}
_BLOCKS: Final[dict[str, type[Record]]] = {kind.TYPE: kind for kind in (RollPage, BallotPage, Chunk)}


def bytes_max(kind: str) -> int:
    """Return how large an object of a kind may be, or raise `MalformedObject` for one that boards do not keep."""
    if kind not in BYTES_MAX:
        raise MalformedObject(f"boards keep {', '.join(BYTES_MAX)}; not {kind[:20]!r}")
    return BYTES_MAX[kind]


def children(kind: str, body: bytes) -> dict[Cid, Kind]:
    """Return what an object of valid form names, to be kept beside it, with the kind of each."""
    match kind:
        case Kind.CHARTER:
            return {Charter.from_bytes(body).roll: Kind.ROLL}
        case Kind.ROLL:
            return dict.fromkeys(RollRoot.from_bytes(body).pages, Kind.BLOCK)
        case Kind.PROPOSAL:
            return named_by_action(Proposal.from_bytes(body))
        case Kind.DECISION:
            decision = Decision.from_bytes(body)
            blocks = dict.fromkeys((*decision.pages(), *decision.weights), Kind.BLOCK)
            return named_by_action(decision.proposal) | blocks
        case _:
            return {}


def place_of(cause: Cause) -> tuple[Kind, Cid | None]:
    """Return of which kind what caused a head is on a board, and what it is about."""
    match cause:
        case Decision():
            return Kind.DECISION, cause.proposal.cid()
        case GuardianAct():
            return Kind.ACT, Cid.from_digest(DAG_CBOR, cause.act.digest())
        case _:
            return Kind.BLOCK, None


def about_of(cause: Cause) -> bytes:
    """Return what a decision or an act carries out, whoever signed it."""
    match cause:
        case Decision():
            return cause.proposal.cid().digest
        case GuardianAct():
            return cause.act.digest()
        case _:
            return cause.cid().digest


def named_by_action(proposal: Proposal) -> dict[Cid, Kind]:
    """Return the policy or charter that a proposal names."""
    named = ((proposal.action.adopts, Kind.POLICY), (proposal.action.charter, Kind.CHARTER))
    return {cid: kind for cid, kind in named if cid is not None}


def named_in(body: bytes) -> dict[Cid, Kind]:
    """Return what an object on a board names, whatever kind it is of."""
    value = decode(body)
    kind = _NAMING.get(str(value.get("type"))) if isinstance(value, dict) else None
    return children(kind, body) if kind is not None else {}


def require_named_form(kind: Kind, body: bytes, history: History) -> None:
    """Raise unless something that nobody signs is what its kind is to be, in this DAO."""
    if len(body) > BYTES_MAX[kind]:
        raise MalformedObject(f"a {kind} of {len(body)} bytes is over the limit of {BYTES_MAX[kind]}")
    match kind:
        case Kind.POLICY:
            if Policy.from_bytes(body).genesis != history.genesis:
                raise InvalidDecision("the policy was written for another DAO")
        case Kind.CHARTER:
            charter = Charter.from_bytes(body)
            if charter.cid() not in (history.genesis, history.head.charter):
                history.charter.require_successor(charter)
        case Kind.ROLL:
            RollRoot.from_bytes(body)
        case _:
            _require_block(body)


def _require_block(body: bytes) -> None:
    value = decode(body)
    kind = _BLOCKS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None:
        raise MalformedObject("a block is a page of a roll or of ballots, or a part of a proof")
    kind.from_value(value)
