"""Acknowledgments: a custodian's word that it held something by a certain time (rule G2), and what several of them say.

A voter's own time could be backdated, so a ballot's is when custodians had it. For them all to close with one set, a
ballot that one of them took at the last moment must reach the others in time, and none that a liar brings afterwards
may divide them. That is Byzantine broadcast; with signatures the rounds of Dolev and Strong (1983) give it for any
number of liars: what carries i signatures is taken up to i rounds after the deadline, and whoever takes it signs it and
hands it on. f+1 signatures hold one of an honest custodian, so these convince at any time.

A vote has several deadlines, and each is such a broadcast of its own. So a signature names the *period* that its
custodian found the ballot to have come in, and counts for no earlier one: a time alone would let a liar date its own
word back, later, and make another one's word mean more than was known when it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import CUSTODIANS_MAX, Charter
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.errors import InvalidSignature, MalformedObject
from vault.machine import BLANK, MachineKey, MachineSigned

PERIODS = 3  # deadlines of a vote, see `vault.closing.Period`; a proposal has one


@record
class Acknowledgment(MachineSigned):
    """One custodian's word that it held a proposal or a ballot at `arrived_at` (UTC seconds)."""

    TYPE: ClassVar[str] = "coffer/acknowledgment/v1"

    genesis: Cid
    subject: Digest  # of a proposal's CID, or `Ballot.digest`
    period: int  # in which it came, by what this custodian knew at that time; 0 of a proposal
    arrived_at: int
    custodian: PublicKey

    def check(self) -> None:
        """Refuse a period that no vote has."""
        if self.period >= PERIODS:
            raise MalformedObject(f"a vote has {PERIODS} periods")

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian

    @classmethod
    def made(cls, key: MachineKey, genesis: Cid, subject: bytes, *, at: int, period: int = 0) -> Acknowledgment:
        """Return this custodian's acknowledgment."""
        blank = cls(
            genesis=genesis, subject=subject, period=period, arrived_at=at, custodian=key.public, signature=BLANK
        )
        return blank.signed_by(key)


@record
class Acknowledgments(Record):
    """All that is kept of what custodians said of one thing: of each at most one word for each period."""

    TYPE: ClassVar[str] = "coffer/acknowledgments/v1"

    given: Annotated[tuple[Acknowledgment, ...], Length(0, CUSTODIANS_MAX * PERIODS)]


def require_given(acknowledgments: Iterable[Acknowledgment], charter: Charter, *, genesis: Cid, subject: bytes) -> None:
    """Raise `InvalidSignature` unless each is the word of a custodian of this charter on `subject`."""
    for one in acknowledgments:
        if (one.genesis, one.subject) != (genesis, subject) or charter.custodian(one.custodian) is None:
            raise InvalidSignature("an acknowledgment is of something else, or of no custodian of this DAO")
        one.verify()


def times_for(acknowledgments: Iterable[Acknowledgment], period: int = PERIODS - 1) -> dict[bytes, int]:
    """Return when each custodian that found something to have come in `period` or before first had it."""
    times: dict[bytes, int] = {}
    for one in acknowledgments:
        if one.period <= period:
            times[one.custodian] = min(one.arrived_at, times.get(one.custodian, one.arrived_at))
    return times


def arrivals(
    acknowledgments: Iterable[Acknowledgment], charter: Charter, *, genesis: Cid, subject: bytes
) -> dict[bytes, int]:
    """Return when each custodian first had `subject`, or raise `InvalidSignature` for a word that is none of theirs."""
    given = list(acknowledgments)
    require_given(given, charter, genesis=genesis, subject=subject)
    return times_for(given)


def is_in_time(times: Mapping[bytes, int], own: bytes, *, by: int, round_s: int, liars: int) -> bool:
    """Say whether custodian `own` counts as in time, for the deadline `by`, what custodians had at these times.

    Args:
        times: UTC seconds by custodian, its own among them if it has taken it or is about to.
        round_s: how long custodians have to hand on to one another.
    """
    chain: list[bytes] = []
    for custodian, at in sorted(times.items(), key=lambda item: (item[1], item[0])):
        if at > by + len(chain) * round_s:
            break
        chain.append(custodian)
    return own in chain or len(chain) > liars
