"""What a client gets: answers whose receipts were checked against them, and what is left to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.cid import Cid
from vault.envelope import Metadata, Passage
from vault.errors import VaultError
from vault.receipt import Receipt, ReceiptFile
from vault.seen_parts import SeenPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One passage of an answer."""

    passage: Passage = field(repr=False)
    manifest: Cid
    index: int
    score: float
    is_redacted: bool  # something was blacked out of it; then its text is the enclave's word, not the owner's

    @property
    def text(self) -> str:
        """Return the passage's words."""
        return self.passage.text

    @property
    def document(self) -> str:
        """Return the name of the document that it stands in."""
        return self.passage.document

    @property
    def metadata(self) -> Metadata:
        """Return what its owner sealed beside it."""
        return self.passage.metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Passages, best first, with the receipt that was checked against them."""

    results: tuple[Result, ...]
    receipt: Receipt
    file: ReceiptFile = field(repr=False)  # everything an offline check needs
    is_partial: bool
    is_repeat: bool
    embed_s: float
    search_s: float

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __bool__(self) -> bool:
        return True  # an answer of no passages is an answer

    @property
    def price(self) -> int:
        """Return what it cost, in micro-units of the receipt's currency."""
        return self.receipt.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a licensee has left."""

    credit: int  # micro-units
    spent: int
    spend_cap: int
    passages_seen: int
    passages_max: int
    parts: tuple[SeenPart, ...] = ()  # each dataset, then each owner's together


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A text's vector, with the receipt for it."""

    vector: bytes = field(repr=False)  # float32 little-endian, unit length
    receipt: Receipt
    file: ReceiptFile = field(repr=False)
    is_repeat: bool
    embed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many passages meet a filter, rounded down as the policy says, with the receipt for it."""

    count: int
    receipt: Receipt
    file: ReceiptFile = field(repr=False)
    is_repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDescription:
    """One dataset that may be asked."""

    manifest: Cid
    title: str
    passages: int
    owner: bytes
    model: bytes  # SHA-256 of the weights that it is chunked for
    index: str  # exact, or how it is approximated
    recall_ppm: int  # of the exact answers' passages, what it finds, in millionths
    recall_k: int  # passages asked for when that was measured; 0 for exact
    recall_queries: int
    recall_source: str
    only: bytes  # the filter that the policy sets on it, canonical DAG-CBOR; empty where all may be found


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What may be asked under a license, and on which terms."""

    datasets: tuple[DatasetDescription, ...]
    k_max: int
    queries_per_minute: int
    price_per_query: int  # micro-units
    price_per_passage: int  # micro-units
    currency: str
    owners_min: int
    counts_in: int  # passages are counted in multiples of this; 0 where they are not


class ReceiptNotKept(VaultError):
    """An answer was charged and holds, but whoever keeps receipts could not keep its own; the answer is in `paid`."""

    def __init__(self, message: str, paid: Answer | Embedding | Count) -> None:
        super().__init__(message)
        self.paid = paid
