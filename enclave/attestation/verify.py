"""One door to all verifiers: evidence and a time in, typed claims out, or an `EvidenceRefused` that says why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from enclave.attestation.bundle import DstackBundle, IntelBundle, SnpBundle
from enclave.attestation.claims import Claims
from enclave.attestation.errors import EvidenceMalformed, KindUnsupported
from enclave.attestation.roots import ROOTS
from enclave.attestation.simulated import verified_simulated
from vault.errors import MalformedObject
from vault.evidence import DOCUMENT_BYTES_MAX, Evidence

Pinned = Mapping[str, bytes]
Verifier = Callable[[bytes, int, Pinned], Claims]


def _tdx(document: bytes, at: int, pinned: Pinned) -> Claims:
    from enclave.attestation.tdx import verified_tdx

    bundle = IntelBundle.from_bytes(document)
    return verified_tdx(bundle.quote, bundle.collateral, at=at, pinned=pinned)


def _sgx(document: bytes, at: int, pinned: Pinned) -> Claims:
    from enclave.attestation.sgx import verified_sgx

    bundle = IntelBundle.from_bytes(document)
    return verified_sgx(bundle.quote, bundle.collateral, at=at, pinned=pinned)


def _dstack(document: bytes, at: int, pinned: Pinned) -> Claims:
    from enclave.attestation.dstack import verified_dstack

    bundle = DstackBundle.from_bytes(document)
    return verified_dstack(bundle.quote, bundle.collateral, bundle.event_log, at=at, pinned=pinned)


def _snp(document: bytes, at: int, pinned: Pinned) -> Claims:
    from enclave.attestation.snp import verified_snp

    bundle = SnpBundle.from_bytes(document)
    return verified_snp(
        bundle.report, signer=bundle.signer, intermediate=bundle.intermediate, root=bundle.root, at=at, pinned=pinned
    )


def _nitro(document: bytes, at: int, pinned: Pinned) -> Claims:
    from enclave.attestation.nitro import verified_nitro

    return verified_nitro(document, at=at, pinned=pinned)


def _simulated(document: bytes, _: int, __: Pinned) -> Claims:
    return verified_simulated(document)


VERIFIERS: Final[Mapping[str, Verifier]] = MappingProxyType(
    {"simulated": _simulated, "tdx": _tdx, "sgx": _sgx, "dstack": _dstack, "snp": _snp, "nitro": _nitro}
)


def verified(evidence: Evidence, *, at: int, pinned: Pinned = ROOTS) -> Claims:
    """Return what a CPU's evidence claims, verified at `at` (UTC seconds) against the pinned roots.

    `pinned` is the hash of each root by name; another than ours only in tests.
    """
    if evidence.kind not in VERIFIERS:
        raise KindUnsupported(f"kind: found {evidence.kind!r}, wanted one of {', '.join(sorted(VERIFIERS))}")
    if len(evidence.document) > DOCUMENT_BYTES_MAX:
        raise EvidenceMalformed(f"the evidence is over {DOCUMENT_BYTES_MAX} bytes")
    try:
        return VERIFIERS[evidence.kind](evidence.document, at, pinned)
    except MalformedObject as error:
        raise EvidenceMalformed(f"the {evidence.kind} evidence is malformed") from error
    except ModuleNotFoundError as error:
        raise KindUnsupported(
            f"kind: what verifies {evidence.kind} evidence is not installed; install with: "
            "pip install 'coffer[attestation]'"
        ) from error
