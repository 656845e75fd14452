"""Following a DAO's chain as its custodians do, on a board of one's own, and handing them what is to come next.

A board never goes ahead of the custodians: several things may come next, and only they settle which one does
(`vault.head_vote`). A head is followed once f+1 of them do, since one of these is honest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from storage.cid import Cid
from vault.assembly import fetch_from, submit_chain
from vault.board import Shelf
from vault.decision import Decision
from vault.errors import MalformedObject, NotYet, ServiceUnavailable, VaultError
from vault.guardian import GuardianAct
from vault.handing import votes_exchanged
from vault.head_vote import HeadVote
from vault.history import Cause, History, advanced, extended, link_cids
from vault.pinboard import Pinboard
from vault.vote_delegation import DelegationBatch


class ChainKeeper(Protocol):
    """Who hands out the chain and takes what comes next; `vault.client.CustodyClient` is the real one."""

    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, Mapping[Cid, bytes]]: ...  # noqa: D102
    def submit_head(  # noqa: D102
        self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = ()
    ) -> int: ...
    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]: ...  # noqa: D102


K = TypeVar("K", bound=ChainKeeper)


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
    while True:
        failures: dict[bytes, VaultError] = {}
        offers: dict[Cid, tuple[History, Mapping[Cid, bytes]]] = {}
        support: Counter[Cid] = Counter()
        for key, keeper in keepers.items():
            try:
                tip, blocks = keeper.chain(history.genesis, history.head.cid())
                after = extended(history, tip, _overlaid(board, blocks), at=clock())
            except VaultError as error:
                failures[key] = error
                continue
            new = after.heads[len(history.heads) :]
            support.update(new)
            offers |= {head: (after, blocks) for head in new}
        agreed = [head for head, count in support.items() if count > history.charter.liars]
        if not agreed:
            return Followed(history=history, failures=failures)
        furthest = max(agreed, key=lambda head: offers[head][0].heads.index(head))
        history = pinboard.follow(history.genesis, furthest, _overlaid(board, offers[furthest][1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOn:
    """What became of something handed to custodians to come next."""

    history: History  # as enough custodians follow it by now
    is_in_effect: bool
    accepted: tuple[bytes, ...]  # custodians that took it
    failures: Mapping[bytes, VaultError]


def handed_on(
    board: Shelf,
    history: History,
    cause: Cause,
    blocks: Mapping[Cid, bytes],
    keepers: Mapping[bytes, K],
    *,
    hand_in: Callable[[K], object] | None = None,
    clock: Callable[[], int],
) -> HandedOn:
    """Have the custodians carry something out next, and follow them.

    Args:
        blocks: what the cause names.
        hand_in: hands it to a custodian; by default, as the head that it leads to.
    Raises: what `advanced` raises, where it cannot come next.
    """
    given = {cause.cid(): cause.encoded(), **blocks}
    after = advanced(history, cause, _overlaid(board, given), at=clock())
    given[after.head.cid()] = after.head.encoded()
    link = {cid: given[cid] for cid in link_cids(after.head.cid(), given.__getitem__)}
    give = hand_in or (lambda keeper: keeper.submit_head(after.head.cid(), link))
    failures: dict[bytes, VaultError] = {}
    for key, keeper in keepers.items():
        try:
            _hand_in(board, history, keeper, give)
        except VaultError as error:
            failures[key] = error
    votes_exchanged(keepers, genesis=history.genesis, charter=history.charter)
    now = followed(board, history, keepers, clock=clock).history
    accepted = tuple(key for key in keepers if key not in failures)
    return HandedOn(history=now, is_in_effect=is_done(now, cause), accepted=accepted, failures=failures)


def is_done(history: History, cause: Cause) -> bool:
    """Say whether what a cause asks for has happened, by this cause or by one like it."""
    match cause:
        case Decision():
            return history.is_carried(cause.proposal.cid())
        case GuardianAct():
            return cause.act.digest() in history.done
        case DelegationBatch():
            chosen = {one.delegation.delegator: one.delegation.sequence for one in cause.delegations}
            log = history.delegations
            return all(who in log and log[who][-1].sequence >= sequence for who, sequence in chosen.items())


def _hand_in(board: Shelf, history: History, keeper: K, give: Callable[[K], object]) -> None:
    try:
        give(keeper)
    except (ServiceUnavailable, NotYet):
        raise
    except VaultError:
        if not _is_behind(board, history, keeper):
            raise
        give(keeper)


def _is_behind(board: Shelf, history: History, keeper: ChainKeeper) -> bool:
    """Say whether a custodian did not know this head; it does afterwards."""
    try:
        keeper.chain(history.genesis, history.head.cid())
    except VaultError:
        submit_chain(board, history, keeper)
        return True
    return False


def _overlaid(board: Shelf, blocks: Mapping[Cid, bytes]) -> Callable[[Cid], bytes]:
    """Return how to get a block that was handed out, or one of the board; each checked against its CID."""
    kept = fetch_from(board)

    def fetch(cid: Cid) -> bytes:
        if cid not in blocks:
            return kept(cid)
        if not cid.matches(blocks[cid]):
            raise MalformedObject(f"what was handed out as {cid} is another block")
        return blocks[cid]

    return fetch
