"""Chains of certificates: every link, every constraint, at a given time (RFC 5280)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.certificates import (
    CERTIFICATE_BYTES_MAX,
    CHAIN_LENGTH_MAX,
    PEM_BYTES_MAX,
    certificate_from_der,
    certificates_from_pem,
    verified_chain,
)
from enclave.attestation.errors import (
    CertificateExpired,
    CertificateForged,
    CertificateNotYetValid,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
)
from enclave.attestation.roots import ROOTS
from tests.enclave.attestation.pki import CA_USAGE, Subject, p384, pin
from tests.people import NOW
from tests.shared_data import shared

ROOT = Subject(name="root", key=p384("root"), ca=True, usage=CA_USAGE)
UPPER = Subject(name="upper", key=p384("upper"), issuer=ROOT, ca=True, path_length=1, usage=CA_USAGE)
LOWER = Subject(name="lower", key=p384("lower"), issuer=UPPER, ca=True, path_length=0, usage=CA_USAGE)
LEAF = Subject(name="leaf", key=p384("leaf"), issuer=LOWER, ca=False, usage=("digital_signature",))
CHAIN = (LEAF, LOWER, UPPER, ROOT)
OTHER = Subject(name="other", key=p384("other"), issuer=ROOT, ca=True, usage=CA_USAGE)
PINNED = {"test root": pin(ROOT.der()), "another root": pin(OTHER.der())}
DERS = [subject.der() for subject in CHAIN]
MERE_LEAF = Subject(name="mere", key=p384("mere"), ca=False, usage=("digital_signature",))


def verified(chain: Sequence[Subject], *, at: int = NOW, roots: Sequence[str] = ("test root",)) -> str:
    return verified_chain([subject.certificate() for subject in chain], roots=roots, at=at, pinned=PINNED)


def test_a_whole_chain_leads_to_the_pinned_root() -> None:
    assert verified(CHAIN, roots=("another root", "test root")) == "test root"


def test_a_signer_without_constraints_will_do() -> None:
    assert verified((LEAF.with_(ca=None, usage=None), *CHAIN[1:])) == "test root"


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param((), id="nothing"),
        pytest.param((ROOT,), id="the root alone"),
        pytest.param((LEAF,), id="the leaf alone"),
        pytest.param((LEAF, LOWER, UPPER), id="root missing"),
        pytest.param((LEAF, UPPER, ROOT), id="intermediate missing"),
        pytest.param((LOWER, UPPER, ROOT), id="leaf missing, so that an authority signs"),
        pytest.param((LEAF, LOWER, UPPER, ROOT, OTHER), id="unrelated one after the root"),
        pytest.param((LEAF, OTHER, LOWER, UPPER, ROOT), id="unrelated one within"),
        pytest.param((LEAF, LOWER, UPPER, ROOT, ROOT), id="root twice"),
        pytest.param((ROOT, UPPER, LOWER, LEAF), id="root first"),
        pytest.param((LEAF, LOWER, UPPER, ROOT.with_(key=p384("impostor"))), id="root of the same name"),
        pytest.param((LEAF.with_(signer=p384("forger")), LOWER, UPPER, ROOT), id="leaf signed by another"),
        pytest.param((LEAF.with_(issuer_name="upper"), LOWER, UPPER, ROOT), id="issuer of another name"),
        pytest.param((LEAF, LOWER.with_(ca=False, path_length=None), UPPER, ROOT), id="intermediate is no authority"),
        pytest.param(
            (LEAF, LOWER.with_(ca=None, path_length=None), UPPER, ROOT), id="intermediate without constraints"
        ),
        pytest.param((LEAF, LOWER.with_(usage=("digital_signature",)), UPPER, ROOT), id="may not sign certificates"),
        pytest.param((LEAF, LOWER, UPPER.with_(path_length=0), ROOT), id="path length exceeded"),
        pytest.param((LEAF.with_(ca=True, usage=None), LOWER, UPPER, ROOT), id="leaf is an authority"),
        pytest.param((LEAF.with_(usage=("key_cert_sign",)), LOWER, UPPER, ROOT), id="leaf may sign certificates"),
        pytest.param(
            (LEAF.with_(usage=("digital_signature", "key_cert_sign")), LOWER, UPPER, ROOT), id="leaf may sign both"
        ),
        pytest.param((LEAF.with_(usage=("key_agreement",)), LOWER, UPPER, ROOT), id="leaf may not sign"),
        pytest.param((LEAF.with_(extensions=(("1.2.3.4", b"\x05\x00", True),)), LOWER, UPPER, ROOT), id="critical"),
        pytest.param((LEAF, LOWER.with_(extensions=(("1.2.3.4", b"\x05\x00", True),)), UPPER, ROOT), id="critical CA"),
        pytest.param((MERE_LEAF.with_(issuer=LEAF), *CHAIN), id="issued by a leaf"),
    ],
)
def test_a_chain_with_one_wrong_link_is_refused(chain: Sequence[Subject]) -> None:
    with pytest.raises(ChainInvalid):
        verified(chain)


def test_a_link_of_right_names_and_wrong_signature_is_told_apart() -> None:
    with pytest.raises(CertificateForged):
        verified((LEAF.with_(signer=p384("forger")), LOWER, UPPER, ROOT))


def test_a_pinned_certificate_alone_is_no_chain() -> None:
    mere = MERE_LEAF.certificate()
    with pytest.raises(ChainInvalid, match="chain of 1"):
        verified_chain([mere], roots=("test root",), at=NOW, pinned={"test root": pin(MERE_LEAF.der())})


def test_a_signature_is_of_whole_bytes() -> None:
    place = next(place for place, der in enumerate(DERS[:-1]) if not der[-1] & 1)
    padded = bytearray(DERS[place])
    padded[-len(CHAIN[place].certificate().signature) - 1] = 1  # the last bit, a zero, is said not to count
    certificates = [certificate_from_der(der) for der in (*DERS[:place], bytes(padded), *DERS[place + 1 :])]
    assert certificates[place].signature == CHAIN[place].certificate().signature
    with pytest.raises(ChainInvalid, match="whole bytes"):
        verified_chain(certificates, roots=("test root",), at=NOW, pinned=PINNED)


def test_another_pinned_root_is_not_the_wanted_one() -> None:
    with pytest.raises(ChainInvalid, match="wanted another root"):
        verified(CHAIN, roots=("another root",))


def test_our_own_table_is_used_unless_a_test_says_otherwise() -> None:
    with pytest.raises(ChainInvalid, match="root"):
        verified_chain([subject.certificate() for subject in CHAIN], roots=tuple(ROOTS), at=NOW)


def test_a_chain_has_a_bound() -> None:
    subjects = [ROOT]
    for place in range(CHAIN_LENGTH_MAX):
        name = f"level {place}"
        subjects.insert(0, Subject(name=name, key=p384(name), issuer=subjects[0], ca=True, usage=CA_USAGE))
    subjects[0] = subjects[0].with_(ca=False, usage=None)
    assert verified((subjects[1].with_(ca=False, usage=None), *subjects[2:])) == "test root"
    with pytest.raises(ChainInvalid, match=f"2 to {CHAIN_LENGTH_MAX}"):
        verified(subjects)


@pytest.mark.parametrize("place", range(4))
def test_each_certificate_must_be_valid_to_the_second(place: int) -> None:
    short = CHAIN[place].with_(begins=NOW - 10, ends=NOW + 10)
    chain = (*CHAIN[:place], short, *CHAIN[place + 1 :])
    pinned = {"test root": pin(chain[-1].der())}
    certificates = [subject.certificate() for subject in chain]
    for at in (NOW - 10, NOW + 10):
        assert verified_chain(certificates, roots=("test root",), at=at, pinned=pinned) == "test root"
    with pytest.raises(CertificateNotYetValid, match=f"certificate {place}"):
        verified_chain(certificates, roots=("test root",), at=NOW - 11, pinned=pinned)
    with pytest.raises(CertificateExpired, match=f"certificate {place}"):
        verified_chain(certificates, roots=("test root",), at=NOW + 11, pinned=pinned)


@pytest.mark.parametrize("at", [-(1 << 62), 1 << 62])
def test_times_beyond_every_calendar_are_just_invalid(at: int) -> None:
    with pytest.raises((CertificateExpired, CertificateNotYetValid)):
        verified(CHAIN, at=at)


def test_pem_keeps_its_order() -> None:
    certificates = [subject.certificate() for subject in CHAIN]
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    assert certificates_from_pem(pem) == tuple(certificates)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        LEAF.certificate().public_bytes(Encoding.PEM) * (CHAIN_LENGTH_MAX + 1),
        LEAF.certificate().public_bytes(Encoding.PEM).ljust(PEM_BYTES_MAX + 1, b"\n"),
    ],
)
def test_pem_that_is_no_chain_is_malformed(pem: bytes) -> None:
    with pytest.raises(EvidenceMalformed):
        certificates_from_pem(pem)


def test_der_is_the_whole_of_its_bytes_and_bounded() -> None:
    der = LEAF.der()
    assert certificate_from_der(der) == LEAF.certificate()
    for malformed in (b"", der[:-1], der + b"\0", der.ljust(CERTIFICATE_BYTES_MAX + 1, b"\0")):
        with pytest.raises(EvidenceMalformed):
            certificate_from_der(malformed)


def test_a_whole_certificate_beyond_the_bound_is_not_parsed() -> None:
    bulky = LEAF.with_(extensions=(("1.2.3.4", bytes(CERTIFICATE_BYTES_MAX), False),))
    with pytest.raises(EvidenceMalformed, match="over the limit"):
        certificate_from_der(bulky.der())


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for read in (certificate_from_der, certificates_from_pem):
        with pytest.raises(EvidenceMalformed):
            read(data)


@settings(deadline=None)
@given(place=st.integers(0, 3), offset=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_changed_byte_in_any_certificate_is_refused(place: int, offset: int, flip: int) -> None:
    encoded = [bytearray(der) for der in DERS]
    encoded[place][offset % len(encoded[place])] ^= flip
    with pytest.raises(EvidenceRefused):
        verified_chain(
            [certificate_from_der(bytes(der)) for der in encoded], roots=("test root",), at=NOW, pinned=PINNED
        )


@pytest.mark.parametrize("certificate", ["vcek", "ask"])
def test_amds_serial_numbers_of_zero_are_read_without_a_warning(certificate: str) -> None:
    der = shared(f"evidence/snp/snp-milan-v3-vcek/{certificate}.der").read_bytes()
    assert isinstance(certificate_from_der(der), x509.Certificate)
