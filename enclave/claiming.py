"""What is asked of an enclave before a session: evidence, the grounds that it serves on, and nonces."""

from __future__ import annotations

from dataclasses import dataclass

from enclave.exchange import Call, Exchange, Service
from enclave.v1 import attestation_pb2 as attestation
from enclave.verified import Grounds, verified_grounds
from storage.cid import Cid
from vault.evidence import Binding, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an enclave shows to be verified: evidence, still to be appraised, and the grounds it serves on."""

    binding: Binding
    evidence: Evidence
    server_nonce: bytes
    grounds: Grounds


def claiming(nonce: bytes, genesis: Cid, *, at: int) -> Exchange[Claim]:
    """Ask for evidence over `nonce`, not yet appraised, with the grounds, verified against `genesis`: one call.

    Raises: what the enclave says where it does not serve, so that there are no grounds.
    """
    answer = yield Call(Service.ATTESTATION, "GetEvidence", attestation.GetEvidenceRequest(nonce=nonce))
    if answer.HasField("grounds"):
        grounds = verified_grounds(answer.grounds, genesis=genesis, at=at)
    else:
        grounds = yield from asking_grounds(genesis, at=at)
    return Claim(
        binding=Binding.from_bytes(answer.binding),
        evidence=Evidence.from_bytes(answer.evidence),
        server_nonce=bytes(answer.server_nonce),
        grounds=grounds,
    )


def asking_grounds(genesis: Cid, *, at: int, evidence: bytes = b"") -> Exchange[Grounds]:
    """Ask what the enclave serves, or served, on; verified against `genesis`."""
    answer = yield Call(Service.ATTESTATION, "GetGrounds", attestation.GetGroundsRequest(evidence=evidence))
    return verified_grounds(answer.grounds, genesis=genesis, at=at)


def asking_nonce() -> Exchange[bytes]:
    """Ask for a single-use nonce for what is signed next, of an enclave that was verified before."""
    answer = yield Call(Service.ATTESTATION, "GetServerNonce", attestation.GetServerNonceRequest())
    return bytes(answer.server_nonce)
