"""What custodians are asked for a vote: to acknowledge what they are handed, and to close the set of ballots (rule G2).

Enough of them are n-q+f+1: one honest custodian among these signs any set that q of them sign, and signs none without
what it acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, arrivals
from vault.ballot import Proposal, Vote
from vault.charter import Charter
from vault.closing import BallotPage, Closing
from vault.decision import Bundle, Decision, assembled
from vault.errors import InvalidDecision, MalformedObject, NotYet, ServiceUnavailable, VaultError
from vault.history import History
from vault.roll import Roll

R = TypeVar("R")


class PollingPlace(Protocol):
    """What a custodian does for a vote; `vault.client.CustodyClient` is the real one."""

    def submit_proposal(  # noqa: D102
        self, proposal: Proposal, blocks: Mapping[Cid, bytes], acknowledgments: Sequence[Acknowledgment] = ()
    ) -> Acknowledgment: ...
    def submit_vote(  # noqa: D102
        self, genesis: Cid, vote: Vote, acknowledgments: Sequence[Acknowledgment] = ()
    ) -> Acknowledgment: ...
    def close_vote(self, genesis: Cid, proposal: bytes) -> Closing: ...  # noqa: D102
    def blocks(self, genesis: Cid, cids: Sequence[Cid]) -> dict[Cid, bytes]: ...  # noqa: D102
    def queue_decision(self, decision: Decision, blocks: Mapping[Cid, bytes]) -> object: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The custodians' acknowledgments of one thing, and why some gave none."""

    acknowledgments: tuple[Acknowledgment, ...]
    failures: Mapping[bytes, VaultError]  # by custodian
    enough: int  # so many guarantee that it is in every closed set

    @property
    def is_enough(self) -> bool:
        """Say whether no set of ballots can be closed without it."""
        return len(self.acknowledgments) >= self.enough


def enough(charter: Charter) -> int:
    """Return how many acknowledgments guarantee inclusion: n-q+f+1."""
    return len(charter.custodians) - charter.signatures + charter.liars + 1


def handed_in_proposal(
    places: Mapping[bytes, PollingPlace], charter: Charter, proposal: Proposal, blocks: Mapping[Cid, bytes]
) -> Collected:
    """Hand a proposal, and what it names, to every custodian; raise what the first says where none takes it."""
    return _acknowledged(
        places, charter, proposal.genesis, proposal.cid().digest, lambda place: place.submit_proposal(proposal, blocks)
    )


def handed_in_vote(places: Mapping[bytes, PollingPlace], charter: Charter, genesis: Cid, vote: Vote) -> Collected:
    """Hand a vote to every custodian; raise what the first says where none takes it."""
    digest = vote.ballot.digest()
    return _acknowledged(places, charter, genesis, digest, lambda place: place.submit_vote(genesis, vote))


def _acknowledged(
    places: Mapping[bytes, PollingPlace],
    charter: Charter,
    genesis: Cid,
    subject: bytes,
    hand_in: Callable[[PollingPlace], Acknowledgment],
) -> Collected:
    def verified(place: PollingPlace) -> Acknowledgment:
        acknowledgment = hand_in(place)
        arrivals([acknowledgment], charter, genesis=genesis, subject=subject)
        return acknowledgment

    answers, failures = _asked(places, verified)
    return Collected(acknowledgments=tuple(answers.values()), failures=failures, enough=enough(charter))


def decided(places: Mapping[bytes, PollingPlace], history: History, roll: Roll, proposal: Proposal) -> Bundle:
    """Have custodians close a vote, and return the verified decision.

    Raises: `NotYet` where it is too early; `InvalidDecision` where fewer than q closed with one set.
    """
    named, charter = proposal.cid().digest, history.charter
    closings, failures = _asked(places, lambda place: place.close_vote(history.genesis, named))
    sets = [closing.pages for closing in closings.values()]
    best = max(sets, key=sets.count)
    agreeing = [closing for closing in closings.values() if closing.pages == best]
    if len(agreeing) < charter.signatures:
        reasons = "; ".join(sorted({str(error) for error in failures.values()}))
        told = f"{len(agreeing)} of the {charter.signatures} custodians it takes closed the vote with the same ballots"
        raise InvalidDecision(f"{told}{f' ({reasons})' if reasons else ''}")
    pages = _pages(places, history.genesis, best)
    bundle = assembled(proposal, agreeing, pages, roll.tree())
    history.counted(bundle.decision, lambda cid: bundle.blocks[cid])
    return bundle


def queued(places: Mapping[bytes, PollingPlace], bundle: Bundle) -> Mapping[bytes, VaultError]:
    """Hand a decision to every custodian for its timelock; return why some did not take it."""
    _, failures = _asked(places, lambda place: place.queue_decision(bundle.decision, bundle.blocks))
    return failures


def _pages(places: Mapping[bytes, PollingPlace], genesis: Cid, cids: Sequence[Cid]) -> list[BallotPage]:
    """Return the pages of a closed set, from whichever custodian has them."""
    found: dict[Cid, bytes] = {}
    for place in places.values():
        if missing := [cid for cid in cids if cid not in found]:
            try:
                answer = place.blocks(genesis, missing)
            except VaultError:
                continue
            found |= {cid: body for cid, body in answer.items() if cid in missing and cid.matches(body)}
    if missing := [cid for cid in cids if cid not in found]:
        raise MalformedObject(f"no custodian hands out {len(missing)} of the {len(cids)} pages of ballots it signed")
    return [BallotPage.from_bytes(found[cid]) for cid in cids]


def _asked(
    places: Mapping[bytes, PollingPlace], ask: Callable[[PollingPlace], R]
) -> tuple[dict[bytes, R], dict[bytes, VaultError]]:
    """Return what custodians answered and why others did not; raise the most telling reason where none did."""
    answers: dict[bytes, R] = {}
    failures: dict[bytes, VaultError] = {}
    for key, place in places.items():
        try:
            answers[key] = ask(place)
        except VaultError as error:
            failures[key] = error
    if not answers:
        told = [error for error in failures.values() if not isinstance(error, ServiceUnavailable)]
        waiting = [error for error in told if isinstance(error, NotYet)]
        raise next(iter(waiting or told or failures.values()), ServiceUnavailable("no custodian was asked"))
    return answers, failures
