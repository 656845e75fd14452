"""`coffer index`: which index to take for a corpus, predicted from its size or measured on itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import wiring
from cli.console import FAILED, MISUSED, fail, inputs_reported, reported, show_json
from cli.home import Settings, settings_from
from cli.index_inputs import (
    bytes_from,
    dataset_passages,
    memory_of_this_machine,
    questions_from,
    texts_from,
    vectors_from,
)
from cli.index_report import report_json, show_report
from cli.index_trial import Trial, tried
from cli.options import HomeOption, JsonOption
from cli.quantities import basis_points_from
from rag.errors import DimensionMismatch, UnusableVector
from rag.index_costs import predicted
from rag.index_plan import PPM, Device, IndexPlan, Kind, UnusablePlan
from rag.measure import Questions, given_questions, noisy_passages
from rag.plan import Wanted, choose, plan_for
from vault.charter import BASIS_POINTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.model import Embedder, Index

app = typer.Typer(help="Choose an index for a corpus, and measure how well it answers.")
DIMENSION = 384  # of the pinned model's vectors
SAMPLE = 400  # half choose the effort, half measure
LATENCY_MS = 1000  # exact search stays below it up to some ten million passages on two cores
MICROSECONDS = 1000


@app.callback()
def _group() -> None:
    """Choose an index for a corpus, and measure how well it answers."""


@app.command("plan")
def plan(
    count: Annotated[int | None, typer.Option(help="How many passages; only predicts.")] = None,
    dataset: Annotated[str | None, typer.Option(help="A dataset sealed in this home, by CID; only predicts.")] = None,
    vectors: Annotated[Path | None, typer.Option(help="Measure on the rows of a NumPy file (.npy).")] = None,
    texts: Annotated[Path | None, typer.Option(help="Measure on a file or folder, cut and embedded.")] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Questions to measure with: .npy, or text, one a line. Else noisy passages.")
    ] = None,
    dimension: Annotated[int | None, typer.Option(help=f"Numbers in a vector; {DIMENSION} by default.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory to stay within, such as 8GiB; this machine's.")] = None,
    recall: Annotated[str, typer.Option(help="Share of the k best passages to find.")] = "95%",
    k: Annotated[int, typer.Option(help="Hits a query asks for.")] = 10,
    latency_ms: Annotated[int, typer.Option(help="Milliseconds that one query may take.")] = LATENCY_MS,
    device: Annotated[Device, typer.Option(help="Where to search.")] = Device.CPU,
    kind: Annotated[Kind | None, typer.Option(help="Take this kind, whatever would be chosen.")] = None,
    sample: Annotated[int, typer.Option(help="How many noisy passages to measure with.")] = SAMPLE,
    seed: Annotated[int, typer.Option(help="Of the training and the sample.")] = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say which index to take, with which parameters, and why; given vectors or texts, build it and measure.

    What is predicted and what was measured stand apart. Exit 1 where the measured recall is below what is wanted.
    """
    with reported(), _inputs():
        settings = settings_from(home=home)
        source = Source(count=count, dataset=dataset, vectors=vectors, texts=texts, queries=queries)
        corpus = corpus_from(source, settings, dimension, sample=sample, seed=seed, is_json=json)
        wanted = Wanted(
            count=corpus.count,
            dimension=corpus.dimension,
            memory_bytes=_memory(memory, device),
            recall_ppm=basis_points_from(recall) * (PPM // BASIS_POINTS),
            k=k,
            device=device,
            latency_us=latency_ms * MICROSECONDS,
        )
        choice = choose(wanted)
        chosen = choice.prediction.plan if kind is None else plan_for(kind, wanted)
        trial = _trial(corpus, _seeded(chosen, seed), wanted)
    shown = (wanted, choice, predicted(chosen), trial)
    show_json(report_json(*shown)) if json else show_report(*shown)
    if trial is not None and trial.recall_ppm < wanted.recall_ppm:
        raise typer.Exit(FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the passages come from, as options say: exactly one of four."""

    count: int | None
    dataset: str | None
    vectors: Path | None
    texts: Path | None
    queries: Path | None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.count, self.dataset, self.vectors, self.texts)) != 1:
            raise typer.BadParameter("say what to plan for: one of --count, --dataset, --vectors and --texts")
        if self.queries is not None and self.vectors is None and self.texts is None:
            raise typer.BadParameter("--queries are asked of --vectors or --texts; name one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """How many vectors of which dimension, and where there are any, the vectors and questions to measure with."""

    count: int
    dimension: int
    vectors: NDArray[np.float32] | None = None
    questions: Questions | None = None


def corpus_from(
    source: Source, settings: Settings, dimension: int | None, *, sample: int, seed: int, is_json: bool
) -> Corpus:
    """Return the corpus that a person named."""
    if source.count is not None:
        return Corpus(count=source.count, dimension=DIMENSION if dimension is None else dimension)
    if source.dataset is not None:
        passages = dataset_passages(settings, source.dataset)
        return Corpus(count=passages, dimension=DIMENSION if dimension is None else dimension)
    if dimension is not None:
        raise typer.BadParameter("--dimension goes with --count and --dataset; vectors and texts have their own")
    embedder: Embedder | None = None
    if source.vectors is not None:
        rows = vectors_from(source.vectors)
    else:
        assert source.texts is not None  # noqa: S101 -- exactly one is given
        embedder = wiring.make_embedder(settings)
        rows = texts_from(source.texts, settings, embedder, is_json=is_json)
    questions = _questions(source.queries, rows, settings, embedder, sample=sample, seed=seed)
    return Corpus(count=len(rows), dimension=rows.shape[1], vectors=rows, questions=questions)


def _questions(
    path: Path | None,
    rows: NDArray[np.float32],
    settings: Settings,
    embedder: Embedder | None,
    *,
    sample: int,
    seed: int,
) -> Questions:
    if path is None:
        return noisy_passages(rows, count=sample, seed=seed)
    if path.suffix == ".npy":
        return given_questions(vectors_from(path), rows.shape[1])
    return given_questions(questions_from(path, embedder or wiring.make_embedder(settings)), rows.shape[1])


def _trial(corpus: Corpus, plan: IndexPlan, wanted: Wanted) -> Trial | None:
    if corpus.vectors is None or corpus.questions is None:
        return None
    exact = _exact_index(corpus.vectors)
    return tried(corpus.vectors, exact, plan, corpus.questions, k=wanted.k, recall_ppm=wanted.recall_ppm)


def _exact_index(vectors: NDArray[np.float32]) -> Index:
    from rag.exact import TileIndex

    return TileIndex(vectors)


def _seeded(plan: IndexPlan, seed: int) -> IndexPlan:
    return plan if plan.kind is Kind.EXACT else replace(plan, seed=seed)


def _memory(text: str | None, device: Device) -> int:
    if text is not None:
        return bytes_from(text)
    if device is Device.GPU:
        raise typer.BadParameter("say how much of the GPU's memory may be used, such as --memory 80GiB")
    return memory_of_this_machine()


@contextmanager
def _inputs() -> Iterator[None]:
    """Report what is wrong with the input, numbers included, in one sentence, with exit code 2."""
    with inputs_reported():
        try:
            yield
        except (UnusablePlan, DimensionMismatch, UnusableVector) as error:
            fail(str(error), MISUSED)
