"""What a client verifies before it says a word: the evidence of this channel, and the leases it serves on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enclave.v1 import attestation_pb2 as pb
from storage.cid import Cid
from vault.charter import Charter
from vault.dataset import resolved
from vault.errors import AccessDenied, InvalidReceipt, InvalidSignature, MalformedObject
from vault.evidence import SERVE, Appraisal, Appraiser, Binding, Evidence
from vault.head import Head
from vault.lease import Lease, Terms, agreed_terms, ledger_id
from vault.manifest import Manifest
from vault.policy import SIMULATED, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What an enclave serves on, checked against the DAO's genesis by this client."""

    binding: Binding
    evidence: Evidence
    leases: tuple[Lease, ...]
    terms: Terms
    charter: Charter
    head: Head
    policies: dict[Cid, Policy]
    manifests: dict[Cid, Manifest]


def verified_grounds(shown: pb.Grounds, *, genesis: Cid, at: int) -> Grounds:
    """Return what q custodians of this DAO leased, or raise; nothing is taken on the server's word.

    Args:
        genesis: the DAO the caller means; everything else is checked against it.
        at: UTC seconds by the caller's own clock.
    """
    charter = Charter.from_bytes(shown.charter)
    if charter.cid() != genesis:
        raise InvalidSignature("the enclave serves another DAO than the license names")
    leases = tuple(Lease.from_bytes(lease) for lease in shown.leases)
    terms = agreed_terms(leases, charter, genesis=genesis, at=at)
    binding, evidence = Binding.from_bytes(shown.binding), Evidence.from_bytes(shown.evidence)
    head = Head.from_bytes(shown.head)
    if (head.cid(), evidence.digest(), binding.receipt_key) != (terms.head, terms.evidence, terms.instance):
        raise InvalidSignature("head, evidence or instance are not the leased ones")
    if terms.ledger != ledger_id(genesis) or binding.genesis != genesis:
        raise InvalidSignature("the enclave keeps the books of another DAO")
    policies = [Policy.from_bytes(policy) for policy in shown.policies]
    manifests = [Manifest.from_bytes(manifest) for manifest in shown.manifests]
    return Grounds(
        binding=binding,
        evidence=evidence,
        leases=leases,
        terms=terms,
        charter=charter,
        head=head,
        policies={policy.cid(): policy for policy in policies},
        manifests={manifest.cid(): manifest for manifest in manifests},
    )


def policy_in_force(grounds: Grounds, policy: Cid) -> Policy:
    """Return the policy if the leased head has it, or raise `Revoked`."""
    grounds.head.require_policy(policy)
    if policy not in grounds.policies:
        raise MalformedObject("the enclave did not hand out the policy its head names")
    return grounds.policies[policy]


def appraised_channel(
    binding: Binding,
    evidence: Evidence,
    *,
    nonce: bytes,
    tls_key: bytes,
    grounds: Grounds,
    policy: Policy,
    appraiser: Appraiser,
    allow_simulated: bool,
    at: int,
) -> Appraisal:
    """Return the appraisal of whoever holds this channel's TLS key, or raise (rule E5).

    Args:
        nonce: the caller's own, 32 bytes.
        tls_key: SHA-256 of the public key the channel is pinned to.
    """
    if binding.purpose != SERVE:
        raise AccessDenied("the evidence was made for something else than serving")
    binding.require_nonce(b"", nonce)
    if binding.tls_key != tls_key:
        raise InvalidSignature("the evidence vouches for another TLS key: somebody relays it; do not use this address")
    if (binding.receipt_key, binding.genesis) != (grounds.terms.instance, grounds.terms.genesis):
        raise InvalidSignature("the custodians leased another instance than this one")
    leased = grounds.binding
    if (binding.hpke, binding.tls_key, binding.configuration) != (leased.hpke, leased.tls_key, leased.configuration):
        raise InvalidSignature("the leased keys or configuration are not the ones this evidence vouches for")
    if binding.configuration not in policy.configurations:
        raise AccessDenied(f"the policy does not accept enclave configuration {binding.configuration}")
    appraisal = appraiser.appraise(evidence, binding=binding, accepted=policy.tees, at=at)
    if appraisal.kind == SIMULATED and not allow_simulated:
        raise AccessDenied("the TEE is SIMULATED and protects nothing; pass --allow-simulated to try things out")
    return appraisal


def require_same_enclave(renewed: Grounds, attested: Grounds) -> None:
    """Raise `InvalidReceipt` unless grounds leased later are of the very instance, keys and configuration attested."""
    if renewed.terms.instance != attested.terms.instance:
        raise InvalidReceipt("instance: the enclave was replaced; connect anew")
    now, then = renewed.binding, attested.binding
    if (now.hpke, now.tls_key, now.configuration) != (then.hpke, then.tls_key, then.configuration):
        raise InvalidReceipt("instance: its keys or configuration are not the attested ones; connect anew")


def manifests_of(grounds: Grounds, policy: Policy) -> Sequence[Manifest]:
    """Return the policy's manifests as the leases name them, or raise where the enclave withholds one.

    Raises: `MalformedObject` for a withheld one, `AccessDenied` where none of a dataset is leased.
    """
    missing = [cid for cid in grounds.terms.manifests if cid not in grounds.manifests]
    if missing:
        raise MalformedObject(f"the enclave did not hand out manifest {missing[0]}")
    return resolved(policy.datasets, [grounds.manifests[cid] for cid in grounds.terms.manifests])
