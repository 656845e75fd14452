"""A machine's GPUs as one: every report over one nonce, every device another, every measurement as NVIDIA signed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enclave.attestation.bundle import GpuBundle
from enclave.attestation.errors import BindingMismatch
from enclave.attestation.nvidia import NvidiaClaims, require_reference, verified_nvidia
from enclave.attestation.rim import verified_rim
from enclave.attestation.roots import ROOTS


def verified_gpus(bundle: GpuBundle, *, at: int, pinned: Mapping[str, bytes] = ROOTS) -> Sequence[NvidiaClaims]:
    """Return each GPU's claims, its firmware compared with the bundle's reference measurements.

    Args:
        at: UTC seconds; certificates of devices and of reference measurements are judged at that time.
        pinned: the hash of each root by name; another than ours only in tests.
    """
    rims = [verified_rim(rim, at=at, pinned=pinned) for rim in bundle.rims]
    devices = [
        verified_nvidia(device.report, device.chain, nonce=bundle.nonce, at=at, pinned=pinned)
        for device in bundle.devices
    ]
    identities = {claims.facts()["device"] for claims in devices}
    if len(identities) != len(devices):
        raise BindingMismatch("gpu: one device stands for two")
    for claims in devices:
        require_reference(claims, rims)
    return devices
