"""What a custodian gives boards: custodians' votes for heads, and these heads; boards go by the votes alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256

from storage.cid import DAG_CBOR, Cid
from vault.board import Board, Kind
from vault.board_giving import put_link
from vault.custody import Custody
from vault.errors import AccessDenied, MalformedObject, StaleState
from vault.head import EPOCHS_MAX, Head
from vault.head_vote import HeadVote
from vault.history import History
from vault.links import LINK_BYTES_MAX, next_links


class Telling:
    """Keeps boards at the head that one custodian follows. Use it on the loop that serves the custodian."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._told: dict[tuple[str, Cid], tuple[Cid, bytes]] = {}  # our head and votes, as each board has them

    async def tell(self, address: str, board: Board, genesis: Cid) -> None:
        """Give a board that has the DAO what is new; raise what it says where it takes none of it."""
        votes, _ = self._custody.head_votes(genesis)
        followed = self._custody.succession.contest(genesis).followed
        told = (followed.heads[-1], sha256(b"".join(sorted(vote.signature for vote in votes))).digest())
        if not votes or self._told.get((address, genesis)) == told:
            return
        tip = await asyncio.to_thread(board.tip, genesis)
        if tip is None:
            return
        since = await asyncio.to_thread(_common, board, followed, tip)
        links = await asyncio.to_thread(self._links_after, genesis, followed.heads[since])
        await asyncio.to_thread(_given, board, genesis, votes, followed.heads[since + 1 :], links)
        self._told[address, genesis] = told

    def _links_after(self, genesis: Cid, known: Cid) -> dict[Cid, bytes]:
        """Return the blocks of the chain after a head; who lacks more than fit one visit is brought up by members."""
        blocks: dict[Cid, bytes] = {}
        while sum(map(len, blocks.values())) <= LINK_BYTES_MAX:
            head, more = next_links(lambda known, skip: self._custody.catching_up.piece(genesis, known, skip), known)
            if head == known:
                break
            blocks |= more
            known = head
        return blocks


def _common(board: Board, followed: History, tip: Cid) -> int:
    """Return the epoch of the last head that a board's tip and a history share."""
    known = {cid: epoch for epoch, cid in enumerate(followed.heads)}
    cid, above = tip, EPOCHS_MAX
    while cid not in known:
        body = board.get(cid)
        if body is None or Cid.of(DAG_CBOR, body) != cid:
            raise MalformedObject(f"the board does not hand out head {cid}, which it names")
        head = Head.from_bytes(body)
        if head.epoch >= above or head.genesis != followed.genesis or head.previous is None:
            raise MalformedObject(f"the board's head {tip} does not lead back to the charter of {followed.genesis}")
        cid, above = head.previous, head.epoch
    return known[cid]


def _given(
    board: Board, genesis: Cid, votes: Sequence[HeadVote], heads: Sequence[Cid], blocks: Mapping[Cid, bytes]
) -> None:
    """Give a board votes for heads, and heads from the newest on."""
    for vote in votes:
        with suppress(StaleState, AccessDenied):  # it has gone beyond that, or has enough
            board.put(Kind.HEAD_VOTE, genesis, vote.cid(), vote.head, vote.encoded())
    for head in reversed([head for head in heads if head in blocks]):
        put_link(board, genesis, head, blocks)
