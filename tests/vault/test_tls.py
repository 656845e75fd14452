"""Pinned TLS: the certificate seen first is the only one that will do (rule E5)."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

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
