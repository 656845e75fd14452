"""A pinned channel to one enclave: what is asked before a session, and without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from enclave.v1 import attestation_pb2 as attestation
from enclave.v1 import attestation_pb2_grpc as attestation_rpc
from enclave.verified import Grounds, verified_grounds
from storage.cid import Cid
from vault.evidence import Binding, Evidence
from vault.license import Deposit
from vault.tls import PinnedCertificate
from vault.v1 import ledger_pb2 as ledger
from vault.v1 import ledger_pb2_grpc as ledger_rpc
from vault.wire import error_from

CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where an enclave stands, by its own word: for progress bars, not for trust."""

    state: str
    tee: str
    passages_done: int
    passages_total: int
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an enclave shows to be verified: evidence, still to be appraised, and the grounds it serves on."""

    binding: Binding
    evidence: Evidence
    server_nonce: bytes
    grounds: Grounds


class EnclaveChannel:
    """A pinned channel to one enclave. Status needs no trust; everything else goes through `verified`."""

    def __init__(self, address: str) -> None:
        """Read the certificate at `host:port` and pin it. Raises `ServiceUnavailable`."""
        self.address = address
        pinned = PinnedCertificate.fetch(address)
        self.tls_key = pinned.key_hash
        self.channel = pinned.channel(address)
        self._attestation = attestation_rpc.AttestationServiceStub(self.channel)

    def status(self) -> Status:
        """Return where the enclave says it stands."""
        answer = self.call(self._attestation.GetStatus, attestation.GetStatusRequest())
        name = attestation.GetStatusResponse.State.Name(answer.state).removeprefix("STATE_").lower()
        return Status(
            state=name,
            tee=answer.tee,
            passages_done=answer.passages_done,
            passages_total=answer.passages_total,
            epoch=answer.epoch,
            reason=answer.reason,
        )

    def evidence(self, nonce: bytes) -> tuple[Binding, Evidence, bytes]:
        """Return evidence over `nonce`, not yet verified, and a server nonce."""
        answer = self.call(self._attestation.GetEvidence, attestation.GetEvidenceRequest(nonce=nonce))
        return Binding.from_bytes(answer.binding), Evidence.from_bytes(answer.evidence), bytes(answer.server_nonce)

    def claim(self, nonce: bytes, genesis: Cid, *, at: int) -> Claim:
        """Return evidence over `nonce`, not yet appraised, with the grounds, verified against `genesis`: one call.

        Raises: what the enclave says where it does not serve, so that there are no grounds.
        """
        answer = self.call(self._attestation.GetEvidence, attestation.GetEvidenceRequest(nonce=nonce))
        if answer.HasField("grounds"):
            grounds = verified_grounds(answer.grounds, genesis=genesis, at=at)
        else:
            grounds = self.grounds(genesis, at=at)
        return Claim(
            binding=Binding.from_bytes(answer.binding),
            evidence=Evidence.from_bytes(answer.evidence),
            server_nonce=bytes(answer.server_nonce),
            grounds=grounds,
        )

    def server_nonce(self) -> bytes:
        """Return a single-use nonce for what is signed next, from an enclave that was verified before."""
        return bytes(self.call(self._attestation.GetServerNonce, attestation.GetServerNonceRequest()).server_nonce)

    def grounds(self, genesis: Cid, *, at: int, evidence: bytes = b"") -> Grounds:
        """Return what the enclave serves, or served, on; verified against `genesis`."""
        request = attestation.GetGroundsRequest(evidence=evidence)
        return verified_grounds(self.call(self._attestation.GetGrounds, request).grounds, genesis=genesis, at=at)

    def add_credit(self, deposit: Deposit) -> int:
        """Hand in a deposit; return the licensee's credit."""
        stub = ledger_rpc.LedgerServiceStub(self.channel)
        return int(self.call(stub.AddCredit, ledger.AddCreditRequest(deposit=deposit.encoded())).balance)

    def balances(self, inquiry: bytes) -> dict[str, int]:
        """Return the balances that a signed `Inquiry` may see."""
        stub = ledger_rpc.LedgerServiceStub(self.channel)
        answer = self.call(stub.ListBalances, ledger.ListBalancesRequest(inquiry=inquiry))
        return {balance.account: balance.amount for balance in answer.balances}

    def call(self, method: Callable[..., Any], request: Any, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Make one call; errors come back as the service raised them."""
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error

    def stream(self, method: Callable[..., Any], requests: Iterator[Any], *, timeout_s: float) -> Iterator[Any]:
        """Make one call with many requests and many answers; leaving it early ends the call."""
        call = method(requests, timeout=timeout_s)
        try:
            yield from call
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error
        finally:
            call.cancel()

    def received(self, method: Callable[..., Any], request: Any, *, timeout_s: float) -> Iterator[Any]:
        """Make one call with one request and many answers; leaving it early ends the call."""
        call = method(request, timeout=timeout_s)
        try:
            yield from call
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error
        finally:
            call.cancel()

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()
