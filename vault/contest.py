"""What one custodian knows of the heads that could come next in one DAO: those verified, and who voted for which."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from storage.cid import Cid
from vault.action import Scope
from vault.errors import VaultError
from vault.head_vote import Branch, Chosen, HeadVote, certified, chosen, voters_of, worth_keeping
from vault.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Leasing:
    """The head that leases name, and what else has to allow whatever is leased (rule F4)."""

    settled: History
    restricted_by: tuple[History, ...]


@dataclass(slots=True, kw_only=True)
class Contest:
    """The heads after a settled one. Use it from one thread."""

    settled: History
    followed: History
    proof_from: int  # the votes from this epoch on show why the settled head is settled
    own: dict[int, Cid]  # by epoch: what this custodian voted for
    votes: dict[int, list[HeadVote]] = field(default_factory=dict)  # by epoch, this custodian's own among them
    histories: dict[Cid, History] = field(default_factory=dict)  # verified, by head; not all were voted for
    waiting: dict[Cid, History | None] = field(default_factory=dict)  # causes to carry out; as verified last
    rebased: dict[Cid, History | VaultError] = field(default_factory=dict)  # causes, tried after the followed head
    rebased_on: Cid | None = None
    missing_since: dict[Cid, int] = field(default_factory=dict)
    liars: set[bytes] = field(default_factory=set)  # named already
    restricted_by: tuple[History, ...] = ()

    @property
    def genesis(self) -> Cid:
        """Return which DAO's it is."""
        return self.settled.genesis

    def history(self, head: Cid) -> History | None:
        """Return the history to a head that was verified here."""
        known = (one for one in (self.followed, self.settled) if one.heads[-1] == head)
        return next(known, None) or self.histories.get(head)

    def heard(self, epoch: int, votes: Iterable[HeadVote]) -> bool:
        """Take verified votes of an epoch, and say whether any of them is new."""
        before = self.votes.get(epoch, [])
        kept = worth_keeping([*before, *votes])
        if {(vote.custodian, vote.head) for vote in kept} == {(vote.custodian, vote.head) for vote in before}:
            return False
        self.votes[epoch] = kept
        return True

    def has(self, vote: HeadVote) -> bool:
        """Say whether this very vote is kept."""
        return any(vote == kept for kept in self.votes.get(vote.epoch, ()))

    def supporters(self, history: History) -> int:
        """Return how many custodians voted for a history's head."""
        return len(voters_of(self.votes.get(history.head.epoch, ())).get(history.heads[-1], ()))

    def is_certified(self, epoch: int, head: Cid) -> bool:
        """Say whether q custodians are known to have voted for a head."""
        return len(voters_of(self.votes.get(epoch, ())).get(head, ())) >= self.settled.charter.signatures

    def chosen(self, missing: Iterable[Cid]) -> Chosen:
        """Return which head is settled and which to follow."""
        settled = self.settled
        base = Branch(head=settled.heads[-1], previous=settled.heads[-1], epoch=settled.head.epoch)
        branches = [
            Branch(head=cid, previous=one.heads[-2], epoch=one.head.epoch) for cid, one in self.histories.items()
        ]
        votes = {epoch: voters_of(some) for epoch, some in self.votes.items()}
        return chosen(base, branches, votes, settled.charter, missing=frozenset(missing))

    def settle(self, history: History) -> list[History]:
        """Settle on a head; return the histories that it leaves behind."""
        epoch, head = history.head.epoch, history.heads[-1]
        kept = {
            cid: one
            for cid, one in self.histories.items()
            if one.head.epoch > epoch and one.heads[epoch : epoch + 1] == (head,)
        }
        left = [one for cid, one in self.histories.items() if cid not in kept and cid not in history.heads]
        self.settled, self.histories = history, kept
        if certified(voters_of(self.votes.get(epoch, ())), history.charter) == head:
            self.proof_from = epoch
            self.votes = {one: some for one, some in self.votes.items() if one >= epoch}
        return left

    def voted_beyond(self) -> list[Cid]:
        """Return the heads after the settled one that anybody voted for."""
        epochs = sorted(epoch for epoch in self.votes if epoch > self.settled.head.epoch)
        return [head for epoch in epochs for head in voters_of(self.votes[epoch])]

    def children(self) -> list[History]:
        """Return what was verified to come right after the followed head: what most voted for first."""
        found = [one for one in self.histories.values() if one.heads[-2] == self.followed.heads[-1]]
        return sorted(found, key=lambda one: (-(count := self.supporters(one)), one.heads[-1].binary if count else b""))

    def shown(self) -> list[HeadVote]:
        """Return all votes that are kept, by epoch."""
        return [vote for epoch in sorted(self.votes) for vote in self.votes[epoch]]

    def digest(self, missing: Container[Cid]) -> bytes:
        """Return what tells whether two custodians know the same votes and the heads they are for; empty for none."""
        signed = sorted(vote.signature for vote in self.shown() if vote.head not in missing)
        return sha256(b"".join(signed)).digest() if signed else b""


def takes_away_licenses(history: History, other: History) -> bool:
    """Say whether the other history revokes a licensee that this one does not."""
    known = {one.subject: one.epoch for one in history.head.revocations if one.scope is Scope.LICENSEE}
    return any(one.scope is Scope.LICENSEE and known.get(one.subject, -1) < one.epoch for one in other.head.revocations)
