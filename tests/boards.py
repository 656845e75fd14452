"""Boards for tests: one's own, a folder, and a real service on loopback; and a DAO's objects to put on them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.cid import DAG_CBOR, Cid
from tests.builders import (
    NOW,
    adopting,
    after,
    ballot,
    carried,
    dao,
    policy,
    proposal,
    seeded,
    vote,
    voters,
    wallet,
)
from tests.loops import Loop
from tests.migrated import opened_records
from tests.people import custodian
from vault.action import Scope
from vault.assembly import found, put, put_decision
from vault.ballot import Proposal, Vote
from vault.board import Board, Kind, Shelf
from vault.board_client import BoardClient
from vault.board_server import board_server
from vault.decision import Bundle
from vault.guardian import Act, GuardianAct, GuardianSignature
from vault.head_vote import HeadVote
from vault.history import History
from vault.pinboard import Pinboard
from vault.policy import Policy
from vault.rate import PeerLimit
from vault.records.board import Board as OwnBoard
from vault.signing import BLANK_SIGNATURE, SigningKey
from vault.tls import TlsIdentity
from vault.vote_delegation import ProvenDelegation, VoteDelegation

WIDE = {"per_s": 1e6, "burst": 1e6}
GUARDIANS = sorted((wallet(f"guardian {n}") for n in range(3)), key=lambda key: key.address)
GUARDED = {"guardians": tuple(key.address for key in GUARDIANS), "guardian_signatures": 2}


class Service:
    """A board service in this process."""

    def __init__(self, shelf: Shelf, *, only: frozenset[Cid] | None = None, at: int = NOW, **limits: PeerLimit) -> None:
        self._loop = Loop()
        self.pinboard = Pinboard(shelf, clock=lambda: at, only=only)
        limits = {"limit": PeerLimit(**WIDE), "founding": PeerLimit(**WIDE)} | limits
        self._server = self._loop.call(self._started(shelf, limits))
        self.address = f"127.0.0.1:{self._server.port}"

    async def _started(self, shelf: Shelf, limits: dict[str, Any]) -> Any:
        return await board_server(shelf, self.pinboard, TlsIdentity.fresh(), "127.0.0.1:0", **limits)

    def close(self) -> None:
        self._loop.call(self._server.stop(0.2))
        self._loop.close()


@contextmanager
def served(shelf: Shelf, **options: Any) -> Iterator[BoardClient]:
    """Yield a client of a service over a board."""
    service = Service(shelf, **options)
    try:
        with BoardClient(service.address, pause=lambda _: None) as client:
            yield client
    finally:
        service.close()


@dataclass(frozen=True, kw_only=True)
class Affairs:
    """A DAO that adopted one policy, and what is open in it: a proposal with votes, a delegation, an act."""

    founded: History
    history: History
    roll: Any
    adopted: Policy
    bundle: Bundle
    policy: Policy
    proposal: Proposal
    votes: tuple[Vote, ...]
    delegation: ProvenDelegation
    act: GuardianAct

    @property
    def genesis(self) -> Cid:
        return self.history.genesis


def affairs(members: int = 5, name: str = "Harbor", **charter_fields: Any) -> Affairs:
    """Return a DAO with something of each kind; at `NOW` the vote on its proposal is open."""
    made = dao(members, name=name, **(GUARDED | charter_fields))
    first = policy(made.genesis, title="Tides")
    bundle = carried(made.history, adopting(first), first)
    history = after(made.history, bundle)
    second = policy(made.genesis, title="Winds")
    asked = open_proposal(history, second)
    votes = tuple(vote(history, ballot(history, asked, voter)) for voter in voters(history)[:3])
    return Affairs(
        founded=made.history,
        history=history,
        roll=made.roll,
        adopted=first,
        bundle=bundle,
        policy=second,
        proposal=asked,
        votes=votes,
        delegation=delegation(history, voters(history)[3], voters(history)[4].address),
        act=act(history, GUARDIANS[0]),
    )


def open_proposal(history: History, policy: Policy, **fields: Any) -> Proposal:
    """Return a proposal whose vote is open at `NOW`."""
    period_s = history.charter.voting.period_s
    return proposal(history, adopting(policy), opens_at=NOW - 10, closes_at=NOW - 10 + period_s, **fields)


def delegation(history: History, delegator: SigningKey, to: bytes, *, sequence: int = 1) -> ProvenDelegation:
    """Return a member's choice of a delegate."""
    own = vote(history, ballot(history, proposal(history, adopting(policy(history.genesis))), delegator))
    blank = VoteDelegation(
        genesis=history.genesis,
        delegator=delegator.address,
        delegate=to,
        sequence=sequence,
        signature=BLANK_SIGNATURE,
    )
    signed = blank.signed_by(delegator, history.charter.domain(history.genesis))
    return ProvenDelegation(delegation=signed, weight=own.weight, proof=own.proof)


def act(history: History, *guardians: SigningKey, nonce: str = "act") -> GuardianAct:
    """Return an act that these guardians signed: it revokes a licensee."""
    plain = Act(
        genesis=history.genesis,
        epoch=history.head.epoch,
        head=history.head.cid(),
        cancels=None,
        revokes=Scope.LICENSEE,
        subject=wallet("licensee").address,
        nonce=seeded(nonce),
    )
    ordered = sorted(guardians, key=lambda key: key.address)
    signatures = tuple(GuardianSignature.made(plain, key, history.charter) for key in ordered)
    return GuardianAct(act=plain, signatures=signatures)


def put_chain(board: Board, made: Affairs) -> None:
    """Put the DAO and its first decision on a board, as a member's own machine does."""
    found(board, made.founded.charter, made.roll)
    put(board, Kind.POLICY, made.genesis, made.adopted)
    put(board, Kind.PROPOSAL, made.genesis, made.bundle.decision.proposal)
    put_decision(board, made.founded, made.bundle.decision, made.bundle.blocks)
    put(board, Kind.HEAD, made.genesis, made.history.head, parent=made.bundle.decision.cid())
    board.set_tip(made.genesis, made.history.head.cid(), made.history.head.epoch)
    put_head_votes(board, made.history)


def head_votes(history: History, *names: str) -> list[HeadVote]:
    """Return the votes of the custodians of these names, of all by default, for a history's head."""
    named = names or [str(n) for n in range(len(history.charter.custodians))]
    keys = [custodian(name).signing for name in named]
    return [HeadVote.made(key, history.genesis, history.head.epoch, history.heads[-1]) for key in keys]


def put_head_votes(board: Board, history: History, *names: str) -> None:
    """Put custodians' votes for a history's head on a board."""
    for one in head_votes(history, *names):
        put(board, Kind.HEAD_VOTE, history.genesis, one, parent=one.head)


def put_open(board: Board, made: Affairs) -> None:
    """Put what is open on a board."""
    put(board, Kind.POLICY, made.genesis, made.policy)
    put(board, Kind.PROPOSAL, made.genesis, made.proposal)
    for one in made.votes:
        put(board, Kind.VOTE, made.genesis, one, parent=made.proposal.cid())
    put(board, Kind.DELEGATION, made.genesis, made.delegation)
    put(board, Kind.ACT, made.genesis, made.act, parent=Cid.from_digest(DAG_CBOR, made.act.act.digest()))


def put_all(board: Board, made: Affairs) -> None:
    """Put all of a DAO on a board."""
    put_chain(board, made)
    put_open(board, made)


@contextmanager
def own_board(folder: Path) -> Iterator[OwnBoard]:
    """Yield an empty board of one's own, in a file of that folder."""
    path = folder / f"{secrets.token_hex(4)}.db"
    with opened_records(path) as records:
        yield OwnBoard(records)


def put_voted_head(pinboard: Pinboard, history: History, blocks: Sequence[bytes] = ()) -> None:
    """Hand in a history's head, with the custodians' votes for it."""
    pinboard.post_head_votes(history.genesis, [one.encoded() for one in head_votes(history)])
    pinboard.post(Kind.HEAD, history.genesis, history.head.encoded(), blocks)
