"""The product of rows and queries and the maximum of each tile in one kernel: no score is ever written.

Sums are float32 and stay so; the maxima are float32. Tested against torch by Triton's interpreter; not run on a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from rag.rounding import TILE

if TYPE_CHECKING:
    import torch

COLUMNS = 64  # queries of one program
DEPTH = 64  # elements of the inner product taken at once
COLUMNS_MIN = 16  # the least that `tl.dot` takes


def is_fused_on(device: torch.device) -> bool:
    """Tell whether the kernel runs on a device: a GPU with Triton, or Triton's interpreter."""
    if importlib.util.find_spec("triton") is None:
        return False
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def tile_maxima(rows: torch.Tensor, columns: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return the best score of each tile with each column, float32, shape (tiles, width).

    Args:
        rows: shape (tiles * TILE, dimension), float16 or bfloat16.
        columns: shape (dimension, width).
        bias: added to each row's scores, shape (tiles * TILE,): 0, or -inf for a row that may not be a hit.
    """
    import torch

    tiles, width = len(rows) // TILE, columns.shape[1]
    maxima = torch.empty((tiles, width), dtype=torch.float32, device=rows.device)
    if tiles:
        block = min(COLUMNS, max(COLUMNS_MIN, 1 << (width - 1).bit_length()))
        # The long axis first: the others end at 65,535 programs.
        _kernel()[(tiles, -(-width // block))](
            rows,
            columns,
            bias,
            maxima,
            rows.shape[1],
            width,
            rows.stride(0),
            columns.stride(0),
            columns.stride(1),
            ROWS=TILE,
            COLUMNS=block,
            DEPTH=DEPTH,
        )
    return maxima


@cache
def _kernel() -> Any:
    # A kernel finds its names in the module that it stands in. mypy has no triton to read where there is no GPU.
    globals()["tl"] = importlib.import_module("triton.language")
    return importlib.import_module("triton").jit(_product_and_maximum)


tl: Any = None  # triton.language, once the kernel is made


def _product_and_maximum(
    rows: Any,
    columns: Any,
    bias: Any,
    maxima: Any,
    dimension: Any,
    width: Any,
    row_stride: Any,
    depth_stride: Any,
    column_stride: Any,
    ROWS: tl.constexpr,  # noqa: N803  # Triton's way to name what is known when it compiles
    COLUMNS: tl.constexpr,  # noqa: N803
    DEPTH: tl.constexpr,  # noqa: N803
) -> None:
    tile = tl.program_id(0).to(tl.int64)
    row = tile * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, dimension, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        left = tl.load(rows + row[:, None] * row_stride + depth[None, :], mask=depth[None, :] < dimension, other=0.0)
        right = tl.load(
            columns + depth[:, None] * depth_stride + column[None, :] * column_stride,
            mask=(depth[:, None] < dimension) & (column[None, :] < width),
            other=0.0,
        )
        sums += tl.dot(left, right)
    sums += tl.load(bias + row).to(tl.float32)[:, None]
    tl.store(maxima + tile * width + column, tl.max(sums, axis=0), mask=column < width)
