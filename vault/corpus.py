"""Documents on their way to being sealed: cut into passages one at a time, with an account of all that was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from rag.model import Document, Skipped
from rag.model import Passage as Cut
from vault.envelope import PASSAGE_BYTES_MAX, Passage

NAME_CHARS_MAX = 4096  # a name travels with each of its document's passages


class Cutter(Protocol):
    """What cuts documents; `rag.chunk.Chunker` is the real one."""

    def chunk(self, document: Document) -> list[Cut]: ...  # noqa: D102


@dataclass(slots=True)
class Corpus:
    """What became of a reading: counted while `passages` is consumed, final once it ended."""

    documents: int = 0
    passages: int = 0
    text_bytes: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def cut(
        self, items: Iterable[Document | Skipped], cutter: Cutter, progress: Callable[[int], None]
    ) -> Iterator[Passage]:
        """Yield the passages of every document, in order; `progress` is called with the documents read so far."""
        for item in items:
            if isinstance(item, Skipped):
                self.skipped.append(item)
                continue
            passages = self._fitting(item, cutter)
            if passages:
                self.documents += 1
                self.passages += len(passages)
                self.text_bytes += len(item.text.encode())
            progress(self.documents)
            yield from passages

    def _fitting(self, document: Document, cutter: Cutter) -> list[Passage]:
        if len(document.name) > NAME_CHARS_MAX:
            self.skipped.append(Skipped(document.name[:80] + "…", "its name is too long; give it a shorter one"))
            return []
        passages = [Passage(cut.document, cut.start, cut.end, cut.text, cut.metadata) for cut in cutter.chunk(document)]
        if not passages:
            self.skipped.append(Skipped(document.name, "it holds nothing but whitespace; leave it out"))
        if any(len(passage.encoded()) > PASSAGE_BYTES_MAX for passage in passages):
            self.skipped.append(
                Skipped(document.name, "a passage of it is over 32 KiB with its metadata; break up what has no spaces")
            )
            return []
        return passages
