"""Token vectors to one vector a text, in the ways that sentence-transformers names cls, max and mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from rag.model_settings import Pooling


def pooled(tokens: Tensor, kind: Pooling) -> NDArray[np.float32]:
    """Return one text's vector from its tokens' on the CPU, shape (tokens, hidden).

    Summed in float64, in the tokens' order: torch's order would follow the number of threads.
    """
    import numpy as np

    vectors: NDArray[np.float32] = tokens.float().numpy()
    if kind == "cls":
        return np.asarray(vectors[0])
    if kind == "max":
        return np.asarray(vectors.max(axis=0))
    return np.asarray(vectors.mean(axis=0, dtype=np.float64), dtype=np.float32)


def pooled_padded(tokens: Tensor, mask: Tensor, kind: Pooling) -> Tensor:
    """Return a vector a text in float32, from (texts, tokens, hidden) and a mask that is True where a token is."""
    vectors = tokens.float()
    if kind == "cls":
        return vectors[:, 0]
    kept = mask[:, :, None]
    if kind == "max":
        return vectors.masked_fill(~kept, float("-inf")).amax(dim=1)
    return (vectors * kept).sum(dim=1) / kept.sum(dim=1)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows at length 1: a model that normalizes in bfloat16 leaves norms up to 0.4 % from it."""
    import numpy as np

    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0))
