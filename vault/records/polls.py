"""What a custodian must not forget of a vote: what it acknowledged, and which set it closed (rule G2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, insert, update
from sqlalchemy import delete as sql_delete
from sqlalchemy import select as sql_select
from sqlmodel import col, delete, func, select

from storage.cid import Cid
from vault.polls import ProposalRow, VoteRow
from vault.records.database import Records
from vault.records.poll_tables import (
    AcceptedProposal,
    AcceptedVote,
    DelegatedLast,
    PendingAct,
    QueuedDecision,
    SignedClosing,
)
from vault.records.room import require_room

ROWS_READ: Final = 500  # in one statement; both databases bound its parameters
PROPOSED_READ: Final = 2000  # far above what one member may propose a day
QUEUED_READ: Final = 1000
ACTS_MAX: Final = 1000  # of one DAO, while none of them is carried out


_VOTES: Final = AcceptedVote.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_MUTABLE: Final = ("acknowledgments", "period", "direct", "position")
_OWN: Final = _VOTES.c.proposal == bindparam("own")
_SOME: Final[BindParameter[Any]] = bindparam("some", expanding=True)
_LAST_CHANGE: Final = sql_select(func.max(_VOTES.c.position)).where(_OWN)
_LAST_CHANGES: Final = (
    sql_select(_VOTES.c.proposal, func.max(_VOTES.c.position))
    .where(_VOTES.c.proposal.in_(_SOME))
    .group_by(_VOTES.c.proposal)
)
_KEPT: Final = sql_select(_VOTES.c.ballot, _VOTES.c.position).where(_OWN, _VOTES.c.ballot.in_(_SOME))
_CAST_BY: Final = sql_select(_VOTES).where(_OWN, _VOTES.c.voter.in_(_SOME)).order_by(_VOTES.c.ballot)
_CHANGED: Final = (
    sql_select(_VOTES)
    .where(_OWN, _VOTES.c.position > bindparam("after"))
    .order_by(_VOTES.c.position)
    .limit(bindparam("most"))
)
_INSERT: Final = insert(_VOTES)
_UPDATE: Final = (
    update(_VOTES)
    .where(_OWN, _VOTES.c.ballot == bindparam("one"))
    .values({name: bindparam(f"new_{name}") for name in _MUTABLE})
)
_DROP: Final = sql_delete(_VOTES).where(_OWN, _VOTES.c.ballot.in_(_SOME))


class PollRecords:
    """The part of `vault.records.custody.CustodyRecords` that votes need."""

    _records: Records

    def keep_proposal(self, row: ProposalRow) -> None:
        """Keep a proposal, or what more was said of one that is kept, as the last change of its DAO."""
        with self._records.writing(b"proposals" + row.genesis.binary) as session:
            last = select(func.max(AcceptedProposal.position)).where(AcceptedProposal.genesis == row.genesis.binary)
            position = (session.exec(last).one() or 0) + 1
            kept = session.get(AcceptedProposal, row.proposal)
            if kept is not None:
                kept.acknowledgments, kept.position = row.acknowledgments, position
                session.add(kept)
                return
            session.add(
                AcceptedProposal(
                    proposal=row.proposal,
                    genesis=row.genesis.binary,
                    proposer=row.proposer,
                    body=row.body,
                    acknowledgments=row.acknowledgments,
                    arrived_at=row.arrived_at,
                    is_direct=int(row.is_direct),
                    position=position,
                )
            )

    def kept_proposal(self, proposal: bytes) -> ProposalRow | None:
        """Return a proposal that was accepted."""
        with self._records.reading() as session:
            kept = session.get(AcceptedProposal, proposal)
            return _proposal_row(kept) if kept else None

    def kept_proposals(self, genesis: Cid, after: int, *, most: int) -> list[ProposalRow]:
        """Return a DAO's proposals that changed after a position, in the order of their changes."""
        changed = (
            select(AcceptedProposal)
            .where(AcceptedProposal.genesis == genesis.binary, AcceptedProposal.position > after)
            .order_by(col(AcceptedProposal.position))
            .limit(most)
        )
        with self._records.reading() as session:
            return [_proposal_row(kept) for kept in session.exec(changed)]

    def proposed_since(self, genesis: Cid, proposer: bytes, since: int) -> list[ProposalRow]:
        """Return the proposals of one member that came here after `since` (UTC seconds), at most `PROPOSED_READ`."""
        found = (
            select(AcceptedProposal)
            .where(
                AcceptedProposal.genesis == genesis.binary,
                AcceptedProposal.proposer == proposer,
                AcceptedProposal.arrived_at > since,
            )
            .limit(PROPOSED_READ)
        )
        with self._records.reading() as session:
            return [_proposal_row(kept) for kept in session.exec(found)]

    def votes_of(self, proposal: bytes, voters: Collection[bytes]) -> list[VoteRow]:
        """Return the ballots of some voters on a proposal."""
        names, found = list(voters), []
        with self._records.fetching() as connection:
            for first in range(0, len(names), ROWS_READ):
                cast = connection.execute(_CAST_BY, {"own": proposal, "some": names[first : first + ROWS_READ]})
                found += [VoteRow(**row) for row in cast.mappings()]
        return found

    def keep_votes(
        self, proposal: bytes, rows: Sequence[VoteRow], *, news: Collection[bytes], dropped: Sequence[bytes]
    ) -> None:
        """Keep ballots of one proposal, all of them or none, and forget others.

        Args:
            news: of which ballots others are to hear; these become the last changes.
            dropped: ballots that a greater one of the same voter stands for from now on.
        """
        with self._records.appending(b"votes" + proposal) as connection:
            position = connection.execute(_LAST_CHANGE, {"own": proposal}).scalar() or 0
            before = _positions(connection, proposal, [row.ballot for row in rows])
            values = []
            for row in rows:
                place = before.get(row.ballot, 0)
                if row.ballot in news:
                    place = position = position + 1
                values.append(_values(row) | {"position": place})
            for statement, is_kept in ((_UPDATE, True), (_INSERT, False)):
                if some := [one for one in values if (one["ballot"] in before) is is_kept]:
                    connection.execute(statement, [_bound(one) for one in some] if is_kept else some)
            for first in range(0, len(dropped), ROWS_READ):
                connection.execute(_DROP, {"own": proposal, "some": list(dropped[first : first + ROWS_READ])})

    def kept_votes(self, proposal: bytes, after: int, *, most: int) -> list[VoteRow]:
        """Return the ballots on a proposal that changed after a position, in the order of their changes."""
        with self._records.fetching() as connection:
            changed = connection.execute(_CHANGED, {"own": proposal, "after": after, "most": most})
            return [VoteRow(**row) for row in changed.mappings()]

    def last_change(self, proposal: bytes) -> int:
        """Return the position of the last change to a proposal's ballots."""
        with self._records.fetching() as connection:
            return connection.execute(_LAST_CHANGE, {"own": proposal}).scalar() or 0

    def last_changes(self, proposals: Sequence[bytes]) -> dict[bytes, int]:
        """Return the position of the last change to each proposal's ballots, where there are any."""
        found: dict[bytes, int] = {}
        with self._records.fetching() as connection:
            for first in range(0, len(proposals), ROWS_READ):
                some = list(proposals[first : first + ROWS_READ])
                found |= {one: position for one, position in connection.execute(_LAST_CHANGES, {"some": some})}
        return found

    def keep_closing(self, genesis: Cid, proposal: bytes, closing: bytes) -> bytes:
        """Keep the first closing ever of a proposal, and return the one that is kept."""
        with self._records.writing(b"closing" + proposal) as session:
            kept = session.get(SignedClosing, proposal)
            if kept is not None:
                return kept.closing
            session.add(SignedClosing(proposal=proposal, genesis=genesis.binary, closing=closing))
        return closing

    def kept_closing(self, proposal: bytes) -> bytes | None:
        """Return the closing of a proposal, if one was ever signed."""
        with self._records.reading() as session:
            kept = session.get(SignedClosing, proposal)
            return kept.closing if kept else None

    def keep_decision(self, genesis: Cid, proposal: bytes, decision: Cid, free_at: int) -> Cid:
        """Keep the first decision on a proposal, and return the one that is kept.

        Args:
            free_at: UTC seconds from which it may be carried out.
        """
        with self._records.writing(b"queued" + proposal) as session:
            kept = session.get(QueuedDecision, proposal)
            if kept is not None:
                return Cid(kept.decision)
            session.add(
                QueuedDecision(proposal=proposal, genesis=genesis.binary, decision=decision.binary, free_at=free_at)
            )
        return decision

    def kept_decision(self, proposal: bytes) -> Cid | None:
        """Return the decision that was queued for a proposal."""
        with self._records.reading() as session:
            kept = session.get(QueuedDecision, proposal)
            return Cid(kept.decision) if kept else None

    def kept_decisions(self, genesis: Cid) -> list[tuple[bytes, Cid, int]]:
        """Return proposal, decision and `free_at` of what was queued for a DAO, the latest first."""
        queued = (
            select(QueuedDecision)
            .where(QueuedDecision.genesis == genesis.binary)
            .order_by(col(QueuedDecision.free_at).desc(), col(QueuedDecision.proposal))
            .limit(QUEUED_READ)
        )
        with self._records.reading() as session:
            return [(kept.proposal, Cid(kept.decision), kept.free_at) for kept in session.exec(queued)]

    def keep_act(self, genesis: Cid, act: bytes, epoch: int, body: bytes) -> None:
        """Keep an act of guardians with all the signatures that came so far."""
        with self._records.writing(b"acts" + genesis.binary) as session:
            if session.get(PendingAct, act) is None:
                require_room(session, PendingAct, PendingAct.genesis == genesis.binary, most=ACTS_MAX)
            session.merge(PendingAct(act=act, genesis=genesis.binary, epoch=epoch, body=body))

    def kept_act(self, act: bytes) -> bytes | None:
        """Return an act that waits for signatures."""
        with self._records.reading() as session:
            kept = session.get(PendingAct, act)
            return kept.body if kept else None

    def kept_acts(self, genesis: Cid) -> list[bytes]:
        """Return the acts that wait for signatures; at most `ACTS_MAX`."""
        waiting = select(PendingAct.body).where(PendingAct.genesis == genesis.binary).order_by(col(PendingAct.act))
        with self._records.reading() as session:
            return list(session.exec(waiting))

    def drop_acts(self, genesis: Cid, acts: Collection[bytes], *, before_epoch: int) -> None:
        """Forget acts that were carried out, and those made at a head before an epoch."""
        with self._records.writing(b"acts" + genesis.binary) as session:
            own = col(PendingAct.genesis) == genesis.binary
            session.exec(delete(PendingAct).where(own, col(PendingAct.epoch) < before_epoch))
            if acts:
                session.exec(delete(PendingAct).where(own, col(PendingAct.act).in_(acts)))

    def delegated_at(self, genesis: Cid) -> int | None:
        """Return when (UTC seconds) a batch of delegations was last taken for a DAO."""
        with self._records.reading() as session:
            kept = session.get(DelegatedLast, genesis.binary)
            return kept.at if kept else None

    def keep_delegated(self, genesis: Cid, at: int) -> None:
        """Note that a batch of delegations was taken."""
        with self._records.writing(b"delegated" + genesis.binary) as session:
            session.merge(DelegatedLast(genesis=genesis.binary, at=at))


def _proposal_row(kept: AcceptedProposal) -> ProposalRow:
    return ProposalRow(
        genesis=Cid(kept.genesis),
        proposal=kept.proposal,
        proposer=kept.proposer,
        body=kept.body,
        acknowledgments=kept.acknowledgments,
        arrived_at=kept.arrived_at,
        is_direct=bool(kept.is_direct),
        position=kept.position,
    )


def _values(row: VoteRow) -> dict[str, Any]:
    return {item.name: getattr(row, item.name) for item in fields(row)}


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `_UPDATE`."""
    return {f"new_{name}": values[name] for name in _MUTABLE} | {"own": values["proposal"], "one": values["ballot"]}


def _positions(connection: Connection, proposal: bytes, ballots: Sequence[bytes]) -> dict[bytes, int]:
    """Return the positions of those ballots that are kept."""
    found: dict[bytes, int] = {}
    for first in range(0, len(ballots), ROWS_READ):
        kept = connection.execute(_KEPT, {"own": proposal, "some": list(ballots[first : first + ROWS_READ])})
        found |= {ballot: position for ballot, position in kept}
    return found
