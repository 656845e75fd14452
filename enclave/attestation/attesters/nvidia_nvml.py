"""NVIDIA GPUs in confidential-compute mode, asked through their driver's library (NVML, nvml.h; nvidia-ml-py).

What comes back is raw: the report holds the request we made and the GPU's signed answer, and
`enclave.attestation.nvidia` verifies both. Devtools mode, which no report shows, is refused here (rule E2), so this has
to be code that the CPU's evidence measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.errors import DebugEnabled

NONCE_BYTES: Final = 32
GPUS_MAX: Final = 8  # as many as the evidence of one machine holds


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """What one GPU answered."""

    report: bytes  # SPDM request ‖ response
    chain: bytes  # PEM, the GPU's certificate first


class NvidiaGpus:
    """Asks every GPU of this machine for its report."""

    def __init__(self, nvml: Any = None) -> None:
        """Take a module like `pynvml`; without one, `pynvml` is imported when first needed."""
        self._nvml = nvml

    def collect(self, nonce: bytes) -> tuple[GpuReport, ...]:
        """Return each GPU's report over 32 bytes that no one could foresee, in the driver's order.

        Raises: AttesterUnavailable: there is no GPU in confidential-compute mode, or its driver does not answer.
            DebugEnabled: the GPUs are in devtools mode.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"nonce must be {NONCE_BYTES} bytes")
        nvml = self._nvml or _pynvml()
        try:
            nvml.nvmlInit()
            try:
                _require_confidential(nvml)
                return tuple(_reported(nvml, index, nonce) for index in range(_count(nvml)))
            finally:
                nvml.nvmlShutdown()
        except nvml.NVMLError as error:
            raise AttesterUnavailable(
                f"NVML: {error}: needs NVIDIA's driver, 535 or newer, and its GPUs in confidential-compute mode"
            ) from error


def _require_confidential(nvml: Any) -> None:
    """Raise unless the GPUs protect what they compute on, from their host and from whoever debugs them."""
    state = nvml.nvmlSystemGetConfComputeState()
    if state.devToolsMode != nvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF:
        raise DebugEnabled("devtools: the GPUs are in devtools mode; set it off and restart them")
    if state.ccFeature != nvml.NVML_CC_SYSTEM_FEATURE_ENABLED:
        raise AttesterUnavailable("NVML: confidential compute is off; set the GPUs' mode to on and restart them")
    if state.environment != nvml.NVML_CC_SYSTEM_ENVIRONMENT_PROD:
        raise AttesterUnavailable("NVML: the GPUs' confidential compute is not that of a production machine")


def _count(nvml: Any) -> int:
    count = int(nvml.nvmlDeviceGetCount())
    if not 1 <= count <= GPUS_MAX:
        raise AttesterUnavailable(f"NVML: found {count} GPUs, wanted 1 to {GPUS_MAX}")
    return count


def _reported(nvml: Any, index: int, nonce: bytes) -> GpuReport:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    report = nvml.nvmlDeviceGetConfComputeGpuAttestationReport(device, nonce)
    certificate = nvml.nvmlDeviceGetConfComputeGpuCertificate(device)
    return GpuReport(
        report=_filled(report.attestationReport, report.attestationReportSize, index),
        chain=_filled(certificate.attestationCertChain, certificate.attestationCertChainSize, index),
    )


def _filled(buffer: Sequence[int], size: int, index: int) -> bytes:
    """Return the part of a buffer that the driver says it filled."""
    if not 1 <= size <= len(buffer):
        raise AttesterUnavailable(f"NVML: GPU {index} answers with {size} bytes, wanted 1 to {len(buffer)}")
    return bytes(buffer[:size])


def _pynvml() -> Any:
    try:
        return import_module("pynvml")
    except ImportError as error:
        raise AttesterUnavailable("NVML: install its bindings with: pip install nvidia-ml-py") from error
