"""What every form of rows in few bits is made with: whole tiles, their measured bounds, queries as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from rag.rounding import FLOAT32_TINY, TILE, Arithmetic, QueryBounds, TileBounds

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def tiles_of(vectors: NDArray[np.float32]) -> torch.Tensor:
    """Return whole tiles as a tensor of shape (tiles, TILE, dimension)."""
    import torch

    return torch.from_numpy(vectors).view(-1, TILE, vectors.shape[1])


def keep_bounds(
    bounds: TileBounds, tile: int, scale: torch.Tensor, vectors: torch.Tensor, rounded: torch.Tensor
) -> None:
    """Measure ‖e‖ and ‖c·x̂‖ of tiles, shape (tiles, TILE, dimension), widened by what float32 lost in `rounded`."""
    import torch

    norm = torch.linalg.vector_norm(rounded, dim=2, dtype=torch.float64).amax(dim=1).numpy()
    error = torch.linalg.vector_norm(vectors - rounded, dim=2, dtype=torch.float64).amax(dim=1).numpy()
    flushed = 4 * FLOAT32_TINY * vectors.shape[2] ** 0.5
    part = slice(tile, tile + len(vectors))
    bounds.scale[part] = scale.numpy()
    bounds.norm[part] = norm * (1 + 2.0**-20) + flushed
    bounds.error[part] = error * (1 + 2.0**-20) + norm * 2.0**-22 + flushed


def rounded_width(queries: int) -> int:
    """Return 2, 4, 8 or a multiple of 16."""
    return next((width for width in (2, 4, 8) if queries <= width), -(-queries // 16) * 16)


def float_columns(
    queries: NDArray[np.float32], width: int, dtype: torch.dtype, arithmetic: Arithmetic, *, tiny: float = 0.0
) -> tuple[torch.Tensor, QueryBounds]:
    """Return queries as columns of floats of norm at most 1, elements below `tiny` zero, and their bounds."""
    import torch

    wide = queries.astype(np.float64)
    _, exponents = np.frexp(np.sqrt(np.einsum("ij,ij->i", wide, wide)))
    scale = np.ldexp(1.0, exponents)
    padded = np.zeros((width, queries.shape[1]), dtype=np.float32)
    padded[: len(queries)] = wide / scale[:, None]
    columns = torch.from_numpy(padded).to(dtype)
    columns[columns.abs() < tiny] = 0
    rounded = cast("NDArray[np.float64]", columns[: len(queries)].double().numpy())
    return columns.t(), QueryBounds.of(wide, rounded, scale, arithmetic)


def resized(values: torch.Tensor, rows: int) -> torch.Tensor:
    """Return a copy with `rows` rows, new ones zeros, and overwrite the old one with zeros."""
    import torch

    grown = torch.zeros((rows, *values.shape[1:]), dtype=values.dtype, device=values.device)
    kept = min(rows, len(values))
    grown[:kept] = values[:kept]
    values.zero_()
    return grown


def resized_bounds(bounds: TileBounds, tiles: int) -> TileBounds:
    """Return a copy for `tiles` tiles."""
    grown = TileBounds.zeros(tiles)
    kept = min(tiles, len(bounds.scale))
    for new, old in ((grown.scale, bounds.scale), (grown.error, bounds.error), (grown.norm, bounds.norm)):
        new[:kept] = old[:kept]
    return grown
