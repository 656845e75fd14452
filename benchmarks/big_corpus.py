"""A large dataset for `coffer bench big`, sealed in a process of its own so that its memory can be told apart.

    python -m benchmarks.big_corpus HOME WALLET GIGABYTES    # prints the manifest's CID

The passages are cut already: how fast a tokenizer cuts documents is another question than whether storing streams.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from cli import wiring
from cli.home import settings_from
from cli.sealing import draft_of, seal_passages
from cli.workplace import wallet_key
from vault.assembly import history_of
from vault.corpus import Corpus
from vault.envelope import Passage
from vault.records.board import Board
from vault.records.catalog import Catalog

GIGABYTE = 10**9
SEED = 7
WORDS = 5_000
POOL_CHARS = 1 << 22
PASSAGE_CHARS = 1_000
PASSAGES_PER_DOCUMENT = 25


def passages(gigabytes: float, corpus: Corpus) -> Iterator[Passage]:
    """Yield documents of 25 kB each, the same ones every time, a kilobyte of words to a passage."""
    draw = random.Random(SEED)  # noqa: S311  # the same text every time
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 11))) for _ in range(WORDS)]
    pool = " ".join(draw.choices(words, k=POOL_CHARS // 7))
    for document in range(int(gigabytes * GIGABYTE) // (PASSAGE_CHARS * PASSAGES_PER_DOCUMENT)):
        corpus.documents += 1
        for number in range(PASSAGES_PER_DOCUMENT):
            corpus.passages += 1
            at = draw.randrange(len(pool) - PASSAGE_CHARS)
            start = number * PASSAGE_CHARS
            yield Passage(f"{document:08}.txt", start, start + PASSAGE_CHARS, pool[at : at + PASSAGE_CHARS])


def main(home: str, wallet: str, gigabytes: str) -> None:
    """Seal the corpus as `coffer dataset seal` seals one."""
    settings = settings_from(home=Path(home))
    owner, corpus = wallet_key(settings, wallet), Corpus()
    with wiring.open_database(settings) as records:
        board, catalog = Board(records), Catalog(records)
        history = history_of(board, board.geneses()[0], at=wiring.clock())
        draft = draft_of(
            settings,
            catalog,
            owner,
            genesis=history.genesis,
            title="Big",
            allow_simulated=True,
            replaces=None,
        )
        row = seal_passages(
            settings, catalog, passages(float(gigabytes), corpus), corpus, draft, history.charter, owner
        )
    sys.stdout.write(f"{row.manifest}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
