"""Scores as they leave: big-endian float64, one after another, since canonical objects hold no floats (rule X1)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import isfinite

from vault.errors import MalformedObject

SCORE_BYTES = 8


def packed_scores(scores: Sequence[float]) -> bytes:
    """Return scores as entries and receipts keep them."""
    return struct.pack(f">{len(scores)}d", *scores)


def unpacked_scores(packed: bytes) -> tuple[float, ...]:
    """Return the scores that were packed; raise `MalformedObject` for half of one, or none that is a number."""
    if len(packed) % SCORE_BYTES:
        raise MalformedObject("every passage of an answer has one score of 8 bytes")
    scores = struct.unpack(f">{len(packed) // SCORE_BYTES}d", packed)
    if not all(map(isfinite, scores)):
        raise MalformedObject("a score is a finite number")
    return scores


def rounded(score: float, decimals: int) -> float:
    """Return a score with the decimals that a policy lets out; never -0.0."""
    return round(score, decimals) + 0.0
