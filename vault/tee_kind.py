"""The kind of TEE that protects nothing, by itself: the terminal paints its badge before it knows any policy."""

from __future__ import annotations

from typing import Final

SIMULATED: Final = "simulated"
