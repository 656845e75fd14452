"""How this machine proves what it runs, and what a policy would have to name to accept it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.home import Home, Settings
from cli.sealed_files import read_bounded, write_private
from cli.tees import expected
from enclave.attestation.attester import Attester
from enclave.attestation.bundle import COLLATERAL_BYTES_MAX, GpuBundle
from enclave.attestation.claims import Fact
from enclave.attestation.simulated import UnsafeSimulatedAttester, code_measurement
from enclave.attestation.verify import verified
from vault.expectation import GPU, KINDS
from vault.machine import MachineKey
from vault.policy import SIMULATED, AcceptedTee

TSM_ENTRY = "coffer"


def simulator_key(home: Home) -> MachineKey:
    """Return this install's simulator key, made on first use. It is no secret worth keeping: it protects nothing."""
    if not home.simulator_key.exists():
        write_private(home.simulator_key, secrets.token_bytes(32))
    return MachineKey(home.simulator_key.read_bytes())


def make_attester(settings: Settings) -> Attester:
    """Return this machine's way to prove what it runs: the one the settings name, or the one found here."""
    from enclave.attestation.attesters.here import machines_here

    kind = settings.tee if settings.tee != "auto" else next(iter(machines_here()), SIMULATED)
    if kind == SIMULATED:
        return UnsafeSimulatedAttester(simulator_key(Home(settings.home)), code_measurement())
    return _hardware(kind, settings)


def _hardware(kind: str, settings: Settings) -> Attester:
    from enclave.attestation.attesters import machines
    from enclave.attestation.attesters.collateral import FetchedCollateral
    from enclave.attestation.attesters.configfs_tsm import ConfigfsTsm
    from enclave.attestation.attesters.dstack_socket import DstackSocket
    from enclave.attestation.attesters.nitro_nsm import NitroNsm

    gpus = _gpu_evidence(settings)
    collateral = FetchedCollateral(settings.pccs)
    match kind:
        case "tdx":
            return machines.TdxMachine(ConfigfsTsm(name=TSM_ENTRY), collateral, gpus)
        case "snp":
            return machines.SnpMachine(ConfigfsTsm(name=TSM_ENTRY), gpus)
        case "dstack":
            return machines.DstackMachine(DstackSocket(), collateral, gpus)
        case _:
            return machines.NitroMachine(NitroNsm())


def _gpu_evidence(settings: Settings) -> Callable[[], bytes]:
    from enclave.attestation.attesters.gpu_evidence import CollectedGpus
    from enclave.attestation.attesters.machines import no_gpu
    from enclave.attestation.attesters.nvidia_nvml import NvidiaGpus

    if not settings.rims:
        return no_gpu
    rims = [read_bounded(file, COLLATERAL_BYTES_MAX) for file in sorted(Path(settings.rims).iterdir())]
    return CollectedGpus(NvidiaGpus(), rims, clock=lambda: int(time.time()), random=secrets.token_bytes)


def own_tee(settings: Settings) -> AcceptedTee:
    """Return what a policy has to name to accept this machine as it is now, found in evidence of its own."""
    attester, now = make_attester(settings), int(time.time())
    facts = verified(attester.evidence(bytes(64)), at=now).facts()
    device = _first_gpu(attester.gpu_evidence(), now)
    return AcceptedTee(
        kind=attester.kind,
        expectations=expected(KINDS[attester.kind], facts),
        cpu_only=device is None,
        gpu=expected(GPU, device) if device else (),
    )


def _first_gpu(evidence: bytes, at: int) -> Mapping[str, Fact] | None:
    if not evidence:
        return None
    from enclave.attestation.gpus import verified_gpus

    return verified_gpus(GpuBundle.from_bytes(evidence), at=at)[0].facts()
