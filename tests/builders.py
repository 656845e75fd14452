"""Valid objects, the same on every run, for tests to start from and then break one fact of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from storage.cid import DAG_CBOR, Cid
from storage.model import Blobs
from tests.datasets import TEXTS as TEXTS
from tests.datasets import SealedDataset as SealedDataset
from tests.datasets import sealed_dataset as sealed_dataset
from tests.people import CHAIN_ID as CHAIN_ID
from tests.people import DAY_S, NOW, seeded, signed, wallet
from tests.people import CustodianKeys as CustodianKeys
from tests.people import Dao as Dao
from tests.people import custodian as custodian
from tests.people import dao as dao
from tests.people import resigned as resigned
from tests.people import roll_fields as roll_fields
from tests.people import roll_in as roll_in
from tests.people import roll_of as roll_of
from tests.people import voting as voting
from tests.people import weight as weight
from tests.people import weighted as weighted
from vault.action import Action, Scope, adoption, revocation
from vault.ballot import Ballot, Proposal, Support, Vote
from vault.charter import BASIS_POINTS
from vault.closing import BallotPage, Cast, Closing, Period, pages_of
from vault.codec import Record
from vault.dataset import DatasetRef
from vault.decision import Bundle, assembled
from vault.history import History, advanced
from vault.license import License
from vault.licensees import Licensees
from vault.machine import BLANK
from vault.output_rules import EVERYTHING
from vault.policy import AcceptedTee, Policy
from vault.signing import BLANK_SIGNATURE, SigningKey

MEASUREMENT = sha256(b"measurement").digest()


def dataset(name: str = "manifest", *, owner: str = "owner", manifest: str | None = "") -> DatasetRef:
    """Return a reference to a dataset that nobody published; pinned unless `manifest` is None."""
    pinned = None if manifest is None else Cid.of(DAG_CBOR, (manifest or name).encode())
    return DatasetRef(owner=wallet(owner).address, dataset=seeded(f"dataset {name}"), manifest=pinned)


def policy(genesis: Cid, **fields: Any) -> Policy:
    """Return a policy on one dataset and the simulated TEE; `fields` replace its fields."""
    valid: dict[str, Any] = {
        "genesis": genesis,
        "title": "Tides",
        "datasets": (dataset(),),
        "licensees": Licensees.credential(wallet("issuer").address),
        "currency": "USDC",
        "price_per_query": 100,
        "price_per_passage": 0,
        "k_max": 10,
        "queries_per_minute": 60,
        "passages_max": 1000,
        "corpus_bps": BASIS_POINTS,
        "owner_bps": BASIS_POINTS,
        "tees": (AcceptedTee.simulated(MEASUREMENT, seeded("anchor")),),
        "configurations": (Cid.of(DAG_CBOR, b"configuration"),),
        "output": EVERYTHING,
        "treasury": wallet("treasury").address,
        "operator": wallet("operator").address,
        "treasury_bps": 1_000,
        "operator_bps": 500,
        "expires_at": NOW + 365 * DAY_S,
    }
    return Policy(**(valid | fields))


def adopting(policy: Policy, *drops: Policy) -> Action:
    """Return the action that adopts a policy and drops others."""
    return adoption(policy.cid(), tuple(dropped.cid() for dropped in drops))


def revoking(scope: Scope, subject: bytes = b"") -> Action:
    """Return the action that revokes."""
    return revocation(scope, subject)


def proposal(history: History, action: Action, *, proposer: SigningKey | None = None, **fields: Any) -> Proposal:
    """Return a signed proposal made against the history's head, whose vote has just closed at `NOW`."""
    proposer = proposer or voters(history)[0]
    valid: dict[str, Any] = {
        "genesis": history.genesis,
        "epoch": history.head.epoch,
        "head": history.head.cid(),
        "proposer": proposer.address,
        "weight": weight(weight_of(history, proposer.address)),
        "proof": proof(history, proposer.address),
        "action": action,
        "opens_at": NOW - history.charter.voting.period_s,
        "closes_at": NOW,
        "nonce": seeded(f"proposal {history.head.epoch}"),
        "signature": BLANK_SIGNATURE,
    }
    made: Proposal = signed(history, proposer, Proposal(**(valid | fields)))
    return made


def voters(history: History) -> list[SigningKey]:
    """Return the members' wallets in the roll's order."""
    keys = (wallet(f"member {n}") for n in range(history.charter.members))
    return sorted(keys, key=lambda key: key.address)


def weight_of(history: History, address: bytes) -> int:
    """Return a member's weight; a stranger claims 1."""
    roll = roll_in(history.charter)
    return roll.weight_of(address) if address in roll else 1


def proof(history: History, address: bytes) -> tuple[bytes, ...]:
    """Return the proof of a member's weight; of a stranger's, another member's."""
    roll = roll_in(history.charter)
    return roll.tree().proof(address if address in roll else roll.members[0][0])


def ballot(
    history: History,
    proposal: Proposal,
    voter: SigningKey,
    support: Support = Support.FOR,
    *,
    sequence: int = 0,
    reason: str = "",
) -> Ballot:
    """Return a voter's signed answer."""
    blank = Ballot(
        proposal=proposal.cid().digest,
        voter=voter.address,
        support=support,
        sequence=sequence,
        reason=reason,
        signature=BLANK_SIGNATURE,
    )
    made: Ballot = signed(history, voter, blank)
    return made


def vote(history: History, ballot: Ballot) -> Vote:
    """Return a ballot as it is handed in; a stranger's with the weight of a member."""
    return Vote(ballot=ballot, weight=weight(weight_of(history, ballot.voter)), proof=proof(history, ballot.voter))


def cast(ballot: Ballot, period: Period = Period.EARLY, *, weight: int = 1) -> Cast:
    """Return a ballot as it stands in a closed set."""
    return Cast(ballot, weight, period)


def closings(history: History, proposal: Proposal, pages: Sequence[BallotPage], *names: str) -> list[Closing]:
    """Return the word of the custodians of these names, of all by default, that these are all ballots."""
    made = []
    for name in names or [str(n) for n in range(len(history.charter.custodians))]:
        key = custodian(name).signing
        blank = Closing(
            genesis=history.genesis,
            proposal=proposal.cid().digest,
            pages=tuple(page.cid() for page in pages),
            custodian=key.public,
            signature=BLANK,
        )
        made.append(blank.signed_by(key))
    return made


def closed(history: History, proposal: Proposal, ballots: Iterable[Cast]) -> Bundle:
    """Return the decision of a vote that every custodian closed with these ballots."""
    pages = pages_of(proposal, ballots)
    return assembled(proposal, closings(history, proposal, pages), pages, roll_in(history.charter).tree())


def decided(history: History, proposal: Proposal, supports: Iterable[Support]) -> Bundle:
    """Return the decision in which the members answer so, in the roll's order; later ones do not vote."""
    pairs = zip(voters(history), supports, strict=False)
    return closed(history, proposal, [answered(history, proposal, voter, answer) for voter, answer in pairs])


def answered(
    history: History,
    proposal: Proposal,
    voter: SigningKey,
    support: Support = Support.FOR,
    period: Period = Period.EARLY,
    *,
    sequence: int = 0,
) -> Cast:
    """Return a member's signed answer as it stands in a closed set."""
    signed_ballot = ballot(history, proposal, voter, support, sequence=sequence)
    return cast(signed_ballot, period, weight=weight_of(history, voter.address))


def carried(history: History, action: Action, *named: Record, **proposal_fields: Any) -> Bundle:
    """Return the decision that carries `action`, which names these records, with everyone's vote."""
    made = proposal(history, action, **proposal_fields)
    bundle = decided(history, made, [Support.FOR] * history.charter.members)
    return with_blocks(bundle, *named)


def with_blocks(bundle: Bundle, *named: Record) -> Bundle:
    """Return a decision with more blocks beside it."""
    return Bundle(decision=bundle.decision, blocks=bundle.blocks | {record.cid(): record.encoded() for record in named})


def after(history: History, bundle: Bundle, *, at: int = NOW) -> History:
    """Return the history with a decision carried out, from its own blocks."""
    return advanced(history, bundle.decision, bundle.blocks.__getitem__, at=at)


def adopted(history: History, policy: Policy, *drops: Policy, at: int = NOW) -> History:
    """Return the history after its members have adopted a policy."""
    return after(history, carried(history, adopting(policy, *drops), policy), at=at)


def revoked(history: History, scope: Scope, subject: bytes = b"", *, at: int = NOW) -> History:
    """Return the history after its members have revoked."""
    return after(history, carried(history, revoking(scope, subject)), at=at)


def publish(blobs: Blobs, *records: Record) -> Cid:
    """Store records under their CIDs; return the last one's."""
    for record in records:
        blobs.put(record.cid(), record.encoded())
    return records[-1].cid()


def published(blobs: Blobs, history: History, bundle: Bundle) -> History:
    """Return the history after a decision, all that a verifier needs to follow it being stored."""
    publish(blobs, history.charter, history.head)
    for cid, body in bundle.blocks.items():
        blobs.put(cid, body)
    changed = after(history, bundle, at=bundle.decision.proposal.closes_at)
    publish(blobs, changed.head)
    return changed


def license(history: History, policy: Policy, licensee: SigningKey, **fields: Any) -> License:
    """Return a license that the policy's issuer, `wallet("issuer")`, has signed."""
    valid: dict[str, Any] = {
        "genesis": history.genesis,
        "policy": policy.cid(),
        "issuer": wallet("issuer").address,
        "licensee": licensee.address,
        "epoch": history.head.epoch,
        "issued_at": NOW - DAY_S,
        "expires_at": NOW + DAY_S,
        "signature": BLANK_SIGNATURE,
    }
    made: License = signed(history, wallet("issuer"), License(**(valid | fields)))
    return made
