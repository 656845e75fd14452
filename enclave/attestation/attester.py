"""Asking a TEE for evidence, and with it the GPUs that it vouches for (rules E1, E2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

from vault.evidence import Binding, Evidence


class Attester(Protocol):
    """One machine's way to prove what it runs."""

    @property
    def kind(self) -> str:
        """Return the kind of evidence it gives."""
        ...

    def gpu_evidence(self) -> bytes:
        """Return the GPUs' evidence, collected and verified in here; empty where the machine vouches for none."""
        ...

    def evidence(self, report_data: bytes) -> Evidence:
        """Return the CPU's evidence over 64 bytes of report data."""
        ...


def attested(attester: Attester, binding_over: Callable[[bytes], Binding]) -> tuple[Binding, Evidence]:
    """Return a binding and the evidence that vouches for it, the GPUs' digest among what is bound.

    Args:
        binding_over: the binding for a digest of GPU evidence, empty for none.
    """
    gpu = attester.gpu_evidence()
    binding = binding_over(sha256(gpu).digest() if gpu else b"")
    return binding, replace(attester.evidence(binding.report_data()), gpu=gpu)
