"""Errors across the wire: every one of ours has a status and comes back as itself; a bug says nothing."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import enclave.attestation.errors
import vault.errors
from enclave.answers import ReceiptNotKept
from storage import errors as storage_errors
from tests.builders import seeded
from tests.enclaves import Custodians, world
from tests.http2 import DATA_FRAME, HEADERS_FRAME, http2_call
from tests.loops import Loop
from vault.client import CustodyClient
from vault.custody_server import custody_server
from vault.errors import InvalidSignature, MalformedObject, RecordsUnavailable, ServiceUnavailable, VaultError
from vault.guard import require_tls13
from vault.tls import MESSAGE_BYTES_MAX, SERVER_NAME, PinnedCertificate, TlsIdentity
from vault.v1 import custody_pb2 as pb
from vault.v1 import custody_pb2_grpc as rpc
from vault.wire import LOCAL, REASON_KEY, TABLE, error_from, status_of, told

WORLD = world()


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(subclasses(below) for below in kind.__subclasses__()))


OURS = {
    kind
    for kind in subclasses(VaultError) - {VaultError} | subclasses(storage_errors.StorageError)
    if kind.__module__.partition(".")[0] in ("vault", "enclave", "storage")  # what can cross the wire
} - {ReceiptNotKept}  # a client's own disk


class TestTable:
    @pytest.mark.parametrize("kind", sorted(OURS, key=lambda kind: kind.__name__))
    def test_every_error_of_ours_has_a_status_and_keeps_its_message(self, kind: type[Exception]) -> None:
        code, reason, message = status_of(kind("what is wrong"))
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN)
        assert (reason.isupper(), message) == (True, LOCAL.get(reason, "what is wrong"))

    def test_subclasses_stand_before_their_bases(self) -> None:
        kinds = [kind for kind, _, _ in TABLE]
        for place, kind in enumerate(kinds):
            assert not any(issubclass(later, kind) for later in kinds[place + 1 :]), kind

    def test_a_reason_comes_back_as_the_error_it_stands_for(self) -> None:
        for kind in vars(vault.errors).values():
            if isinstance(kind, type) and issubclass(kind, VaultError) and kind is not VaultError:
                code, reason, message = status_of(kind("message"))
                back = error_from(Failure(code, reason, message), "service")
                assert (type(back), str(back)) == (kind, LOCAL.get(reason, "message"))

    def test_refused_evidence_comes_back_as_access_denied(self) -> None:
        refused = enclave.attestation.errors.MeasurementMismatch("measurement: found a, wanted b")
        back = error_from(Failure(*status_of(refused)), "service")
        assert (type(back), str(back)) == (vault.errors.AccessDenied, "measurement: found a, wanted b")

    @pytest.mark.parametrize(
        "kind", [RecordsUnavailable, storage_errors.StorageUnavailable, storage_errors.StorageFull,
                 storage_errors.BlockNotFound, storage_errors.BlockMismatch, storage_errors.BlockTooLarge]
    )  # fmt: skip
    def test_what_this_machines_disk_did_names_no_place(self, kind: type[Exception]) -> None:
        detail = "the database sqlite:////srv/custodian/records.db has no room left"
        assert "srv" not in told(kind(detail))
        for outer in (MalformedObject, vault.errors.StaleState, ServiceUnavailable):
            try:
                try:
                    raise kind(detail)
                except (VaultError, storage_errors.StorageError) as error:
                    raise outer(f"the chain lacks a block: {error}; ask again") from error
            except VaultError as quoting:
                said = told(quoting)
            assert said.startswith("the chain lacks a block: ") and said.endswith("; ask again")
            assert "srv" not in said

    def test_a_path_in_the_systems_own_words_is_left_out(self) -> None:
        try:
            try:
                raise FileNotFoundError(2, "No such file", "/srv/secret/place")
            except OSError as error:
                raise ServiceUnavailable(f"not now: {error}") from error
        except ServiceUnavailable as quoting:
            assert "secret" not in told(quoting) and told(quoting).startswith("not now: ")

    def test_causes_in_a_circle_are_no_trap(self) -> None:
        one, other = ServiceUnavailable("one"), ServiceUnavailable("other")
        one.__cause__, other.__cause__ = other, one
        assert told(one) == "one"

    @pytest.mark.parametrize("bug", [ValueError("secret"), KeyError("secret"), RuntimeError("secret"), VaultError("x")])
    def test_what_is_not_ours_says_nothing(self, bug: Exception) -> None:
        code, reason, message = status_of(bug)
        assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
        assert "secret" not in message

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (grpc.StatusCode.UNAVAILABLE, ServiceUnavailable),
            (grpc.StatusCode.DEADLINE_EXCEEDED, ServiceUnavailable),
            (grpc.StatusCode.UNIMPLEMENTED, VaultError),
        ],
    )
    def test_a_failure_without_reason_is_told_by_its_code(self, code: grpc.StatusCode, expected: type) -> None:
        assert type(error_from(Failure(code, None, "details"), "service")) is expected


class Failure(grpc.RpcError, grpc.Call):  # type: ignore[misc]  # grpc has no types for what it raises
    """What grpcio raises for a failed call."""

    def __init__(self, code: grpc.StatusCode, reason: str | None, details: str) -> None:
        self._code, self._reason, self._details = code, reason, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return ((REASON_KEY, self._reason),) if self._reason else ()

    def initial_metadata(self) -> None: ...
    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> None: ...
    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: object) -> bool:
        return False


class Server:
    """A custodian's real server on the loopback."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.custodians = Custodians(WORLD, folder)
        self.server, port = self.loop.call(custody_server(self.custodians.all[0], TlsIdentity.fresh(), "127.0.0.1:0"))
        self.address = f"127.0.0.1:{port}"

    def close(self) -> None:
        self.loop.call(self.server.stop(0))
        self.loop.close()
        self.custodians.__exit__()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


class TestServer:
    def test_a_bug_is_internal_and_its_message_goes_nowhere(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def buggy(instance: bytes, keys: bytes) -> bytes:
            raise ValueError("the key is 0xC0FFEE")

        with CustodyClient.connect(server.address) as client, caplog.at_level(logging.DEBUG):
            monkeypatch.setattr(server.custodians.all[0], "challenge", buggy)
            with pytest.raises(VaultError) as failed:
                client.challenge(bytes(32), bytes(32))
        assert type(failed.value) is VaultError
        assert "C0FFEE" not in str(failed.value) + caplog.text
        assert "ValueError at" in caplog.text

    def test_a_failing_disk_is_told_in_general_and_logged_in_detail(
        self, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        detail = "the database sqlite:////srv/custodian/records.db is damaged; nothing was recorded"

        def failing(instance: bytes, keys: bytes) -> bytes:
            raise RecordsUnavailable(detail)

        with CustodyClient.connect(server.address) as client, caplog.at_level(logging.DEBUG):
            monkeypatch.setattr(server.custodians.all[0], "challenge", failing)
            with pytest.raises(RecordsUnavailable) as failed:
                client.challenge(bytes(32), bytes(32))
        assert str(failed.value) == LOCAL["RECORDS_UNAVAILABLE"]
        assert detail in caplog.text

    def test_garbage_in_every_field_is_refused_as_malformed(self, server: Server) -> None:
        channel = PinnedCertificate.fetch(server.address).channel(server.address)
        stub = rpc.CustodyServiceStub(channel)
        garbage = [
            (stub.Identify, pb.IdentifyRequest(nonce=b"short")),
            (stub.SubmitHead, pb.SubmitHeadRequest(head=b"no cid")),
            (stub.SubmitHead, pb.SubmitHeadRequest(head=WORLD.genesis.binary, car=b"no car")),
            (stub.DepositShare, pb.DepositShareRequest(manifest=b"x", deposit=b"y")),
            (stub.Challenge, pb.ChallengeRequest(instance=b"short")),
            (stub.Release, pb.ReleaseRequest(binding=b"x")),
            (stub.DepositState, pb.DepositStateRequest(deposit=b"x")),
            (stub.HandBack, pb.HandBackRequest(hand_back=b"x")),
        ]
        for method, request in garbage:
            with pytest.raises(grpc.RpcError) as failed:
                method(request, timeout=10)
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT, request
            assert isinstance(error_from(failed.value, "custodian"), MalformedObject)
        channel.close()

    def test_a_message_over_the_bound_is_refused_and_the_service_lives_on(self, server: Server) -> None:
        pinned = PinnedCertificate.fetch(server.address)
        unbounded = grpc.secure_channel(
            server.address,
            grpc.ssl_channel_credentials(root_certificates=pinned.pem),
            (("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.max_send_message_length", -1)),
        )
        stub = rpc.CustodyServiceStub(unbounded)
        with pytest.raises(grpc.RpcError) as failed:
            stub.SubmitHead(pb.SubmitHeadRequest(head=b"", car=bytes(MESSAGE_BYTES_MAX)), timeout=10)
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(stub.Challenge(pb.ChallengeRequest(instance=bytes(32), keys=bytes(32)), timeout=10).nonce) == 32
        unbounded.close()

    def test_nobody_listens_twice_on_one_port(self, server: Server) -> None:
        with pytest.raises(OSError, match="in use"):
            server.loop.call(custody_server(server.custodians.all[0], TlsIdentity.fresh(), server.address))

    @pytest.mark.parametrize(
        ("version", "is_answered"), [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, False)]
    )
    def test_below_tls_13_nothing_is_answered(self, server: Server, version: ssl.TLSVersion, is_answered: bool) -> None:
        request = pb.ChallengeRequest(instance=seeded("instance"), keys=seeded("keys")).SerializeToString()
        frames = http2_call(server.address, "/vault.v1.CustodyService/Challenge", request, version)
        assert (DATA_FRAME in frames) is is_answered
        assert HEADERS_FRAME in frames  # it was answered, with a status


@pytest.mark.parametrize("versions", [None, [], [b"TLSv1.2"], [b"TLSv1.3", b"TLSv1.2"]])
def test_anything_but_tls_13_alone_is_refused(versions: list[bytes] | None) -> None:
    class Context:
        def auth_context(self) -> dict[str, list[bytes]]:
            return {} if versions is None else {"ssl_tls_version": versions}

    with pytest.raises(InvalidSignature, match="TLS"):
        require_tls13(Context())
