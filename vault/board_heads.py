"""Which head a board is at: the one that the custodians settled on, by their own votes (`vault.head_vote`).

Whoever has something to carry out can make a head, a member alone from a choice of its own delegate. So a head that
follows from what caused it is still only one that could come next. A board follows it once q custodians voted for it,
or for one that grew from it; without liars, also once all voted and it was drawn. Others wait beside it, and what is
settled takes the place of what is not, however late that comes to light.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.cid import Cid
from vault.board import Board, Kind
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, StaleState, VaultError
from vault.head import EPOCHS_MAX, Head
from vault.head_vote import VOTES_EACH, Branch, HeadVote, chosen, verify_votes, voters_of
from vault.history import History

NEAR_EPOCHS: Final = 64  # after the board's head: votes for heads of these are kept, `VOTES_EACH` of one custodian
FAR_VOTES: Final = 16  # of one custodian for later heads
PATH_BYTES_MAX: Final = 256 << 20  # of heads that are read before the first of them is verified
Find = Callable[[Cid], bytes | None]


@dataclass(slots=True, kw_only=True)
class Ahead:
    """A DAO's history on a board, and what could come next. Use it from one thread.

    Attributes:
        base: the epoch up to which the votes show that custodians settled on the history's heads.
        votes: by epoch, from `base` on; verified.
        heads: those that are kept and not in the history.
    """

    history: History
    base: int = 0
    votes: dict[int, list[HeadVote]] = field(default_factory=dict)
    heads: dict[Cid, Head] = field(default_factory=dict)

    def hear(self, vote: HeadVote) -> bool:
        """Take a custodian's vote, and say whether it is new.

        Raises: `InvalidSignature` for a false one; `StaleState` where its epoch is settled; `AccessDenied` where a
        custodian voted for more heads than are kept of one.
        """
        verify_votes([vote], self.history.charter, genesis=self.history.genesis)
        known = self.votes.get(vote.epoch, [])
        if any((one.custodian, one.head) == (vote.custodian, vote.head) for one in known):
            return False
        if vote.epoch < max(1, self.base) or vote.epoch >= EPOCHS_MAX:
            raise StaleState(f"custodians settled on epoch {self.base} already")
        if not self._has_room(vote):
            raise AccessDenied("a custodian voted for more heads than a board keeps of one")
        self.votes[vote.epoch] = [*known, vote]
        return True

    def is_voted(self, head: Cid) -> bool:
        """Say whether a custodian voted for a head."""
        return any(vote.head == head for some in self.votes.values() for vote in some)

    def is_certified(self, epoch: int, head: Cid) -> bool:
        """Say whether q custodians voted for a head."""
        voters = voters_of(self.votes.get(epoch, ())).get(head, frozenset())
        return len(voters) >= self.history.charter.signatures

    def voted(self) -> list[Cid]:
        """Return the heads that somebody voted for and that are not here."""
        here = {*self.heads, *self.history.heads}
        epochs = sorted(epoch for epoch in self.votes if epoch > self.base)
        return [head for epoch in epochs for head in voters_of(self.votes[epoch]) if head not in here]

    def settled(self) -> Cid:
        """Return the newest head that custodians settled on, as far as the votes here say; it may not be here."""
        heads, missing = self.history.heads, self.voted()
        own = {cid: Branch(head=cid, previous=heads[n - 1], epoch=n) for n, cid in enumerate(heads) if n > self.base}
        others = {
            cid: Branch(head=cid, previous=head.previous, epoch=head.epoch)
            for cid, head in self.heads.items()
            if head.previous is not None and head.epoch > self.base
        }
        elsewhere = {
            vote.head: Branch(head=vote.head, previous=vote.head, epoch=epoch)
            for epoch, some in self.votes.items()
            for vote in some
            if vote.head in missing
        }
        base = Branch(head=heads[self.base], previous=heads[self.base], epoch=self.base)
        voters = {epoch: voters_of(some) for epoch, some in self.votes.items()}
        branches = (elsewhere | others | own).values()
        return chosen(base, branches, voters, self.history.charter, missing=frozenset(missing)).settled

    def path(self, tip: Cid, find: Find) -> tuple[list[Cid], Cid | None]:
        """Return the heads to a tip that are not in the history, oldest first; and one of them that is not here.

        Args:
            find: gives the body of a head, or None.
        Raises: `ForkedHistory` where they do not grow from the history, or from before what is settled.
        """
        heads: list[Cid] = []
        cid, above, size, known = tip, EPOCHS_MAX, 0, set(self.history.heads)
        while cid not in known:
            head = self.heads.get(cid)
            if head is None:
                body = find(cid)
                if body is None:
                    return [], cid
                if not cid.matches(body):
                    raise MalformedObject(f"{cid} is not the CID of the block that came for it")
                size += len(body)
                head = Head.from_bytes(body)
            is_ours = head.genesis == self.history.genesis and head.epoch < above and size <= PATH_BYTES_MAX
            if not is_ours or head.previous is None:
                raise ForkedHistory(f"head {tip} does not lead back to this DAO's charter")
            heads.append(cid)
            cid, above = head.previous, head.epoch
        if self.history.heads.index(cid) < self.base:
            raise ForkedHistory(f"head {tip} does not grow from epoch {self.base}, which custodians settled on before")
        return heads[::-1], None

    def move(self, history: History, find: Find) -> None:
        """Go on to another history; heads that it lacks are kept where somebody voted for them."""
        for epoch, cid in enumerate(self.history.heads[self.base :], self.base):
            body = find(cid) if history.heads[epoch : epoch + 1] != (cid,) and self.is_voted(cid) else None
            if body is not None:
                self.heads[cid] = Head.from_bytes(body)
        for cid in history.heads[self.base :]:
            self.heads.pop(cid, None)
        self.history = history

    def settle(self) -> None:
        """Note up to where the history is certified, and forget what cannot matter any more."""
        heads = self.history.heads
        epochs = (epoch for epoch in self.votes if epoch < len(heads) and self.is_certified(epoch, heads[epoch]))
        self.base = max(self.base, *epochs, 0)
        self.votes = {one: some for one, some in self.votes.items() if one >= self.base}
        self.heads = {cid: head for cid, head in self.heads.items() if head.epoch > self.base}

    def _has_room(self, vote: HeadVote) -> bool:
        """Say whether a vote is kept: liars fill their own share only, and never tear what q signed."""
        if len(voters_of([*self.votes.get(vote.epoch, ()), vote])[vote.head]) >= self.history.charter.signatures:
            return True
        near = self.history.head.epoch + NEAR_EPOCHS
        own = [one for some in self.votes.values() for one in some if one.custodian == vote.custodian]
        if vote.epoch <= near:
            return sum(one.epoch == vote.epoch for one in own) < VOTES_EACH
        return sum(one.epoch > near for one in own) < FAR_VOTES


def ahead_of(board: Board, history: History) -> Ahead:
    """Return what a board of one's own keeps beside a history of it; signatures are checked anew."""
    ahead = Ahead(history=history)
    for epoch, votes in sorted(_votes_on(board, history.genesis).items(), reverse=True):
        ahead.votes[epoch] = [vote for vote in votes if _is_signed(vote, history)]
        if epoch <= history.head.epoch and ahead.is_certified(epoch, history.heads[epoch]):
            ahead.settle()
            break
    for cid, body in board.list(Kind.HEAD, history.genesis):
        if cid not in history.heads:
            head = Head.from_bytes(body)
            if head.epoch > ahead.base:
                ahead.heads[cid] = head
    return ahead


def _votes_on(board: Board, genesis: Cid) -> Mapping[int, list[HeadVote]]:
    by_epoch: dict[int, list[HeadVote]] = {}
    for vote in head_votes_from(body for _, body in board.list(Kind.HEAD_VOTE, genesis)):
        by_epoch.setdefault(vote.epoch, []).append(vote)
    return by_epoch


def head_votes_from(bodies: Iterable[bytes]) -> list[HeadVote]:
    """Return the votes among some bodies; what is none is passed over."""
    votes: list[HeadVote] = []
    for body in bodies:
        try:
            votes.append(HeadVote.from_bytes(body))
        except VaultError:
            continue
    return votes


def _is_signed(vote: HeadVote, history: History) -> bool:
    try:
        verify_votes([vote], history.charter, genesis=history.genesis)
    except VaultError:
        return False
    return True
