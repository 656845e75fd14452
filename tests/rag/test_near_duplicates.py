"""Near-duplicates by shingles: exact on pairs, the same groups in any order, and no chains."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.near_duplicates import (
    BANDS,
    LEADERS_MAX,
    SHINGLE_TOKENS,
    _Leaders,
    distinct,
    groups,
    normalized,
    overlapping_groups,
    resembles,
    shingles,
)
from rag.neighbors import Place
from rag.tokens import tokens

short_texts = st.lists(st.sampled_from(["a", "b", "c"]), max_size=9).map(" ".join)
RNG = np.random.default_rng(11)


def words(count: int) -> list[str]:
    return [f"w{number}" for number in RNG.integers(0, 10**9, size=count)]


def edited(text: str, at: int) -> str:
    """Return the text with one word changed: up to five shingles."""
    parts = text.split()
    parts[at] = "changed"
    return " ".join(parts)


def partition(labels: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def jaccard_by_definition(first: str, second: str) -> tuple[int, int]:
    sets = []
    for text in (first, second):
        found = tokens(text)
        width = min(SHINGLE_TOKENS, len(found))
        sets.append({tuple(found[at : at + width]) for at in range(len(found) - width + 1)} if found else set())
    return len(sets[0] & sets[1]), len(sets[0] | sets[1])


@settings(deadline=None)
@given(short_texts, short_texts, st.integers(1, 1000))
def test_resemblance_is_the_share_of_common_shingles(first: str, second: str, thousandths: int) -> None:
    shared, together = jaccard_by_definition(first, second)
    expected = 1000 * shared >= thousandths * together
    assert resembles(shingles(first), shingles(second), thousandths=thousandths) == expected


@settings(deadline=None)
@given(st.lists(short_texts, max_size=8), st.integers(1, 1000))
def test_distinct_keeps_what_resembles_nothing_kept_before(texts: list[str], thousandths: int) -> None:
    kept: list[int] = []
    for place, text in enumerate(texts):
        sets = [(shingles(text), shingles(texts[other])) for other in kept]
        if not any(resembles(*pair, thousandths=thousandths) for pair in sets):
            kept.append(place)
    assert distinct(texts, thousandths=thousandths) == kept


def test_form_does_not_count_and_words_do() -> None:
    text = "The Wing, at Mach 2: lifts—strongly!"
    same = "the wing at  MACH 2 lifts strongly"
    assert normalized(text) == normalized(same)
    assert distinct([text, same, "the wing at mach 3 lifts strongly"]) == [0, 2]


def test_one_changed_word_in_a_passage_is_a_near_duplicate_and_many_are_not() -> None:
    original = " ".join(words(150))
    far = original
    for at in range(0, 150, 10):
        far = edited(far, at)
    texts = [original, edited(original, 70), far]
    assert distinct(texts) == [0, 2]
    assert partition(groups(texts)) == {frozenset({0, 1}), frozenset({2})}


def corpus() -> list[str]:
    """Forty families of near-identical passages, singles, exact copies, and texts without a word."""
    texts: list[str] = []
    for _ in range(40):
        original = " ".join(words(120))
        texts += [original, edited(original, 0), edited(original, 119), original.upper()]
    texts += [" ".join(words(120)) for _ in range(100)]
    return [*texts, "", "?!", "one", "ONE."]


def test_families_become_groups() -> None:
    found = partition(groups(corpus()))
    families = {frozenset(range(4 * number, 4 * number + 4)) for number in range(40)}
    assert families <= found
    assert {frozenset({260, 261}), frozenset({262, 263})} <= found
    assert len(found) == 40 + 100 + 2


def test_groups_do_not_depend_on_order() -> None:
    texts = corpus()
    chain = words(400)
    texts += [" ".join(chain[at : at + 120]) for at in range(0, 280, 4)]  # each resembles its neighbors only
    expected = partition(groups(texts))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(texts))
        turned = partition(groups([texts[at] for at in order]))
        assert {frozenset(int(order[row]) for row in group) for group in turned} == expected


def test_windows_along_a_document_do_not_chain_into_one_group() -> None:
    chain = words(1000)
    texts = [" ".join(chain[at : at + 100]) for at in range(0, 900, 5)]
    labels = groups(texts)
    assert len(set(labels.tolist())) > 20
    for group in partition(labels):
        middle_exists = any(
            all(resembles(shingles(texts[middle]), shingles(texts[row])) for row in group) for middle in group
        )
        assert middle_exists


def test_labels_are_the_first_rows() -> None:
    labels = groups(["x y", "a b", "A B", "x  y"])
    assert labels.tolist() == [0, 1, 1, 0]
    assert groups([]).tolist() == []
    assert distinct([]) == []


def test_passages_made_to_collide_are_grouped_in_bounded_time() -> None:
    boilerplate = " ".join(words(60))  # half of each passage: every pair is at one third
    texts = [boilerplate + " " + " ".join(words(60)) for _ in range(1500)]
    started = time.process_time()
    labels = groups(texts)
    assert time.process_time() - started < 30  # some 2 s
    assert len(set(labels.tolist())) == len(texts)


def test_a_bucket_that_everything_falls_into_is_compared_to_a_bound() -> None:
    texts = [" ".join(words(20)) for _ in range(10 * LEADERS_MAX)]
    leaders = _Leaders(texts, 800)
    alike = np.zeros(BANDS, dtype=np.uint64)
    assert [leaders.lead(row, alike) for row in range(len(texts))] == list(range(len(texts)))
    assert [leaders.lead(row, alike) for row in range(LEADERS_MAX)] == list(range(LEADERS_MAX))
    assert {len(bucket) for bucket in leaders.buckets.values()} == {LEADERS_MAX}


def test_overlapping_spans_gather_around_the_first() -> None:
    places = [
        Place("a", 0, 100),
        Place("a", 50, 150),  # half
        Place("a", 51, 151),  # less than half of the first
        Place("a", 140, 160),  # mostly within the third
        Place("b", 0, 100),
        Place("a", 0, 100),
    ]
    assert overlapping_groups(places).tolist() == [0, 0, 2, 2, 4, 0]


@settings(deadline=None)
@given(
    st.lists(
        st.builds(lambda d, s, n: Place(d, s, s + n), st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 20)),
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_overlaps_do_not_depend_on_order_and_every_group_has_a_middle(places: list[Place], random: object) -> None:
    labels = overlapping_groups(places)
    order = list(range(len(places)))
    random.shuffle(order)  # type: ignore[attr-defined]
    turned = partition(overlapping_groups([places[at] for at in order]))
    assert sorted(spans(places, {frozenset(order[row] for row in of) for of in turned})) == sorted(
        spans(places, partition(labels))
    )
    for group in partition(labels):
        assert any(all(halves(places[middle], places[row]) for row in group) for middle in group)


def spans(places: list[Place], parts: set[frozenset[int]]) -> list[list[tuple[str, int, int]]]:
    return [sorted((places[row].document, places[row].start, places[row].end) for row in part) for part in parts]


def halves(first: Place, second: Place) -> bool:
    shared = len(set(range(first.start, first.end)) & set(range(second.start, second.end)))
    return first.document == second.document and 2 * shared >= min(first.end - first.start, second.end - second.start)


def test_misuse_is_refused() -> None:
    for thousandths in (0, 1001):
        with pytest.raises(ValueError, match="thousandths"):
            groups(["a"], thousandths=thousandths)
        with pytest.raises(ValueError, match="thousandths"):
            distinct(["a"], thousandths=thousandths)
