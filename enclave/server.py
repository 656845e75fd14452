"""The enclave's gRPC edge: parse, one call, render."""

from __future__ import annotations

from typing import Any

import grpc

from enclave.grounds import Grounds
from enclave.public_server import RoyaltyServicer, TransparencyServicer, written
from enclave.retrieval_server import RetrievalServicer
from enclave.service import EnclaveService
from enclave.status import State
from enclave.v1 import attestation_pb2 as attestation
from enclave.v1 import attestation_pb2_grpc as attestation_rpc
from enclave.v1 import retrieval_pb2 as retrieval
from enclave.v1 import retrieval_pb2_grpc as retrieval_rpc
from enclave.v1 import royalty_pb2 as royalty
from enclave.v1 import royalty_pb2_grpc as royalty_rpc
from enclave.v1 import transparency_pb2 as transparency
from enclave.v1 import transparency_pb2_grpc as transparency_rpc
from storage.errors import BlockNotFound
from vault.channel import CHANNEL_BYTES_MAX, Channel
from vault.errors import MalformedObject, VaultError
from vault.guard import guarded_server
from vault.inquiry import Inquiry
from vault.license import Deposit
from vault.listening import started
from vault.rate import PeerLimit
from vault.tls import TlsIdentity
from vault.v1 import ledger_pb2 as ledger
from vault.v1 import ledger_pb2_grpc as ledger_rpc
from vault.wire import answered

CALLS_MAX = 256  # at once; more are refused by gRPC with RESOURCE_EXHAUSTED
PEER_CALLS_MAX = 128  # of them from one address
LIMITED_METHODS = (
    "/enclave.v1.AttestationService/GetEvidence",
    "/enclave.v1.AttestationService/GetServerNonce",
    "/enclave.v1.AttestationService/GetGrounds",
    "/enclave.v1.RetrievalService/OpenSession",
    "/enclave.v1.RetrievalService/Quote",
    "/enclave.v1.RetrievalService/SearchStream",
    "/enclave.v1.RoyaltyService/GetStatement",
    "/vault.v1.LedgerService/CheckBooks",
    "/enclave.v1.TransparencyService/GetTreeHead",
    "/enclave.v1.TransparencyService/GetInclusionProof",
    "/enclave.v1.TransparencyService/GetConsistencyProof",
)
Context = grpc.aio.ServicerContext[Any, Any]
_STATES = {
    State.WAITING: attestation.GetStatusResponse.STATE_WAITING,
    State.OPENING: attestation.GetStatusResponse.STATE_OPENING,
    State.SERVING: attestation.GetStatusResponse.STATE_SERVING,
    State.STOPPED: attestation.GetStatusResponse.STATE_STOPPED,
}


class AttestationServicer(attestation_rpc.AttestationServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """Evidence and what it rests on."""

    def __init__(self, service: EnclaveService) -> None:
        self._service = service

    @answered
    async def GetEvidence(  # noqa: N802, D102
        self, request: attestation.GetEvidenceRequest, _: Context
    ) -> attestation.GetEvidenceResponse:
        if len(request.nonce) != 32:
            raise MalformedObject("a nonce has 32 bytes")
        binding, evidence, server_nonce = await self._service.evidence(request.nonce)
        return attestation.GetEvidenceResponse(
            binding=binding.encoded(),
            evidence=evidence.encoded(),
            server_nonce=server_nonce,
            grounds=self._current_grounds(),
        )

    @answered
    async def GetServerNonce(  # noqa: N802, D102
        self, _: attestation.GetServerNonceRequest, __: Context
    ) -> attestation.GetServerNonceResponse:
        return attestation.GetServerNonceResponse(server_nonce=self._service.server_nonce())

    @answered
    async def GetGrounds(  # noqa: N802, D102
        self, request: attestation.GetGroundsRequest, _: Context
    ) -> attestation.GetGroundsResponse:
        grounds = self._service.instance.grounds(request.evidence)
        if grounds is None:
            raise BlockNotFound("this evidence is not kept any more; connect anew")
        return attestation.GetGroundsResponse(grounds=_shown(grounds))

    @answered
    async def GetStatus(  # noqa: N802, D102
        self, _: attestation.GetStatusRequest, __: Context
    ) -> attestation.GetStatusResponse:
        status = self._service.instance.status
        return attestation.GetStatusResponse(
            state=_STATES[status.state],
            tee=self._service.instance.attester.kind,
            passages_done=status.done,
            passages_total=status.total,
            epoch=status.epoch,
            reason=status.reason,
            passages_per_second=status.pace.per_second(),
            seconds_left=status.pace.seconds_left(),
        )

    def _current_grounds(self) -> attestation.Grounds | None:
        try:
            grounds = self._service.instance.serving()
        except VaultError:
            return None  # evidence may be given without a lease; who asks for the grounds is told why there are none
        return _shown(grounds)


class LedgerServicer(ledger_rpc.LedgerServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """Credit and balances."""

    def __init__(self, service: EnclaveService) -> None:
        self._service = service

    @answered
    async def AddCredit(  # noqa: N802, D102
        self, request: ledger.AddCreditRequest, _: Context
    ) -> ledger.AddCreditResponse:
        balance = await self._service.add_credit(Deposit.from_bytes(request.deposit))
        return ledger.AddCreditResponse(balance=balance)

    @answered
    async def ListBalances(  # noqa: N802, D102
        self, request: ledger.ListBalancesRequest, _: Context
    ) -> ledger.ListBalancesResponse:
        balances = self._service.balances(Inquiry.from_bytes(request.inquiry))
        return ledger.ListBalancesResponse(
            balances=[ledger.Balance(account=name, amount=amount) for name, amount in sorted(balances.items())]
        )

    @answered
    async def OpenChannel(  # noqa: N802, D102
        self, request: ledger.OpenChannelRequest, _: Context
    ) -> ledger.OpenChannelResponse:
        await self._service.promising.open(Channel.from_bytes(request.channel, bytes_max=CHANNEL_BYTES_MAX))
        return ledger.OpenChannelResponse()

    @answered
    async def ListVouchers(self, request: ledger.ListVouchersRequest, context: Context) -> None:  # noqa: N802, D102
        for one in self._service.redeemable(Inquiry.from_bytes(request.inquiry)):
            part = ledger.ListVouchersResponse(
                channel=one.channel.encoded(), voucher=one.voucher.encoded(), claimable=one.claimable
            )
            await written(context, part)

    @answered
    async def CheckBooks(  # noqa: N802, D102
        self, request: ledger.CheckBooksRequest, _: Context
    ) -> ledger.CheckBooksResponse:
        sums, anchor = await self._service.checked_books(Inquiry.from_bytes(request.inquiry))
        return ledger.CheckBooksResponse(
            entries=sums.sequence,
            accounts=len(sums.balances),
            answers=sums.answered,
            log_root=sums.log_root,
            anchor_sequence=anchor.sequence,
            anchor_mac=anchor.mac,
        )


def _shown(grounds: Grounds) -> attestation.Grounds:
    return attestation.Grounds(
        binding=grounds.binding.encoded(),
        evidence=grounds.evidence.encoded(),
        leases=[lease.encoded() for lease in grounds.leases],
        charter=grounds.history.charter.encoded(),
        head=grounds.history.head.encoded(),
        policies=[policy.encoded() for policy in grounds.history.policies.values()],
        manifests=[manifest.encoded() for manifest in grounds.manifests],
    )


async def enclave_server(
    service: EnclaveService, tls: TlsIdentity, listen: str, *, limit: PeerLimit | None = None
) -> tuple[grpc.aio.Server, int]:
    """Start serving on `host:port` (port 0: any free one) and return the server and its port.

    Args:
        limit: how often one peer may call what costs evidence, nonces or signatures (rule R6).
    Raises: `OSError` where the address cannot be listened on.
    """
    server = guarded_server(calls_max=CALLS_MAX, peer_calls_max=PEER_CALLS_MAX, limited=LIMITED_METHODS, limit=limit)
    attestation_rpc.add_AttestationServiceServicer_to_server(AttestationServicer(service), server)
    retrieval_rpc.add_RetrievalServiceServicer_to_server(RetrievalServicer(service), server)
    ledger_rpc.add_LedgerServiceServicer_to_server(LedgerServicer(service), server)
    transparency_rpc.add_TransparencyServiceServicer_to_server(TransparencyServicer(service), server)
    royalty_rpc.add_RoyaltyServiceServicer_to_server(RoyaltyServicer(service), server)
    services = [
        attestation.DESCRIPTOR.services_by_name["AttestationService"],
        retrieval.DESCRIPTOR.services_by_name["RetrievalService"],
        ledger.DESCRIPTOR.services_by_name["LedgerService"],
        transparency.DESCRIPTOR.services_by_name["TransparencyService"],
        royalty.DESCRIPTOR.services_by_name["RoyaltyService"],
    ]
    return server, await started(server, tls, listen, *services)


async def drained(server: grpc.aio.Server, service: EnclaveService, *, grace_s: float) -> None:
    """Stop for good: answer what is under way, take nothing new, and hand the leases back.

    Args:
        grace_s: for answers under way; calls that take longer are refused, and nothing is charged for them.
    """
    await server.stop(grace_s)
    await service.close()
    await service.instance.close()
