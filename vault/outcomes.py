"""How votes end at a custodian: it signs one set of ballots, keeps the decision for its timelock, stays to its word.

Rules G2, F5. One closing of a proposal is signed, ever. A custodian that was restored from a backup has forgotten what
it acknowledged and may have forgotten what it signed, so it closes no vote that began before it had caught up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Lock

from storage.cid import DAG_CBOR, Cid
from storage.errors import BlockNotFound
from vault.acknowledgment import Acknowledgments
from vault.ballot import Proposal, Vote
from vault.ballot_box import Held, is_omitted
from vault.balloting import PAGE_VOTES
from vault.charter import Charter
from vault.closing import BallotPage, Cast, Closing, Period, final_at, pages_of, proven_period
from vault.decision import Decision, Fetch
from vault.errors import InvalidDecision, MalformedObject, NotYet, StaleState
from vault.history import History
from vault.machine import BLANK
from vault.offered import held_from
from vault.polls import ProposalRow, VoteRow
from vault.station import Station
from vault.utc import time_text

BLOCKS_AT_ONCE = 64
REFUSED_MAX = 64  # decisions remembered
BLOCKS_BYTES = 2 << 20  # handed out at once; with one block more it still fits a message
_KINDS = "charter|roll|roll-page|policy|proposal|decision|ballots|chunk|head|guardian-act|delegations"
_PUBLIC = re.compile(rb"dtype(x)?.coffer/(%s)/v1" % _KINDS.encode(), re.DOTALL)  # a map's entry in CBOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A verified decision that waits, or waited, for the end of its timelock."""

    proposal: bytes
    decision: Cid
    free_at: int  # UTC seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingSet:
    """The ballots of a vote that is over, as they stood after so many changes."""

    proposal: Proposal
    changes: int


class Outcomes:
    """The votes that are over, of every DAO that one custodian serves."""

    def __init__(
        self,
        station: Station,
        *,
        require_caught_up: Callable[[History], None],
    ) -> None:
        self._key, self._store, self._blobs = station.keys.signing, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._require_caught_up = require_caught_up
        self._refused: dict[Cid, InvalidDecision] = {}  # decisions that do not hold
        self._lock = Lock()  # decisions are verified in threads

    def close(self, genesis: Cid, proposal: bytes) -> Closing:
        """Return our word on which ballots were cast on a proposal: the first one given, for ever.

        Raises: `NotYet` before everyone had time to hear of every ballot; `InvalidDecision` where nobody voted.
        """
        while True:
            ending = self.ending(genesis, proposal)
            if isinstance(ending, Closing):
                return ending
            closing = self.ended(ending, self.counted(ending))
            if closing is not None:
                return closing

    def ending(self, genesis: Cid, proposal: bytes) -> Closing | ClosingSet:
        """Return the closing of a vote that was closed, otherwise the set to close it with."""
        row = self._known(genesis, proposal)
        if (kept := self._store.kept_closing(proposal)) is not None:
            return Closing.from_bytes(kept)
        history, known = self._histories[genesis], Proposal.from_bytes(row.body)
        self._require_caught_up(history)
        self._require_remembered(row, known)
        history.require_current(known)
        if self._clock() < (final := final_at(known, history.charter)):
            raise NotYet(f"custodians close the vote from {time_text(final)} on")
        return ClosingSet(proposal=known, changes=self._store.last_change(proposal))

    def counted(self, ending: ClosingSet) -> tuple[Cid, ...]:
        """Keep the pages of a set of ballots, and return their CIDs. Any thread may do it."""
        cast = (_cast(row) for row in self._rows(ending.proposal.cid().digest, 0))
        pages = pages_of(ending.proposal, cast)
        for page in pages:
            self._blobs.put(page.cid(), page.encoded())
        return tuple(page.cid() for page in pages)

    def ended(self, ending: ClosingSet, pages: tuple[Cid, ...]) -> Closing | None:
        """Sign the set, which is on disk before; None where more ballots came meanwhile."""
        genesis, proposal = ending.proposal.genesis, ending.proposal.cid().digest
        if self._store.last_change(proposal) != ending.changes:
            return None
        blank = Closing(genesis=genesis, proposal=proposal, pages=pages, custodian=self._key.public, signature=BLANK)
        return Closing.from_bytes(self._store.keep_closing(genesis, proposal, blank.signed_by(self._key).encoded()))

    def queue(self, decision: Decision, blocks: Mapping[Cid, bytes]) -> Queued:
        """Verify a decision and keep it for its timelock; return the first one kept on this proposal."""
        return self.kept(decision, blocks, self.free_at(decision, blocks))

    def free_at(self, decision: Decision, blocks: Mapping[Cid, bytes], *, pool: Executor | None = None) -> int:
        """Return from when on (UTC seconds) a decision may be carried out, or raise what is wrong with it."""
        history, cid = self._histories[decision.proposal.genesis], decision.cid()
        history.require_current(decision.proposal)
        if (known := self._kept_free_at(decision)) is not None:
            return known
        fetch = self._fetch_from(blocks)
        if (refused := self._refused.get(cid)) is not None:
            raise refused
        try:
            return self._counted_free_at(history, decision, fetch, pool=pool)
        except InvalidDecision as error:
            with self._lock:
                while len(self._refused) >= REFUSED_MAX:
                    del self._refused[next(iter(self._refused))]
                self._refused[cid] = error
            raise

    def _kept_free_at(self, decision: Decision) -> int | None:
        """Return from when on a decision with the same ballots may be carried out, if one waits here already."""
        genesis, proposal = decision.proposal.genesis, decision.proposal.cid().digest
        for known, cid, free_at in self._store.kept_decisions(genesis):
            if known == proposal:
                kept = Decision.from_bytes(self._blobs.get(cid))
                return free_at if (kept.proposal, kept.pages()) == (decision.proposal, decision.pages()) else None
        return None

    def _counted_free_at(self, history: History, decision: Decision, fetch: Fetch, *, pool: Executor | None) -> int:
        try:
            count = history.counted(decision, fetch, pool=pool)
        except BlockNotFound as error:
            raise MalformedObject(f"the decision lacks a block: {error}") from error
        if not count.is_carried():
            raise InvalidDecision("the charter's quorum or threshold is not met")
        self.require_complete(decision, fetch)
        return count.closed_at + history.charter.voting.timelock_s

    def kept(self, decision: Decision, blocks: Mapping[Cid, bytes], free_at: int) -> Queued:
        """Keep a verified decision with its blocks."""
        genesis, proposal = decision.proposal.genesis, decision.proposal.cid().digest
        self._known(genesis, proposal)
        first = self._store.kept_decision(proposal)
        if first is None:  # a decision's weights can be cut into chunks in any way, so no other one takes up room
            fetch = self._fetch_from(blocks)
            for cid in (*decision.pages(), *decision.weights):
                self._blobs.put(cid, fetch(cid))
            self._blobs.put(decision.cid(), decision.encoded())
            first = self._store.keep_decision(genesis, proposal, decision.cid(), free_at)
        return Queued(proposal=proposal, decision=first, free_at=free_at)

    def queued(self, genesis: Cid) -> list[Queued]:
        """Return the decisions that were queued and not carried out or outdated since, the latest first."""
        history = self._histories[genesis]
        found = []
        for proposal, decision, free_at in self._store.kept_decisions(genesis):
            try:
                history.require_current(Decision.from_bytes(self._blobs.get(decision)).proposal)
            except InvalidDecision:
                continue
            found.append(Queued(proposal=proposal, decision=decision, free_at=free_at))
        return found

    def require_complete(self, decision: Decision, fetch: Fetch) -> None:
        """Raise `InvalidDecision` where a decision lacks a ballot that more than f others had in time.

        Where its set is the one that this custodian signed, only what came after that can be missing.
        """
        proposal = decision.proposal.cid().digest
        row = self._store.kept_proposal(proposal)
        history = self._histories.get(decision.proposal.genesis)
        if row is None or history is None:
            return
        known: dict[bytes, list[tuple[tuple[int, bytes], Period]]] | None = None
        for held in self._proven(proposal, decision.proposal, history.charter):
            if known is None:
                known = {}
                for one in (one for cid in decision.pages() for one in BallotPage.from_bytes(fetch(cid)).cast()):
                    known.setdefault(one.ballot.voter, []).append((one.ballot.rank(), one.period))
            if is_omitted(held, known.get(held.vote.ballot.voter, ())):
                raise InvalidDecision(
                    "the decision is void: it lacks a ballot that more than f custodians had acknowledged in time"
                )

    def blocks(self, genesis: Cid, cids: list[Cid]) -> dict[Cid, bytes]:
        """Return those blocks of governance that are here, as many as fit a message."""
        self._histories[genesis]
        if len(cids) > BLOCKS_AT_ONCE:
            raise MalformedObject(f"at most {BLOCKS_AT_ONCE} blocks are asked for at once")
        found: dict[Cid, bytes] = {}
        size = 0
        for cid in cids:
            if size > BLOCKS_BYTES or not self._blobs.has(cid):
                continue
            block = self._blobs.get(cid)
            if _is_public(cid, block):
                found[cid] = block
                size += len(block)
        return found

    def _proven(self, proposal: bytes, known: Proposal, charter: Charter) -> Iterator[Held]:
        """Yield the ballots that others alone prove to have had in time."""
        for row in self._rows(proposal, 0):
            words = Acknowledgments.from_bytes(row.acknowledgments).given
            period = proven_period(words, self._key.public, known, charter)
            if period is not None:
                yield Held(
                    vote=Vote.from_bytes(row.body),
                    digest=row.ballot,
                    acknowledgments=words,
                    period=period,
                    direct=row.direct,
                )

    def _rows(self, proposal: bytes, after: int) -> Iterator[VoteRow]:
        while rows := self._store.kept_votes(proposal, after, most=PAGE_VOTES):
            yield from rows
            after = rows[-1].position

    def _known(self, genesis: Cid, proposal: bytes) -> ProposalRow:
        row = self._store.kept_proposal(proposal)
        if row is None:
            raise StaleState("this custodian knows no such proposal")
        if row.genesis != genesis:
            raise InvalidDecision("the proposal was made to another DAO")
        return row

    def _require_remembered(self, row: ProposalRow, proposal: Proposal) -> None:
        """Raise `StaleState` where this custodian may have forgotten what it acknowledged or signed (rule F5)."""
        restored_at = self._store.restored_at()
        if restored_at is not None and not restored_at <= row.arrived_at < proposal.opens_at:
            raise StaleState(
                "this custodian was restored from a backup since voting began, and does not close the vote"
            )

    def _fetch_from(self, blocks: Mapping[Cid, bytes]) -> Fetch:
        return lambda cid: blocks[cid] if cid in blocks else self._blobs.get(cid)


def _cast(row: VoteRow) -> Cast:
    held = held_from(row)
    return Cast(held.vote.ballot, int.from_bytes(held.vote.weight, "big"), held.period)


def _is_public(cid: Cid, block: bytes) -> bool:
    """Say whether a block says that it is of governance, without decoding a megabyte of it."""
    return cid.codec == DAG_CBOR and _PUBLIC.search(block) is not None
