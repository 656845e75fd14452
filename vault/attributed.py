"""The check that an answer's passages count what the policy's attribution says, from what the licensee holds (L4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from vault.attribution import Attribution, weight_of
from vault.envelope import normalized
from vault.errors import InvalidReceipt

_BEGINNING = 64  # characters: where no passage begins as another one does, none has another one's words


def require_weights(
    by: Attribution, weights: Sequence[int], scores: Sequence[float], words: Sequence[str], *, redacts: bool
) -> None:
    """Raise `InvalidReceipt` unless the weights are the policy's.

    Words that an earlier passage had count nothing. Whether others nearly repeat an earlier one is the enclave's word.

    Args:
        words: the passages' lasting words, as they left.
        redacts: something was blacked out, so that two of them may look alike that were not.
    """
    if not len(weights) == len(scores) == len(words):
        raise InvalidReceipt("weights: not one for each passage")
    repeated = frozenset[int]() if redacts else _repeated(words)
    for rank, (weight, score) in enumerate(zip(weights, scores, strict=True)):
        if weight == 0 and rank:
            continue
        if rank in repeated or weight != weight_of(by, rank, score):
            raise InvalidReceipt(f"weights: passage {rank + 1} counts {weight}, and the policy splits by {by}")


def _repeated(words: Sequence[str]) -> frozenset[int]:
    """Return the places of those whose words an earlier one had, case and spacing aside."""
    beginnings = sorted([normalized(one[:_BEGINNING]) for one in words])
    if not any(after.startswith(before) for before, after in pairwise(beginnings)):
        return frozenset()  # most often, and without a look at all of every text
    known, repeated = set[str](), []
    for place, one in enumerate(map(normalized, words)):
        if one in known:
            repeated.append(place)
        known.add(one)
    return frozenset(repeated)
