"""A pinned channel to one enclave, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Self

import grpc

from enclave.exchange import CALL_TIMEOUT_S, Exchange, Result, Service, Stubs
from vault.errors import VaultError
from vault.tls import CONNECT_TIMEOUT_S, PinnedCertificate
from vault.wire import error_from


class AsyncEnclaveChannel:
    """What `EnclaveChannel` is, without blocking the loop that it was made on."""

    def __init__(self, address: str, pinned: PinnedCertificate) -> None:
        self.address = address
        self.tls_key = pinned.key_hash
        self._channel = pinned.async_channel(address)
        self._stubs = Stubs(self._channel)

    @classmethod
    async def dial(cls, address: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> Self:
        """Read the certificate at `host:port` and pin it. Raises `ServiceUnavailable`."""
        return cls(address, await asyncio.to_thread(PinnedCertificate.fetch, address, timeout_s=timeout_s))

    async def run(self, exchange: Exchange[Result], *, timeout_s: float = CALL_TIMEOUT_S) -> Result:
        """Make an exchange's calls, each within `timeout_s`, and return what it comes to."""
        try:
            wanted = next(exchange)
            while True:
                try:
                    answer = await self._call(wanted.service, wanted.method, wanted.request, timeout_s)
                except VaultError as error:
                    wanted = exchange.throw(error)
                else:
                    wanted = exchange.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def searches(self, requests: AsyncIterator[Any], *, timeout_s: float) -> AsyncGenerator[Any, None]:
        """Make one `SearchStream` call; leaving it early ends the call."""
        call = self._stubs.method(Service.RETRIEVAL, "SearchStream")(requests, timeout=timeout_s)
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error
        finally:
            call.cancel()

    async def _call(self, service: Service, name: str, request: Any, timeout_s: float) -> Any:
        try:
            return await self._stubs.method(service, name)(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise error_from(error, f"enclave at {self.address}") from error

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
