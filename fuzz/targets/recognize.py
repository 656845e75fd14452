"""What `coffer attest show` does with a file of any kind."""

from enclave.attestation.evidence_parts import Material
from enclave.attestation.explain import explained
from enclave.attestation.recognize import recognized
from fuzz.seeds import AT, seeds

ROLES = (
    "quote",
    "dcap_collateral_v3",
    "dstack_event_log",
    "snp_report",
    "vcek",
    "cose_sign1",
    "spdm_measurements_request_and_response",
    "rim",
)


def fuzz(data: bytes) -> None:
    """Recognize a file and explain it, once with its own help and once with genuine collateral."""
    found = recognized(data, name="file")
    helping = recognized(seeds("dcap_collateral_v3")[0], name="collateral")
    for material in (Material.of([found]), Material.of([helping])):
        for explanation in explained(found, material, at=AT, nonce=None):
            explanation.shown()
