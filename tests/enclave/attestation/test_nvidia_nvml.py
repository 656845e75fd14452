"""Asking GPUs through NVML: the real bindings (`pynvml`) over a library that fills its structures like the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.attesters import nvidia_nvml as attester
from enclave.attestation.attesters.nvidia_nvml import GPUS_MAX, GpuReport, NvidiaGpus
from enclave.attestation.errors import DebugEnabled
from enclave.attestation.nvidia import verified_nvidia
from tests.enclave.attestation.nvidia_gpu import NONCE, Gpu, pinned
from tests.enclave.attestation.nvml_library import Library, installed
from tests.enclave.attestation.pki import p384
from tests.people import NOW

pynvml = pytest.importorskip("pynvml")


@pytest.fixture
def library() -> Iterator[Library]:
    with installed(Gpu(), Gpu(name="second", key=p384("second fmc"))) as found:
        yield found


def test_every_gpu_s_report_verifies_over_the_nonce(library: Library) -> None:
    reports = NvidiaGpus(pynvml).collect(NONCE)
    claims = [verified_nvidia(found.report, found.chain, nonce=NONCE, at=NOW, pinned=pinned()) for found in reports]
    assert [found.device for found in claims] == [gpu.claims().device for gpu in library.gpus]


def test_nothing_is_read_that_the_driver_did_not_set(library: Library) -> None:
    reports = NvidiaGpus(pynvml).collect(NONCE)
    assert reports == tuple(
        GpuReport(report=gpu.with_(nonce=NONCE).report(), chain=gpu.chain()) for gpu in library.gpus
    )


def test_the_bindings_are_found_by_themselves(library: Library) -> None:
    assert len(NvidiaGpus().collect(NONCE)) == len(library.gpus)


def test_asking_twice_asks_anew(library: Library) -> None:
    gpus = NvidiaGpus(pynvml)
    first, second = gpus.collect(NONCE), gpus.collect(bytes(32))
    assert first[0].report[4:36] == NONCE
    assert second[0].report[4:36] == bytes(32)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_has_32_bytes(library: Library, size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        NvidiaGpus(pynvml).collect(bytes(size))
    assert not library.calls


def test_devtools_mode_is_refused_unasked(library: Library) -> None:
    library.devtools = pynvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_ON
    with pytest.raises(DebugEnabled, match="devtools"):
        NvidiaGpus(pynvml).collect(NONCE)
    assert "nvmlDeviceGetConfComputeGpuAttestationReport" not in library.calls


@pytest.mark.parametrize(
    ("fact", "value", "told"),
    [
        ("feature", 0, "confidential compute is off"),
        ("environment", 1, "not that of a production machine"),
        ("environment", 0, "not that of a production machine"),
        ("gpus", [], "found 0 GPUs"),
        ("gpus", [Gpu()] * (GPUS_MAX + 1), "found 9 GPUs"),
    ],
)
def test_a_machine_that_cannot_prove_its_gpus_says_why(library: Library, fact: str, value: Any, told: str) -> None:
    setattr(library, fact, value)
    with pytest.raises(AttesterUnavailable, match=told):
        NvidiaGpus(pynvml).collect(NONCE)


@pytest.mark.parametrize("part", ["report", "chain"])
@pytest.mark.parametrize("size", [0, 0x2001, 0xFFFFFFFF])
def test_a_size_beyond_the_buffer_is_not_believed(library: Library, part: str, size: int) -> None:
    library.sizes[part] = size
    with pytest.raises(AttesterUnavailable, match=f"answers with {size} bytes"):
        NvidiaGpus(pynvml).collect(NONCE)


@pytest.mark.parametrize(
    "function",
    [
        "nvmlInitWithFlags",
        "nvmlSystemGetConfComputeState",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetConfComputeGpuAttestationReport",
        "nvmlDeviceGetConfComputeGpuCertificate",
    ],
)
def test_any_failing_call_says_what_the_driver_says(library: Library, function: str) -> None:
    library.failing[function] = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(AttesterUnavailable, match="GPU is lost: needs NVIDIA's driver"):
        NvidiaGpus(pynvml).collect(NONCE)


def test_a_driver_without_confidential_compute_is_too_old(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Library, "_nvmlSystemGetConfComputeState")
    with pytest.raises(AttesterUnavailable, match="Function Not Found"):
        NvidiaGpus(pynvml).collect(NONCE)


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", no_library)
    with pytest.raises(AttesterUnavailable, match="NVML Shared Library Not Found"):
        NvidiaGpus(pynvml).collect(NONCE)


def test_a_machine_without_the_bindings_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(attester, "import_module", not_installed)
    with pytest.raises(AttesterUnavailable, match="pip install nvidia-ml-py"):
        NvidiaGpus().collect(NONCE)
