"""Which head comes next, at one custodian: one vote an epoch, on disk first; it follows as `vault.head_vote` says.

What a head that did not come next would have carried out waits, and is voted for after the one that did, acts of
guardians first. Until then it restricts what is leased. A custodian that may sign nothing votes for nothing (rule F5);
one that is shown a vote of its own that it does not remember was set back in time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from storage.cid import Cid
from storage.errors import StorageError
from vault.contest import Contest, Leasing
from vault.errors import NotYet, VaultError
from vault.head import Head
from vault.head_vote import HeadVote, verify_votes, voters_of
from vault.history import History
from vault.kept_contests import KeptContests
from vault.links import Fetch
from vault.station import Station
from vault.waiting import Waiting

MISSING_S = 60  # for which a head is waited for that so few voted for that all of them may lie
VERIFIED_MAX = 32  # heads of a DAO, beside those voted for
log = logging.getLogger(__name__)


class Succession:
    """The next heads of every DAO that one custodian serves."""

    def __init__(
        self,
        station: Station,
        *,
        require_caught_up: Callable[[History], None],
        require_link: Callable[[Cid, Fetch], None],
        on_rolled_back: Callable[[], None],
        on_new: Callable[[], None],
    ) -> None:
        """Begin where the histories are.

        Args:
            require_link: raises where this custodian votes for no such head, though it is what its cause leads to.
            on_rolled_back: called where a vote is shown that this custodian has forgotten.
            on_new: called when others are to hear of a head or a vote.
        """
        self._key, self._store, self._blobs = station.keys.signing, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._require_caught_up = require_caught_up
        self._require_link = require_link
        self._on_rolled_back = on_rolled_back
        self._on_new = on_new
        self._waiting = Waiting(station.store, station.blobs)
        self._kept = KeptContests(station, self._waiting)
        self._contests: dict[Cid, Contest] = {}

    def contest(self, genesis: Cid) -> Contest:
        """Return what is known of a DAO's next heads; raise `AccessDenied` for a DAO that is not served."""
        self._histories[genesis]  # which raises
        contest = self._contests.get(genesis)
        if contest is None or contest.settled is not self._histories.settled[genesis]:
            contest = self._contests[genesis] = self._kept.contest(genesis)
            self.settle(genesis)
        return contest

    def shown(self, genesis: Cid) -> list[HeadVote]:
        """Return the votes that settle the settled head, and those for what may come next."""
        contest = self.contest(genesis)
        if _is_alone(contest) and contest.followed.head.epoch not in contest.own:
            self.settle(genesis)  # it may sign again by now
        return contest.shown()

    def geneses(self) -> Collection[Cid]:
        """Return the DAOs that are served."""
        return self._histories.keys()

    def leasing(self, genesis: Cid) -> Leasing:
        """Return what leases name, and what restricts them."""
        contest = self.contest(genesis)
        return Leasing(settled=contest.settled, restricted_by=contest.restricted_by)

    def missing(self, genesis: Cid) -> list[Cid]:
        """Return heads that others voted for, and that nobody has handed in here."""
        contest = self.contest(genesis)
        return [head for head in contest.voted_beyond() if not self._is_here(contest, head)]

    def branch(self, genesis: Cid, head: Cid) -> History | None:
        """Return a history whose heads lead to one that was verified: one that lost a draw is needed to prove that."""
        contest = self.contest(genesis)
        if (history := contest.history(head)) is not None:
            return history
        if all(vote.head != head for vote in contest.shown()) or not self._blobs.has(head):
            return None
        known, settled = Head.from_bytes(self._blobs.get(head)), contest.settled
        if settled.heads[known.epoch - 1 : known.epoch] != (known.previous,):
            return None
        return replace(settled, heads=(*settled.heads[: known.epoch], head))

    def offer(self, genesis: Cid, verified: Sequence[History], fetch: Fetch) -> None:
        """Take verified histories, each one head longer than the one before, and keep their blocks."""
        contest = self.contest(genesis)
        for history in verified:
            self._kept.keep_link(history, fetch)
            contest.histories[history.heads[-1]] = history
        self._make_room(contest)

    def hear(self, genesis: Cid, votes: Sequence[HeadVote]) -> bool:
        """Take votes, those that can matter, and say whether any is new; raise `InvalidSignature` for a false one."""
        contest = self.contest(genesis)
        top = 1 + max(one.head.epoch for one in (contest.followed, *contest.histories.values()))
        news = [vote for vote in votes if contest.proof_from <= vote.epoch <= top and not contest.has(vote)]
        news = [vote for vote in news if vote.epoch > 0]
        verify_votes(news, contest.settled.charter, genesis=genesis)
        for vote in news:
            if vote.custodian == self._key.public:
                self._remember_own(contest, vote)
        is_new = False
        for epoch in sorted({vote.epoch for vote in news}):
            if contest.heard(epoch, (vote for vote in news if vote.epoch == epoch)):
                is_new = True
                self._kept.keep_votes(contest, epoch)
        return is_new

    def settle(self, genesis: Cid, *, is_new: bool = False) -> None:
        """Follow what is to be followed by now, and vote where there is something to vote for."""
        contest = self.contest(genesis)
        while True:
            is_new |= self._follow(contest)
            if not self._vote(contest):
                break
            is_new = True
        contest.restricted_by = self._restrictions(contest)
        if is_new:
            self._on_new()

    def wait_for(self, genesis: Cid, cause: Cid, history: History | None) -> None:
        """Have something verified carried out sooner or later; its blocks are kept already."""
        self._histories.entrust(genesis)
        self._waiting.add(self.contest(genesis), cause, history)

    async def carry_on(self, genesis: Cid) -> None:
        """Vote for what waits and takes long to verify again; call it on the loop that serves this custodian."""
        contest = self.contest(genesis)
        followed, at = contest.followed, self._clock()
        for cause in self._waiting.large(contest):
            result = await asyncio.to_thread(self._waiting.carried_out, followed, cause, at=at)
            if contest.followed is followed and cause in contest.waiting:
                contest.rebased[cause] = result
        self.settle(genesis)

    def _follow(self, contest: Contest) -> bool:
        """Follow what the votes say; say whether that is another head than before."""
        settled, followed = self._chosen(contest)
        self._keep_losers(contest)
        if settled is not contest.settled or followed is not contest.followed:
            is_forward = contest.settled.heads[-1] in settled.heads
            lost = () if is_forward else contest.settled.heads
            self._histories.follow(followed, settled=settled)
            before, contest.followed = contest.followed, followed
            if settled is not contest.settled:
                proof_from = contest.proof_from
                self._kept.forget(contest, contest.settle(settled))
                if contest.proof_from > proof_from:
                    self._store.drop_head_votes(contest.genesis, contest.proof_from)
            for head in lost:
                if head not in followed.heads:
                    self._wait_for_cause_of(contest, head)
            return before is not followed
        return False

    def _chosen(self, contest: Contest) -> tuple[History, History]:
        if _is_alone(contest):
            newest = max((contest.settled, *contest.histories.values()), key=lambda one: one.head.epoch)
            return newest, newest
        choice = contest.chosen(self._awaited(contest))
        settled, followed = contest.history(choice.settled), contest.history(choice.followed)
        return settled or contest.settled, followed or contest.followed

    def _awaited(self, contest: Contest) -> list[Cid]:
        """Return the heads voted for that may still be handed in: of more than f voters, or not missed for long."""
        charter, now = contest.settled.charter, self._clock()
        epochs = {epoch: voters_of(votes) for epoch, votes in contest.votes.items()}
        missing = [head for head in contest.voted_beyond() if not self._is_here(contest, head)]
        contest.missing_since = {head: contest.missing_since.get(head, now) for head in missing}
        counts = {head: len(who) for voters in epochs.values() for head, who in voters.items()}
        return [
            head for head in missing if counts[head] > charter.liars or now < contest.missing_since[head] + MISSING_S
        ]

    def _is_here(self, contest: Contest, head: Cid) -> bool:
        return contest.history(head) is not None or self._blobs.has(head)

    def _vote(self, contest: Contest) -> bool:
        """Vote for what is to come after the followed head, once; say whether a vote was given."""
        if _is_alone(contest):
            return self._confirm(contest)
        epoch = contest.followed.head.epoch + 1
        if epoch in contest.own:
            return False
        candidates = self._candidates(contest)
        if not candidates:
            return False
        try:
            self._require_caught_up(contest.followed)
        except NotYet:
            return False
        for history in candidates:
            try:
                self._require_link(history.heads[-1], self._kept.overlaid(history))
            except (VaultError, StorageError):
                continue
            self._sign(contest, history)
            return True
        return False

    def _confirm(self, contest: Contest) -> bool:
        """Sign the head that a lone custodian follows, for boards and members to go by; say whether it did now."""
        head, history = contest.followed.heads[-1], contest.followed
        epoch = history.head.epoch
        if epoch == 0 or epoch in contest.own or self._histories.is_idle(contest.genesis):
            return False  # what is signed stays on disk, and strangers' DAOs would fill it
        try:
            self._require_caught_up(history)
        except NotYet:
            return False
        contest.own[epoch] = self._store.sign_head(contest.genesis, epoch, head)
        contest.heard(epoch, [HeadVote.made(self._key, contest.genesis, epoch, contest.own[epoch])])
        if contest.is_certified(epoch, head):
            contest.votes, contest.proof_from = {epoch: contest.votes[epoch]}, epoch
        return True

    def _candidates(self, contest: Contest) -> list[History]:
        """Return what could come next: what others voted for, then what waits, then what was handed in."""
        children = contest.children()
        voted = [one for one in children if contest.supporters(one)]
        waiting = self._waiting.in_order(contest, at=self._clock())
        return [*voted, *waiting, *children]

    def _sign(self, contest: Contest, history: History) -> None:
        genesis, epoch = contest.genesis, history.head.epoch
        self._histories.entrust(genesis)
        self._kept.keep_link(history, self._blobs.get)
        contest.histories[history.heads[-1]] = history
        head = self._store.sign_head(genesis, epoch, history.heads[-1])
        contest.own[epoch] = head
        contest.heard(epoch, [HeadVote.made(self._key, genesis, epoch, head)])

    def _remember_own(self, contest: Contest, vote: HeadVote) -> None:
        """Take back a vote of our own that somebody else remembers."""
        if vote.epoch in contest.own:
            log.error("this custodian voted for two heads of epoch %d of DAO %s", vote.epoch, vote.genesis)
            return
        is_behind = False
        try:
            self._require_caught_up(contest.followed)
        except NotYet:
            is_behind = True
        self._histories.entrust(vote.genesis)
        contest.own[vote.epoch] = self._store.sign_head(vote.genesis, vote.epoch, vote.head)
        if not is_behind:
            log.error("this custodian forgot a vote for a head of DAO %s: it was set back in time", vote.genesis)
            self._on_rolled_back()

    def _keep_losers(self, contest: Contest) -> None:
        """Have what was voted for carried out later, where another head may come next."""
        for history in list(contest.histories.values()):
            voters = voters_of(contest.votes.get(history.head.epoch, ()))
            if len(voters) > 1 and history.heads[-1] in voters and history.head.cause is not None:
                self.wait_for(contest.genesis, history.head.cause, history)

    def _wait_for_cause_of(self, contest: Contest, head: Cid) -> None:
        cause = Head.from_bytes(self._blobs.get(head)).cause
        if cause is not None:
            self.wait_for(contest.genesis, cause, None)

    def _restrictions(self, contest: Contest) -> tuple[History, ...]:
        """Return all that leases have to agree with beside the settled head: what follows it, and what waits."""
        chosen = [history for head in contest.own.values() if (history := contest.histories.get(head)) is not None]
        waiting = self._waiting.restrictions(contest, at=self._clock())
        found = {one.heads[-1]: one for one in (contest.followed, *chosen, *waiting)}
        return tuple(one for head, one in found.items() if head != contest.settled.heads[-1])

    def _make_room(self, contest: Contest) -> None:
        """Forget what was verified first and nobody voted for, where that is too much."""
        if _is_alone(contest):
            return
        unvoted = [one for one in contest.histories.values() if not contest.supporters(one)]
        for history in unvoted[: max(0, len(unvoted) - VERIFIED_MAX)]:
            del contest.histories[history.heads[-1]]
            self._kept.forget(contest, [history])


def _is_alone(contest: Contest) -> bool:
    """Say whether there is no other custodian, and so nothing to vote on."""
    return len(contest.settled.charter.custodians) == 1
