"""What a case of each TEE is made up of: its files by role, its parameters, and the roots it may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from enclave.attestation.roots import AMD_GENOA, AMD_MILAN, AMD_TURIN, AWS_NITRO, INTEL_SGX, NVIDIA_DEVICE, NVIDIA_RIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Tee:
    """How a case of one TEE is made up. Each role is given by the names it may have in an index."""

    kind: str  # whose claims the evidence makes
    roots: tuple[str, ...]
    evidence: str  # the role of the evidence itself
    needs: Mapping[str, tuple[str, ...]]
    may: tuple[str, ...] = ()
    params: frozenset[str] = frozenset()


_COLLATERAL: Final = {"collateral": ("dcap_collateral_v3",)}
_REPORT_DATA: Final = frozenset({"report_data", "nonce"})
_DSTACK: Final = ("dstack_event_log", "dstack_vm_config")  # the latter is unsigned, and claims nothing
RIMS: Final = ("vbios_rim", "driver_rim")
COPIES: Final = ("dstack_attestation", "azure_hcl_report")  # what a report was taken from
ANCHOR: Final = "trust_anchor"
RIM_ANCHOR: Final = "rim_trust_anchor"
_AMD: Final = (AMD_MILAN, AMD_GENOA, AMD_TURIN)
TEES: Final[Mapping[str, Tee]] = {
    "tdx": Tee(kind="tdx", roots=(INTEL_SGX,), evidence="quote", needs=_COLLATERAL, may=_DSTACK, params=_REPORT_DATA),
    "dstack": Tee(
        kind="tdx",
        roots=(INTEL_SGX,),
        evidence="quote",
        needs={**_COLLATERAL, "event_log": _DSTACK[:1]},
        may=_DSTACK,
        params=_REPORT_DATA,
    ),
    "sgx": Tee(kind="sgx", roots=(INTEL_SGX,), evidence="quote", needs=_COLLATERAL, params=_REPORT_DATA),
    "snp": Tee(
        kind="snp",
        roots=_AMD,
        evidence="snp_report",
        needs={"signer": ("vcek", "vlek"), "intermediate": ("ask", "asvk"), "root": ("ark", ANCHOR)},
        may=COPIES,
        params=_REPORT_DATA,
    ),
    "nitro": Tee(
        kind="nitro",
        roots=(AWS_NITRO,),
        evidence="cose_sign1",
        needs={},
        params=frozenset({"nonce", "user_data", "public_key", "report_data"}),
    ),
    "nvgpu": Tee(
        kind="nvidia",
        roots=(NVIDIA_DEVICE,),
        evidence="spdm_measurements_request_and_response",
        needs={"chain": ("device_cert_chain",)},
        may=(*RIMS, RIM_ANCHOR),
        params=frozenset({"nonce", "rim_active", "rim_matching", "rim_mismatch_index"}),
    ),
    "nvrim": Tee(kind="rim", roots=(NVIDIA_RIM,), evidence="rim", needs={}),
}
JUDGED_PARAMS: Final = frozenset[str]().union(*(tee.params for tee in TEES.values()))
