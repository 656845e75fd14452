"""One chunker and one loaded model for all tests of this folder."""

from pathlib import Path

import pytest

from rag.chunk import Chunker
from rag.embed import MINILM, MINILM_SHA256, SentenceTransformerEmbedder, model_path


@pytest.fixture(scope="session")
def minilm() -> Path:
    return model_path(MINILM)


@pytest.fixture(scope="session")
def chunker(minilm: Path) -> Chunker:
    return Chunker(minilm)


@pytest.fixture(scope="session")
def embedder(minilm: Path) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")
