"""Passages: exact offsets, every word covered once, and no passage longer than the model reads."""

import time
from pathlib import Path

import pytest
import semchunk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rag.chunk import BLOCK_CHARS, CONTENT_TOKENS, Chunker
from rag.errors import UnknownModel
from rag.model import Document, Passage

words = st.text(min_size=1, max_size=12)
spaces = st.sampled_from([" ", "\n", "\n\n", "\t", "\r\n", "\u2028", "\u00a0", ". ", ", ", "  \n \n"])
texts = st.lists(st.tuples(words, spaces), max_size=300).map(lambda pairs: "".join(a + b for a, b in pairs))


def tokens(minilm: Path, text: str) -> int:
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def assert_cut_well(document: Document, passages: list[Passage]) -> None:
    text, at = document.text, 0
    for passage in passages:
        assert passage.document == document.name
        assert passage.text == text[passage.start : passage.end]
        assert passage.text and passage.text == passage.text.strip()
        assert passage.start >= at
        assert not text[at : passage.start].strip()
        at = passage.end
    assert not text[at:].strip()


@settings(max_examples=100, deadline=None)
@given(text=texts)
@example(text="")
@example(text=" \n\t\u2003")
@example(text="x" * 5000)
@example(text="的" * 2000)
@example(text="e\u0301" * 2000)
@example(text="[SEP] [CLS] [PAD] " * 500)
@example(text="👩‍👩‍👧‍👦" * 400)
def test_passages_tile_the_words_of_any_text(chunker: Chunker, text: str) -> None:
    document = Document("d", text)
    assert_cut_well(document, chunker.chunk(document))


@settings(max_examples=25, deadline=None)
@given(text=texts)
@example(text="a, b. " * 3000)
@example(text="x1" * 3000)
def test_no_passage_is_longer_than_the_model_reads(chunker: Chunker, minilm: Path, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    for passage in chunker.chunk(Document("d", text)):
        assert len(tokenizer.encode(passage.text).ids) <= CONTENT_TOKENS + 2


def test_a_long_document_is_cut_into_full_passages(chunker: Chunker, minilm: Path) -> None:
    sentence = "The vault keeps what the owners voted on, and the enclave answers. "
    document = Document("long", sentence * (3 * BLOCK_CHARS // len(sentence)))
    passages = chunker.chunk(document)
    assert_cut_well(document, passages)
    assert len(passages) == pytest.approx(tokens(minilm, document.text) / CONTENT_TOKENS, rel=0.15)


def test_an_empty_document_has_no_passage_but_is_one_as_a_whole(chunker: Chunker) -> None:
    empty = Document("e", "")
    assert chunker.chunk(empty) == []
    assert chunker.whole(empty) == Passage("e", 0, 0, "")


def test_a_whole_document_is_one_passage_however_long(chunker: Chunker) -> None:
    document = Document("d", " word" * 5000)
    assert chunker.whole(document) == Passage("d", 0, len(document.text), document.text)


def test_a_text_that_exhausts_the_splitter_is_still_cut(chunker: Chunker) -> None:
    """semchunk goes one level deeper for each distinct run of line ends; this text has 4,096 of them.

    Without a budget, each level counts the tokens of nearly the whole text again.
    """
    runs = ("".join("\n\r"[(number >> bit) & 1] for bit in range(12)) for number in range(4096))
    document = Document("hostile", "a".join(runs)[: BLOCK_CHARS // 2] + " b" * 3000)
    with pytest.raises(RecursionError):
        semchunk.chunk(document.text, CONTENT_TOKENS, len, memoize=False, offsets=True)
    began = time.process_time()
    assert_cut_well(document, chunker.chunk(document))
    assert time.process_time() - began < 5  # measured: 0.4 s; 11 s without the budget


def test_a_smaller_limit_gives_more_passages(minilm: Path, chunker: Chunker) -> None:
    document = Document("d", "one two three four five six. " * 100)
    small = Chunker(minilm / "tokenizer.json", tokens=20).chunk(document)
    assert_cut_well(document, small)
    assert all(tokens(minilm, passage.text) <= 20 for passage in small)
    assert len(small) > len(chunker.chunk(document))


@pytest.mark.parametrize("limit", [0, CONTENT_TOKENS + 1])
def test_a_limit_the_model_does_not_read_is_refused(minilm: Path, limit: int) -> None:
    with pytest.raises(ValueError, match="tokens must be"):
        Chunker(minilm, tokens=limit)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"tokenizer\.json"):
        Chunker(tmp_path)
