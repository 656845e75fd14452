"""The machines that can prove themselves, each from the kernel interface or socket its platform offers.

None of these has run on the hardware it is for: their tests speak to faithful fakes of the interfaces.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from enclave.attestation.attesters.collateral import Collateral
from enclave.attestation.attesters.configfs_tsm import SEV_GUEST, TDX_GUEST, ConfigfsTsm, TsmReport
from enclave.attestation.attesters.dstack_socket import DstackSocket
from enclave.attestation.attesters.nitro_nsm import NitroNsm
from enclave.attestation.bundle import DstackBundle, IntelBundle, SnpBundle
from vault.errors import ServiceUnavailable
from vault.evidence import Evidence

GpuEvidence = Callable[[], bytes]
_ASKING = threading.Lock()  # renewals and clients may ask at once; one request at a time has the kernel's entry


def no_gpu() -> bytes:
    """Return the evidence of a machine that vouches for no GPU."""
    return b""


@dataclass(frozen=True, slots=True)
class TdxMachine:
    """A TDX guest, through configfs-tsm."""

    tsm: ConfigfsTsm
    collateral: Collateral
    gpu_evidence: GpuEvidence = no_gpu
    kind: str = "tdx"

    def evidence(self, report_data: bytes) -> Evidence:
        """Return a quote with its collateral."""
        quote = _report(self.tsm, report_data, TDX_GUEST).outblob
        bundle = IntelBundle(quote=quote, collateral=self.collateral(quote))
        return Evidence(kind=self.kind, document=bundle.encoded())


@dataclass(frozen=True, slots=True)
class SnpMachine:
    """A SEV-SNP guest, through configfs-tsm; its host hands the certificates over with the report."""

    tsm: ConfigfsTsm
    gpu_evidence: GpuEvidence = no_gpu
    kind: str = "snp"

    def evidence(self, report_data: bytes) -> Evidence:
        """Return a report with its certificates."""
        report = _report(self.tsm, report_data, SEV_GUEST)
        chain = report.certificates()
        bundle = SnpBundle(report=report.outblob, signer=chain.signer, intermediate=chain.intermediate, root=chain.root)
        return Evidence(kind=self.kind, document=bundle.encoded())


@dataclass(frozen=True, slots=True)
class NitroMachine:
    """A Nitro enclave, through its security module. It has no GPU."""

    nsm: NitroNsm
    gpu_evidence: GpuEvidence = no_gpu
    kind: str = "nitro"

    def evidence(self, report_data: bytes) -> Evidence:
        """Return an attestation document; it carries its certificates."""
        document = self.nsm.document(user_data=report_data, nonce=None, public_key=None)
        return Evidence(kind=self.kind, document=document)


@dataclass(frozen=True, slots=True)
class DstackMachine:
    """A container on a dstack host, through the guest agent's socket."""

    agent: DstackSocket
    collateral: Collateral
    gpu_evidence: GpuEvidence = no_gpu
    kind: str = "dstack"

    def evidence(self, report_data: bytes) -> Evidence:
        """Return a quote with its event log and collateral."""
        quoted = self.agent.quote(report_data)
        bundle = DstackBundle(quote=quoted.quote, collateral=self.collateral(quoted.quote), event_log=quoted.event_log)
        return Evidence(kind=self.kind, document=bundle.encoded())


def _report(tsm: ConfigfsTsm, report_data: bytes, provider: str) -> TsmReport:
    with _ASKING:
        report = tsm.quote(report_data)
    if report.provider != provider:
        raise ServiceUnavailable(f"configfs-tsm is provided by {report.provider} here, not by {provider}")
    return report
