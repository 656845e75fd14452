"""What an evaluation has to reach: a regression in any of it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# nDCG@10 of all-MiniLM-L6-v2 in float32. SciFact's is published (MTEB's results, revision 8b3219a9 of the model);
# Cranfield's was measured with sentence-transformers 5.7 and faiss-cpu 1.15.1.
STORED = {"scifact": 0.64508, "cranfield": 0.50899}
BFLOAT16_LOSS = 0.002  # of the stored score
SCORE = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing to reach, as a person reads it."""

    what: str
    met: bool


def goals_of(result: Mapping[str, Any]) -> list[Goal]:
    """Return every goal of a result of `coffer eval`."""
    return list(_goals(result))


def _goals(result: Mapping[str, Any]) -> Iterator[Goal]:
    dense, hybrid = result["sealed"][SCORE], result["hybrid"][SCORE]
    stored = STORED.get(result["corpus"])
    if stored is not None:
        least = stored if result["dtype"] == "float32" else round(stored * (1 - BFLOAT16_LOSS), 5)
        yield Goal(f"dense {SCORE} {dense:.5f}, at least {least:.5f} as stored", dense >= least)
    yield Goal(f"hybrid {SCORE} {hybrid:.5f}, at least dense {dense:.5f}", hybrid >= dense)
    for index in result["indexes"]:
        what = f"{index['kind']}: recall {index['recall']:.1%} of these questions, {index['wanted']:.0%} wanted"
        yield Goal(what, index["recall"] >= index["wanted"])
        most, least = index["recall_most"], index["stated_least"]
        what = f"{index['kind']}: that is {most:.1%} at most, by sampling, and {least:.1%} at least is stated"
        yield Goal(what, most >= least)
