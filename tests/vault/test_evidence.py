"""What report_data covers: every key, nonce and name an enclave acts under (rule E1)."""

from __future__ import annotations

from dataclasses import fields, replace
from hashlib import sha512
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import seeded
from vault.errors import AccessDenied, MalformedObject
from vault.evidence import DOCUMENT_BYTES_MAX, RELEASE, SERVE, Binding, Evidence, Nonce
from vault.hpke import HpkeKeys

CUSTODIAN = seeded("custodian")
BINDING = Binding(
    purpose=RELEASE,
    nonces=(Nonce(challenger=CUSTODIAN, nonce=seeded("nonce")),),
    hpke=HpkeKeys.from_seed(seeded("hpke", 128)).public,
    tls_key=seeded("tls"),
    receipt_key=seeded("receipt"),
    gpu_evidence=b"",
    configuration=Cid.of(DAG_CBOR, b"configuration"),
    genesis=Cid.of(DAG_CBOR, b"genesis"),
)
OTHERS: dict[str, Any] = {
    "purpose": SERVE,
    "nonces": (Nonce(challenger=CUSTODIAN, nonce=seeded("another nonce")),),
    "hpke": BINDING.hpke[:1],
    "tls_key": seeded("another tls"),
    "receipt_key": seeded("another receipt"),
    "gpu_evidence": seeded("gpu"),
    "configuration": Cid.of(DAG_CBOR, b"another configuration"),
    "genesis": Cid.of(DAG_CBOR, b"another genesis"),
}


def test_report_data_is_the_tagged_hash_of_the_canonical_binding() -> None:
    assert BINDING.report_data() == sha512(b"coffer/report/v1" + BINDING.encoded()).digest()
    assert Binding.from_bytes(BINDING.encoded()).report_data() == BINDING.report_data()


@pytest.mark.parametrize("name", [field.name for field in fields(BINDING) if field.init])
def test_report_data_changes_with_every_field(name: str) -> None:
    assert replace(BINDING, **{name: OTHERS[name]}).report_data() != BINDING.report_data()


def test_each_challenger_finds_its_own_nonce_and_nobody_elses() -> None:
    BINDING.require_nonce(CUSTODIAN, seeded("nonce"))
    for challenger, nonce in (
        (CUSTODIAN, seeded("another")),
        (seeded("another"), seeded("nonce")),
        (b"", seeded("nonce")),
    ):
        with pytest.raises(AccessDenied):
            BINDING.require_nonce(challenger, nonce)


@pytest.mark.parametrize(
    "nonces", [(), BINDING.nonces * 2, (replace(BINDING.nonces[0], challenger=b"z"), *BINDING.nonces)]
)
def test_nonces_have_one_order(nonces: tuple[Nonce, ...]) -> None:
    nonces = tuple(reversed(sorted(set(nonces), key=lambda n: n.challenger))) if len(set(nonces)) > 1 else nonces
    with pytest.raises(MalformedObject):
        replace(BINDING, nonces=nonces)


def test_evidence_is_bounded_and_named_by_its_digest() -> None:
    one, other = Evidence(kind="tdx", document=b"quote"), Evidence(kind="sev-snp", document=b"quote")
    assert one.digest() != other.digest()
    for document in (b"", bytes(DOCUMENT_BYTES_MAX + 1)):
        with pytest.raises(MalformedObject):
            Evidence(kind="tdx", document=document)
