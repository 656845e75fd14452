"""Valid objects, the same on every run, for tests to start from and then break one fact of."""

from __future__ import annotations

from collections.abc import Iterable
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
from tests.people import weight as weight
from vault.ballot import Action, Ballot, Proposal, Scope, Support
from vault.codec import Record
from vault.decision import Decision
from vault.head import History, advanced
from vault.license import License
from vault.policy import AcceptedTee, Policy
from vault.signing import BLANK_SIGNATURE, SigningKey

MEASUREMENT = sha256(b"measurement").digest()


def policy(genesis: Cid, **fields: Any) -> Policy:
    """Return a policy on one dataset and the simulated TEE; `fields` replace its fields."""
    valid: dict[str, Any] = {
        "genesis": genesis,
        "title": "Tides",
        "datasets": (Cid.of(DAG_CBOR, b"manifest"),),
        "issuer": wallet("issuer").address,
        "currency": "USDC",
        "price_per_query": 100,
        "k_max": 10,
        "queries_per_minute": 60,
        "passages_max": 1000,
        "tees": (AcceptedTee.simulated(MEASUREMENT, seeded("anchor")),),
        "configurations": (Cid.of(DAG_CBOR, b"configuration"),),
        "treasury": wallet("treasury").address,
        "operator": wallet("operator").address,
        "treasury_bps": 1_000,
        "operator_bps": 500,
        "expires_at": NOW + 365 * DAY_S,
    }
    return Policy(**(valid | fields))


def adopting(policy: Policy, *drops: Policy) -> Action:
    """Return the action that adopts a policy and drops others."""
    return Action(adopts=policy.cid(), drops=tuple(dropped.cid() for dropped in drops), revokes=None, subject=b"")


def revoking(scope: Scope, subject: bytes = b"") -> Action:
    """Return the action that revokes."""
    return Action(adopts=None, drops=(), revokes=scope, subject=subject)


def proposal(history: History, action: Action, *, proposer: SigningKey | None = None, **fields: Any) -> Proposal:
    """Return a signed proposal made against the history's head, whose vote has just closed at `NOW`."""
    proposer = proposer or voters(history)[0]
    valid: dict[str, Any] = {
        "genesis": history.genesis,
        "epoch": history.head.epoch,
        "head": history.head.cid(),
        "proposer": proposer.address,
        "action": action,
        "opens_at": NOW - history.charter.voting_period_s,
        "closes_at": NOW,
        "nonce": seeded(f"proposal {history.head.epoch}"),
        "signature": BLANK_SIGNATURE,
    }
    made: Proposal = signed(history, proposer, Proposal(**(valid | fields)))
    return made


def voters(history: History) -> list[SigningKey]:
    """Return the members' wallets in the charter's order."""
    known = {key.address: key for key in (wallet(f"member {n}") for n in range(len(history.charter.members)))}
    return [known[member.address] for member in history.charter.members]


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


def decided(history: History, proposal: Proposal, supports: Iterable[Support]) -> Decision:
    """Return the decision in which the members answer so, in the charter's order; later ones do not vote."""
    pairs = zip(voters(history), supports, strict=False)
    return Decision.of(proposal, (ballot(history, proposal, voter, answer) for voter, answer in pairs))


def carried(history: History, action: Action, **proposal_fields: Any) -> Decision:
    """Return the decision that carries `action` with everyone's vote."""
    made = proposal(history, action, **proposal_fields)
    return decided(history, made, [Support.FOR] * len(history.charter.members))


def adopted(history: History, policy: Policy, *drops: Policy, at: int = NOW) -> History:
    """Return the history after its members have adopted a policy."""
    return advanced(history, carried(history, adopting(policy, *drops)), policy=policy, at=at)


def revoked(history: History, scope: Scope, subject: bytes = b"", *, at: int = NOW) -> History:
    """Return the history after its members have revoked."""
    return advanced(history, carried(history, revoking(scope, subject)), policy=None, at=at)


def publish(blobs: Blobs, *records: Record) -> Cid:
    """Store records under their CIDs; return the last one's."""
    for record in records:
        blobs.put(record.cid(), record.encoded())
    return records[-1].cid()


def published(blobs: Blobs, history: History, decision: Decision, policy: Policy | None = None) -> History:
    """Return the history after a decision, all that a verifier needs to follow it being stored."""
    publish(blobs, history.charter, history.head, decision, *([policy] if policy else []))
    after = advanced(history, decision, policy=policy, at=decision.proposal.closes_at)
    publish(blobs, after.head)
    return after


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
