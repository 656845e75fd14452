"""Claims of an Intel TDX quote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import AttributesRefused, EvidenceMalformed
from enclave.attestation.intel import Platform, verified_platform
from enclave.attestation.platform_claims import platform_facts, platform_shown
from enclave.attestation.quote import TDX, TdReport, quote_from
from enclave.attestation.roots import ROOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxClaims:
    """What a verified TD quote says of the TD, and Intel of its platform."""

    quote_version: int
    report: TdReport
    platform: Platform

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        return "tdx"

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge. What TDX 1.5 and its extended report add is there for those only."""
        report = self.report
        later: dict[str, Fact] = {"tee_tcb_svn2": report.tee_tcb_svn2, "mr_service_td": report.mr_service_td}
        if report.extension is not None:
            later |= {field.name: getattr(report.extension, field.name) for field in fields(report.extension)}
        return {
            "tee_tcb_svn": report.tee_tcb_svn,
            "mr_seam": report.mr_seam,
            "mr_signer_seam": report.mr_signer_seam,
            "seam_attributes": report.seam_attributes,
            "td_attributes": report.td_attributes,
            "xfam": report.xfam,
            "mr_td": report.mr_td,
            "mr_config_id": report.mr_config_id,
            "mr_owner": report.mr_owner,
            "mr_owner_config": report.mr_owner_config,
            "rt_mr0": report.rt_mr0,
            "rt_mr1": report.rt_mr1,
            "rt_mr2": report.rt_mr2,
            "rt_mr3": report.rt_mr3,
            "report_data": report.report_data,
            "debug": report.debug,
            **{name: value for name, value in later.items() if value is not None},
            **platform_facts(self.platform),
        }

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON."""
        return platform_shown(self.facts(), self.platform, quote_version=self.quote_version, tee_type=TDX)


def verified_tdx(quote: bytes, collateral: bytes, *, at: int, pinned: Mapping[str, bytes] = ROOTS) -> TdxClaims:
    """Return what a TD quote claims, if Intel's signatures bear it out at `at`, or raise an `EvidenceRefused`.

    Args:
        quote: version 4 or 5, perhaps followed by zeros.
        collateral: QuoteCollateralV3 as JSON text.
        at: UTC seconds; certificates and collateral are judged at that time.
        pinned: the hash of each root by name; another than ours only in tests.
    """
    parsed = quote_from(quote)
    if not isinstance(parsed.body, TdReport):
        raise EvidenceMalformed("quote: found one of an SGX enclave, wanted one of a TD")
    platform = verified_platform(parsed, collateral, at=at, pinned=pinned)
    _require_unserved(parsed.body)
    return TdxClaims(quote_version=parsed.version, report=parsed.body, platform=platform)


def _require_unserved(report: TdReport) -> None:
    """Raise `AttributesRefused` where a service TD, or a policy for moving the TD, was ever bound to it.

    `mr_service_td` has been judged with the platform; TD report 1.5ex names the ones at creation and now besides.
    """
    extension = report.extension
    if extension is not None and any(extension.init_service_td_hash + extension.cur_service_td_hash):
        raise AttributesRefused("quote: a service TD is or was bound to the TD, which may hand it on")
