"""A custodian's part in voting: it takes proposals and votes from anyone, and gives its word on when they came (G2).

What it acknowledges is on disk first. The same thing handed in again brings the same word. Everything is handed on to
the other custodians (`vault.vote_sync`), with what each has said of it, so that all of them close a vote with one set.

Taking votes has three steps, of which the middle one, the checking of signatures, touches nothing and may run in a
thread: `asked`, `checked`, `answered`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, Acknowledgments
from vault.ballot import Proposal, Vote
from vault.ballot_box import Held, Poll
from vault.charter import Charter
from vault.errors import InvalidDecision, NotYet, StaleState, VaultError
from vault.history import History
from vault.offered import Answer, Asked, Offer, held_from, row_of
from vault.offered import KnownProposal as KnownProposal
from vault.offered import KnownVote as KnownVote
from vault.polls import ProposalRow, VoteRow
from vault.proposals import Proposals
from vault.proposing import OPENS_WITHIN_S, is_timely, require_proposable, require_vouched, vouched_by
from vault.station import Station

VOTES_AT_ONCE = 200
PAGE_VOTES = 500
PROPOSALS_AT_HAND = 256


class Balloting:
    """The proposals and votes of every DAO that one custodian serves."""

    def __init__(
        self,
        station: Station,
        *,
        production: bool,
        require_caught_up: Callable[[History], None],
    ) -> None:
        """Begin with what the store remembers.

        Args:
            require_caught_up: raises `NotYet` while this custodian may sign nothing for a DAO (rule F5).
        """
        self._key, self._store, self._blobs = station.keys.signing, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._production = production
        self._require_caught_up = require_caught_up
        self._at_hand: dict[bytes, Proposal] = {}
        self.proposals = Proposals(station)
        self.on_news: Callable[[], None] = _nobody  # called when something is held that others are to hear of

    def submit_proposal(
        self, proposal: Proposal, blocks: Mapping[Cid, bytes], acknowledgments: Sequence[Acknowledgment] = ()
    ) -> Acknowledgment:
        """Take a proposal with the block that it names, and give our word on when it came.

        Raises: what `require_proposable` raises; `InvalidDecision` where it comes too late; `AccessDenied` for one too
        many of its proposer.
        """
        history, digest, now = self._histories[proposal.genesis], proposal.cid().digest, self._clock()
        self._require_caught_up(history)
        row = self._store.kept_proposal(digest)
        if row is not None:
            return self._more_said(row, proposal, acknowledgments, history.charter)
        named = require_proposable(history, proposal, blocks, at=now, production=self._production)
        words = require_vouched(acknowledgments, proposal, history.charter)
        if not is_timely(words, self._key.public, proposal, history.charter, at=now):
            raise InvalidDecision(
                f"voting has to open {history.charter.voting.delay_s} s or more after the proposal was handed in"
            )
        vouching = vouched_by(words, self._key.public, proposal, history.charter)
        if vouching <= history.charter.liars:  # f+1 include an honest one, to which it was new
            history.require_fresh(proposal)
        is_direct = vouching == 0
        if proposal.opens_at > now + history.charter.voting.delay_s + OPENS_WITHIN_S:
            raise NotYet("the proposal would open too far ahead; hand it in later")
        if vouching <= history.charter.liars:  # otherwise an honest one admitted it, under the same bounds
            self.proposals.require_admitted(history, proposal, words, own=self._key.public, at=now)
        own = Acknowledgment.made(self._key, proposal.genesis, digest, at=now)
        self._histories.entrust(proposal.genesis)
        for cid, block in named.items():
            self._blobs.put(cid, block)
        others = [one for one in words if one.custodian != self._key.public]
        self._store.keep_proposal(
            ProposalRow(
                genesis=proposal.genesis,
                proposal=digest,
                proposer=proposal.proposer,
                body=proposal.encoded(),
                acknowledgments=Acknowledgments(given=(own, *others)).encoded(),
                arrived_at=now,
                is_direct=is_direct,
            )
        )
        self.on_news()
        return own

    def submit_vote(self, genesis: Cid, vote: Vote, acknowledgments: Sequence[Acknowledgment] = ()) -> Acknowledgment:
        """Take a vote, and give our word on when it came. Raises what is wrong with it."""
        (answer,) = self.submit_votes(genesis, [(vote, acknowledgments)])
        if isinstance(answer, VaultError):
            raise answer
        return answer

    def submit_votes(self, genesis: Cid, offers: Sequence[Offer]) -> list[Answer]:
        """Take votes on one proposal, and return our word on each or what is wrong with it."""
        asked = self.asked(genesis, offers)
        return self.answered(asked, asked.checked())

    def asked(self, genesis: Cid, offers: Sequence[Offer]) -> Asked:
        """Return what has to be checked of votes on one proposal, or raise where none on it are taken."""
        if not 1 <= len(offers) <= VOTES_AT_ONCE:
            raise InvalidDecision(f"1 … {VOTES_AT_ONCE} votes are handed in at once")
        poll = self._poll(genesis, offers[0][0].ballot.proposal)
        self._require_caught_up(self._histories[genesis])
        held = self._held(poll, {vote.ballot.voter for vote, _ in offers})
        by_digest = {one.digest: one for some in held.values() for one in some}
        known = tuple(by_digest.get(vote.ballot.digest()) for vote, _ in offers)
        return Asked(poll=poll, offers=tuple(offers), known=known)

    def answered(self, asked: Asked, failures: Sequence[VaultError | None]) -> list[Answer]:
        """Keep the votes that `failures` holds nothing against, and return our word on each."""
        digest = asked.poll.proposal.cid().digest
        poll = replace(
            self._poll(asked.poll.proposal.genesis, digest), is_closed=self._store.kept_closing(digest) is not None
        )
        if poll.charter != asked.poll.charter:
            raise InvalidDecision("the charter has changed since the votes were checked")
        held = self._held(poll, {vote.ballot.voter for vote, _ in asked.offers})
        answers: list[Answer] = []
        changed: dict[bytes, None] = {}
        news: set[bytes] = set()
        dropped: list[bytes] = []
        for (vote, words), failure in zip(asked.offers, failures, strict=True):
            if failure is not None:
                answers.append(failure)
                continue
            voter = vote.ballot.voter
            try:
                taken = poll.taken(vote, words, held.get(voter, ()), at=self._clock())
            except VaultError as error:
                answers.append(error)
                continue
            held[voter] = taken.held
            news |= set(taken.news)
            dropped += taken.dropped
            if taken.is_changed:
                changed[voter] = None
            answers.append(taken.acknowledgment or InvalidDecision(_TOO_LATE))
        if changed:
            rows = [row_of(digest, one) for voter in changed for one in held[voter]]
            self._store.keep_votes(digest, rows, news=news, dropped=dropped)
        if news:
            self.on_news()
        return answers

    def votes(self, genesis: Cid, proposal: bytes, after: int) -> list[KnownVote]:
        """Return a page of the votes on a proposal that changed here after a position, in the order of changes."""
        return [
            KnownVote(
                vote=Vote.from_bytes(row.body),
                acknowledgments=Acknowledgments.from_bytes(row.acknowledgments).given,
                position=row.position,
            )
            for row in self.vote_rows(genesis, proposal, after)
        ]

    def vote_rows(self, genesis: Cid, proposal: bytes, after: int) -> list[VoteRow]:
        """Return what `votes` does as it was encoded: hundreds are handed out without decoding one."""
        self._require_known(genesis, proposal)
        return self._store.kept_votes(proposal, after, most=PAGE_VOTES)

    def _require_known(self, genesis: Cid, proposal: bytes) -> Proposal:
        known = self._at_hand.get(proposal)
        if known is None:
            row = self._store.kept_proposal(proposal)
            if row is None:
                raise StaleState("this custodian knows no such proposal; hand that in first")
            known = Proposal.from_bytes(row.body)
            while len(self._at_hand) >= PROPOSALS_AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
            self._at_hand[proposal] = known
        if known.genesis != genesis:
            raise InvalidDecision("the proposal was made to another DAO")
        return known

    def _poll(self, genesis: Cid, proposal: bytes) -> Poll:
        known = self._require_known(genesis, proposal)
        history = self._histories[genesis]
        history.require_current(known)
        return Poll(key=self._key, proposal=known, charter=history.charter, is_closed=False)

    def _held(self, poll: Poll, voters: set[bytes]) -> dict[bytes, tuple[Held, ...]]:
        held: dict[bytes, tuple[Held, ...]] = {}
        for row in self._store.votes_of(poll.proposal.cid().digest, voters):
            held[row.voter] = (*held.get(row.voter, ()), held_from(row))
        return held

    def _more_said(
        self, row: ProposalRow, proposal: Proposal, given: Sequence[Acknowledgment], charter: Charter
    ) -> Acknowledgment:
        """Keep what others said of a known proposal; return the word that we gave on it."""
        known = Acknowledgments.from_bytes(row.acknowledgments).given
        have = {one.custodian for one in known}
        more = require_vouched([one for one in given if one.custodian not in have], proposal, charter)
        if more:
            words = Acknowledgments(given=(*known, *more)).encoded()
            self._store.keep_proposal(replace(row, acknowledgments=words))
            self.on_news()
        return next(one for one in known if one.custodian == self._key.public)


_TOO_LATE = "the vote was closed here without this ballot; it is kept, and voids a decision that lacks it"


def _nobody() -> None:
    """Tell nobody."""
