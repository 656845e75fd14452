"""Keyword search against bm25s, against indexes of the allowed passages alone, and against what strains it."""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Iterator
from itertools import combinations_with_replacement
from string import ascii_lowercase

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.allowed import Allowed
from rag.errors import DimensionMismatch
from rag.keyword import (
    BLOCK_TOKENS,
    K1,
    QUERY_TOKENS_MAX,
    TOKENS_MAX,
    B,
    KeywordIndex,
    OversizedVocabulary,
    Statistics,
    idf,
    query_from,
)
from rag.model import K_MAX, Hit
from rag.tokens import TEXT_CHARS_MAX, TOKEN_CHARS_MAX, singular, tokens

WORDS = ["wing", "wings", "flow", "heat", "the", "drag", "lift", "Ünïcode", "x1", "plate"]
passages = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=40)
questions = st.lists(st.sampled_from([*WORDS, "absent"]), max_size=8).map(" ".join)


def made_up(count: int, seed: int, *, words: int = 400) -> list[str]:
    """Passages whose words follow Zipf's law."""
    rng = np.random.default_rng(seed)
    return [
        " ".join(f"w{word}" for word in np.minimum(rng.zipf(1.3, size=rng.integers(0, 60)), words))
        for _ in range(count)
    ]


def pairs(hits: list[Hit]) -> list[tuple[int, float]]:
    return [(hit.index, hit.score) for hit in hits]


@pytest.mark.parametrize("plurals", [True, False])
def test_scores_are_those_of_bm25s(plurals: bool) -> None:
    texts = made_up(300, 1)
    corpus = [[singular(token) if plurals else token for token in tokens(text)] for text in texts]
    oracle = bm25s.BM25(method="lucene", k1=K1, b=B, dtype="float64")
    oracle.index(corpus, show_progress=False)
    index = KeywordIndex(texts, plurals=plurals)
    for question in ["w1", "w3 w7 w399", "w2 w2 w2 w50", " ".join(f"w{n}" for n in range(1, 100))]:
        expected = oracle.get_scores(tokens(question))
        (hits,) = index.search([question], k=K_MAX)
        assert {hit.index for hit in hits} == set(np.flatnonzero(expected > 0).tolist())
        for hit in hits:
            assert hit.score == pytest.approx(float(expected[hit.index]), rel=1e-12)


def by_definition(texts: list[str], question: str, allowed: set[int]) -> dict[int, float]:
    """Score every allowed passage on its own, by the formula."""
    held = {row: [singular(token) for token in tokens(texts[row])] for row in allowed}
    average = sum(map(len, held.values())) / len(held) if held else 0
    scores: dict[int, float] = {}
    for token in map(singular, tokens(question)):
        n = sum(token in of for of in held.values())
        for row, of in held.items():
            if token in of:
                weight = math.log(1 + (len(held) - n + 0.5) / (n + 0.5))
                saturation = of.count(token) / (of.count(token) + K1 * (1 - B + B * len(of) / average))
                scores[row] = scores.get(row, 0.0) + weight * saturation
    return scores


@settings(deadline=None)
@given(passages, questions, st.data())
def test_scores_follow_the_formula_over_the_allowed_rows(texts: list[str], question: str, data: st.DataObject) -> None:
    allowed = data.draw(st.sets(st.integers(0, len(texts) - 1)))
    (hits,) = KeywordIndex(texts).search([question], k=K_MAX, allowed=Allowed(allowed, total=len(texts)))
    assert dict(pairs(hits)) == pytest.approx(by_definition(texts, question, allowed), rel=1e-12)


@settings(deadline=None)
@given(passages, questions, st.data(), st.integers(1, 5))
def test_forbidden_rows_might_as_well_not_be_there(
    texts: list[str], question: str, data: st.DataObject, k: int
) -> None:
    allowed = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1))))
    (hits,) = KeywordIndex(texts).search([question], k=k, allowed=Allowed(allowed, total=len(texts)))
    (alone,) = KeywordIndex([texts[row] for row in allowed]).search([question], k=k)
    assert pairs(hits) == [(allowed[row], score) for row, score in pairs(alone)]


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3, 0.99, 1.0])
def test_narrow_and_wide_permits_are_scored_alike(share: float) -> None:
    texts = made_up(3000, 2)
    rows = np.flatnonzero(np.random.default_rng(5).random(len(texts)) < share)
    index, alone = KeywordIndex(texts), KeywordIndex([texts[row] for row in rows])
    asked = ["w1 w2 w9", "w300", "w1", "w17 w256 absent"]
    hits = index.search(asked, k=20, allowed=Allowed(rows.astype(np.uint32), total=len(texts)))
    for found, expected in zip(hits, alone.search(asked, k=20), strict=True):
        assert pairs(found) == [(int(rows[row]), score) for row, score in pairs(expected)]


@settings(deadline=None)
@given(passages, questions, st.data(), st.integers(1, 5))
def test_datasets_asked_together_score_as_one(texts: list[str], question: str, data: st.DataObject, k: int) -> None:
    cut = data.draw(st.integers(0, len(texts)))
    query = query_from(question)
    whole = KeywordIndex(texts)
    parts = [KeywordIndex(texts[:cut]), KeywordIndex(texts[cut:])]
    matches = [part.match(query) for part in parts]
    statistics = matches[0].statistics + matches[1].statistics
    assert statistics == whole.match(query).statistics
    found = [part.ranked(of, statistics, k=k) for part, of in zip(parts, matches, strict=True)]
    together = pairs(found[0]) + [(row + cut, score) for row, score in pairs(found[1])]
    expected = pairs(whole.search([question], k=k)[0])
    assert sorted(together, key=lambda pair: (-pair[1], pair[0]))[:k] == expected


def test_equal_scores_order_by_row_and_k_cuts() -> None:
    index = KeywordIndex(["heat flow", "drag", "heat flow", "flow heat", "heat"])
    (hits,) = index.search(["heat flow"], k=2)
    assert [hit.index for hit in hits] == [0, 2]
    (hits,) = index.search(["flow heat"], k=K_MAX)
    assert [hit.index for hit in hits] == [0, 2, 3, 4]


def test_answers_do_not_depend_on_the_batch_or_on_the_order_of_words() -> None:
    index = KeywordIndex(made_up(500, 3))
    asked = [f"w{n} w{n + 3} w1 w400" for n in range(1, 20)]
    together = index.search(asked, k=30)
    assert [index.search([question], k=30)[0] for question in asked] == together
    turned = [" ".join(reversed(question.split())) for question in asked]
    assert index.search(turned, k=30) == together


def test_nothing_matches_nothing() -> None:
    index = KeywordIndex(["", "heat"])
    assert index.search(["", "cold", "  ?!"], k=5) == [[], [], []]
    assert index.search(["heat"], k=5, allowed=Allowed([], total=2)) == [[]]
    assert KeywordIndex([]).search(["heat"], k=5) == [[]]


def test_misuse_is_refused() -> None:
    index = KeywordIndex(["heat"])
    for k in (0, K_MAX + 1):
        with pytest.raises(ValueError, match="k must"):
            index.search(["heat"], k=k)
    with pytest.raises(DimensionMismatch):
        index.search(["heat"], k=1, allowed=Allowed([], total=2))
    with pytest.raises(ValueError, match="plurals"):
        index.match(query_from("heat", plurals=False))


def test_a_question_shows_nothing_of_itself() -> None:
    assert "hush" not in repr(query_from("hush"))


@pytest.mark.parametrize(
    ("passages", "frequency"), [(1, 1), (1, 0), (2, 1), (10, 3), (5183, 17), (10_000_000, 1), (10_000_000, 9_999_999)]
)
def test_the_weight_of_a_token_is_its_logarithm(passages: int, frequency: int) -> None:
    exact = math.log1p((passages - frequency + 0.5) / (frequency + 0.5))
    assert idf(passages, frequency) == pytest.approx(exact, rel=4e-16)


def test_the_weight_of_a_token_is_rounded_correctly() -> None:
    assert idf(1, 0).hex() == (1.3862943611198906188).hex()  # ln 4
    assert idf(4, 2).hex() == (0.69314718055994530942).hex()  # ln 2
    assert idf(0, 0).hex() == (0.69314718055994530942).hex()


def test_statistics_add_up() -> None:
    one = Statistics(passages=1, tokens=2, frequencies=(3, 4))
    assert one + one == Statistics(passages=2, tokens=4, frequencies=(6, 8))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The WING's lift", ["the", "wing", "s", "lift"]),
        ("Straße ﬁne \u2163 \uff12\uff10", ["strasse", "fine", "iv", "20"]),
        ("co\u00adoperate zero\u200bwidth", ["cooperate", "zerowidth"]),
        ("nai\u0308ve naïve", ["naïve", "naïve"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("שָׁלוֹם العَرَبِيَّة", ["שָׁלוֹם".casefold(), "العَرَبِيَّة"]),
        ("東京へ", ["東", "京", "へ", "東京", "京へ"]),
        ("猫", ["猫"]),
        ("ASCII 東 mixed", ["ascii", "東", "mixed"]),
        ("snake_case 3.14", ["snake_case", "3", "14"]),
        ("\ud800 half", ["half"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == [unicodedata.normalize("NFKC", token) for token in expected]


@settings(deadline=None)
@given(st.text(max_size=300))
def test_tokens_of_any_text_are_bounded_and_stay_tokens(text: str) -> None:
    found = tokens(text)
    assert all(1 <= len(token) <= TOKEN_CHARS_MAX for token in found)
    assert [tokens(token)[-1] for token in found] == found


def test_every_mark_of_unicode_stays_with_its_letter() -> None:
    marks = [chr(at) for at in range(0x110000) if unicodedata.category(chr(at))[0] == "M"]
    kept = [mark for mark in marks if unicodedata.normalize("NFKC", "a" + mark + "b").casefold() in tokens(f"a{mark}b")]
    lost = [mark for mark in marks if mark not in set(kept)]
    assert len(kept) > 2000
    assert all("\u0e00" <= mark <= "\u17ff" or mark in "\u3099\u309a" for mark in lost)  # of unspaced scripts


@settings(deadline=None)
@given(st.text(st.sampled_from("abeiosuxyz"), max_size=8))
def test_a_singular_is_its_own_singular(word: str) -> None:
    assert singular(singular(word)) == singular(word)


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("wings", "wing"),
        ("bodies", "body"),
        ("plates", "plate"),
        ("gas", "gas"),
        ("mass", "mass"),
        ("radius", "radius"),
    ],
)
def test_plurals_count_as_their_singulars(plural: str, expected: str) -> None:
    assert singular(plural) == expected
    assert len(KeywordIndex([f"a {plural} b"]).search([expected], k=1)[0]) == 1
    found = KeywordIndex([f"a {plural} b"], plurals=False).search([expected], k=1)[0]
    assert len(found) == (plural == expected)


def test_a_vocabulary_over_the_bound_is_refused_before_it_is_indexed() -> None:
    with pytest.raises(OversizedVocabulary, match="1000"):
        KeywordIndex((f"w{number}" for number in range(1001)), vocabulary_max=1000)
    assert KeywordIndex((f"w{number}" for number in range(1000)), vocabulary_max=1000).count == 1000


def different_words() -> Iterator[str]:
    return map("".join, combinations_with_replacement(ascii_lowercase, 8))


def test_a_million_different_tokens_are_indexed_in_bounded_time_and_memory() -> None:
    words = different_words()
    texts = [" ".join(next(words) for _ in range(5000)) for _ in range(200)]
    started = time.process_time()
    index = KeywordIndex(texts, plurals=False)
    assert time.process_time() - started < 30  # some 2 s
    assert index.nbytes < 16 * 1_000_000
    assert [hit.index for hit in index.search(["aaaaaaaa"], k=5)[0]] == [0]


def test_enormous_tokens_are_cut_and_long_passages_bounded() -> None:
    index = KeywordIndex(["x" * TEXT_CHARS_MAX, "y " * TEXT_CHARS_MAX, "\ufdfa" * TEXT_CHARS_MAX, "z" * 10_000_000])
    assert [hit.index for hit in index.search(["x" * TOKEN_CHARS_MAX], k=5)[0]] == [0]
    assert [hit.index for hit in index.search(["x" * 63], k=5)[0]] == []
    assert int(index.match(query_from("y")).postings[0][1][0]) == TEXT_CHARS_MAX // 2
    assert index.match(query_from("z" * 64)).postings[0][1].tolist() == [TEXT_CHARS_MAX // TOKEN_CHARS_MAX]
    assert np.iinfo(np.uint16).max >= TOKENS_MAX


def test_a_question_is_read_to_a_bound() -> None:
    words = [f"w{number:05}" for number in range(QUERY_TOKENS_MAX + 50)]
    query = query_from(" ".join(words))
    assert query.tokens == tuple(words[:QUERY_TOKENS_MAX])
    assert len(query_from("v" * 1_000_000).tokens) == 1


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0315" * 32_000 + "\u0300" * 32_000, ("\u0315" * 31 + "\u0300") * 2_000, "\u0344\u0315" * 32_000],
    ids=["one run", "runs", "no letter"],
)
def test_piled_up_marks_are_read_in_linear_time(text: str) -> None:
    started = time.process_time()
    tokens(text)
    assert time.process_time() - started < 2  # some 10 ms


def test_blocks_are_laid_behind_one_another() -> None:
    texts = ["m " * 32_000 + f"own{row}" for row in range(BLOCK_TOKENS // 32_000 + 20)]  # two blocks
    found = KeywordIndex(texts).match(query_from("m own3 own150"))
    postings = dict(zip(found.query.tokens, found.postings, strict=True))
    assert postings["m"][0].tolist() == list(range(len(texts)))
    assert set(postings["m"][1].tolist()) == {32_000}
    assert [(rows.tolist(), counts.tolist()) for rows, counts in (postings["own3"], postings["own150"])] == [
        ([3], [1]),
        ([150], [1]),
    ]
