"""Texts to token ids: bounded, of any characters whatever, and as the model's own tokenizer cuts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from rag.wordpieces import CHARS_MAX, Wordpieces, encodable

VOCABULARY = 30522


@pytest.fixture(scope="module")
def wordpieces(minilm: Path) -> Wordpieces:
    return Wordpieces(minilm, tokens_max=256, vocabulary=VOCABULARY)


def test_ids_are_those_of_transformers(wordpieces: Wordpieces, minilm: Path) -> None:
    theirs = AutoTokenizer.from_pretrained(str(minilm), local_files_only=True)
    texts = ["The Cat's naïve café", "word " * 400, "日本語 \x00 \u200b", "", "[SEP] x [MASK]", "a" * 101]
    expected = [theirs(text, truncation=True, max_length=256)["input_ids"] for text in texts]
    assert [list(ids) for ids in wordpieces.encode(texts)] == expected
    assert [list(wordpieces.encode([text])[0]) for text in texts] == expected


def test_no_texts_give_no_ids(wordpieces: Wordpieces) -> None:
    assert wordpieces.encode([]) == []


def test_a_prompt_is_part_of_the_text(wordpieces: Wordpieces) -> None:
    (with_prompt,), (whole,) = wordpieces.encode(["lo"], prompt="hel"), wordpieces.encode(["hello"])
    assert list(with_prompt) == list(whole)


def test_half_a_surrogate_pair_is_read_as_what_stands_for_no_character() -> None:
    assert encodable("a\ud800b\udfff") == "a\ufffdb\ufffd"
    assert encodable("\ud83d\ude42") == "🙂"
    assert encodable("naïve 🙂") == "naïve 🙂"


@given(st.lists(st.text(st.characters(codec=None, categories=None), max_size=200), max_size=4))
def test_any_text_gives_framed_ids_of_the_vocabulary(wordpieces: Wordpieces, texts: list[str]) -> None:
    for ids in wordpieces.encode(texts):
        assert (ids[0], ids[-1], ids.dtype) == (101, 102, np.int64)
        assert 2 <= len(ids) <= 256
        assert 0 <= ids.min() <= ids.max() < VOCABULARY


def test_what_lies_beyond_the_bound_in_characters_is_not_read(wordpieces: Wordpieces) -> None:
    spaces = " " * (CHARS_MAX - 1)
    inside, beyond = wordpieces.encode([spaces + "a", spaces + " a"])
    assert (len(inside), len(beyond)) == (3, 2)
