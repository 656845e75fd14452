"""A decision: the proof, from raw signatures alone, that a proposal was carried (rules B3, G1, G2, G3).

It is a root block that names the pages of the closed set and the proof of the voters' weights; whoever has these blocks
and the charter can check all of it offline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.ballot import Proposal, Support
from vault.ballot_digest import BallotDigests
from vault.charter import CUSTODIANS_MAX, Charter
from vault.closing import BallotPage, Closing, Period, agreed_pages
from vault.codec import Length, Record, record
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject
from vault.signing import address_text, recovered
from vault.tally import Answer, Tally, counted
from vault.typed_data import Domain
from vault.vote_delegation import Delegations
from vault.weights import MultiProof, WeightTree, leaf

CHUNK_BYTES = 900_000
CHUNKS_MAX = 32
SUPPORTS, PERIODS = tuple(Support), tuple(Period)

Fetch = Callable[[Cid], bytes]
"""Returns the block of a CID; what it returns is checked."""


@record
class Chunk(Record):
    """A part of something too large for one block."""

    TYPE: ClassVar[str] = "coffer/chunk/v1"

    data: Annotated[bytes, Length(1, CHUNK_BYTES)]


@record
class Decision(Record):
    """A proposal, the word of q custodians on which ballots were cast, and where these and their weights' proof are."""

    TYPE: ClassVar[str] = "coffer/decision/v1"

    proposal: Proposal
    closings: Annotated[tuple[Closing, ...], Length(1, CUSTODIANS_MAX)]  # ascending by custodian
    weights: Annotated[tuple[Cid, ...], Length(1, CHUNKS_MAX)]  # chunks of the proof for all voters

    def check(self) -> None:
        """Refuse closings out of order or given twice."""
        custodians = [closing.custodian for closing in self.closings]
        if custodians != sorted(set(custodians)):
            raise MalformedObject("closings stand once each, ascending by custodian")

    def pages(self) -> tuple[Cid, ...]:
        """Return the pages of ballots that the first closing names; verifying says whether all do."""
        return self.closings[0].pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A decision with its blocks, as whoever assembles it hands it on."""

    decision: Decision
    blocks: dict[Cid, bytes]


def assembled(proposal: Proposal, closings: Iterable[Closing], pages: Sequence[BallotPage], tree: WeightTree) -> Bundle:
    """Return the decision of a closed vote; nothing in it is verified here."""
    voters = sorted({one.ballot.voter for page in pages for one in page.cast()})
    proof = tree.multiproof(voters).encoded()
    chunks = [Chunk(data=proof[i : i + CHUNK_BYTES]) for i in range(0, len(proof), CHUNK_BYTES)]
    decision = Decision(
        proposal=proposal,
        closings=tuple(sorted(closings, key=lambda closing: closing.custodian)),
        weights=tuple(chunk.cid() for chunk in chunks),
    )
    blocks = {record.cid(): record.encoded() for record in (*pages, *chunks, decision)}
    return Bundle(decision=decision, blocks=blocks)


def verify_proposal(charter: Charter, proposal: Proposal, *, genesis: Cid) -> None:
    """Raise unless a member of this DAO proposed it, with the charter's time to vote."""
    if proposal.genesis != genesis:
        raise InvalidDecision("the proposal was made to another DAO")
    if proposal.closes_at - proposal.opens_at != charter.voting.period_s:
        raise InvalidDecision(f"voting has to be open for {charter.voting.period_s} s")
    proposal.require_member(charter)
    proposal.verify(charter.domain(genesis))


def verified_tally(
    charter: Charter,
    decision: Decision,
    delegations: Delegations,
    fetch: Fetch,
    *,
    genesis: Cid,
    pool: Executor | None = None,
) -> Tally:
    """Check every signature and weight, and return the count.

    Args:
        charter: the one in the head that the proposal was made against, like the delegations.
        pool: where ballots' signatures are checked, page by page; here if None.
    Raises: `InvalidSignature`, `InvalidDecision`, `AccessDenied` for a wrong weight, `MalformedObject`.
    """
    proposal = decision.proposal
    verify_proposal(charter, proposal, genesis=genesis)
    named = proposal.cid().digest
    pages = agreed_pages(decision.closings, charter, genesis=genesis, proposal=named)
    blocks = [block_of(cid, fetch) for cid in pages]
    answers = _verified_answers(blocks, named, charter.domain(genesis), pool)
    _require_order(answers)
    chunks = (Chunk.from_bytes(block_of(cid, fetch)) for cid in decision.weights)
    _require_weights(charter, answers, b"".join(chunk.data for chunk in chunks))
    return counted(charter, proposal, answers, delegations)


def recounted(charter: Charter, decision: Decision, delegations: Delegations, fetch: Fetch) -> Tally:
    """Return the count of a decision that was verified before."""
    pages = (BallotPage.from_bytes(block_of(cid, fetch)) for cid in decision.pages())
    return counted(charter, decision.proposal, [one for page in pages for one in _answers(page)], delegations)


def _verified_answers(pages: Sequence[bytes], proposal: bytes, domain: Domain, pool: Executor | None) -> list[Answer]:
    if pool is None or len(pages) == 1:
        return [one for page in pages for one in verified_page(page, proposal=proposal, domain=domain)]
    checks = pool.map(partial(verify_page, proposal=proposal, domain=domain), pages)
    answers = [one for page in pages for one in _answers(BallotPage.from_bytes(page))]
    deque(checks, maxlen=0)  # raises what the first check raised
    return answers


def verify_page(page: bytes, *, proposal: bytes, domain: Domain) -> None:
    """Raise unless every ballot of an encoded page is its voter's, for this proposal and DAO."""
    verified_page(page, proposal=proposal, domain=domain)


def verified_page(page: bytes, *, proposal: bytes, domain: Domain) -> list[Answer]:
    """Return the ballots of an encoded page, their signatures checked; raise what `verify_page` raises."""
    columns = BallotPage.from_bytes(page)
    if columns.proposal != proposal:
        raise InvalidDecision("a ballot is for another proposal")
    answers, digests = _answers(columns), BallotDigests(domain, proposal)
    for one, reason in zip(answers, columns.reasons, strict=True):
        digest = digests.of(one.voter, one.support, one.sequence, reason)
        if recovered(digest, one.signature) != one.voter:
            raise InvalidSignature(f"a ballot is not signed by {address_text(one.voter)}")
    return answers


def _answers(page: BallotPage) -> list[Answer]:
    """Return a page's ballots from its columns; a record of each would take half as long as checking its signature."""
    return [
        Answer(
            page.voters[20 * i : 20 * i + 20],
            sequence,
            page.signatures[65 * i : 65 * i + 65],
            SUPPORTS[page.supports[i]],
            int.from_bytes(page.weights[32 * i : 32 * i + 32], "big"),
            PERIODS[page.periods[i]],
        )
        for i, sequence in enumerate(page.sequences)
    ]


def _require_order(answers: Sequence[Answer]) -> None:
    """Raise `MalformedObject` unless the ballots stand once each and in order, as `pages_of` puts them."""
    keys = [one[:3] for one in answers]  # voter, sequence, signature
    if any(before >= after for before, after in pairwise(keys)):
        raise MalformedObject("ballots must be sorted by voter and sequence and stand once each")


def _require_weights(charter: Charter, answers: Sequence[Answer], proof: bytes) -> None:
    weights: dict[bytes, int] = {}
    for one in answers:
        if weights.setdefault(one.voter, one.weight) != one.weight:
            raise InvalidDecision("a voter stands in the decision with two weights")
    leaves = [leaf(voter, weight) for voter, weight in weights.items()]
    MultiProof.from_bytes(proof, bytes_max=CHUNKS_MAX * CHUNK_BYTES).require(charter.weights_root, leaves)


def block_of(cid: Cid, fetch: Fetch) -> bytes:
    """Return the block of a CID, or raise `MalformedObject` for another one, whatever the fetcher checks itself."""
    block = fetch(cid)
    if not cid.matches(block):
        raise MalformedObject(f"the block that came for {cid} is another one")
    return block
