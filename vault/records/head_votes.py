"""What a custodian must not forget of which head comes next: above all, what it voted for itself (rule F1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlmodel import col, delete, func, select

from storage.cid import Cid
from vault.errors import ForkedHistory
from vault.head_vote import HeadVote
from vault.records.database import Records
from vault.records.head_tables import HeardHeadVote, SignedHead, WaitingCause
from vault.records.tables import AcceptedHead

CAUSES_MAX: Final = 64  # of one DAO


class HeadVoteRecords:
    """The part of `vault.records.custody.CustodyRecords` that choosing the next head needs."""

    _records: Records

    def sign_head(self, genesis: Cid, epoch: int, head: Cid) -> Cid:
        """Keep the first head of an epoch that this custodian votes for, and return the one that is kept."""
        with self._records.writing(b"signed head" + genesis.binary) as session:
            kept = session.get(SignedHead, (genesis.binary, epoch))
            if kept is not None:
                return Cid(kept.head)
            session.add(SignedHead(genesis=genesis.binary, epoch=epoch, head=head.binary))
        return head

    def signed_heads(self, genesis: Cid, after: int) -> dict[int, Cid]:
        """Return what this custodian voted for after an epoch."""
        signed = select(SignedHead).where(SignedHead.genesis == genesis.binary, SignedHead.epoch > after)
        with self._records.reading() as session:
            return {row.epoch: Cid(row.head) for row in session.exec(signed)}

    def keep_head_votes(self, genesis: Cid, epoch: int, votes: Sequence[HeadVote]) -> None:
        """Keep these of the others' votes in an epoch, in place of those kept before."""
        with self._records.writing(b"head votes" + genesis.binary) as session:
            session.exec(
                delete(HeardHeadVote).where(
                    col(HeardHeadVote.genesis) == genesis.binary, col(HeardHeadVote.epoch) == epoch
                )
            )
            session.add_all(
                HeardHeadVote(
                    genesis=genesis.binary,
                    epoch=epoch,
                    custodian=vote.custodian,
                    head=vote.head.binary,
                    vote=vote.encoded(),
                )
                for vote in votes
            )

    def head_votes(self, genesis: Cid) -> list[HeadVote]:
        """Return the others' votes that are kept."""
        kept = select(HeardHeadVote.vote).where(HeardHeadVote.genesis == genesis.binary)
        with self._records.reading() as session:
            return [HeadVote.from_bytes(vote) for vote in session.exec(kept)]

    def drop_head_votes(self, genesis: Cid, before: int) -> None:
        """Forget the others' votes of earlier epochs."""
        with self._records.writing(b"head votes" + genesis.binary) as session:
            session.exec(
                delete(HeardHeadVote).where(
                    col(HeardHeadVote.genesis) == genesis.binary, col(HeardHeadVote.epoch) < before
                )
            )

    def keep_cause(self, genesis: Cid, cause: Cid) -> bool:
        """Keep the name of something to be carried out; say whether there is room for it."""
        with self._records.writing(b"cause" + genesis.binary) as session:
            if session.get(WaitingCause, (genesis.binary, cause.binary)) is not None:
                return True
            waiting = select(func.count()).select_from(WaitingCause).where(WaitingCause.genesis == genesis.binary)
            if session.exec(waiting).one() >= CAUSES_MAX:
                return False
            session.add(WaitingCause(genesis=genesis.binary, cause=cause.binary))
        return True

    def causes(self, genesis: Cid) -> list[Cid]:
        """Return what waits to be carried out; at most `CAUSES_MAX`."""
        waiting = select(WaitingCause.cause).where(WaitingCause.genesis == genesis.binary)
        with self._records.reading() as session:
            return [Cid(cause) for cause in session.exec(waiting.order_by(col(WaitingCause.cause)))]

    def drop_causes(self, genesis: Cid, causes: Collection[Cid]) -> None:
        """Forget what no longer waits."""
        with self._records.writing(b"cause" + genesis.binary) as session:
            session.exec(
                delete(WaitingCause).where(
                    col(WaitingCause.genesis) == genesis.binary,
                    col(WaitingCause.cause).in_([cause.binary for cause in causes]),
                )
            )

    def replace_heads(self, genesis: Cid, heads: Sequence[Cid], *, since: int) -> None:
        """Accept other heads from an epoch on, in place of those accepted before.

        Args:
            heads: all of the chain, by epoch.
        """
        with self._records.writing(b"head" + genesis.binary) as session:
            before = session.get(AcceptedHead, (genesis.binary, since - 1))
            if since < 1 or before is None or before.head != heads[since - 1].binary:
                raise ForkedHistory(f"epoch {since} does not follow the last one accepted: accept those between first")
            session.exec(
                delete(AcceptedHead).where(
                    col(AcceptedHead.genesis) == genesis.binary, col(AcceptedHead.epoch) >= since
                )
            )
            session.add_all(
                AcceptedHead(genesis=genesis.binary, epoch=since + n, head=head.binary)
                for n, head in enumerate(heads[since:])
            )
