"""Pieces of evidence and what verifies them, put together from the files at hand."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from enclave.attestation.bundle import DstackBundle, GpuBundle, IntelBundle, SnpBundle
from enclave.attestation.certificates import UNREADABLE, certificate_from_der, certificates_from_pem
from enclave.attestation.errors import EvidenceMalformed, KindUnsupported, NonceMismatch
from enclave.attestation.recognize import Form, Found
from enclave.attestation.verify import VERIFIERS, verified
from vault.errors import MalformedObject
from vault.evidence import Evidence

UNCOMPARED: Final = "its measurements were not compared with those that NVIDIA signed"
ONE_COMPARED: Final = "only its {} measurements were compared with those that NVIDIA signed"
_SIGNERS: Final = ("SEV-VCEK", "SEV-VLEK")
Verify = Callable[[int, "bytes | None"], "tuple[Any, tuple[str, ...]]"]


class Missing(Exception):
    """What has to be at hand to verify a piece of evidence, and is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is at hand to verify evidence with."""

    collateral: bytes | None = None
    event_log: bytes | None = None
    rims: tuple[bytes, ...] = ()
    chains: tuple[tuple[x509.Certificate, ...], ...] = ()  # one per file

    @classmethod
    def of(cls, files: Iterable[Found]) -> Material:
        """Return what is at hand in these files. Raises `MalformedObject` where one too many makes it ambiguous."""
        by_form: dict[Form, list[bytes]] = {}
        for found in files:
            if found.data not in by_form.setdefault(found.form, []):
                by_form[found.form].append(found.data)
        return cls(
            collateral=_only(by_form, Form.COLLATERAL),
            event_log=_only(by_form, Form.EVENT_LOG),
            rims=tuple(by_form.get(Form.RIM, ())),
            chains=tuple(_certificates(data) for data in by_form.get(Form.CERTIFICATES, ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One piece of evidence of one kind."""

    kind: str
    document: bytes = field(repr=False)  # what `unverified` reads
    verify: Verify
    is_asked: bool = True  # a nonce that a person gives is about it, and not about the machine it is part of

    def verified(self, at: int, nonce: bytes | None) -> tuple[Any, tuple[str, ...]]:
        """Return its verified claims and what was left unchecked, or raise `Missing` or an `EvidenceRefused`."""
        return self.verify(at, nonce)


def subjects_of(found: Found, material: Material) -> Sequence[Subject]:
    """Return the pieces of evidence in a file, or raise `EvidenceMalformed`."""
    match found.form:
        case Form.EVIDENCE:
            return _evidence(found.value)
        case Form.RECEIPT:
            return _evidence(found.value.evidence)
        case Form.SIMULATED:
            return [_through(Evidence(kind="simulated", document=found.data), found.data)]
        case Form.BUNDLE:
            return _bundle(found.value)
        case Form.DSTACK:
            quote, log = found.value
            return [_quote("dstack", quote, material.collateral, log)]
        case Form.TDX:
            kind = "tdx" if material.event_log is None else "dstack"
            return [_quote(kind, found.data, material.collateral, material.event_log)]
        case Form.SGX:
            return [_quote("sgx", found.data, material.collateral, None)]
        case Form.SNP:
            return [Subject(kind="snp", document=found.data, verify=lambda at, _: _snp(found.data, material, at))]
        case Form.NITRO:
            return [_through(Evidence(kind="nitro", document=found.data), found.data)]
        case Form.NVIDIA:
            return [_gpu(found.data, material)]
    return [Subject(kind="rim", document=found.data, verify=lambda at, _: (_rim(found.data, at), ()))]


def _only(by_form: dict[Form, list[bytes]], form: Form) -> bytes | None:
    found = by_form.get(form, [])
    if len(found) > 1:
        raise MalformedObject(f"there are {len(found)} files of this kind: {form.value}; give the one that is meant")
    return found[0] if found else None


def _certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    try:
        found = certificates_from_pem(data) if b"-----BEGIN" in data else (certificate_from_der(data),)
    except EvidenceMalformed as error:
        raise MalformedObject(f"a file of certificates cannot be read: {error}") from error
    try:
        _ = [(certificate.subject, certificate.issuer) for certificate in found]  # parsed only when first read
    except UNREADABLE as error:
        raise MalformedObject("a file of certificates cannot be read: it names nobody") from error
    return found


def _evidence(evidence: Evidence) -> Sequence[Subject]:
    """Return the evidence of a machine, and of its GPUs where it comes with some."""
    if evidence.kind not in VERIFIERS:
        raise EvidenceMalformed(f"evidence of kind {evidence.kind!r}, which this build does not know")
    document = evidence.document
    try:
        if evidence.kind in ("tdx", "sgx"):
            document = IntelBundle.from_bytes(document).quote
        elif evidence.kind == "dstack":
            document = DstackBundle.from_bytes(document).quote
        elif evidence.kind == "snp":
            document = SnpBundle.from_bytes(document).report
        gpus = _gpus(GpuBundle.from_bytes(evidence.gpu), is_asked=False) if evidence.gpu else []
    except MalformedObject as error:
        raise EvidenceMalformed(f"the {evidence.kind} evidence is malformed: {error}") from error
    return [_through(evidence, document), *gpus]


def _through(evidence: Evidence, document: bytes) -> Subject:
    return Subject(kind=evidence.kind, document=document, verify=lambda at, _: (verified(evidence, at=at), ()))


def _bundle(bundle: Any) -> Sequence[Subject]:
    match bundle:
        case GpuBundle():
            return _gpus(bundle, is_asked=True)
        case DstackBundle():
            return _evidence(Evidence(kind="dstack", document=bundle.encoded()))
        case SnpBundle():
            return _evidence(Evidence(kind="snp", document=bundle.encoded()))
    from enclave.attestation.quote import TDX

    kind = "tdx" if int.from_bytes(bundle.quote[4:8], "little") == TDX else "sgx"
    return _evidence(Evidence(kind=kind, document=bundle.encoded()))


def _gpus(bundle: GpuBundle, *, is_asked: bool) -> Sequence[Subject]:
    """Return each GPU of a machine; none is verified unless all are."""

    def verify(place: int) -> Verify:
        from enclave.attestation.gpus import verified_gpus

        def verify_one(at: int, nonce: bytes | None) -> tuple[Any, tuple[str, ...]]:
            if nonce is not None and not hmac.compare_digest(nonce, bundle.nonce):
                raise NonceMismatch(f"nonce: found {bundle.nonce.hex()[:16]}, wanted {nonce.hex()[:16]}")
            return verified_gpus(bundle, at=at)[place], ()

        return verify_one

    return [
        Subject(kind="nvidia", document=device.report, verify=verify(place), is_asked=is_asked)
        for place, device in enumerate(bundle.devices)
    ]


def _quote(kind: str, quote: bytes, collateral: bytes | None, log: bytes | None) -> Subject:
    def verify(at: int, _: bytes | None) -> tuple[Any, tuple[str, ...]]:
        if collateral is None:
            raise Missing("Intel's collateral is missing: give it with --collateral (QuoteCollateralV3, JSON)")
        try:
            return _verified_quote(kind, quote, collateral, log, at), ()
        except ModuleNotFoundError as error:
            raise KindUnsupported(
                f"kind: what verifies {kind} evidence is not installed; install with: pip install 'coffer[attestation]'"
            ) from error

    return Subject(kind=kind, document=quote, verify=verify)


def _verified_quote(kind: str, quote: bytes, collateral: bytes, log: bytes | None, at: int) -> Any:
    from enclave.attestation.dstack import verified_dstack
    from enclave.attestation.sgx import verified_sgx
    from enclave.attestation.tdx import verified_tdx

    if kind == "dstack" and log is not None:
        return verified_dstack(quote, collateral, log, at=at)
    return (verified_sgx if kind == "sgx" else verified_tdx)(quote, collateral, at=at)


def _snp(report: bytes, material: Material, at: int) -> tuple[Any, tuple[str, ...]]:
    from enclave.attestation.snp import verified_snp

    everything = [certificate for chain in material.chains for certificate in chain]
    named = {_name(certificate): certificate for certificate in everything}
    signer = next((named[name] for name in _SIGNERS if name in named), None)
    root = next((named[name] for name in named if name.startswith("ARK-")), None)
    others = [named[name] for name in named if name.startswith("SEV-") and name not in _SIGNERS]
    issuers = [other for other in others if signer is not None and other.subject == signer.issuer] or others
    if signer is None or not issuers or root is None:
        lacking = [
            what for what, found in (("VCEK or VLEK", signer), ("ASK or ASVK", issuers), ("ARK", root)) if not found
        ]
        raise Missing(f"AMD's certificates are missing: give {', '.join(lacking)} with --cert (DER or PEM)")
    der = [certificate.public_bytes(Encoding.DER) for certificate in (signer, issuers[0], root)]
    return verified_snp(report, signer=der[0], intermediate=der[1], root=der[2], at=at), ()


def _name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _gpu(report: bytes, material: Material) -> Subject:
    def verify(at: int, nonce: bytes | None) -> tuple[Any, tuple[str, ...]]:
        from enclave.attestation.nvidia import require_reference, verified_nvidia

        if not material.chains:
            raise Missing("the GPU's certificate chain is missing: give it with --cert (PEM)")
        chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in max(material.chains, key=len))
        claims = verified_nvidia(report, chain, nonce=nonce, at=at)
        if not material.rims:
            return claims, (UNCOMPARED,)
        rims = [_rim(rim, at) for rim in material.rims]
        kinds = {rim.kind for rim in rims}
        require_reference(claims, rims, kinds=kinds)
        return claims, () if len(kinds) > 1 else (ONE_COMPARED.format(kinds.pop()),)

    return Subject(kind="nvidia", document=report, verify=verify)


def _rim(document: bytes, at: int) -> Any:
    from enclave.attestation.rim import verified_rim

    return verified_rim(document, at=at)
