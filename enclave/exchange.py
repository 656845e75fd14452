"""A conversation with an enclave, written once for clients that block and for clients that await.

An exchange is a generator: it yields the calls that it wants made and is sent their answers. It holds every rule and no
socket; `EnclaveChannel.run` and `AsyncEnclaveChannel.run` make its calls.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from enclave.v1 import attestation_pb2_grpc as attestation_rpc
from enclave.v1 import retrieval_pb2_grpc as retrieval_rpc
from vault.v1 import ledger_pb2_grpc as ledger_rpc

CALL_TIMEOUT_S = 30.0


class Service(Enum):
    """The services of an enclave, by the stub that reaches them."""

    ATTESTATION = attestation_rpc.AttestationServiceStub
    RETRIEVAL = retrieval_rpc.RetrievalServiceStub
    LEDGER = ledger_rpc.LedgerServiceStub


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One unary call that an exchange wants made."""

    service: Service
    method: str
    request: Any


Result = TypeVar("Result")
Exchange: TypeAlias = Generator[Call, Any, Result]


class Stubs:
    """The methods of every service over one channel, of either kind."""

    def __init__(self, channel: Any) -> None:
        self._stubs = {service: service.value(channel) for service in Service}

    def method(self, service: Service, name: str) -> Any:
        """Return what makes the call."""
        return getattr(self._stubs[service], name)
