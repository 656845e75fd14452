"""Attacks by an old protocol: below TLS 1.3 no method of any server answers, and no client of ours asks (rule E5)."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from enclave.channel import EnclaveChannel
from enclave.v1 import attestation_pb2, retrieval_pb2
from tests.deployment import Deployment, deployed
from tests.enclaves import world
from tests.http2 import DATA_FRAME, HEADERS_FRAME, http2_call
from vault.client import CustodyClient
from vault.errors import ServiceUnavailable
from vault.tls import PinnedCertificate, TlsIdentity
from vault.v1 import custody_pb2, ledger_pb2
from vault.wire import REASON_KEY

COMMON = (health_pb2, reflection_pb2)
SERVERS = {"enclave": (attestation_pb2, retrieval_pb2, ledger_pb2, *COMMON), "custodian": (custody_pb2, *COMMON)}
METHODS = [
    (server, f"/{service.full_name}/{method.name}")
    for server, files in SERVERS.items()
    for file in files
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), world()) as deployment:
        yield deployment


def address_of(deployment: Deployment, server: str) -> str:
    return deployment.enclave.address if server == "enclave" else deployment.custodians[0].address


@pytest.mark.parametrize(("server", "path"), METHODS)
def test_no_method_answers_below_tls_13(deployment: Deployment, server: str, path: str) -> None:
    frames = http2_call(address_of(deployment, server), path, b"", ssl.TLSVersion.TLSv1_2)
    assert DATA_FRAME not in frames
    assert HEADERS_FRAME in frames  # a status


@pytest.mark.parametrize("path", ["/grpc.health.v1.Health/Check", "/enclave.v1.AttestationService/GetStatus"])
def test_the_same_call_over_tls_13_is_answered(deployment: Deployment, path: str) -> None:
    assert DATA_FRAME in http2_call(deployment.enclave.address, path, b"", ssl.TLSVersion.TLSv1_3)


@pytest.fixture(params=["enclave", "custodian"])
def channel(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    address = address_of(deployment, request.param)
    with PinnedCertificate.fetch(address).channel(address) as channel:
        yield channel


class TestWhatIsGuardedWorks:
    def test_health_is_told_once_and_watched(self, channel: grpc.Channel) -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest()
        assert stub.Check(asked, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        watching = stub.Watch(asked, timeout=10)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()
        with pytest.raises(grpc.RpcError) as failed:
            stub.Check(health_pb2.HealthCheckRequest(service="no such service"), timeout=10)
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND

    def test_services_are_listed(self, channel: grpc.Channel) -> None:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")] * 2
        answers = list(stub.ServerReflectionInfo(iter(asked), timeout=10))
        names = [{service.name for service in answer.list_services_response.service} for answer in answers]
        assert len(names) == 2 and "grpc.health.v1.Health" in names[0]

    def test_a_method_that_does_not_exist_is_said_not_to(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/enclave.v1.AttestationService/GetKeys")(b"", timeout=10)
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert REASON_KEY not in dict(failed.value.trailing_metadata() or ())


@contextmanager
def old_server(highest: ssl.TLSVersion) -> Iterator[str]:
    """Run a TLS server that speaks nothing newer, with a certificate as ours are."""
    tls = TlsIdentity.fresh()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = highest
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.write_bytes(tls.private_pem + tls.certificate_pem)
        context.load_cert_chain(path)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            try:
                while True:
                    plain, _ = listening.accept()
                    try:
                        context.wrap_socket(plain, server_side=True).close()
                    except OSError:
                        plain.close()
            except OSError:
                return  # closed: the test is over

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("connect", [EnclaveChannel, CustodyClient.connect, PinnedCertificate.fetch])
def test_a_server_that_speaks_only_tls_12_is_refused(connect: Callable[[str], Any]) -> None:
    with old_server(ssl.TLSVersion.TLSv1_2) as address, pytest.raises(ServiceUnavailable):
        connect(address)
    with old_server(ssl.TLSVersion.TLSv1_3) as address:
        assert PinnedCertificate.fetch(address).key_hash  # so it was the version
