"""SEV-SNP reports, with genuine certificates."""

from enclave.attestation.snp import verified_snp
from enclave.attestation.snp_report import SnpReport
from fuzz.seeds import AT, seeds

ROLES = ("snp_report",)
_SIGNER, _INTERMEDIATE = seeds("vcek")[0], seeds("ask")[0]


def fuzz(data: bytes) -> None:
    """Parse a report, read all of it, and verify it."""
    report = SnpReport(data)
    report.facts()
    report.shown()
    verified_snp(data, signer=_SIGNER, intermediate=_INTERMEDIATE, root=_INTERMEDIATE, at=AT)
