"""Which head comes next, where several could: custodians vote, once an epoch each (rule F1).

Two members can each carry out something true at the same moment, and a hostile one can hand each custodian another.
So a custodian signs one head of an epoch, for ever, and follows the one that q of them signed; two heads of one epoch
never both have q, since any two sets of q custodians share an honest one. Where all have signed and none has q, one is
*drawn*: the one that most signed, of those the least CID, where nothing was voted for after another one. It is followed
until another head of that epoch or a later one has q; what the others lead to is carried out after it. A head is
*settled* once q signed it or one that grew from it; without liars, once it was drawn: then nobody can have q any more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from storage.cid import Cid
from vault.charter import Charter
from vault.codec import PublicKey, record
from vault.errors import InvalidSignature
from vault.machine import BLANK, MachineKey, MachineSigned

VOTES_EACH: Final = 2  # kept of one custodian and epoch; an honest one has one
VOTE_BYTES_MAX: Final = 512
VOTES_MAX: Final = 512  # handed over at once
MISSING_MAX: Final = 64

Voters = Mapping[Cid, frozenset[bytes]]


@record
class HeadVote(MachineSigned):
    """One custodian's choice of the head of an epoch; it makes no other for it."""

    TYPE: ClassVar[str] = "coffer/head-vote/v1"

    genesis: Cid
    epoch: int
    head: Cid
    custodian: PublicKey

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian

    @classmethod
    def made(cls, key: MachineKey, genesis: Cid, epoch: int, head: Cid) -> HeadVote:
        """Return this custodian's vote."""
        return cls(genesis=genesis, epoch=epoch, head=head, custodian=key.public, signature=BLANK).signed_by(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTip:
    """The head of a DAO that a custodian follows, and a digest of the votes that it knows."""

    genesis: Cid
    head: Cid
    epoch: int
    votes: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A verified head and what it grew from."""

    head: Cid
    previous: Cid
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The newest head that is settled, and the one to follow: that, or one that was drawn after it."""

    settled: Cid
    followed: Cid


def verify_votes(votes: Iterable[HeadVote], charter: Charter, *, genesis: Cid) -> None:
    """Raise `InvalidSignature` unless custodians of this DAO signed all of these."""
    for vote in votes:
        if vote.genesis != genesis or charter.custodian(vote.custodian) is None:
            raise InvalidSignature("a vote for a head is of another DAO, or of no custodian of this one")
        vote.verify()


def voters_of(votes: Iterable[HeadVote]) -> dict[Cid, frozenset[bytes]]:
    """Return who voted for which head of one epoch; a liar may stand with several."""
    voters: dict[Cid, frozenset[bytes]] = {}
    for vote in votes:
        voters[vote.head] = voters.get(vote.head, frozenset()) | {vote.custodian}
    return voters


def worth_keeping(votes: Iterable[HeadVote]) -> list[HeadVote]:
    """Return the votes of one epoch, of each custodian `VOTES_EACH`: for the heads that most voted for.

    So whatever else a liar signs, no certificate that is shown as a whole is ever torn.
    """
    each: dict[bytes, dict[Cid, HeadVote]] = defaultdict(dict)
    for vote in votes:
        each[vote.custodian].setdefault(vote.head, vote)
    counts = Counter(head for heads in each.values() for head in heads)
    kept = []
    for custodian in sorted(each):
        ranked = sorted(each[custodian].values(), key=lambda vote: (-counts[vote.head], vote.head.binary))
        kept += ranked[:VOTES_EACH]
    return kept


def certified(voters: Voters, charter: Charter) -> Cid | None:
    """Return the head that q custodians signed; None where there is none."""
    signed = (head for head, signers in voters.items() if len(signers) >= charter.signatures)
    return min(signed, key=lambda head: head.binary, default=None)


def have_all_voted(voters: Voters, charter: Charter) -> bool:
    """Say whether every custodian signed some head of the epoch."""
    return len(frozenset[bytes]().union(*voters.values())) == len(charter.custodians)


def chosen(
    base: Branch,
    branches: Collection[Branch],
    votes: Mapping[int, Voters],
    charter: Charter,
    *,
    missing: Collection[Cid],
) -> Chosen:
    """Return which head to follow after a settled one: the same for whoever knows the same votes and heads.

    Args:
        branches: what grew from `base`, verified.
        votes: by epoch.
        missing: heads that may still turn out to be true; no lot is drawn in an epoch that has one of them.
    """
    signed = (one for one in branches if one.epoch > base.epoch and len(_signers(votes, one)) >= charter.signatures)
    anchor = min(signed, key=lambda one: (-one.epoch, one.head.binary), default=base)
    children: dict[Cid, list[Branch]] = defaultdict(list)
    for one in branches:
        if _signers(votes, one) and _may_draw(votes.get(one.epoch, {}), charter, missing):
            children[one.previous].append(one)
    ends: dict[Cid, Branch] = {}
    for one in sorted((*branches, anchor), key=lambda one: -one.epoch):
        ends[one.head] = max(
            (ends[child.head] for child in _ranked(children[one.head], votes)), key=lambda end: end.epoch, default=one
        )
    followed = ends[anchor.head].head
    return Chosen(settled=anchor.head if charter.liars else followed, followed=followed)


def _signers(votes: Mapping[int, Voters], branch: Branch) -> frozenset[bytes]:
    return votes.get(branch.epoch, {}).get(branch.head, frozenset())


def _may_draw(voters: Voters, charter: Charter, missing: Collection[Cid]) -> bool:
    return have_all_voted(voters, charter) and not any(head in missing for head in voters)


def _ranked(branches: Iterable[Branch], votes: Mapping[int, Voters]) -> Iterator[Branch]:
    return iter(sorted(branches, key=lambda one: (-len(_signers(votes, one)), one.head.binary)))
