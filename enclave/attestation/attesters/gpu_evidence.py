"""The GPUs' part of a machine's evidence: collected over the driver's own session and verified in here (rule E2).

The nonce is made here and leaves only with the evidence: a host that knew it beforehand could fetch valid evidence from
any GPU. What was collected is used again for a while, since asking takes each GPU about a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from enclave.attestation.attesters.nvidia_nvml import NONCE_BYTES, NvidiaGpus
from enclave.attestation.bundle import GpuBundle, GpuDevice
from enclave.attestation.gpus import verified_gpus
from enclave.attestation.roots import ROOTS

KEPT_S: Final = 600.0


class CollectedGpus:
    """Evidence of every GPU of this machine, not yet run on hardware."""

    def __init__(
        self,
        gpus: NvidiaGpus,
        rims: Sequence[bytes],
        *,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        monotonic: Callable[[], float] = time.monotonic,
        pinned: Mapping[str, bytes] = ROOTS,
    ) -> None:
        """Take the RIM files that the machine's driver and VBIOS are compared with.

        `pinned` is the hash of each root by name; another than ours only in tests.
        """
        self._pinned = pinned
        self._gpus = gpus
        self._rims = tuple(rims)
        self._clock = clock
        self._random = random
        self._monotonic = monotonic
        self._kept = b""
        self._collected_at = 0.0

    def __call__(self) -> bytes:
        """Return the evidence, at most `KEPT_S` old.

        Raises: `ServiceUnavailable` where a GPU does not answer, an `EvidenceRefused` where one does not verify.
        """
        now = self._monotonic()
        if not self._kept or now - self._collected_at >= KEPT_S:
            self._kept, self._collected_at = self._collected(), now
        return self._kept

    def _collected(self) -> bytes:
        nonce = self._random(NONCE_BYTES)
        devices = tuple(GpuDevice(report=gpu.report, chain=gpu.chain) for gpu in self._gpus.collect(nonce))
        bundle = GpuBundle(nonce=nonce, devices=devices, rims=self._rims)
        verified_gpus(bundle, at=self._clock(), pinned=self._pinned)
        return bundle.encoded()
