"""What a question on the command line may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault.question import NEIGHBORS_MAX, THOUSAND, Mode, Options

TextArgument = Annotated[str | None, typer.Argument(help="The question, or - to read it from stdin.")]
BatchOption = Annotated[
    Path | None, typer.Option(help="Ask every line of this file as a question of its own, 64 in a call.")
]
VectorOption = Annotated[
    Path | None,
    typer.Option(help="Ask by the vector in this file, as `coffer embed --json` prints one; - reads it from stdin."),
]
KOption = Annotated[
    int | None, typer.Option(min=1, help="Passages to return; by default 5, or the policy's most if fewer.")
]
ModeOption = Annotated[Mode, typer.Option(help="What ranks passages: vectors, words, or both.")]
WhereOption = Annotated[
    str | None,
    typer.Option(help='A filter in JSON, e.g. {"key": "document", "equals": "tides.txt"}; see docs/retrieval.md.'),
]
DatasetsOption = Annotated[
    list[str] | None, typer.Option(help="Manifest CID to ask; all that the policy names by default.")
]
DistinctOption = Annotated[bool, typer.Option(help="Let near-identical passages count as one.")]
DiversityOption = Annotated[
    float, typer.Option(min=0, max=1, help="0 ranks by relevance alone, 1 by being unlike what came before.")
]
NeighborsOption = Annotated[
    int, typer.Option(min=0, max=NEIGHBORS_MAX, help="Passages before and after each; they are charged too.")
]
RerankOption = Annotated[bool, typer.Option(help="Have the enclave's cross-encoder order the best anew.")]
MaxPriceOption = Annotated[
    int | None, typer.Option(min=0, help="Micro-units; what may cost more is refused, and nothing is charged.")
]
MaxSpendOption = Annotated[
    int | None, typer.Option(min=0, help="Micro-units for all of this; what may cost more is not asked.")
]


def options_of(
    mode: Mode, where: str | None, distinct: bool, diversity: float, neighbors: int, rerank: bool
) -> Options:
    """Return the options as a question carries them; raise `MalformedObject` for a filter that is none."""
    from cli.filters import filter_bytes

    return Options(
        mode=mode,
        where=filter_bytes(where) if where is not None else b"",
        distinct=distinct,
        diversity=round(diversity * THOUSAND),
        neighbors=neighbors,
        rerank=rerank,
    )
