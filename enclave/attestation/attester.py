"""Asking a TEE for evidence."""

from __future__ import annotations

from typing import Protocol

from vault.evidence import Evidence


class Attester(Protocol):
    """One machine's way to prove what it runs."""

    kind: str

    def evidence(self, report_data: bytes) -> Evidence:
        """Return evidence over 64 bytes of report data."""
        ...
