"""An answer as it is about to leave: everything that its receipt and its ledger entry are written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from enclave.asked import Asked
from enclave.found import Found


@dataclass(slots=True, kw_only=True)  # one is made with every query, and a frozen one takes three times as long
class Leaving:
    """An answer that was judged and is not booked yet."""

    asked: Asked
    passages: tuple[Found, ...]
    identities: Sequence[bytes]  # of the passages
    weights: Sequence[int]  # of the passages, in the split of the price
    scores: bytes  # packed
    vector: bytes = field(repr=False)
    price: int
    budget_left: int
    is_partial: bool
    at: int
    sequence: int  # of the entry
