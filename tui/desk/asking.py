"""Asking as a licensee: credentials, one question at a time, and the receipts that were kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential of this home."""

    name: str  # its file's
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be asked under a credential, and what is left."""

    policy: str
    datasets: tuple[str, ...]  # titles
    k_max: int
    price_per_query: int
    price_per_passage: int
    by_volume: tuple[str, ...]  # in words: what is free, and other prices after so many answers
    currency: str
    credit: int
    passages_seen: int
    passages_max: int
    tee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One passage of an answer."""

    text: str = field(repr=False)
    source: str
    start: int
    end: int
    score: float
    dataset: str
    index: int
    is_redacted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One answer, its receipt checked against it."""

    passages: tuple[Found, ...] = field(repr=False)
    price: int
    currency: str
    sequence: int
    budget_left: int
    is_partial: bool
    is_repeat: bool
    embed_s: float
    search_s: float
    total_s: float
    receipt: str  # its file's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of a receipt's check that holds; the last one of a failed check does not."""

    words: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFacts:
    """A kept receipt, as its list shows it: never the question."""

    at: int
    license: str  # CID
    sequence: int
    price: int
    currency: str
    passages: int
    budget_left: int
    tee: str


class AskingDesk(Protocol):
    """What a licensee can do."""

    def credentials(self) -> tuple[Credential, ...]:
        """Return the credentials of this home."""
        ...

    def open(self, name: str, password: str) -> None:
        """Open a credential and keep it open; raise `WrongKey` for a wrong password."""
        ...

    def terms(self, name: str) -> Terms:
        """Connect to the enclave with an open credential; it has to prove itself first."""
        ...

    def ask(self, name: str, question: str, *, k: int, mode: str) -> Asked:
        """Ask, keep the receipt, and return the answer."""
        ...

    def receipts(self) -> tuple[str, ...]:
        """Return the names of the receipts kept here, the newest first."""
        ...

    def receipt(self, name: str) -> ReceiptFacts:
        """Return what a kept receipt says."""
        ...

    def verify(self, name: str) -> tuple[Link, ...]:
        """Check a kept receipt link by link, offline."""
        ...
