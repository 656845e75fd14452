"""A question's options as retrieval understands them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enclave.found import Ask
from rag.filters import Filter, filter_from
from rag.model import K_MAX
from rag.request import Mode as RetrievalMode
from rag.request import Request
from rag.rerank import DEPTH_MAX
from vault.codec import decode
from vault.errors import MalformedObject
from vault.question import FILTER_BYTES_MAX, THOUSAND, Mode

RERANK_DEPTH: Final = 50  # candidates that the cross-encoder reads, or k if that is more
UNIT_TOLERANCE: Final = 1e-3  # of a query vector's length: more than rounding to bfloat16 and back changes

_MODES: Final = {
    Mode.DENSE: RetrievalMode.DENSE,
    Mode.KEYWORD: RetrievalMode.KEYWORD,
    Mode.HYBRID: RetrievalMode.HYBRID,
}


def filter_of(ask: Ask) -> Filter | None:
    """Return the filter that a question brings. Raises `MalformedObject`, or `rag.filters.MalformedFilter`."""
    where = ask.options.where
    return filter_from(decode(where, bytes_max=FILTER_BYTES_MAX)) if where else None


def vector_of(ask: Ask, dimension: int) -> NDArray[np.float32] | None:
    """Return the vector that a question brings, shape (dimension,), or raise `MalformedObject`."""
    if not ask.vector:
        return None
    if len(ask.vector) != 4 * dimension:
        raise MalformedObject(f"a query's vector has {dimension} float32 numbers here")
    vector = np.frombuffer(ask.vector, dtype="<f4")
    wide = vector.astype(np.float64)
    length = math.sqrt(float(wide @ wide))  # NumPy's `norm` would do, at five times the price
    if not abs(length - 1) <= UNIT_TOLERANCE:  # False for NaN too
        raise MalformedObject("a query's vector has to have length 1; divide it by its norm")
    return vector


def request_of(ask: Ask, vector: NDArray[np.float32] | None, filter_: Filter | None) -> Request:
    """Return what is asked of retrieval."""
    options = ask.options
    return Request(
        k=min(ask.k, K_MAX),
        text=ask.text or None,
        vector=vector,
        mode=_MODES[options.mode],
        filter=filter_,
        rerank=min(DEPTH_MAX, max(RERANK_DEPTH, ask.k)) if options.rerank else 0,
        dedupe=options.distinct,
        diversity=THOUSAND - options.diversity if options.diversity else None,  # MMR's lambda weighs relevance
        neighbors=options.neighbors,
    )
