"""AMD SEV-SNP: verifying an attestation report against its certificates, at a given time.

Cryptography alone: who signed what, and whether the parts belong together. Debugging, privilege level and firmware
levels are facts for the appraisal to judge. Nothing the report says is used before its signature holds.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import BindingMismatch, SignatureInvalid
from enclave.attestation.roots import ROOTS
from enclave.attestation.snp_chain import SnpSigner, product_of_cpu, tcb_parts, verified_signer
from enclave.attestation.snp_report import ECDSA_P384_SHA384, SIGNING_KEYS, TCB_FIELDS, VCEK, SnpReport

SNP: Final = "snp"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpClaims:
    """What a verified report says, and who signed it."""

    KIND: ClassVar[str] = SNP

    report: SnpReport
    signer: SnpSigner

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        return self.KIND

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge; each TCB as a whole and by its parts, as `reported_snp`."""
        parts = {
            f"{name.removesuffix('_tcb')}_{part}": level
            for name in TCB_FIELDS
            for part, level in tcb_parts(self.report.field(name), self.signer.product).items()
        }
        return {
            **self.report.facts(),
            **parts,
            "product": self.signer.product,
            "signed_by": self.signer.kind,
            "csp_id": self.signer.csp_id,
        }

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON, under the names of the evidence index."""
        return {
            **self.report.shown(),
            "product_in_cert": self.signer.product_in_certificate.decode("ascii"),
            "signed_by": self.signer.kind,
            "reported_tcb_parts": dict(tcb_parts(self.signer.tcb, self.signer.product)),
        }


def verified_snp(
    report: bytes, *, signer: bytes, intermediate: bytes, root: bytes, at: int, pinned: Mapping[str, bytes] = ROOTS
) -> SnpClaims:
    """Return what the report says if AMD's chain certifies its signer, for the platform it describes.

    Args:
        report: 1184 bytes, as firmware made them.
        signer: VCEK or VLEK, `intermediate` its ASK or ASVK, `root` the ARK; each in DER.
        at: the time of verification in Unix seconds.
        pinned: the hash of each root by name; another than ours only in tests.
    Raises: EvidenceRefused: one of its subclasses, for whatever does not hold.
    """
    found = SnpReport(report)
    who = verified_signer(signer, intermediate, root, at=at, pinned=pinned)
    _require_signature(found, who)
    found.require_known()
    _require_same_platform(found, who)
    return SnpClaims(report=found, signer=who)


def _require_signature(report: SnpReport, signer: SnpSigner) -> None:
    if report.number("sig_algo") != ECDSA_P384_SHA384:
        raise SignatureInvalid("SNP report: its signature is not of ECDSA on P-384 with SHA-384")
    try:
        signer.key.verify(encode_dss_signature(*report.signature), report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise SignatureInvalid(f"SNP report: it is not signed by the {signer.kind} it came with") from error


def _require_same_platform(report: SnpReport, signer: SnpSigner) -> None:
    """Raise `BindingMismatch` unless the report describes what its signer is certified for."""
    said = SIGNING_KEYS.get(report.signing_key)
    if said != signer.kind:
        raise BindingMismatch(f"SNP report: signing key {report.signing_key}, but the certificate is a {signer.kind}'s")
    if signer.kind == VCEK and report.mask_chip_key:
        raise BindingMismatch("SNP report: signed by a VCEK that its host says must not sign")
    if not hmac.compare_digest(report.field("reported_tcb"), signer.tcb):
        raise BindingMismatch(
            f"SNP report: reported TCB {report.field('reported_tcb').hex()}, certified is {signer.tcb.hex()}"
        )
    if report.cpuid is not None and product_of_cpu(*report.cpuid[:2]) != signer.product:
        raise BindingMismatch(f"SNP report: of CPU {report.cpuid}, certified is a {signer.product}")
    chip = report.field("chip_id")
    if signer.hwid is not None and any(chip) and chip != signer.hwid.ljust(len(chip), b"\0"):  # zero: host masks it
        raise BindingMismatch("SNP report: of another chip than the certified one")
