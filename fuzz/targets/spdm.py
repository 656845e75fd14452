"""NVIDIA reports: SPDM transcripts and NVIDIA's opaque data."""

from contextlib import suppress

from enclave.attestation.nvidia import verified_nvidia
from enclave.attestation.spdm import fields_from, transcript_from
from enclave.attestation.unverified import claimed
from fuzz.seeds import AT, seeds
from vault.errors import VaultError

ROLES = ("spdm_measurements_request_and_response",)
_CHAIN = seeds("device_cert_chain")[0]


def fuzz(data: bytes) -> None:
    """Parse a transcript and its fields, show them, and verify the report."""
    with suppress(VaultError):
        fields_from(data)
    with suppress(VaultError):
        fields_from(transcript_from(data).opaque)
    with suppress(VaultError):
        claimed("nvidia", data)
    verified_nvidia(data, _CHAIN, nonce=None, at=AT)
