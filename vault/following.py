"""Handing custodians what is to come next, and following them (`vault.keepers`): it comes next, or after what won."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from storage.cid import Cid
from vault.assembly import fetch_from, submit_chain
from vault.board import Shelf
from vault.decision import Decision
from vault.errors import ForkedHistory, MalformedObject, ServiceUnavailable, StaleState, VaultError
from vault.guardian import GuardianAct
from vault.handing import handed_to_all, votes_exchanged
from vault.head import Head
from vault.head_vote import HeadVote
from vault.history import Cause, History, advanced, cause_from, link_cids
from vault.keepers import ChainKeeper, overlaid
from vault.keepers import followed as followed
from vault.vote_delegation import DelegationBatch, ProvenDelegation

TRIES_MAX: Final = 8  # each after another head that won
ROUNDS_MAX: Final = 8  # each hands somebody a head that it lacked
PIECES_MAX: Final = 64  # of one branch


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOn:
    """What became of something handed to custodians to come next."""

    history: History  # as enough custodians follow it by now
    is_in_effect: bool
    accepted: tuple[bytes, ...]  # custodians that took it
    failures: Mapping[bytes, VaultError]
    lost_to: tuple[Cid, ...]  # heads that won the epochs it was first handed in for


def handed_on(
    board: Shelf,
    history: History,
    cause: Cause,
    blocks: Mapping[Cid, bytes],
    keepers: Mapping[bytes, ChainKeeper],
    *,
    clock: Callable[[], int],
) -> HandedOn:
    """Have the custodians carry something out next, and follow them; where something else wins, after that.

    Args:
        blocks: what the cause names.
    Raises: what `advanced` raises, where it cannot come next; what the first custodian says, where none takes it;
        `ForkedHistory` where another head won that cannot be followed from here.
    """
    lost_to: list[Cid] = []
    for _ in range(TRIES_MAX):
        tried = _tried(board, history, cause, blocks, keepers, clock=clock)
        now = followed(board, history, keepers, clock=clock).history
        new = now.heads[len(history.heads) :]
        if new and not _is_like(cause, _cause_of(board, new[0])):
            lost_to.append(new[0])
        if is_done(now, cause) or not new:
            break
        history, cause = now, _left_of(cause, now)
    if tried.lost is not None and not is_done(now, cause):
        raise tried.lost
    return HandedOn(
        history=now,
        is_in_effect=is_done(now, cause),
        accepted=tuple(key for key in keepers if key not in tried.refused),
        failures={**tried.unheard, **tried.refused},
        lost_to=tuple(lost_to),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    refused: Mapping[bytes, VaultError]
    unheard: Mapping[bytes, VaultError]  # could not be handed the votes of the others
    lost: ForkedHistory | None = None  # another head won


def _tried(
    board: Shelf,
    history: History,
    cause: Cause,
    blocks: Mapping[Cid, bytes],
    keepers: Mapping[bytes, ChainKeeper],
    *,
    clock: Callable[[], int],
) -> _Tried:
    """Hand something in to come right after a history; raise what `handed_on` does, but for what another head won."""
    given = {cause.cid(): cause.encoded(), **blocks}
    after = advanced(history, cause, overlaid(board, given), at=clock())
    _bring_up(board, history, keepers)
    if isinstance(cause, Decision):
        head = after.head.cid()
        given[head] = after.head.encoded()
        link = {cid: given[cid] for cid in link_cids(head, given.__getitem__)}
        try:
            handed = handed_to_all(keepers, head, link, genesis=history.genesis, charter=history.charter)
        except ForkedHistory as error:
            return _Tried(refused=_voted(history, keepers), unheard={}, lost=error)  # it waits with who took it
        return _Tried(refused=handed.failures, unheard=_voted(history, keepers))
    refused: dict[bytes, VaultError] = {}
    for key, keeper in keepers.items():
        try:
            _hand_in(keeper, cause)
        except VaultError as error:
            refused[key] = error
    return _Tried(refused=refused, unheard=_voted(history, keepers))


def _voted(history: History, keepers: Mapping[bytes, ChainKeeper]) -> Mapping[bytes, VaultError]:
    """Carry votes around, and the heads that they are for, until nobody lacks any; return who could not be asked."""
    for _ in range(ROUNDS_MAX):
        unheard = votes_exchanged(keepers, genesis=history.genesis, charter=history.charter)
        if not _carried_around(history, keepers):
            break
    return unheard


def _carried_around(history: History, keepers: Mapping[bytes, ChainKeeper]) -> bool:
    """Hand every custodian the heads that others voted for and it lacks; say whether there was one that it took."""
    votes: dict[bytes, list[HeadVote]] = {}
    lacking: dict[bytes, list[Cid]] = {}
    for key, keeper in keepers.items():
        with suppress(VaultError):
            votes[key], lacking[key] = keeper.head_votes(history.genesis)
    is_news = False
    for key, missing in lacking.items():
        for head in missing:
            for other in (keepers[one] for one in lacking if one != key and head not in lacking[one]):
                with suppress(VaultError):
                    blocks = _branch(other, history, head)
                    with suppress(StaleState, ForkedHistory):
                        keepers[key].submit_head(head, blocks, votes[key])
                    is_news = True
                    break
    return is_news


def _branch(keeper: ChainKeeper, history: History, head: Cid) -> dict[Cid, bytes]:
    """Return the blocks that lead to a head that may come next; raise where a custodian does not have them."""
    blocks: dict[Cid, bytes] = {}
    known = history.head.cid()
    for _ in range(PIECES_MAX):
        known, more = keeper.branch(history.genesis, known, head)
        blocks |= more
        if known == head:
            return blocks
    raise MalformedObject(f"a custodian's chain does not lead to head {head}, which it knows")


def _hand_in(keeper: ChainKeeper, cause: GuardianAct | DelegationBatch) -> None:
    """Hand in what custodians turn into a head themselves, after another one if they must."""
    with suppress(ForkedHistory):
        if isinstance(cause, GuardianAct):
            keeper.submit_act(cause)
        else:
            keeper.submit_delegations(cause)


def _cause_of(board: Shelf, head: Cid) -> Cause | None:
    fetch = fetch_from(board)
    cause = Head.from_bytes(fetch(head)).cause
    return None if cause is None else cause_from(fetch(cause))


def _is_like(cause: Cause, other: Cause | None) -> bool:
    """Say whether two causes carry out the same: other signatures or closings change nothing of it."""
    match cause, other:
        case GuardianAct(), GuardianAct():
            return cause.act == other.act
        case Decision(), Decision():
            return cause.proposal == other.proposal
        case _:
            return cause == other


def _left_of(cause: Cause, history: History) -> Cause:
    """Return what a history lacks of a cause: of delegations, those that are newer than its own."""
    if not isinstance(cause, DelegationBatch):
        return cause
    return replace(cause, delegations=tuple(one for one in cause.delegations if not _stands(one, history)))


def _stands(one: ProvenDelegation, history: History) -> bool:
    known = history.delegations.get(one.delegation.delegator, ())
    return bool(known) and known[-1].sequence >= one.delegation.sequence


def is_done(history: History, cause: Cause) -> bool:
    """Say whether what a cause asks for has happened, by this cause or by one like it."""
    match cause:
        case Decision():
            return history.is_carried(cause.proposal.cid())
        case GuardianAct():
            return cause.act.digest() in history.done
        case DelegationBatch():
            return all(_stands(one, history) for one in cause.delegations)


def _bring_up(board: Shelf, history: History, keepers: Mapping[bytes, ChainKeeper]) -> None:
    """Hand the chain to all where one of them does not know its head; why one does not take it, it says when asked."""
    for keeper in keepers.values():
        try:
            keeper.chain(history.genesis, history.head.cid())
        except ServiceUnavailable:
            continue
        except VaultError:
            with suppress(VaultError):
                submit_chain(board, history, keepers)
            return
