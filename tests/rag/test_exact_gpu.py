"""Rows on a device: the same bytes as on the CPU, by plain torch and by the fused kernel.

Here the device is the CPU; the tests marked `gpu` are the same on a GPU.
"""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest

from rag.allowed import Allowed
from rag.exact import TileIndex
from rag.exact_gpu import DeviceTiles, full_precision_sums
from tests.rag.test_exact import ADVERSARIES, asked, unit

has_triton = importlib.util.find_spec("triton") is not None
interprets = has_triton and os.environ.get("TRITON_INTERPRET") == "1"


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


DEVICES = [
    "cpu:0",
    pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")]),
]
FUSED = [
    False,
    pytest.param(
        True,
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(
                not (interprets or (has_triton and has_gpu())),
                reason="needs Triton, on a GPU or with TRITON_INTERPRET=1",
            ),
        ],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("form", ["float16", "bfloat16"])
@pytest.mark.parametrize("made", ADVERSARIES, ids=lambda made: made.__name__)
def test_a_device_gives_the_bytes_of_the_cpu(made, form: str, fused: bool, device: str) -> None:  # type: ignore[no-untyped-def]
    if fused and form == "bfloat16" and not has_gpu():
        pytest.skip("Triton's interpreter multiplies the bits of bfloat16 as integers (3.9)")
    rng = np.random.default_rng(2)
    vectors = made(rng, 40)
    queries = asked(rng, vectors)
    there, here = TileIndex(vectors, device=device, form=form), TileIndex(vectors)
    assert isinstance(there._tiles, DeviceTiles)
    there._tiles.fused = fused
    for allowed in (None, Allowed.from_mask(rng.random(len(vectors)) < 0.5), Allowed(range(3, 9), total=len(vectors))):
        for k in (1, 10, 300):
            assert there.search(queries, k=k, allowed=allowed) == here.search(queries, k=k, allowed=allowed)


@pytest.mark.parametrize("device", DEVICES)
def test_rows_on_a_device_change_too(device: str) -> None:
    rng = np.random.default_rng(6)
    vectors, queries = unit(rng, 200, 24), unit(rng, 5, 24)
    there, here = TileIndex(vectors[:150], device=device), TileIndex(vectors[:150])
    for index in (there, here):
        index.add(vectors[150:])
        index.delete([3, 70, 199])
        index.replace([5, 151], queries[:2])
    assert there.search(queries, k=20) == here.search(queries, k=20)
    assert there.scores(queries[0], np.array([5, 9])) == here.scores(queries[0], np.array([5, 9]))


@pytest.mark.parametrize("fused", FUSED[1:])
@pytest.mark.parametrize("width", [2, 16, 48, 80])
@pytest.mark.parametrize("dimension", [16, 40, 128])
def test_the_fused_kernel_gives_the_maxima_of_torch(dimension: int, width: int, fused: bool) -> None:
    import torch

    from rag.triton_tiles import tile_maxima

    device = "cuda" if has_gpu() else "cpu"
    rows = torch.randn(192, dimension).half().to(device)
    columns = torch.randn(width, dimension).half().to(device).t()
    bias = torch.zeros(192, dtype=torch.float16, device=device)
    bias[70:150] = float("-inf")
    expected = (rows.double() @ columns.double() + bias.double()[:, None]).view(3, 64, width).amax(dim=1)
    torch.testing.assert_close(tile_maxima(rows, columns, bias).double(), expected, rtol=1e-4, atol=1e-4)


def test_settings_of_sums_are_given_back() -> None:
    import torch

    before = torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    with full_precision_sums():
        assert not torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
        assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    assert torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction == before
