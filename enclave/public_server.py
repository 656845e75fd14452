"""The gRPC edge of the public log and of statements: parse, one call, render."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import grpc

from enclave.public_log import PublicLog
from enclave.service import EnclaveService
from enclave.v1 import royalty_pb2, royalty_pb2_grpc, transparency_pb2, transparency_pb2_grpc
from vault.errors import MalformedObject, ServiceUnavailable
from vault.inquiry import Inquiry
from vault.wire import answered

PART_BYTES: Final = 1 << 20
PROOFS_MAX: Final = 1024  # in one call: 1.5 MiB of hashes
WRITE_S_MAX: Final = 30.0  # for a client to take a part
Context = grpc.aio.ServicerContext[Any, Any]


class TransparencyServicer(transparency_pb2_grpc.TransparencyServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """The public log."""

    def __init__(self, service: EnclaveService) -> None:
        self._service = service

    @answered
    async def GetTreeHead(  # noqa: N802, D102
        self, _: transparency_pb2.GetTreeHeadRequest, __: Context
    ) -> transparency_pb2.GetTreeHeadResponse:
        return transparency_pb2.GetTreeHeadResponse(head=self._service.tree_head().encoded())

    @answered
    async def GetInclusionProof(  # noqa: N802, D102
        self, request: transparency_pb2.GetInclusionProofRequest, _: Context
    ) -> transparency_pb2.GetInclusionProofResponse:
        log, size = self._service.log(), request.size
        if not 1 <= len(request.indices) + len(request.refunds) <= PROOFS_MAX:
            raise MalformedObject(f"1 … {PROOFS_MAX} leaves may be asked for at once")
        places = [*request.indices, *(log.refund_place(refund, size) for refund in request.refunds)]
        return transparency_pb2.GetInclusionProofResponse(proofs=[_proof(log, place, size) for place in places])

    @answered
    async def GetConsistencyProof(  # noqa: N802, D102
        self, request: transparency_pb2.GetConsistencyProofRequest, _: Context
    ) -> transparency_pb2.GetConsistencyProofResponse:
        proof = self._service.log().consistency(request.old, request.size)
        return transparency_pb2.GetConsistencyProofResponse(proof=proof)


def _proof(log: PublicLog, place: int | None, size: int) -> transparency_pb2.InclusionProof:
    if place is None:
        return transparency_pb2.InclusionProof()
    return transparency_pb2.InclusionProof(found=True, index=place, path=log.path(place, size))


class RoyaltyServicer(royalty_pb2_grpc.RoyaltyServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """Statements."""

    def __init__(self, service: EnclaveService) -> None:
        self._service = service

    @answered
    async def GetStatement(  # noqa: N802, D102
        self, request: royalty_pb2.GetStatementRequest, context: Context
    ) -> None:
        handed = await self._service.statements(Inquiry.from_bytes(request.inquiry), request.epoch)
        for part in _parts([(one.proven.encoded(), one.passage_key) for one in handed]):
            await written(context, part)


def _parts(statements: list[tuple[bytes, bytes]]) -> Iterator[royalty_pb2.GetStatementResponse]:
    for number, (body, passage_key) in enumerate(statements, 1):
        for start in range(0, len(body), PART_BYTES):
            yield royalty_pb2.GetStatementResponse(
                number=number,
                part=body[start : start + PART_BYTES],
                passage_key=b"" if start else passage_key,
            )


async def written(context: Context, part: Any) -> None:
    """Write one part of an answer. Raises `ServiceUnavailable` where the client does not take it."""
    try:
        async with asyncio.timeout(WRITE_S_MAX):
            await context.write(part)
    except TimeoutError as error:
        raise ServiceUnavailable("the client does not take its answer; ask again") from error
