"""Attribution: integer weights by equal, rank or score, which whoever holds the answer recomputes (rule L4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.attributed import require_weights
from vault.attribution import WEIGHT_MAX, Attribution, rank_weight, score_weight, weights_of
from vault.errors import InvalidReceipt

SCORES = [0.75, 0.5, 0.5, -0.25]
IDS = [b"a", b"b", b"c", b"d"]
SCORED = st.lists(st.floats(-1, 1), max_size=20)


WORDS = ["The tide.", "Rain at noon.", "Wind.", "Fog."]


@pytest.mark.parametrize(
    ("by", "weights"),
    [
        (Attribution.EQUAL, (1, 1, 1, 1)),
        (Attribution.RANK, (840, 420, 280, 210)),
        (Attribution.SCORE, (750_000, 500_000, 500_000, 1)),
    ],
)
def test_each_way_to_split_has_its_weights(by: Attribution, weights: tuple[int, ...]) -> None:
    assert weights_of(by, SCORES, IDS) == weights
    require_weights(by, weights, SCORES, WORDS, redacts=False)


@pytest.mark.parametrize("by", Attribution)
def test_the_same_words_earn_once(by: Attribution) -> None:
    weights = weights_of(by, SCORES, [b"a", b"b", b"a", b"b"])
    assert weights[2:] == (0, 0) and weights[:2] == weights_of(by, SCORES, IDS)[:2]
    twice = [WORDS[0], WORDS[1], "the  TIDE.", WORDS[1]]
    require_weights(by, weights, SCORES, twice, redacts=False)
    with pytest.raises(InvalidReceipt, match="weights: passage 3 counts"):
        require_weights(by, weights_of(by, SCORES, IDS), SCORES, twice, redacts=False)
    require_weights(by, weights_of(by, SCORES, IDS), SCORES, twice, redacts=True)  # blacked out, they may differ
    require_weights(by, weights, SCORES, WORDS, redacts=False)  # the enclave may find that they nearly repeat


@given(
    st.lists(st.text("aA ßSsςΣ\t", max_size=4), min_size=1, max_size=6),
    st.sampled_from([0, 1, 60, 63, 64, 200]),
    st.lists(st.text("aA ßSsςΣ\t", max_size=4), min_size=6, max_size=6),
)
def test_words_are_told_apart_wherever_they_differ(beginnings: list[str], spaces: int, ends: list[str]) -> None:
    words = [begin + "x" * (spaces % 7) + " " * spaces + end for begin, end in zip(beginnings, ends, strict=False)]
    same = [" ".join(one.casefold().split()) for one in words]
    weights = weights_of(Attribution.EQUAL, [0.5] * len(words), same)
    require_weights(Attribution.EQUAL, weights, [0.5] * len(words), words, redacts=False)
    for place in [place for place, weight in enumerate(weights) if not weight]:
        wrong = [*weights[:place], 1, *weights[place + 1 :]]
        with pytest.raises(InvalidReceipt, match=f"weights: passage {place + 1} counts 1"):
            require_weights(Attribution.EQUAL, wrong, [0.5] * len(words), words, redacts=False)


@pytest.mark.parametrize("by", Attribution)
@pytest.mark.parametrize("place", range(4))
def test_another_weight_is_named(by: Attribution, place: int) -> None:
    for wrong in (2, WEIGHT_MAX + 1, *([0] if place == 0 else [])):
        weights = list(weights_of(by, SCORES, IDS))
        weights[place] = wrong
        with pytest.raises(InvalidReceipt, match=f"weights: passage {place + 1} counts {wrong}"):
            require_weights(by, weights, SCORES, WORDS, redacts=False)


@pytest.mark.parametrize("by", Attribution)
def test_every_passage_has_a_weight(by: Attribution) -> None:
    with pytest.raises(InvalidReceipt, match="not one for each passage"):
        require_weights(by, weights_of(by, SCORES, IDS)[:3], SCORES, WORDS, redacts=False)


def test_rank_weights_fall_and_never_reach_zero() -> None:
    weights = [rank_weight(rank) for rank in range(100)]
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 0


@given(st.floats(-1e9, 1e9))
def test_a_score_counts_at_least_one_and_at_most_the_bound(score: float) -> None:
    assert 1 <= score_weight(score) <= WEIGHT_MAX


@given(st.sampled_from(Attribution), SCORED, st.data())
def test_whatever_was_found_somebody_earns(by: Attribution, scores: list[float], data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))
    weights = weights_of(by, scores, ids)
    assert len(weights) == len(scores) and (not scores or weights[0] > 0)
    assert sum(weight > 0 for weight in weights) == len(set(ids))
