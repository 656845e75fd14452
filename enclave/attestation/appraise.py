"""Judging verified evidence against what a policy accepts. Every field must fit; nothing is skipped."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from enclave.attestation.errors import BindingMismatch, DebugEnabled, KindUnsupported, MeasurementMismatch
from enclave.attestation.simulated import verified_simulated
from vault.evidence import Appraisal, Evidence
from vault.policy import SIMULATED, AcceptedTee


class EvidenceAppraiser:
    """Appraises the kinds of evidence this build can verify: for now the simulated one alone."""

    def __init__(self, *, production: bool) -> None:
        self._production = production

    def appraise(
        self, evidence: Evidence, *, report_data: bytes, accepted: Iterable[AcceptedTee], at: int
    ) -> Appraisal:
        """Return the appraisal under the accepted entry that fits, or raise an `EvidenceRefused` naming the field."""
        if evidence.kind != SIMULATED:
            raise KindUnsupported(f"this build cannot verify evidence of kind {evidence.kind!r}")
        if self._production:
            raise KindUnsupported("evidence is simulated, which production refuses whatever a policy says")
        report = verified_simulated(evidence)
        if not hmac.compare_digest(report.report_data, report_data):
            raise BindingMismatch("report_data: the evidence was made for other keys, nonces or configuration")
        if report.debug:
            raise DebugEnabled("debug: the evidence is of a machine in debug mode")
        entries = [entry for entry in accepted if entry.kind == SIMULATED]
        if not entries:
            raise KindUnsupported("kind: the policy does not name the simulated TEE")
        for entry in entries:
            if (entry.measurement, entry.anchor) == (report.measurement, report.simulator):
                return Appraisal(
                    kind=SIMULATED, measurement=report.measurement, accepted=entry, evidence=evidence.digest()
                )
        wanted = ", ".join(entry.measurement.hex()[:16] for entry in entries)
        raise MeasurementMismatch(
            f"measurement: found {report.measurement.hex()[:16]} by simulator {report.simulator.hex()[:16]}, "
            f"wanted {wanted}"
        )
