"""A question as it is asked, authenticated, metered and committed to in a receipt (rules L3, R1, R5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.codec import INTEGER_MAX, Digest, Length, Record, encode, record
from vault.dataset import DATASETS_MAX
from vault.errors import MalformedObject
from vault.record_encoding import encoded

TEXT_CHARS_MAX = 4096
VECTOR_BYTES_MAX = 1 << 16
FILTER_BYTES_MAX = 1 << 14
NEIGHBORS_MAX = 8
THOUSAND = 1000
COUNT_BYTES = 8
BATCH_MAX = 64  # questions in one call


class Mode(StrEnum):
    """By what passages are ranked."""

    DENSE = "dense"  # the inner product of their vectors with the question's
    KEYWORD = "keyword"  # BM25 over the words
    HYBRID = "hybrid"  # both rankings, fused by reciprocal rank


@record
class Options(Record):
    """How to search beyond the nearest vectors."""

    mode: Mode
    where: Annotated[bytes, Length(0, FILTER_BYTES_MAX)] = field(repr=False)  # a filter over metadata, or empty
    distinct: bool  # near-identical passages count as one, the best of them
    diversity: int  # thousandths: 0 ranks by relevance alone, 1000 by difference from what is chosen already
    neighbors: int  # passages before and after each one, from its document
    rerank: bool  # by the enclave's cross-encoder, where it has one

    def check(self) -> None:
        """Refuse numbers out of range."""
        if not 0 <= self.diversity <= THOUSAND:
            raise MalformedObject(f"diversity is 0 … {THOUSAND} thousandths")
        if not 0 <= self.neighbors <= NEIGHBORS_MAX:
            raise MalformedObject(f"neighbors are 0 … {NEIGHBORS_MAX}")

    @property
    def needs_text(self) -> bool:
        """Say whether they need the question's words."""
        return self.mode is not Mode.DENSE or self.rerank


PLAIN = Options(mode=Mode.DENSE, where=b"", distinct=False, diversity=0, neighbors=0, rerank=False)
"""The nearest vectors and nothing else."""


@record
class Query(Record):
    """One question: what the MAC covers, and what a repeated request must equal."""

    TYPE: ClassVar[str] = "coffer/query/v2"

    request: Digest  # chosen by the client, unique per licensee; a retry uses it again
    policy: Cid
    text: Annotated[str, Length(0, TEXT_CHARS_MAX)] = field(repr=False)  # never printed; empty where asked by vector
    k: int  # passages wanted; 0 for the question's own vector, which is charged like an answer of no passages
    salt: Digest  # blinds the query commitments (rule R1)
    vector: Annotated[bytes, Length(0, VECTOR_BYTES_MAX)] = field(default=b"", repr=False)  # float32 little-endian
    datasets: Annotated[tuple[Cid, ...], Length(0, DATASETS_MAX)] = ()  # manifests, ascending; none: all the policy's
    price_max: int = INTEGER_MAX  # micro-units: what may cost more is refused
    options: Options = PLAIN

    def check(self) -> None:
        """Refuse a question that asks for nothing, or for two things."""
        has_one = bool(self.text) != bool(self.vector) or (self.text and self.options.needs_text)
        if not has_one and not self.is_count:
            raise MalformedObject("a question is asked by its words or by a vector; by both only where words rank")
        if self.options.needs_text and not self.text:
            raise MalformedObject("ranking by words needs the question's text")
        if list(self.datasets) != sorted(set(self.datasets)):
            raise MalformedObject("the datasets of a question stand once each, in ascending order")
        if self.k == 0 and (self.vector or self.options != PLAIN) and not self.is_count:
            raise MalformedObject("a question for its own vector has a text and no options; a count has a filter alone")

    @property
    def is_count(self) -> bool:
        """Say whether it asks how many passages meet a filter, and for none of them."""
        if self.k or self.text or self.vector or not self.options.where:
            return False
        return self.options == replace(PLAIN, where=self.options.where)

    @property
    def passages_max(self) -> int:
        """Return how many passages an answer may hold, neighbors included."""
        return self.k * (1 + 2 * self.options.neighbors)

    def encoded(self) -> bytes:
        """Return the record's canonical bytes."""
        return encoded(self)

    def body_digest(self) -> bytes:
        """Return SHA-256 of the encoding; a retry must have the same (rule L3)."""
        return self.cid().digest


def batch_digest(queries: Sequence[Query]) -> bytes:
    """Return what a MAC over several questions covers."""
    return sha256(encode(["coffer/batch/v1", [query.body_digest() for query in queries]])).digest()


def quote_digest(k: int, neighbors: int) -> bytes:
    """Return what a MAC over a request for a quote covers."""
    return sha256(encode(["coffer/quote/v1", k, neighbors])).digest()


def describe_digest() -> bytes:
    """Return what a MAC over a request for a description covers."""
    return sha256(encode(["coffer/describe/v1"])).digest()


def account_digest() -> bytes:
    """Return what a MAC over a request for an account covers."""
    return sha256(encode(["coffer/account/v1"])).digest()


def channel_digest() -> bytes:
    """Return what a MAC over a request for a payment channel covers."""
    return sha256(encode(["coffer/get-channel/v1"])).digest()


def voucher_digest(voucher: bytes) -> bytes:
    """Return what a MAC over a call that hands in an encoded voucher covers."""
    return sha256(encode(["coffer/pay-voucher/v1", voucher])).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What an answer would cost and what is left: bounds from policy and books, found without searching."""

    price_max: int  # micro-units
    price_min: int  # of an answer of no passages
    passages_max: int  # new ones that an answer could bring
    passages_left: int  # of the extraction budget
    credit: int
    spend_left: int  # under the session's cap


def count_bytes(count: int) -> bytes:
    """Return a count as its receipt commits to it, in the place of a vector."""
    return count.to_bytes(COUNT_BYTES, "big")


def text_commitment(salt: bytes, text: str) -> bytes:
    """Return the commitment to a query's words."""
    return sha256(b"coffer/query-text/v1" + salt + text.encode()).digest()


def vector_commitment(salt: bytes, vector: bytes) -> bytes:
    """Return the commitment to a query's vector, float32 little-endian (rule R5)."""
    return sha256(b"coffer/query-vector/v1" + salt + vector).digest()
