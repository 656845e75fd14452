"""Cut documents into passages the model reads whole, each with its exact place in the document.

semchunk cuts at the most meaningful boundary there is (paragraphs, sentences, clauses, words); the model's own
tokenizer counts. tokenizers and semchunk are imported when the first chunker is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag.errors import UnknownModel
from rag.model import Document, Passage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT_TOKENS = 254  # [CLS] and [SEP] make the 256 that the model reads
# A long document is cut into blocks first, so that neither semchunk's recursion nor its lists of characters grow with
# it, and no token count runs over megabytes. Some 60 passages share a block.
BLOCK_CHARS = 64 * 1024
BLOCK_SEARCH_CHARS = 8 * 1024  # how far back from a block's end a good place to cut is looked for
BOUNDARIES = ("\n\n", "\n", " ")  # best first
# Of a text longer than this only the head is counted at first (English has 4.6 characters a token): where the head
# alone is too long, so is the text. The word at the cut may count differently in the whole text, by `WORD_TOKENS_MAX`
# at most: WordPiece makes longer words a single [UNK].
HEAD_CHARS = 8 * CONTENT_TOKENS
WORD_TOKENS_MAX = 100
# Characters that semchunk may have counted for each character of a block. Abstracts, Markdown and all of the standard
# library's documentation need 7 at most; a text made of thousands of distinct runs of whitespace would need as many.
COUNTED_CHARS_PER_CHAR = 32


class Chunker:
    """Cuts documents with one tokenizer. Threads may share it."""

    def __init__(self, tokenizer_path: Path, *, tokens: int = CONTENT_TOKENS) -> None:
        """Load a `tokenizer.json`, given as the file or as the model's folder.

        Args:
            tokens: most content tokens of a passage, 1 to `CONTENT_TOKENS`.
        Raises: UnknownModel: there is no such tokenizer.
        """
        import semchunk
        from tokenizers import Tokenizer

        if not 1 <= tokens <= CONTENT_TOKENS:
            raise ValueError(f"tokens must be 1 to {CONTENT_TOKENS}, got {tokens}")
        path = tokenizer_path / "tokenizer.json" if tokenizer_path.is_dir() else tokenizer_path
        if not path.is_file():
            raise UnknownModel(f"{path} does not exist; name the folder or the tokenizer.json of an installed model")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()  # the file asks for 128 tokens, which would hide every longer text's length
        self._tokenizer.no_padding()
        self._tokens = tokens
        self._semchunk = semchunk.chunk

    def chunk(self, document: Document) -> list[Passage]:
        """Return the passages in order: disjoint, stripped, of at most `tokens` tokens, leaving out only whitespace."""
        text = document.text
        return [
            Passage(document.name, start, end, text[start:end], document.metadata)
            for first, last in _blocks(text)
            for start, end in self._spans(text, first, last)
        ]

    def whole(self, document: Document) -> Passage:
        """Return the document as one passage, empty or not, for scores that count one vector a document."""
        return Passage(document.name, 0, len(document.text), document.text, document.metadata)

    def _spans(self, text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
        block = text[first:last]
        counted = 0

        def count(piece: str) -> int:
            nonlocal counted
            counted += len(piece)
            if counted > COUNTED_CHARS_PER_CHAR * (len(block) + HEAD_CHARS):
                raise _TooManyCounts
            return self._count(piece)

        try:
            # Not memoized: the cache would hold every text it ever saw for the life of the process.
            _, spans = self._semchunk(block, self._tokens, count, memoize=False, offsets=True)
        except (_TooManyCounts, RecursionError):  # either needs a text made for it; it has no sentences to keep whole
            spans = self._halves(block, 0, len(block))
        for start, end in spans:
            piece = block[start:end]
            stripped = piece.strip()
            if stripped:
                at = first + start + len(piece) - len(piece.lstrip())
                yield at, at + len(stripped)

    def _halves(self, block: str, start: int, end: int) -> list[tuple[int, int]]:
        """Halve until every part fits; its depth is the logarithm of the block's length."""
        if end - start <= 1 or self._count(block[start:end]) <= self._tokens:
            return [(start, end)]
        middle = start + (end - start) // 2
        space = block.rfind(" ", start + 1, middle)
        middle = space if space > 0 else middle
        return self._halves(block, start, middle) + self._halves(block, middle, end)

    def _count(self, text: str) -> int:
        """Return how many tokens `text` has, or some number above the limit where it is far above it."""
        if len(text) > HEAD_CHARS:
            head = len(self._tokenizer.encode(text[:HEAD_CHARS], add_special_tokens=False))
            if head > self._tokens + WORD_TOKENS_MAX:
                return head
        return len(self._tokenizer.encode(text, add_special_tokens=False))


class _TooManyCounts(Exception):
    """Ends semchunk's work on a block that goes over its budget; never leaves this file."""


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the block spans that tile `text`, cut at a blank line, else a line, else a space, else anywhere."""
    start = 0
    while len(text) - start > BLOCK_CHARS:
        limit = start + BLOCK_CHARS
        places = (text.rfind(boundary, limit - BLOCK_SEARCH_CHARS, limit) for boundary in BOUNDARIES)
        end = next((place for place in places if place >= 0), limit)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)
