"""Machines that prove themselves through their real interfaces, faked below, by makers that are not the vendors.

What signs the evidence is made here, so that any program can be claimed; everything from the kernel's interface up to
the appraisal is the code that would run on hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cbor2

from enclave.attestation.attester import Attester
from enclave.attestation.attesters.configfs_tsm import ConfigfsTsm
from enclave.attestation.attesters.machines import GpuEvidence, NitroMachine, SnpMachine, TdxMachine, no_gpu
from enclave.attestation.attesters.nitro_nsm import NitroNsm
from tests.enclave.attestation import amd, aws, intel, nvidia_gpu
from tests.enclave.attestation.nsm_driver import Driver
from tests.enclave.attestation.snp_tables import whole_table
from tests.enclave.attestation.tsm_kernel import TsmKernel

ROOT = Path("/sys/kernel/config/tsm/report")
PINNED: Mapping[str, bytes] = {**intel.PINNED, **amd.pinned(), **aws.PINNED, **nvidia_gpu.pinned()}


def tdx_machine(machine: intel.Machine = intel.TD, gpu: GpuEvidence = no_gpu) -> Attester:
    """Return a TDX guest."""

    def report(inblob: bytes, _: int) -> tuple[bytes, bytes, bytes]:
        return machine.with_(body={**machine.body, "report_data": inblob}).quote(), b"", b""

    kernel = TsmKernel(ROOT, provider="tdx_guest", new_report=report)
    return TdxMachine(ConfigfsTsm(ROOT, name="coffer", files=kernel), lambda _: machine.collateral(), gpu)


def snp_machine(guest: amd.Guest = amd.VCEK_GUEST, gpu: GpuEvidence = no_gpu) -> Attester:
    """Return a SEV-SNP guest whose host hands certificates over."""

    def report(inblob: bytes, level: int) -> tuple[bytes, bytes, bytes]:
        found = guest.with_(patches={**guest.patches, 0x050: inblob}, vmpl=level)
        return found.report(), whole_table(guest), b""

    kernel = TsmKernel(ROOT, new_report=report)
    return SnpMachine(ConfigfsTsm(ROOT, name="coffer", files=kernel), gpu)


def nitro_machine(device: Path, enclave: aws.Enclave = aws.ENCLAVE) -> Attester:
    """Return a Nitro enclave; `device` is any file."""

    def module(request: bytes) -> bytes:
        asked = cbor2.loads(request)["Attestation"]
        document = enclave.with_(fields={**enclave.fields, **asked}).document()
        return cbor2.dumps({"Attestation": {"document": document}})

    device.touch()
    return NitroMachine(NitroNsm(device, Driver(device, module).ioctl))


MACHINES: Mapping[str, Callable[[Path], Attester]] = {
    "tdx": lambda _: tdx_machine(),
    "snp": lambda _: snp_machine(),
    "nitro": lambda folder: nitro_machine(folder / "nsm"),
}
