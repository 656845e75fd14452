"""Handing a head to all custodians: they vote on which comes next, and whoever hands it in carries their votes around.

Custodians hand them on by themselves too. Carried around, they settle it at once, and without custodians that can reach
one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from storage.cid import Cid
from vault.charter import Charter
from vault.errors import ForkedHistory, ServiceUnavailable, StaleState, VaultError
from vault.head import Head
from vault.head_vote import HeadVote, certified, verify_votes, voters_of, worth_keeping

ROUNDS_MAX: Final = 100  # each brings news, or is the last


class HeadTaker(Protocol):
    """Who votes on heads; `vault.client.CustodyClient` is the real one."""

    def submit_head(self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = ()) -> int: ...  # noqa: D102
    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What became of a head that was handed to custodians."""

    epoch: int  # the highest that one of them follows by now
    followed_by: tuple[bytes, ...]  # those that follow this head, or one that grew from it
    waiting: tuple[bytes, ...]  # those that took it, and vote: it comes next, or what it carries out comes later
    failures: Mapping[bytes, VaultError]


def handed_to_all(
    takers: Mapping[bytes, HeadTaker], tip: Cid, blocks: Mapping[Cid, bytes], *, genesis: Cid, charter: Charter
) -> Handed:
    """Hand a head to every custodian, with the votes of all, until nobody brings news.

    Args:
        takers: by the custodians' keys.
        blocks: those that lead to the head, as far as custodians may lack them.
        charter: any of the DAO's; its custodians do not change.
    Raises: `ForkedHistory` where another head of that epoch won: take the chain (`CustodyClient.chain`), and carry the
        same out after that; what the first says, where none takes it.
    """
    target = Head.from_bytes(blocks[tip]).epoch
    votes: dict[int, list[HeadVote]] = {}
    epochs: dict[bytes, int] = {}
    failures: dict[bytes, VaultError] = {}
    for _ in range(ROUNDS_MAX):
        before = (dict(votes), dict(epochs))
        for key, taker in takers.items():
            try:
                epochs[key] = _handed_in(taker, tip, blocks, _listed(votes), target)
                failures.pop(key, None)
            except VaultError as error:
                failures[key] = error
            if not isinstance(failures.get(key), ServiceUnavailable):
                _collect(votes, taker, genesis, charter, failures, key)
        if before == (votes, epochs):
            break
    following = tuple(key for key, epoch in epochs.items() if key not in failures and epoch >= target)
    if not following:
        _require_unbeaten(votes.get(target, []), tip, target, charter)
        if len(failures) == len(takers):
            told = [error for error in failures.values() if not isinstance(error, ServiceUnavailable)]
            raise next(iter([*told, *failures.values()]), ServiceUnavailable("no custodian was asked"))
    waiting = tuple(key for key in epochs if key not in failures and key not in following)
    return Handed(
        epoch=max(epochs.values(), default=0), followed_by=following, waiting=waiting, failures=dict(failures)
    )


def votes_exchanged(takers: Mapping[bytes, HeadTaker], *, genesis: Cid, charter: Charter) -> Mapping[bytes, VaultError]:
    """Hand every custodian the votes of all, until nobody brings news; return why some could not be asked.

    After something that custodians turn into a head themselves: an act of guardians, or delegations.
    """
    votes: dict[int, list[HeadVote]] = {}
    failures: dict[bytes, VaultError] = {}
    for _ in range(ROUNDS_MAX):
        before = dict(votes)
        for key, taker in takers.items():
            failures.pop(key, None)
            _collect(votes, taker, genesis, charter, failures, key)
            for vote in voted_heads(votes) if key not in failures else ():
                try:
                    taker.submit_head(vote, {}, _listed(votes))
                except (StaleState, ForkedHistory):
                    continue
                except VaultError as error:
                    failures[key] = error
        if before == votes:
            break
    return failures


def voted_heads(votes: Mapping[int, Sequence[HeadVote]]) -> list[Cid]:
    """Return the heads that were voted for, by epoch."""
    return [head for epoch in sorted(votes) for head in voters_of(votes[epoch])]


def _handed_in(taker: HeadTaker, tip: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote], target: int) -> int:
    try:
        return taker.submit_head(tip, blocks, votes)
    except StaleState:
        return target  # it follows a later one, that grew from this


def _collect(
    votes: dict[int, list[HeadVote]],
    taker: HeadTaker,
    genesis: Cid,
    charter: Charter,
    failures: dict[bytes, VaultError],
    key: bytes,
) -> None:
    try:
        shown, _ = taker.head_votes(genesis)
        verify_votes(shown, charter, genesis=genesis)
    except (StaleState, ServiceUnavailable):
        return  # what handing in said tells more
    except VaultError as error:
        failures[key] = error
        return
    for epoch in {vote.epoch for vote in shown}:
        votes[epoch] = worth_keeping([*votes.get(epoch, ()), *(vote for vote in shown if vote.epoch == epoch)])


def _listed(votes: Mapping[int, Sequence[HeadVote]]) -> list[HeadVote]:
    return [vote for epoch in sorted(votes, reverse=True) for vote in votes[epoch]]


def _require_unbeaten(votes: Sequence[HeadVote], tip: Cid, epoch: int, charter: Charter) -> None:
    voters = voters_of(votes)
    winner = certified(voters, charter)
    if winner is not None and winner != tip:
        raise ForkedHistory(
            f"head {winner} won epoch {epoch}; take the chain from the custodians, and carry this out after it"
        )
