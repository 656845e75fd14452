"""The check that an answer's passages count what the policy's attribution says, from what the licensee holds (L4)."""

from __future__ import annotations

from collections.abc import Sequence

from vault.attribution import Attribution, weight_of
from vault.envelope import lasting_words, normalized
from vault.errors import InvalidReceipt


def require_weights(
    by: Attribution, weights: Sequence[int], scores: Sequence[float], bodies: Sequence[bytes], *, redacts: bool
) -> None:
    """Raise `InvalidReceipt` unless the weights are the policy's.

    Words that an earlier passage had count nothing. Whether others nearly repeat an earlier one is the enclave's word.

    Args:
        bodies: the passages as they left.
        redacts: something was blacked out, so that two of them may look alike that were not.
    """
    if not len(weights) == len(scores) == len(bodies):
        raise InvalidReceipt("weights: not one for each passage")
    known: set[str] = set()
    for rank, (weight, score, body) in enumerate(zip(weights, scores, bodies, strict=True)):
        words = normalized(lasting_words(body))
        may_count = words not in known or redacts
        if not (may_count and weight == weight_of(by, rank, score)) and not (weight == 0 and rank):
            raise InvalidReceipt(f"weights: passage {rank + 1} counts {weight}, and the policy splits by {by}")
        known.add(words)
