"""What one custodian keeps on disk of the heads that could come next: the votes, and the blocks they are for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from storage.cid import Cid
from vault.contest import Contest
from vault.head import Head
from vault.head_vote import HeadVote
from vault.history import History
from vault.links import Fetch, linked
from vault.station import Station
from vault.waiting import Waiting

log = logging.getLogger(__name__)


class KeptContests:
    """The contests of every DAO that one custodian serves, as they are kept."""

    def __init__(self, station: Station, waiting: Waiting) -> None:
        self._key, self._store, self._blobs = station.keys.signing, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._waiting = waiting

    def contest(self, genesis: Cid) -> Contest:
        """Return what is known of a DAO's next heads by what is on disk."""
        settled = self._histories.settled[genesis]
        own = self._store.signed_heads(genesis, -1)
        contest = Contest(settled=settled, followed=settled, proof_from=0, own=own)
        for vote in self._store.head_votes(genesis):
            contest.heard(vote.epoch, [vote])
        for epoch, head in own.items():
            contest.heard(epoch, [HeadVote.made(self._key, genesis, epoch, head)])
        proven = [epoch for epoch, head in enumerate(settled.heads) if contest.is_certified(epoch, head)]
        contest.proof_from = max(proven, default=0)
        contest.votes = {epoch: some for epoch, some in contest.votes.items() if epoch >= contest.proof_from}
        for head in contest.voted_beyond():
            self._remember_branch(contest, head)
        contest.waiting = dict.fromkeys(self._store.causes(genesis))
        return contest

    def _remember_branch(self, contest: Contest, head: Cid) -> None:
        if not self._blobs.has(head):
            return
        known = Head.from_bytes(self._blobs.get(head))
        before = contest.history(known.previous) if known.previous is not None else None
        if before is None or known.cause is None:
            return
        history = self._waiting.carried_out(before, known.cause, at=self._clock())
        if isinstance(history, History) and history.heads[-1] == head:
            contest.histories[head] = history

    def keep_votes(self, contest: Contest, epoch: int) -> None:
        """Keep the others' votes of an epoch; name whoever voted for two heads, once."""
        others = [vote for vote in contest.votes[epoch] if vote.custodian != self._key.public]
        self._store.keep_head_votes(contest.genesis, epoch, others)
        signers = [vote.custodian for vote in others]
        for liar in {one for one in signers if signers.count(one) > 1} - contest.liars:
            contest.liars.add(liar)
            log.error("custodian %s voted for two heads of epoch %d of DAO %s", liar.hex(), epoch, contest.genesis)

    def overlaid(self, history: History) -> Fetch:
        """Return how to get the blocks of a head that may not be stored itself."""
        own = history.heads[-1]
        return lambda cid: history.head.encoded() if cid == own else self._blobs.get(cid)

    def keep_link(self, history: History, fetch: Fetch) -> None:
        """Store a link, its head last: where that is, the link is whole."""
        head = history.heads[-1]
        if self._blobs.has(head):
            return
        own = self.overlaid(history)
        for cid in linked(head, lambda cid: own(cid) if cid == head else fetch(cid)):
            if cid != head:
                self._blobs.put(cid, fetch(cid))
        self._blobs.put(head, history.head.encoded())

    def forget(self, contest: Contest, left: Sequence[History]) -> None:
        """Delete heads that nobody voted for and nothing grew from; what they would have carried out may be needed."""
        kept = (contest.followed, contest.settled, *contest.histories.values())
        for history in left:
            epoch, head = history.head.epoch, history.heads[-1]
            is_needed = any(one.heads[epoch : epoch + 1] == (head,) for one in kept)
            if not is_needed and head not in contest.own.values() and not contest.supporters(history):
                self._blobs.delete(head)
