"""The crawl benchmark on a small corpus: it crawls what it may, and never a passage more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.crawl import Setting, bounded_crawl, licensed_crawl, unbounded_crawl
from benchmarks.crawl_vault import Key, Known, sealed_version, vault
from rag.beir import BeirCorpus
from tests.people import seeded
from tests.toy import ToyEmbedder
from vault.licensees import Licensees

WORDS = [seeded(f"word {n}", 5).hex() for n in range(300)]
TEXTS = [" ".join(WORDS[(number * 7 + at * (1 + number % 11)) % 300] for at in range(16)) for number in range(120)]
RECUT = [part for text in TEXTS for part in (text[:80], text[80:])]


@pytest.fixture
def setting() -> Iterator[Setting]:
    texts = [*TEXTS, *RECUT]
    rows: NDArray[np.float32] = ToyEmbedder().embed_passages(texts)
    known = Known(ToyEmbedder(), dict(zip(texts, rows, strict=True)))
    yield Setting(BeirCorpus(documents=[], queries={}, qrels={}), known, TEXTS, RECUT)


def test_without_a_budget_it_finds_nearly_all(setting: Setting) -> None:
    curve = unbounded_crawl(setting, questions=90)
    assert curve[0] == (0, 0) and curve[-1][0] == 90
    assert curve[-1][1] >= 100
    assert [found for _, found in curve] == sorted(found for _, found in curve)


@pytest.mark.parametrize(("crawl", "budget"), [(bounded_crawl, 1), (bounded_crawl, 30), (licensed_crawl, 7)])
def test_with_one_it_never_exceeds_it_by_a_single_passage(
    setting: Setting, crawl: Callable[..., dict[str, Any]], budget: int
) -> None:
    crawled = crawl(setting, budget=budget, questions=40)
    assert crawled["by asking"] == crawled["seen"] == budget
    assert crawled["curve"][-1][1] >= budget
    assert crawled["left"] == 0  # as every key is quoted
    assert crawled["counted"] == 0  # what is used up refuses before anything is searched or counted


def test_what_the_crawler_counts_is_what_the_books_count(setting: Setting) -> None:
    version = sealed_version("owner", setting.texts, setting.embedder)
    policy = {"passages_max": 9, "licensees": Licensees.anyone()}
    with vault([version], setting.embedder, policy, ["one", "other"]) as served:
        names: set[str] = set()
        for number, text in enumerate(TEXTS[:12]):
            given = served.asked(Key("one" if number % 2 else "other"), text, k=2)
            names.update(given.names if given else ())
            assert len(names) == served.seen("one") == served.seen("other") <= 9
        assert served.refusals == {"BudgetExhausted": 7} or served.refusals["BudgetExhausted"] > 0
