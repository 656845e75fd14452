"""Small padded batches as recorded CUDA graphs: a query's embedding on a GPU is bound by starting kernels, not by them.

One graph a bucket of shapes, recorded when the bucket is first used; a batch is padded up to its bucket. Batches over
the largest bucket run without a graph. What is recorded here was not run on a GPU by its author; on the CPU the same
code runs without recording, which is how it is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Encode = Callable[[Tensor, Tensor], Tensor]

TEXTS = (1, 2, 4, 8, 16, 32)
TOKENS = (16, 32, 64, 128, 256)
WARM_RUNS = 3  # before recording, as torch.cuda.graphs asks: libraries set themselves up on a side stream


class Bucket(NamedTuple):
    """A shape of a padded batch."""

    texts: int
    tokens: int


def bucket_of(texts: int, tokens: int) -> Bucket | None:
    """Return the smallest bucket that holds a batch of this shape, or None for one that gets no graph."""
    count = next((size for size in TEXTS if size >= texts), None)
    length = next((size for size in TOKENS if size >= tokens), None)
    return None if count is None or length is None else Bucket(count, length)


class Graphed:
    """Runs a function of (ids, mask) by bucket. One thread at a time may use it."""

    def __init__(self, encode: Encode, *, device: str) -> None:
        """Take a function made of tensors alone, whose result has a row a text."""
        self._encode = encode
        self._records = device.startswith("cuda")
        self._recorded: dict[Bucket, tuple[Any, Tensor, Tensor, Tensor]] = {}
        self._pool: Any = None  # the graphs' memory, shared: they never run at once

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return a row a text; the padding has no part in them but by rounding."""
        texts, tokens = ids.shape
        bucket = bucket_of(texts, tokens)
        if bucket is None:
            return self._encode(ids, mask)
        ids, mask = padded(ids, mask, bucket)
        if not self._records:
            return self._encode(ids, mask)[:texts]
        graph, graph_ids, graph_mask, rows = self._recorded.get(bucket) or self._record(bucket, ids, mask)
        graph_ids.copy_(ids)
        graph_mask.copy_(mask)
        graph.replay()
        return rows[:texts].clone()  # the next replay writes over them

    def _record(self, bucket: Bucket, ids: Tensor, mask: Tensor) -> tuple[Any, Tensor, Tensor, Tensor]:
        import torch

        ids, mask = ids.clone(), mask.clone()
        side = torch.cuda.Stream(ids.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(ids.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_RUNS):
                self._encode(ids, mask)
        torch.cuda.current_stream(ids.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            rows = self._encode(ids, mask)
        self._pool = graph.pool()
        self._recorded[bucket] = (graph, ids, mask, rows)
        return self._recorded[bucket]


def padded(ids: Tensor, mask: Tensor, bucket: Bucket) -> tuple[Tensor, Tensor]:
    """Return both padded to the bucket; a text of padding has one token, since attention over nothing is no number."""
    from torch.nn import functional

    texts, tokens = ids.shape
    wider = (0, bucket.tokens - tokens, 0, bucket.texts - texts)
    ids, mask = functional.pad(ids, wider), functional.pad(mask, wider)
    mask[texts:, 0] = True
    return ids, mask
