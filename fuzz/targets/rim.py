"""NVIDIA's reference manifests: XML and its signature."""

from enclave.attestation.rim import verified_rim
from enclave.attestation.unverified import claimed
from fuzz.seeds import AT

ROLES = ("rim", "vbios_rim", "driver_rim")


def fuzz(data: bytes) -> None:
    """Parse a manifest, show it and verify it."""
    claimed("rim", data)
    verified_rim(data, at=AT)
