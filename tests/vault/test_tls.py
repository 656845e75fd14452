"""Pinned TLS: the certificate seen first is the only one that will do (rule E5)."""

from __future__ import annotations

import copy
import pickle
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.builders import seeded
from tests.enclaves import Custodians, world
from tests.loops import Loop
from tests.people import custodian
from vault.client import CustodyClient
from vault.custodian import CustodianKeys
from vault.custody_server import custody_server
from vault.errors import InvalidSignature, ServiceUnavailable
from vault.machine import MachineKey
from vault.tls import SERVER_NAME, PinnedCertificate, TlsIdentity

WORLD = world()


def test_a_certificate_can_sign_no_other_and_never_expires() -> None:
    certificate = x509.load_pem_x509_certificate(TlsIdentity.fresh().certificate_pem)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc.year == 9999


def test_keys_are_fresh_and_do_not_print() -> None:
    one, other = TlsIdentity.fresh(), TlsIdentity.fresh()
    assert one.key_hash != other.key_hash
    for shown in (repr(one), str(one), f"{one}", f"{[one]}"):
        assert "PRIVATE" not in shown
    leaves: list[Any] = [pickle.dumps, copy.copy, copy.deepcopy]
    for leave in leaves:
        with pytest.raises(TypeError):
            leave(one)


def test_nothing_listening_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", "127.0.0.1:none", "nowhere"):
            with pytest.raises(ServiceUnavailable):
                PinnedCertificate.fetch(address, timeout_s=1)


@contextmanager
def showing(certificate_pem: bytes, private_pem: bytes, folder: Path) -> Iterator[str]:
    """Answer one TLS handshake with a certificate of one's choice; yield the address."""
    (folder / "shown.pem").write_bytes(certificate_pem + private_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "shown.pem")
    context.set_alpn_protocols(["h2"])

    def answer(listening: socket.socket) -> None:
        with suppress(OSError):
            plain, _ = listening.accept()
            with context.wrap_socket(plain, server_side=True) as link:
                link.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=answer, args=(listening,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    thread.join(10)


def mangled(identity: TlsIdentity, genuine: bytes, other: bytes) -> bytes:
    """Return the certificate with one piece of its DER replaced by another of the same length."""
    der = x509.load_pem_x509_certificate(identity.certificate_pem).public_bytes(Encoding.DER)
    assert der.count(genuine) == 1 and len(genuine) == len(other)
    return ssl.DER_cert_to_PEM_cert(der.replace(genuine, other)).encode()


@pytest.mark.parametrize(
    ("genuine", "other"),
    [
        (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04"),  # RFC 5280, section 4.1.2.1: a version 5
        (b"99991231000000Z", b"99991331000000Z"),  # section 4.1.2.5: a thirteenth month
    ],
)
def test_a_certificate_that_cannot_be_read_is_no_service(tmp_path: Path, genuine: bytes, other: bytes) -> None:
    """OpenSSL takes it in the handshake; what it makes of it later must not end whoever asked."""
    identity = TlsIdentity.fresh()
    with (
        showing(mangled(identity, genuine, other), identity.private_pem, tmp_path) as address,
        pytest.raises(ServiceUnavailable, match="cannot be read"),
    ):
        PinnedCertificate.fetch(address)
    with showing(identity.certificate_pem, identity.private_pem, tmp_path) as address:
        assert PinnedCertificate.fetch(address).key_hash == identity.key_hash


class Serving:
    """A custodian that can be stopped and started again with another TLS key at the same address."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.custodians = Custodians(WORLD, folder)
        self.address = "127.0.0.1:0"
        self.start(TlsIdentity.fresh())

    def start(self, tls: TlsIdentity) -> None:
        self.server, port = self.loop.call(custody_server(self.custodians.all[0], tls, self.address))
        self.address = f"127.0.0.1:{port}"

    def stop(self) -> None:
        self.loop.call(self.server.stop(0))

    def close(self) -> None:
        self.stop()
        self.loop.close()
        self.custodians.__exit__()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    serving = Serving(tmp_path)
    yield serving
    serving.close()


def test_a_certificate_swapped_later_is_not_accepted(serving: Serving) -> None:
    with CustodyClient.connect(serving.address) as client:
        client.challenge(bytes(32), bytes(32))
        serving.stop()
        serving.start(TlsIdentity.fresh())
        with pytest.raises(ServiceUnavailable, match="another key than the pinned one"):
            client.challenge(bytes(32), bytes(32))


def test_a_restarted_custodian_proves_itself_anew(serving: Serving) -> None:
    """Every start makes another TLS key; an enclave that could not follow would lose its lease with each restart."""
    with CustodyClient.connect(serving.address) as client:
        serving.stop()
        with pytest.raises(ServiceUnavailable):
            client.challenge(bytes(32), bytes(32))
        serving.start(TlsIdentity.fresh())
        assert len(client.challenge(bytes(32), bytes(32))) == 32


@pytest.mark.parametrize("what", ["another custodian", "the same with another HPKE key"])
def test_somebody_else_at_its_address_is_not_taken_for_it(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    genuine, other = WORLD.dao.custodians[0], custodian("another")
    keys = CustodianKeys(other.signing if what == "another custodian" else genuine.signing, other.hpke)
    with CustodyClient.connect(serving.address) as client:
        serving.stop()
        with pytest.raises(ServiceUnavailable):
            client.challenge(bytes(32), bytes(32))
        monkeypatch.setattr(serving.custodians.all[0], "_keys", keys)
        serving.start(TlsIdentity.fresh())
        with pytest.raises(InvalidSignature):
            client.challenge(bytes(32), bytes(32))


def test_the_custodian_a_charter_names_is_insisted_on(serving: Serving) -> None:
    with CustodyClient.connect(serving.address, expected=serving.custodians.all[0].public.key) as client:
        assert client.custodian == serving.custodians.all[0].public
    with pytest.raises(InvalidSignature, match="is not custodian"):
        CustodyClient.connect(serving.address, expected=MachineKey(seeded("another")).public)


@pytest.mark.parametrize("replaced", ["nonce", "tls_key", "signature"])
def test_a_custodians_proof_relayed_over_another_connection_is_refused(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    custody, genuine = serving.custodians.all[0], serving.custodians.all[0].identify

    def relayed(nonce: bytes, tls_key: bytes) -> object:
        record, signature = genuine(
            seeded("old") if replaced == "nonce" else nonce, seeded("other") if replaced == "tls_key" else tls_key
        )
        return record, bytes(64) if replaced == "signature" else signature

    monkeypatch.setattr(custody, "identify", relayed)
    with pytest.raises(InvalidSignature):
        CustodyClient.connect(serving.address)


def test_the_server_name_is_ours_whatever_the_address(serving: Serving) -> None:
    pinned = PinnedCertificate.fetch(serving.address)
    certificate = x509.load_pem_x509_certificate(pinned.pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [SERVER_NAME]
