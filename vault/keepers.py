"""Following a DAO's chain as its custodians do, on a board of one's own.

A board never goes ahead of the custodians: several things may come next, and only they settle which one does
(`vault.head_vote`). A head is followed once f+1 of them do, since one of these is honest, and left again where they
follow another; their votes, which are kept with it, show that to other boards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from storage.cid import Cid
from vault.assembly import fetch_from, submit_chain
from vault.board import Shelf
from vault.board_heads import Ahead
from vault.errors import MalformedObject, StaleState, VaultError
from vault.guardian import GuardianAct
from vault.handing import HeadTaker
from vault.history import History, extended, verified_history
from vault.pinboard import Pinboard
from vault.vote_delegation import DelegationBatch


class ChainKeeper(HeadTaker, Protocol):
    """Who hands out the chain and takes what comes next; `vault.client.CustodyClient` is the real one."""

    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, Mapping[Cid, bytes]]: ...  # noqa: D102
    def branch(self, genesis: Cid, known: Cid | None, tip: Cid | None) -> tuple[Cid, Mapping[Cid, bytes]]: ...  # noqa: D102
    def submit_act(self, signed: GuardianAct) -> object: ...  # noqa: D102
    def submit_delegations(self, batch: DelegationBatch) -> object: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The history after all that enough custodians follow, and why others were of no use."""

    history: History
    failures: Mapping[bytes, VaultError]  # by custodian; where none is here, it is at this head or before


def followed(
    board: Shelf, history: History, keepers: Mapping[bytes, ChainKeeper], *, clock: Callable[[], int]
) -> Followed:
    """Follow the chain as far as f+1 custodians do; all of it is verified, and on the board by then."""
    pinboard = Pinboard(board, clock=clock)
    pinboard.begin(history)
    while True:
        failures: dict[bytes, VaultError] = {}
        offers: list[tuple[tuple[Cid, ...], Mapping[Cid, bytes]]] = []
        for key, keeper in keepers.items():
            try:
                offers.append(_offered(board, pinboard.ahead(history.genesis), keeper, clock=clock))
            except VaultError as error:
                failures[key] = error
        agreed = _agreed(history, [heads for heads, _ in offers])
        if agreed is not None:
            blocks = next(some for heads, some in offers if agreed in heads)
            history = pinboard.follow(history.genesis, agreed, overlaid(board, blocks))
            continue
        history = _left(pinboard, history, [heads for heads, _ in offers])
        for key in _brought_up(board, pinboard.ahead(history.genesis), keepers, failures, clock=clock):
            del failures[key]
        return Followed(history=_with_votes(pinboard, history, keepers), failures=failures)


def _agreed(history: History, offers: Sequence[Sequence[Cid]]) -> Cid | None:
    """Return the latest head, new here, that more than f custodians follow; another branch only where ours is not."""
    liars, own = history.charter.liars, history.heads
    is_ours_followed = sum(own[-1] in heads for heads in offers) > liars
    allowed = [heads for heads in offers if not is_ours_followed or tuple(heads[: len(own)]) == own]
    epochs = {head: n for heads in allowed for n, head in enumerate(heads) if own[n : n + 1] != (head,)}
    support = Counter(head for heads in allowed for head in heads if head in epochs)
    agreed = [head for head, count in support.items() if count > liars]
    return max(agreed, key=lambda head: epochs[head], default=None)


def _left(pinboard: Pinboard, history: History, offers: Sequence[Sequence[Cid]]) -> History:
    """Go back to the latest head that more than f custodians follow, from one that is not settled and no one knows."""
    if any(history.heads[-1] in heads for heads in offers):
        return history
    support = Counter(head for heads in offers for head in heads)
    known = [head for head in history.heads if support[head] > history.charter.liars]
    return pinboard.go_back(history.genesis, known[-1]) if known else history


def _offered(
    board: Shelf, ahead: Ahead, keeper: ChainKeeper, *, clock: Callable[[], int]
) -> tuple[tuple[Cid, ...], Mapping[Cid, bytes]]:
    """Return the heads that a custodian follows, verified, as far as its answer goes, and the blocks of the new ones.

    Where it does not know our head, it is asked from ever further back: a head that too few voted for may have been
    followed here, while custodians settled on another.
    """
    history, heads = ahead.history, ahead.history.heads
    for start in _starts(heads, ahead.base):
        try:
            tip, blocks = keeper.chain(history.genesis, heads[start])
        except StaleState:
            if start == ahead.base:
                raise
            continue
        if tip in heads:
            return heads[: heads.index(tip) + 1], blocks
        fetch = overlaid(board, blocks)
        if start < len(heads) - 1:
            history = verified_history(history.genesis, heads[start], fetch, at=clock())
        return extended(history, tip, fetch, at=clock()).heads, blocks
    raise StaleState("a custodian knows no head of this DAO that is known here")


def _starts(heads: Sequence[Cid], base: int) -> list[int]:
    """Return epochs to ask from: the last one, then ever longer past ones, down to what is settled."""
    starts, back = [len(heads) - 1], 1
    while starts[-1] > base:
        starts.append(max(base, len(heads) - 1 - back))
        back *= 2
    return starts


def _brought_up(
    board: Shelf,
    ahead: Ahead,
    keepers: Mapping[bytes, ChainKeeper],
    failures: Mapping[bytes, VaultError],
    *,
    clock: Callable[[], int],
) -> list[bytes]:
    """Hand what is settled to those that do not know the DAO, or are behind; return who took it.

    A custodian keeps nothing of a DAO that has entrusted it with nothing, so after a start it may know none.
    """
    history, brought = ahead.history, list[bytes]()
    behind = [key for key, error in failures.items() if isinstance(error, StaleState)]
    if behind and ahead.base < history.head.epoch:
        fetch = fetch_from(board)
        history = verified_history(history.genesis, history.heads[ahead.base], fetch, at=clock())
    for key in behind:
        with suppress(VaultError):
            submit_chain(board, history, {key: keepers[key]})
            brought.append(key)
    return brought


def _with_votes(pinboard: Pinboard, history: History, keepers: Mapping[bytes, ChainKeeper]) -> History:
    """Keep the custodians' votes for heads: they show others, too, which heads are settled."""
    for keeper in keepers.values():
        with suppress(VaultError):
            votes, _ = keeper.head_votes(history.genesis)
            pinboard.post_head_votes(history.genesis, [vote.encoded() for vote in votes])
    return pinboard.history(history.genesis)


def overlaid(board: Shelf, blocks: Mapping[Cid, bytes]) -> Callable[[Cid], bytes]:
    """Return how to get a block that was handed out, or one of the board; each checked against its CID."""
    kept = fetch_from(board)

    def fetch(cid: Cid) -> bytes:
        if cid not in blocks:
            return kept(cid)
        if not cid.matches(blocks[cid]):
            raise MalformedObject(f"what was handed out as {cid} is another block")
        return blocks[cid]

    return fetch
