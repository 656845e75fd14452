"""How much of a corpus a crawler carries away, without a budget and with one, and what the rules cost others.

The corpus is SciFact, a passage for each abstract. The crawler adapts (`benchmarks.crawler`), asks by many keys in
turn, of strangers or of one licensee, and, once it is refused, tries what else there is: filters, neighbors, few
passages at a time, counts, quotes, a version cut anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.crawl_vault import Given, Key, Known, Vault, Version, replaced, sealed_version, vault
from benchmarks.crawler import Crawler
from benchmarks.harness import Row, result, row, tell
from benchmarks.sentences import SCIFACT, cache_folder
from cli import wiring
from cli.home import settings_from
from rag.beir import BeirCorpus, load
from rag.evaluate import evaluate
from rag.model import Embedder
from vault.codec import encode
from vault.licensees import Licensees
from vault.output_rules import COUNTS_LEAST, EVERYTHING
from vault.question import PLAIN, Options

QUESTIONS = 3_000  # of the crawler
K = 10
PUBLISHED = 0.844  # coverage within a fixed number of questions: RAGCrawler, arXiv 2601.15678
BUDGET = 2_000
RECUT = 600  # documents of which a second version is cut in two
SYBILS = 8
KEYS = 16  # of one licensee, each under a license of its own
LICENSEE_BUDGET = 500
LICENSEE_QUESTIONS = 600
COUNTS_FROM = COUNTS_LEAST  # the most that a policy may let be counted
COUNTED = 20  # documents named in one filter
LOSS_MAX = 0.01  # of nDCG@10
PROBES = 20
VARIANTS = 60
EVERY = 25  # questions between two points of the plot


@dataclass(frozen=True, slots=True)
class Setting:
    """The corpus, its vectors, and what answers."""

    corpus: BeirCorpus
    embedder: Known
    texts: list[str]
    recut: list[str]

    def row_of(self, text: str) -> NDArray[np.float32]:
        """Return a passage's vector, as the attacker would embed it."""
        return self.embedder.embed_passages([text])[0]


def run() -> dict[str, Any]:
    """Crawl with and without a budget, ask the corpus's own questions, and measure each rule by itself."""
    setting = prepared(load(SCIFACT), wiring.make_embedder(settings_from()))
    tell("crawling without a budget")
    free = unbounded_crawl(setting)
    tell("crawling with one: strangers")
    bounded = bounded_crawl(setting)
    tell("crawling with one: many keys of one licensee")
    licensed = licensed_crawl(setting)
    tell("the corpus's own questions, under each rule")
    passages = len(setting.texts)
    share = free[-1][1] / passages
    crawled = f"of SciFact's {passages:,} passages, crawled by {QUESTIONS:,} questions without a budget"
    rows = [
        row(crawled, "%", 100 * share, "published", 100 * PUBLISHED, goal=1.0, less=False),
        _held(f"passages crawled by {SYBILS} strangers, by every way there is", bounded["seen"], BUDGET),
        _held(f"passages crawled by {KEYS} keys of one licensee", licensed["seen"], LICENSEE_BUDGET),
        *_honest(setting),
    ]
    curves = {"no budget": free, f"a budget of {BUDGET:,}": bounded["curve"]}
    return {**result("crawl", rows), "curves": curves, "passages": passages}


def prepared(corpus: BeirCorpus, embedder: Embedder) -> Setting:
    """Return a corpus with the vectors of all its passages, embedded once and kept."""
    texts = list(dict.fromkeys(document.text for _, document in corpus.documents))
    recut = [part for text in texts[:RECUT] for part in _halves(text)] + texts[RECUT:]
    needed = list(dict.fromkeys([*texts, *recut]))
    name = sha256("\0".join([embedder.model_hash.hex(), embedder.dtype, *needed]).encode()).hexdigest()[:16]
    cached = cache_folder() / f"crawl-{name}.npy"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        part = cached.with_suffix(".part.npy")
        tell(f"embedding {len(needed):,} passages, once")
        np.save(part, embedder.embed_passages(needed))
        part.replace(cached)
    vectors = np.load(cached, allow_pickle=False)
    return Setting(corpus, Known(embedder, dict(zip(needed, vectors, strict=True))), texts, recut)


def unbounded_crawl(setting: Setting, questions: int = QUESTIONS) -> list[tuple[int, int]]:
    """Return how many passages were crawled after how many questions, where nothing is held back."""
    version = sealed_version("owner", setting.texts, setting.embedder)
    with vault([version], setting.embedder, {}, ["crawler"]) as served:
        return _crawled(served, Crawler(setting.row_of), [Key("crawler")], questions)


def bounded_crawl(setting: Setting, budget: int = BUDGET, questions: int = QUESTIONS) -> dict[str, Any]:
    """Return how many distinct passages leave to strangers under a budget, whatever they try once it is used up."""
    sybils = [Key(f"sybil {number}") for number in range(SYBILS)]
    return _bounded(setting, {"passages_max": budget, "licensees": Licensees.anyone()}, sybils, questions)


def licensed_crawl(
    setting: Setting, budget: int = LICENSEE_BUDGET, questions: int = LICENSEE_QUESTIONS
) -> dict[str, Any]:
    """Return the same of one licensee, who asks by many keys, under licenses renewed again and again."""
    return _bounded(setting, {"passages_max": budget}, [Key("licensee", number) for number in range(KEYS)], questions)


def _bounded(setting: Setting, policy: Mapping[str, Any], keys: Sequence[Key], questions: int) -> dict[str, Any]:
    version = sealed_version("owner", setting.texts, setting.embedder)
    output = replace(EVERYTHING, counts_from=COUNTS_FROM)
    with vault([version], setting.embedder, {**policy, "output": output}, [key.who for key in keys]) as served:
        crawler = Crawler(setting.row_of)
        names: set[str] = set()
        curve = _crawled(served, crawler, keys, questions, names)
        before = len(names)
        counted = _try_everything(served, crawler, keys, names)
        replaced(served, [sealed_version("owner", setting.recut, setting.embedder, version)], setting.embedder)
        _crawled(served, crawler, keys, questions // 10, names)
        counted += _try_everything(served, crawler, keys, names)
        left = max(served.quoted(key, K).passages_left for key in keys)
        told = {"texts": len(crawler.known), "counted": counted, "left": left}
        return {"curve": curve, "seen": len(names), "by asking": before, **told}


def _crawled(
    served: Vault, crawler: Crawler, keys: Sequence[Key], questions: int, names: set[str] | None = None
) -> list[tuple[int, int]]:
    """Ask so many questions, by one key after another; return the points of the curve."""
    names = set() if names is None else names
    curve = [(0, len(crawler.known))]
    for number in range(1, questions + 1):
        question = crawler.next()
        given = served.asked(keys[number % len(keys)], question.text, question.vector, k=K)
        crawler.learn(given.texts if given else ())
        names.update(given.names if given else ())
        if number % EVERY == 0 or number == questions:
            curve.append((number, len(crawler.known)))
    return curve


def _try_everything(served: Vault, crawler: Crawler, keys: Sequence[Key], names: set[str]) -> int:
    """Ask by filters, few passages, many, neighbors, repetitions left out; return how many counts were told."""
    documents = [sha256(text.encode()).hexdigest()[:16] for text in crawler.texts[:COUNTED]]
    filters = [{"key": "document", "equals": document} for document in documents]
    options = [replace(PLAIN, where=encode(one)) for one in filters]  # type: ignore[arg-type]
    options += [replace(PLAIN, distinct=True), replace(PLAIN, diversity=900), replace(PLAIN, neighbors=1)]
    for number, option in enumerate(options):
        question = crawler.next()
        text = question.text or crawler.texts[number % len(crawler.texts)][:200]
        for k in (1, 3):
            given: Given | None = served.asked(keys[number % len(keys)], text, k=k, options=option)
            names.update(given.names if given else ())
            crawler.learn(given.texts if given else ())
    every = replace(PLAIN, where=encode({"key": "document", "in": documents}))  # type: ignore[dict-item]
    return sum(served.asked(key, k=0, options=every) is not None for key in keys)


def _held(what: str, seen: int, budget: int) -> Row:
    return row(what, "", seen, "the budget", budget, goal=1.0, less=True)


def _honest(setting: Setting) -> list[Row]:
    """Return what the corpus's own questions lose under each rule: in nDCG@10, and in questions refused."""
    parts = [setting.texts[0::2], setting.texts[1::2]]
    versions = [sealed_version(f"owner {n}", part, setting.embedder) for n, part in enumerate(parts)]
    plain = _quality(setting, versions, {})[0]
    rules: dict[str, Mapping[str, Any]] = {
        f"a budget of {BUDGET:,} passages": {"passages_max": BUDGET},
        "scores of 2 decimals": {"output": replace(EVERYTHING, score_decimals=2)},
        "2 owners behind every answer": {"output": replace(EVERYTHING, owners_min=2)},
        f"{PROBES} questions an hour that hardly differ": {"output": replace(EVERYTHING, probes_per_hour=PROBES)},
    }
    rows = []
    for name, policy in rules.items():
        quality, refused = _quality(setting, versions, policy)
        what = f"nDCG@10 of honest questions under {name} ({refused} refused)"
        rows.append(row(what, "", quality, "without it", plain, goal=1 - LOSS_MAX, less=False))
    quality, _ = _quality(setting, versions, {}, replace(PLAIN, distinct=True))
    what = "nDCG@10 of honest questions, near-duplicates left out"
    rows.append(row(what, "", quality, "with them", plain, goal=1 - LOSS_MAX, less=False))
    return [*rows, _probed(setting, versions)]


def _quality(
    setting: Setting, versions: Sequence[Version], policy: Mapping[str, Any], options: Options = PLAIN
) -> tuple[float, int]:
    ids = {document.text: id for id, document in setting.corpus.documents}
    judged = {id: text for id, text in setting.corpus.queries.items() if any(setting.corpus.qrels.get(id, {}).values())}
    with vault(versions, setting.embedder, policy, ["honest"]) as served:
        answers = {id: served.asked(Key("honest"), text, k=K, options=options) for id, text in judged.items()}
    ranking = {id: [ids[text] for text in given.texts] if given else [] for id, given in answers.items()}
    return evaluate(ranking, setting.corpus.qrels).ndcg_at_10, sum(given is None for given in answers.values())


def _probed(setting: Setting, versions: Sequence[Version]) -> Row:
    """Return how many variants of one passage's words are answered to who tries them one after another."""
    words = setting.texts[0].split()
    output = replace(EVERYTHING, probes_per_hour=PROBES)
    with vault(versions, setting.embedder, {"output": output}, ["prober"]) as served:
        variants = [" ".join(words[:n] + words[n + 1 :]) for n in range(min(VARIANTS, len(words)))]
        answered = sum(served.asked(Key("prober"), text[:4000], k=1) is not None for text in variants)
    what = f"variants of one passage that are answered, of {len(variants)} tried"
    return row(what, "", answered, "the rule", PROBES, goal=1.0, less=True)


def _halves(text: str) -> list[str]:
    words = text.split()
    middle = len(words) // 2
    return [" ".join(part) for part in (words[:middle], words[middle:]) if part]
