"""A chain as it is handed in: which of its heads are to be verified, and what the first of them grew from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from storage.cid import Cid
from vault.charter import Charter
from vault.errors import ForkedHistory, MalformedObject, StaleState
from vault.head import EPOCHS_MAX, Head
from vault.head_vote import VOTES_MAX, HeadVote, verify_votes, voters_of
from vault.history import History, founded
from vault.links import Fetch

Votes = Sequence[HeadVote]


@dataclass(frozen=True, slots=True)
class View:
    """What was known of a DAO at a moment."""

    genesis: Cid
    settled: History | None  # None for a DAO that is new here
    known: Mapping[Cid, History]
    votes: tuple[HeadVote, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A chain as it was handed in, and where it grew from what is known."""

    genesis: Cid
    is_new: bool
    missing: tuple[Cid, ...]  # heads, earliest first
    base: History | None  # what the first of them grew from; None where that is long past
    past: Cid | None  # its head, then
    voted: frozenset[Cid]  # heads that somebody voted for
    certified: int  # so many of the missing heads are certified, or lead to one that is


def offered(view: View, tip: Cid, fetch: Fetch, votes: Votes) -> Offer:
    """Return what is to be verified of a chain, or raise where it does not grow from what is settled here.

    The votes are verified by then, unless they are too many or the chain is malformed.
    """
    if len(votes) > VOTES_MAX:
        raise MalformedObject(f"at most {VOTES_MAX} votes for heads are handed in at once")
    settled = view.settled
    charter = settled.charter if settled is not None else Charter.from_bytes(fetch(view.genesis))
    verify_votes(set(votes).difference(view.votes), charter, genesis=view.genesis)
    if settled is None:
        new = founded(charter)
        view = replace(view, known={new.heads[-1]: new})
    missing, base, past = _path(view, tip, fetch)
    epochs = [Head.from_bytes(fetch(cid)).epoch for cid in missing]
    every = (*view.votes, *votes)
    signed = [
        n + 1
        for n, (cid, epoch) in enumerate(zip(missing, epochs, strict=True))
        if _is_certified(charter, epoch, cid, every)
    ]
    certified = max(signed, default=0)
    if past is not None and settled is not None:
        if not missing:
            raise StaleState(f"head {tip} is older than epoch {settled.head.epoch}, which was accepted before")
        if not certified or epochs[certified - 1] <= settled.head.epoch:
            raise ForkedHistory(
                f"head {tip} does not grow from epoch {settled.head.epoch}, which was accepted before: follow head "
                f"{settled.heads[-1]}, and carry it out after that"
            )
    voted = frozenset(vote.head for vote in every)
    return Offer(view.genesis, settled is None, tuple(missing), base, past, voted, certified)


def _path(view: View, tip: Cid, fetch: Fetch) -> tuple[list[Cid], History | None, Cid | None]:
    """Return the heads to a tip that are not known, what the first grew from, or the name of a head long past.

    Only their names: heads of a chain that nobody signed could be as large as blocks get.
    """
    missing: list[Cid] = []
    settled, cid, above = view.settled, tip, EPOCHS_MAX
    while True:
        if (history := view.known.get(cid)) is not None:
            return missing[::-1], history, None
        block = fetch(cid)
        head = Head.from_bytes(block)
        if not cid.matches(block):
            raise MalformedObject(f"{cid} is not the CID of the block that came for it")
        if settled is not None and settled.heads[head.epoch : head.epoch + 1] == (cid,):
            return missing[::-1], None, cid
        if head.genesis != view.genesis or not 0 <= head.epoch < above:
            raise ForkedHistory(f"head {tip} does not grow from the charter {view.genesis}")
        missing.append(cid)
        if head.previous is None:
            raise ForkedHistory(f"head {tip} does not grow from the charter {view.genesis}")
        cid, above = head.previous, head.epoch


def _is_certified(charter: Charter, epoch: int, head: Cid, votes: Votes) -> bool:
    voters = voters_of(vote for vote in votes if vote.epoch == epoch)
    return len(voters.get(head, ())) >= charter.signatures
