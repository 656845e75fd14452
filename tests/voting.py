"""Votes at custodians: proposals and ballots of a DAO of equal members, and custodians that hold them in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enclave.attestation.appraise import EvidenceAppraiser
from storage.cid import Cid
from storage.memory import MemoryBlobs
from tests import builders
from tests.migrated import opened_records
from tests.people import NOW, Dao, dao, wallet
from vault.acknowledgment import Acknowledgment
from vault.action import Action, Scope, revocation
from vault.ballot import Proposal, Support, Vote
from vault.ballot_box import Held, Poll, Taken
from vault.closing import Cast, final_at, pages_of
from vault.custodian import CustodianKeys
from vault.custody import Custody
from vault.errors import VaultError
from vault.history import History
from vault.records.custody import CustodyRecords

DELAY_S, PERIOD_S, EXTENSION_S, ROUND_S, TIMELOCK_S = 60, 3600, 600, 10, 1800
VOTING: dict[str, Any] = {
    "delay_s": DELAY_S,
    "period_s": PERIOD_S,
    "extension_s": EXTENSION_S,
    "round_s": ROUND_S,
    "timelock_s": TIMELOCK_S,
}
OPENS_AT = NOW + DELAY_S
CLOSES_AT = OPENS_AT + PERIOD_S


@dataclass(slots=True)
class Clock:
    """UTC seconds that move only when told to."""

    seconds: float = NOW

    def __call__(self) -> int:
        return int(self.seconds)


def voting_dao(custodians: int = 4, *, liars: int | None = None, **fields: Any) -> Dao:
    """Return a DAO whose n custodians tolerate as many liars as they can."""
    n = custodians
    f = max(x for x in range(n) if (n + x) // 2 + 1 <= n - x) if liars is None else liars
    q = (n + f) // 2 + 1
    return dao(custodians=n, **(VOTING | {"signatures": q, "shares": q, "liars": f} | fields))


def proposal(history: History, action: Action | None = None, *, opens_at: int = OPENS_AT, **fields: Any) -> Proposal:
    """Return a proposal that opens after the charter's delay, counted from `NOW`."""
    valid: dict[str, Any] = {"opens_at": opens_at, "closes_at": opens_at + history.charter.voting.period_s}
    return builders.proposal(history, action or revocation(Scope.DAO, b""), **(valid | fields))


def vote(history: History, on: Proposal, member: int = 0, support: Support = Support.FOR, *, sequence: int = 0) -> Vote:
    """Return a member's vote."""
    voter = builders.voters(history)[member]
    return builders.vote(history, builders.ballot(history, on, voter, support, sequence=sequence))


def stranger_vote(history: History, on: Proposal, name: str) -> Vote:
    """Return a vote of nobody's, with a member's proof."""
    return builders.vote(history, builders.ballot(history, on, wallet(name)))


@dataclass
class Booth:
    """One custodian's part in one vote, without disk or network; honest unless its test makes it something else."""

    poll: Poll
    clock: Callable[[], int]
    held: dict[bytes, tuple[Held, ...]] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        return self.poll.key.public

    def take(self, vote: Vote, given: Sequence[Acknowledgment] = ()) -> Taken:
        """Take a vote as `vault.balloting` does."""
        voter = vote.ballot.voter
        known = next((one for one in self.held.get(voter, ()) if one.digest == vote.ballot.digest()), None)
        self.poll.checked(vote, given, known)
        taken = self.poll.taken(vote, given, self.held.get(voter, ()), at=self.clock())
        self.held[voter] = taken.held
        return taken

    def closed(self) -> tuple[Cid, ...]:
        """Return the pages of the set that it would close the vote with."""
        cast = [
            Cast(one.vote.ballot, int.from_bytes(one.vote.weight, "big"), one.period)
            for some in self.held.values()
            for one in some
        ]
        return tuple(page.cid() for page in pages_of(self.poll.proposal, cast)) if cast else ()


def booths(made: Dao, on: Proposal, clock: Callable[[], int]) -> list[Booth]:
    """Return every custodian of a DAO."""
    return [
        Booth(Poll(key=keys.signing, proposal=on, charter=made.charter, is_closed=False), clock)
        for keys in made.custodians
    ]


class Electorate:
    """A DAO whose custodians keep records on disk, all in this process, on one clock."""

    def __init__(self, folder: Path, made: Dao | None = None) -> None:
        self.dao = made or voting_dao()
        self.clock = Clock()
        self.folder = folder
        self._closing = ExitStack()
        self.blobs = [MemoryBlobs() for _ in self.dao.custodians]
        self.custodies = [self.started(index, folder / f"custodian{index}.db") for index in range(len(self.blobs))]

    def __enter__(self) -> Electorate:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def genesis(self) -> Cid:
        return self.dao.genesis

    @property
    def history(self) -> History:
        return self.dao.history

    def started(self, index: int, records: Path, *, restored_at: int | None = None) -> Custody:
        """Start a custodian over records, which are made where there are none."""
        store = CustodyRecords(self._closing.enter_context(opened_records(records)))
        if restored_at is not None:
            store.mark_restored(restored_at)
        keys = self.dao.custodians[index]
        custody = Custody(
            CustodianKeys(signing=keys.signing, hpke=keys.hpke),
            store,
            self.blobs[index],
            EvidenceAppraiser(production=False),
            clock=self.clock,
            production=False,
        )
        head = self.history.head
        custody.submit_head(head.cid(), [(self.genesis, self.dao.charter.encoded()), (head.cid(), head.encoded())])
        return custody

    def opened(self, action: Action | None = None, *blocks: Any, **fields: Any) -> Proposal:
        """Return a proposal that every custodian has acknowledged; voting is open."""
        made = proposal(self.history, action, opens_at=self.clock() + DELAY_S, **fields)
        for custody in self.custodies:
            custody.voting.balloting.submit_proposal(made, {block.cid(): block.encoded() for block in blocks})
        self.clock.seconds = made.opens_at
        return made

    def gossip(self, on: Proposal) -> None:
        """Have every custodian hand on to every other what it holds, twice over."""
        for _ in range(2):
            for source in self.custodies:
                known = list(pages(source, on))
                for target in self.custodies:
                    if target is not source and known:
                        target.voting.balloting.submit_votes(
                            self.genesis, [(one.vote, one.acknowledgments) for one in known]
                        )

    def end(self, on: Proposal) -> None:
        """Let time pass until the vote can be closed."""
        self.clock.seconds = final_at(on, self.dao.charter)


def carried_out(custodies: Sequence[Custody], after: History, blocks: dict[Cid, bytes]) -> set[int]:
    """Hand a head to custodians and their votes for it to one another; return the epochs they follow then."""
    offered = {**blocks, after.head.cid(): after.head.encoded()}
    for _ in range(2):
        votes = [
            vote
            for custody in custodies
            for some in custody.succession.contest(after.genesis).votes.values()
            for vote in some
        ]
        epochs = {custody.submit_head(after.head.cid(), offered.items(), votes) for custody in custodies}
    return epochs


def pages(custody: Custody, on: Proposal) -> Iterator[Any]:
    """Yield every vote that a custodian holds."""
    after = 0
    while page := custody.voting.balloting.votes(on.genesis, on.cid().digest, after):
        yield from page
        after = page[-1].position


def refusal(answer: object) -> VaultError:
    """Return why a vote was refused."""
    assert isinstance(answer, VaultError), answer
    return answer
