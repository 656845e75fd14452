"""Our own records of evidence: canonical CBOR, and the vendors' documents inside."""

from hashlib import sha256

from enclave.attestation.bundle import DstackBundle, GpuBundle, GpuDevice, IntelBundle, SnpBundle
from enclave.attestation.gpus import verified_gpus
from enclave.attestation.simulated import SimulatedReport
from enclave.attestation.verify import verified
from fuzz.seeds import AT, seeds
from vault.errors import VaultError
from vault.evidence import Binding, Evidence
from vault.receipt import ReceiptFile

ROLES = ()
_RECORDS = (Evidence, Binding, IntelBundle, DstackBundle, SnpBundle, GpuBundle, SimulatedReport, ReceiptFile)


def _made_up() -> tuple[bytes, ...]:
    quote, collateral = seeds("quote")[0], seeds("dcap_collateral_v3")[0]
    certificate = seeds("vcek")[0]
    intel = IntelBundle(quote=quote, collateral=collateral).encoded()
    dstack = DstackBundle(quote=quote, collateral=collateral, event_log=seeds("dstack_event_log")[0]).encoded()
    snp = SnpBundle(
        report=seeds("snp_report")[0], signer=certificate, intermediate=certificate, root=certificate
    ).encoded()
    device = GpuDevice(report=seeds("spdm_measurements_request_and_response")[0], chain=seeds("device_cert_chain")[0])
    gpu = GpuBundle(nonce=sha256(b"").digest(), devices=(device,), rims=(seeds("rim")[0],)).encoded()
    documents = {"tdx": intel, "dstack": dstack, "snp": snp, "nitro": seeds("cose_sign1")[0]}
    evidence = [Evidence(kind=kind, document=document, gpu=gpu).encoded() for kind, document in documents.items()]
    return (*evidence, *documents.values(), gpu)


MADE_UP = _made_up()


def fuzz(data: bytes) -> None:
    """Read the bytes as each record, and verify what they hold if they are evidence."""
    for record in _RECORDS:
        try:
            found = record.from_bytes(data)
            if isinstance(found, Evidence):
                verified(found, at=AT)
            if isinstance(found, GpuBundle):
                verified_gpus(found, at=AT)
        except VaultError:
            continue
