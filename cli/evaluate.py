"""`coffer eval`: retrieval quality through the whole sealed path, beside plain sentence-transformers and FAISS."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from cli import wiring
from cli.bench import require_checkout, save_result
from cli.console import FAILED, out, reported, say, show_json, warn_simulated
from cli.demo.narration import Narrator
from cli.eval_goals import Goal, goals_of
from cli.eval_indexes import indexes_of, scores
from cli.home import Settings, settings_from
from cli.options import JsonOption
from cli.stage import Stage
from cli.stage_policy import Terms
from rag.beir import BeirCorpus, load
from rag.evaluate import agreement
from vault.ballot import Support
from vault.envelope import Passage
from vault.errors import MalformedObject
from vault.question import PLAIN, Mode

DEPTH = 100  # as recall@100 needs
AGREEMENT_DEPTH = 10
UNBOUNDED = 10**9  # the evaluation's own policy limits nothing
LEASE_S = 60
MODES = (Mode.DENSE, Mode.HYBRID)
Ranking = dict[str, list[str]]  # query → documents, best first


def evaluation(
    folder: Annotated[Path, typer.Argument(help="A BEIR folder: corpus.jsonl[.gz], queries.jsonl, qrels.tsv.")],
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="float32 reproduces published scores; bfloat16 is faster.")
    ] = "float32",
    json: JsonOption = False,
    save: Annotated[bool, typer.Option("--save", help="Write benchmarks/results and the README's tables.")] = False,
) -> None:
    """Measure nDCG, recall and MRR through sealing, storage, custody, enclave and gRPC, and without any of it.

    Every question is asked twice: by its vector, and by vector and words together. Each document is one passage. Only
    queries that have a judgement count. Of a collection of 1,000 documents and more, each approximate index is measured
    too. Exit 1 where dense search is worse than stored for this collection, hybrid worse than dense, or an index misses
    the recall that it states. The TEE is SIMULATED.
    """
    if save:
        require_checkout()
    with reported():
        corpus = load(folder)
        queries = {query: text for query, text in corpus.queries.items() if any(corpus.qrels.get(query, {}).values())}
        if not queries:
            raise MalformedObject(f"no query in {folder} has a judgement above 0; check its qrels.tsv")
        warn_simulated()
        narrator = Narrator(to_stderr=json)
        sealed = _sealed_rankings(corpus, queries, dtype, narrator)
        plain, indexes = _plain(corpus, queries, settings_from(dtype=dtype), narrator)
        result: dict[str, Any] = {
            "corpus": folder.resolve().name,
            "documents": len(corpus.documents),
            "queries": len(queries),
            "dtype": dtype,
            "sealed": scores(sealed[Mode.DENSE], corpus.qrels),
            "plain": scores(plain, corpus.qrels),
            "hybrid": scores(sealed[Mode.HYBRID], corpus.qrels),
            "indexes": indexes,
            "agreement@10": agreement(_tops(sealed[Mode.DENSE], queries), _tops(plain, queries)),
            "seconds": narrator.seconds,
        }
        goals = goals_of(result)
        result["goals"] = [asdict(goal) for goal in goals]
        if save:
            save_result({"name": f"eval-{result['corpus']}", **result})
        show_json(result) if json else _show(result, goals)
        if not all(goal.met for goal in goals):
            raise typer.Exit(FAILED)


def _sealed_rankings(
    corpus: BeirCorpus, queries: Mapping[str, str], dtype: str, narrator: Narrator
) -> dict[Mode, Ranking]:
    with tempfile.TemporaryDirectory(prefix="coffer-eval-") as folder, Stage(Path(folder), dtype=dtype) as stage:
        with narrator.scene("seal", f"Sealing {len(corpus.documents)} documents"):
            stage.found(1, lease_s=LEASE_S)
            passages = [Passage(id, 0, len(document.text), document.text) for id, document in corpus.documents]
            with narrator.bar("sealing") as advance:
                sealed = stage.seal("owner", "", passages, advance)
                stage.publish("owner", sealed, advance)
            terms = Terms(price=1, k_max=DEPTH, passages_max=UNBOUNDED, queries_per_minute=UNBOUNDED)
            policy = stage.policy("evaluation", terms)
            stage.adopt(policy, {"member-1": Support.FOR})
        with narrator.scene("open", "The enclave opens and embeds"):
            stage.deposit()
            with narrator.bar("embedding") as advance:
                stage.start_enclave(advance)
        with narrator.scene("ask", f"Asking {len(queries)} queries through the sealed path, two ways"):
            credential = stage.license("app", policy)
            stage.credit("app", len(MODES) * len(queries), policy.currency)
            rankings: dict[Mode, Ranking] = {mode: {} for mode in MODES}
            with stage.connect(credential) as client, narrator.bar("asking") as advance:
                for done, (query, text) in enumerate(queries.items(), 1):
                    for mode, ranking in rankings.items():
                        answer = client.search(text, k=DEPTH, options=replace(PLAIN, mode=mode))
                        ranking[query] = [result.passage.document for result in answer.results]
                    advance(done, len(queries))
    return rankings


def _plain(
    corpus: BeirCorpus, queries: Mapping[str, str], settings: Settings, narrator: Narrator
) -> tuple[Ranking, list[dict[str, Any]]]:
    """Return what sentence-transformers and FAISS give without a vault, their own calls, and how our indexes do."""
    import faiss
    import torch
    from sentence_transformers import SentenceTransformer

    names = [id for id, _ in corpus.documents]
    with narrator.scene("plain", "The same with plain sentence-transformers and FAISS"):
        model = SentenceTransformer(
            str(wiring.model_of(settings)[0]),
            device="cpu",
            model_kwargs={"dtype": getattr(torch, wiring.dtype_of(settings)), "use_safetensors": True},
        )
        vectors = model.encode(
            [document.text for _, document in corpus.documents], normalize_embeddings=True, show_progress_bar=False
        )
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        asked = model.encode(list(queries.values()), normalize_embeddings=True, show_progress_bar=False)
        _, rows = index.search(asked, DEPTH)
        ranking = {query: [names[row] for row in rows[i] if row >= 0] for i, query in enumerate(queries)}
    with narrator.scene("indexes", "The same vectors, searched approximately"):
        by_query = dict(zip(queries, asked, strict=True))
        return ranking, indexes_of(names, vectors, by_query, corpus.qrels, depth=DEPTH)


def _tops(ranking: Ranking, queries: Mapping[str, str]) -> list[list[str]]:
    return [ranking[query][:AGREEMENT_DEPTH] for query in queries]


def _show(result: dict[str, Any], goals: Sequence[Goal]) -> None:
    table = Table(
        "", "sealed path", "plain", "sealed path, hybrid", *(one["kind"] for one in result["indexes"]), box=None
    )
    for name in result["sealed"]:
        columns = (result["sealed"], result["plain"], result["hybrid"], *result["indexes"])
        table.add_row(name, *(f"{column[name]:.5f}" for column in columns))
    out.print(table)
    say(f"top 10 agree on {result['agreement@10']:.1%} of {result['queries']} queries, {result['dtype']}")
    for goal in goals:
        say(f"[green]✓[/] {goal.what}" if goal.met else f"[bold red]✗[/] {goal.what}")
