"""Which passages count as one: what overlaps or repeats, never what only looks alike in great numbers (rule O1)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.kinship import RESEMBLING_MAX, Member, kin
from rag.neighbors import Place
from tests.people import seeded

WORDS = [seeded(f"word {n}", 4).hex() for n in range(400)]


def text(seed: int, words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))  # noqa: S311


def member(said: str, document: str = "", start: int = 0, end: int = 0, facts: bytes = b"") -> Member:
    return Member(said, Place(document or said, start, end or start + len(said)), facts)


def names(members: Sequence[Member]) -> list[str]:
    return [members[row].text for row in kin(members)]


def test_what_has_nothing_in_common_counts_by_itself() -> None:
    members = [member(text(n)) for n in range(50)]
    assert kin(members).tolist() == list(range(50))
    assert kin([]).shape == (0,) and kin([]).dtype == np.uint32


def test_a_changed_word_in_a_long_passage_makes_no_other_one() -> None:
    said = text(1, 200)
    members = [member(said), member(said.replace(said.split()[50], "another")), member(text(2, 200))]
    assert len(set(names(members))) == 2
    assert names(members)[0] == names(members)[1]


def test_the_same_words_in_other_spacing_are_one() -> None:
    members = [member("A tide  table"), member("a TIDE table"), member("a tide chart")]
    assert len(set(kin(members).tolist())) == 2


@pytest.mark.parametrize("records", [5, 8, 100])
def test_of_a_form_filled_in_many_times_a_few_count_as_one_and_no_more(records: int) -> None:
    """Or a register of people would be a single passage."""
    form = text(3, 150)
    members = [member(f"{form} name{n} number{n * 7919}") for n in range(records)]
    assert len(set(kin(members).tolist())) >= records / RESEMBLING_MAX


def test_other_facts_make_another_passage() -> None:
    said = text(4)
    members = [
        member(said, facts=b"salary 1"),
        member(said, facts=b"salary 2"),
        member(said, "x", 5, facts=b"salary 1"),
    ]
    assert len(set(kin(members).tolist())) == 2


def test_windows_over_one_document_count_about_as_often_as_they_cover_it() -> None:
    whole = text(5, 1000)
    width, step = 600, 100
    windows = [member(whole[at : at + width], "doc", at) for at in range(0, len(whole) - width, step)]
    counted = len(set(kin(windows).tolist()))
    assert len(whole) / (2 * width) <= counted <= len(whole) / (width / 2)


def test_chains_of_overlaps_do_not_make_a_document_one_passage() -> None:
    whole = text(6, 2000)
    windows = [member(whole[at : at + 200], "doc", at) for at in range(0, len(whole) - 200, 100)]
    assert len(set(kin(windows).tolist())) >= len(windows) / 3


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(12)), st.integers(0, 3))
def test_names_depend_on_no_order(order: list[int], seed: int) -> None:
    base = text(seed, 120)
    said = [text(seed + n, 80) for n in range(4)] + [f"{base} {n}" for n in range(6)] + [base, base.upper()]
    members = [member(one, f"{number}.txt") for number, one in enumerate(said)]
    usual = dict(zip(said, names(members), strict=True))
    moved = [members[at] for at in order]
    assert {one.text: name for one, name in zip(moved, names(moved), strict=True)} == usual


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 80), st.integers(1, 60)), max_size=20))
def test_a_name_is_a_member_of_its_own_group(rows: list[tuple[int, int, int, int]]) -> None:
    members = [
        Member(text(seed, 30), Place(f"{document}", start, start + length), b"")
        for seed, document, start, length in rows
    ]
    found = kin(members)
    assert all(found[found[row]] == found[row] for row in range(len(members)))
