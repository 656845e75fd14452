"""Claims of an Intel SGX quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import EvidenceMalformed, FormUnsupported
from enclave.attestation.intel import Platform, verified_platform
from enclave.attestation.platform_claims import platform_facts, platform_shown
from enclave.attestation.quote import SGX, EnclaveReport, quote_from
from enclave.attestation.roots import ROOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxClaims:
    """What a verified enclave quote says of the enclave, and Intel of its platform."""

    quote_version: int
    report: EnclaveReport
    platform: Platform

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        return "sgx"

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge."""
        report = self.report
        return {
            "cpu_svn": report.cpu_svn,
            "misc_select": report.misc_select,
            "attributes": report.attributes,
            "mr_enclave": report.mr_enclave,
            "mr_signer": report.mr_signer,
            "isv_ext_prod_id": report.isv_ext_prod_id,
            "isv_family_id": report.isv_family_id,
            "config_id": report.config_id,
            "config_svn": report.config_svn,
            "isv_prod_id": report.isv_prod_id,
            "isv_svn": report.isv_svn,
            "report_data": report.report_data,
            "debug": report.debug,
            **platform_facts(self.platform),
        }

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON."""
        return platform_shown(self.facts(), self.platform, quote_version=self.quote_version, tee_type=SGX)


def verified_sgx(quote: bytes, collateral: bytes, *, at: int, pinned: Mapping[str, bytes] = ROOTS) -> SgxClaims:
    """Return what an enclave's quote claims, if Intel's signatures bear it out at `at`, or raise an `EvidenceRefused`.

    Args:
        quote: version 3, perhaps followed by zeros.
        collateral: QuoteCollateralV3 as JSON text.
        at: UTC seconds; certificates and collateral are judged at that time.
        pinned: the hash of each root by name; another than ours only in tests.
    """
    parsed = quote_from(quote)
    if not isinstance(parsed.body, EnclaveReport):
        raise EvidenceMalformed("quote: found one of a TD, wanted one of an SGX enclave")
    if parsed.version != 3:
        raise FormUnsupported(f"quote: found one of an SGX enclave in version {parsed.version}, wanted version 3")
    platform = verified_platform(parsed, collateral, at=at, pinned=pinned)
    return SgxClaims(quote_version=parsed.version, report=parsed.body, platform=platform)
