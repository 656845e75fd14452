"""libnvidia-ml below its real Python bindings: it fills their structures and leaves junk in the rest."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest

from tests.enclave.attestation.nvidia_gpu import Gpu

pynvml = pytest.importorskip("pynvml")

JUNK = 0xEE  # what a driver leaves in the rest of its buffers
HANDLES = 0x1000


@dataclass
class Library:
    """libnvidia-ml as nvml.h describes it: every function takes pointers and returns a code."""

    gpus: list[Gpu]
    feature: int = 1  # NVML_CC_SYSTEM_FEATURE_ENABLED
    devtools: int = 0  # NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF
    environment: int = 2  # NVML_CC_SYSTEM_ENVIRONMENT_PROD
    failing: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    users: int = 0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        function = getattr(type(self), "_" + name.removesuffix("_v2"), None)
        if function is None:  # a driver older than the function
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name in self.failing:
                return self.failing[name]
            if name != "nvmlInitWithFlags" and not self.users:
                return int(pynvml.NVML_ERROR_UNINITIALIZED)
            function(self, *arguments)
            return 0

        return call

    def _nvmlInitWithFlags(self, flags: int) -> None:  # noqa: N802
        self.users += 1

    def _nvmlShutdown(self) -> None:  # noqa: N802
        self.users -= 1

    def _nvmlSystemGetConfComputeState(self, state: Any) -> None:  # noqa: N802
        state._obj.environment, state._obj.ccFeature = self.environment, self.feature
        state._obj.devToolsMode = self.devtools

    def _nvmlDeviceGetCount(self, count: Any) -> None:  # noqa: N802
        count._obj.value = len(self.gpus)

    def _nvmlDeviceGetHandleByIndex(self, index: Any, device: Any) -> None:  # noqa: N802
        ctypes.cast(device, ctypes.POINTER(ctypes.c_void_p))[0] = HANDLES + index.value

    def _nvmlDeviceGetConfComputeGpuAttestationReport(self, device: Any, found: Any) -> None:  # noqa: N802
        answer = found._obj
        report = self._gpu(device).with_(nonce=bytes(answer.nonce)).report()
        answer.isCecAttestationReportPresent = 0
        answer.cecAttestationReportSize = JUNK
        answer.attestationReportSize = self.sizes.get("report", len(report))
        _fill(answer.attestationReport, report)

    def _nvmlDeviceGetConfComputeGpuCertificate(self, device: Any, found: Any) -> None:  # noqa: N802
        answer, chain = found._obj, self._gpu(device).chain()
        answer.certChainSize = 0
        answer.attestationCertChainSize = self.sizes.get("chain", len(chain))
        _fill(answer.certChain, b"")
        _fill(answer.attestationCertChain, chain)

    def _gpu(self, device: Any) -> Gpu:
        address = ctypes.cast(device, ctypes.c_void_p).value or 0
        return self.gpus[address - HANDLES]


def _fill(buffer: Any, content: bytes) -> None:
    buffer[:] = [*content, *[JUNK] * (len(buffer) - len(content))]


@contextmanager
def installed(*gpus: Gpu) -> Iterator[Library]:
    """Put the library below the bindings until the block ends; whoever initialized it has to have shut it down."""
    found = Library(gpus=list(gpus))
    with patch.object(pynvml, "nvmlLib", found), patch.object(pynvml, "_nvmlGetFunctionPointer_cache", {}):
        yield found
    assert found.users == 0, "NVML is left initialized"
