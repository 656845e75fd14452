"""A decision of 20,000 ballots in a DAO of 100,000 members, against recovering the same signers and doing nothing else.

What is counted is all that a verifier does: blocks against their CIDs, pages decoded, closings, every signature, the
proof of every weight, and the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle
from multiprocessing import get_context
from typing import Any

from coincurve import PublicKey

from benchmarks.charters import charter_with
from benchmarks.harness import Row, result, row, seconds_in_turn
from storage.cid import Cid
from vault.action import Scope, revocation
from vault.acts import propose
from vault.ballot import Ballot, Proposal, Support
from vault.closing import BallotPage, Cast, Closing, Period, pages_of
from vault.decision import Bundle, assembled
from vault.history import History, founded
from vault.machine import BLANK, MachineKey
from vault.roll import Roll
from vault.signing import BLANK_SIGNATURE, SigningKey
from vault.typed_data import Domain

MEMBERS = 100_000
BALLOTS = 20_000
CUSTODIANS = 4
REASON = "It pays for the tide gauges, and ends with the season."
OPENS_AT = 1_800_000_000  # UTC seconds
ROUNDS = 5
WORKERS = 2
GOAL = 0.5
SECONDS_GOAL = 5.0
MEGABYTES_GOAL = 12.0
MACHINES = tuple(MachineKey(sha256(b"custodian %d" % n).digest()) for n in range(CUSTODIANS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted:
    """A DAO, the bundle of one decision, and each ballot's digest and recoverable signature."""

    history: History
    roll: Roll
    bundle: Bundle
    signatures: list[tuple[bytes, bytes]]


def run() -> dict[str, Any]:
    """Measure one whole decision, alone and with a pool, and how large it is."""
    voted = voted_by(MEMBERS, BALLOTS)

    def recover() -> None:
        for digest, signature in voted.signatures:
            PublicKey.from_signature_and_message(signature, digest, hasher=None)

    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        bare, alone, pooled = seconds_in_turn(
            recover, lambda: verify(voted), lambda: verify(voted, pool), rounds=ROUNDS
        )
    return result("govern", [*_speed(bare, alone, pooled), *_size(voted)])


def _speed(bare: float, alone: float, pooled: float) -> list[Row]:
    what = f"a decision of {BALLOTS:,} ballots among {MEMBERS:,} members"
    loop, ours, theirs = "a bare coincurve recover loop over the same signatures", BALLOTS / alone, BALLOTS / bare
    return [
        row("ballots of a whole decision verified", "/s", ours, loop, theirs, goal=GOAL, less=False),
        row(f"{what}, one core", "s", alone, "the goal", SECONDS_GOAL, goal=1.0, less=True),
        row(f"{what}, pool of {WORKERS} processes", "s", pooled, "one core", alone, goal=None, less=True),
    ]


def _size(voted: Voted) -> list[Row]:
    bundle, roll = size_of(voted.bundle.blocks) / 1e6, size_of(voted.roll.blocks()) / 1e6
    what = f"its bundle, each ballot with a reason of {len(REASON)} characters"
    return [
        row(what, "MB", bundle, "the goal", MEGABYTES_GOAL, goal=1.0, less=True),
        row("its bundle with the whole roll", "MB", bundle + roll, "the goal", MEGABYTES_GOAL, goal=1.0, less=True),
    ]


def verify(voted: Voted, pool: Executor | None = None) -> None:
    """Verify and count the decision."""
    assert voted.history.counted(voted.bundle.decision, voted.bundle.blocks.__getitem__, pool=pool).has_quorum()


def size_of(blocks: dict[Cid, bytes]) -> int:
    """Return how many bytes blocks have."""
    return sum(map(len, blocks.values()))


def voted_by(members: int, ballots: int) -> Voted:
    """Return a vote in which `ballots` of `members` took part, decided by all custodians."""
    keys = [SigningKey(sha256(b"voter %d" % n).digest()) for n in range(ballots)]
    others = [sha256(b"member %d" % n).digest()[:20] for n in range(members - ballots)]
    roll = Roll.of({address: 1 + n % 1_000 for n, address in enumerate((*(key.address for key in keys), *others))})
    history = founded(charter_with(roll, MACHINES))
    domain = history.charter.domain(history.genesis)
    proposal = propose(history, roll, revocation(Scope.DAO, b""), keys[0], at=OPENS_AT)
    made = [_ballot(proposal, key, support, domain) for key, support in zip(keys, cycle(Support), strict=False)]
    cast = [Cast(ballot, roll.weight_of(ballot.voter), Period.EARLY) for ballot in made]
    pages = pages_of(proposal, cast)
    closings = closed_by(history, proposal, pages)
    bundle = assembled(proposal, closings, pages, roll.tree())
    signatures = [
        (domain.digest(Ballot.STRUCT, ballot.message()), ballot.signature[:64] + bytes([ballot.signature[64] - 27]))
        for ballot in made
    ]
    return Voted(history=history, roll=roll, bundle=bundle, signatures=signatures)


def _ballot(proposal: Proposal, key: SigningKey, support: Support, domain: Domain) -> Ballot:
    blank = Ballot(
        proposal=proposal.cid().digest,
        voter=key.address,
        support=support,
        sequence=0,
        reason=REASON,
        signature=BLANK_SIGNATURE,
    )
    return blank.signed_by(key, domain)


def closed_by(history: History, proposal: Proposal, pages: Sequence[BallotPage]) -> tuple[Closing, ...]:
    """Return the word of every custodian that these pages are all ballots, in the order that decisions take."""
    named = tuple(page.cid() for page in pages)
    words = [
        Closing(
            genesis=history.genesis,
            proposal=proposal.cid().digest,
            pages=named,
            custodian=key.public,
            signature=BLANK,
        ).signed_by(key)
        for key in MACHINES
    ]
    return tuple(sorted(words, key=lambda closing: closing.custodian))
