"""Padding into buckets, on the CPU, where nothing is recorded; recording itself needs a GPU."""

from __future__ import annotations

import pytest
import torch

from rag.bert import Bert
from rag.cuda_graphs import TEXTS, TOKENS, Bucket, Graphed, bucket_of, padded
from rag.pooling import pooled, pooled_padded
from tests.rag import tiny_model


@pytest.mark.parametrize(
    ("texts", "tokens", "bucket"),
    [
        (1, 1, Bucket(1, 16)),
        (1, 16, Bucket(1, 16)),
        (1, 17, Bucket(1, 32)),
        (3, 33, Bucket(4, 64)),
        (32, 256, Bucket(32, 256)),
        (33, 16, None),
        (1, 257, None),
    ],
)
def test_a_batch_goes_into_the_smallest_bucket_that_holds_it(texts: int, tokens: int, bucket: Bucket | None) -> None:
    assert bucket_of(texts, tokens) == bucket


def test_every_small_shape_has_a_bucket_at_most_twice_its_size() -> None:
    for texts in range(1, TEXTS[-1] + 1):
        for tokens in range(TOKENS[0], TOKENS[-1] + 1):
            bucket = bucket_of(texts, tokens)
            assert bucket is not None
            assert texts <= bucket.texts < 2 * texts or texts == bucket.texts
            assert tokens <= bucket.tokens < 2 * tokens or tokens == bucket.tokens


def test_a_text_of_padding_has_one_token() -> None:
    ids, mask = padded(torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool), Bucket(4, 16))
    assert ids.shape == mask.shape == (4, 16)
    assert mask.sum(dim=1).tolist() == [3, 3, 1, 1]
    assert ids.sum() == 6


@pytest.mark.parametrize("kind", ["cls", "max", "mean"])
@pytest.mark.parametrize("count", [1, 3, 33])
def test_padded_into_a_bucket_a_text_has_the_vector_it_has_alone(kind: str, count: int) -> None:
    encoder = Bert(tiny_model.SHAPE, tiny_model.tensors(), dtype="float32", device="cpu")
    run = Graphed(lambda ids, mask: pooled_padded(encoder.padded(ids, mask), mask, kind), device="cpu")  # type: ignore[arg-type]
    lengths = [1 + place * 5 % 19 for place in range(count)]
    ids = torch.zeros(count, max(lengths), dtype=torch.int64)
    mask = torch.zeros(count, max(lengths), dtype=torch.bool)
    texts = [(torch.arange(length) + length) % 57 for length in lengths]
    for place, text in enumerate(texts):
        ids[place, : len(text)], mask[place, : len(text)] = text, True
    with torch.inference_mode():
        rows = run(ids, mask)
        alone = [pooled(tokens, kind) for tokens in encoder.packed(texts)]  # type: ignore[arg-type]
    assert rows.shape == (count, 32)
    for row, expected in zip(rows, alone, strict=True):
        assert torch.allclose(row, torch.from_numpy(expected), atol=1e-5)
