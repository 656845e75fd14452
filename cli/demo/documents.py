"""What the demo seals and asks: the interpreter's own documentation, or anyone's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rag.documents import read
from rag.model import Document, Skipped
from rag.stdlib_documents import stdlib_documents
from vault.envelope import Passage
from vault.errors import MalformedObject

MODULE_CHARS_MAX = 16_000  # a few hundred modules that embed in well under a minute on two cores
QUESTIONS_LEAST = 10
QUESTION_CHARS = 160

STDLIB_QUESTIONS = (
    "How do I read and write CSV files?",
    "How can I compute a SHA-256 digest of some bytes?",
    "wrap a long paragraph of text to a given width",
    "create a temporary directory that is removed afterwards",
    "keep a list in sorted order while inserting items",
    "generate cryptographically strong random tokens",
    "find files whose names match a shell-style pattern",
    "encode binary data as base64 text",
    "cache the results of an expensive function",
    "order tasks so that each comes after what it depends on",
    "measure how long a small piece of code takes to run",
    "open a page in the user's web browser",
)


@dataclass(frozen=True, slots=True)
class Material:
    """Documents to seal, what was left out and why, and questions they should answer."""

    documents: tuple[Document, ...]
    skipped: tuple[Skipped, ...]
    questions: tuple[str, ...]


def stdlib_material() -> Material:
    """Return the documentation of the running interpreter's smaller modules."""
    found = list(stdlib_documents())
    documents = tuple(item for item in found if isinstance(item, Document) and len(item.text) <= MODULE_CHARS_MAX)
    return Material(documents, (), STDLIB_QUESTIONS)


def folder_material(folder: Path) -> Material:
    """Return a folder's documents; the questions are the documents' own first lines.

    Raises: `MalformedObject` where there are not two documents, one for each owner.
    """
    found = list(read([folder]))
    documents = tuple(item for item in found if isinstance(item, Document) and item.text.strip())
    skipped = tuple(item for item in found if isinstance(item, Skipped))
    if len(documents) < 2:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in skipped[:3])
        raise MalformedObject(f"{folder} holds fewer than two readable documents{f': {reasons}' if reasons else ''}")
    return Material(documents, skipped, _first_lines(documents))


def _first_lines(documents: Iterable[Document]) -> tuple[str, ...]:
    """Return one question a document, and further lines where there are fewer documents than questions wanted."""
    lines = [
        [line.strip()[:QUESTION_CHARS] for line in document.text.splitlines() if len(line.strip()) > 3]
        for document in documents
    ]
    depth = max((len(per_document) for per_document in lines), default=0)
    in_order = (per_document[i] for i in range(depth) for per_document in lines if i < len(per_document))
    questions = list(dict.fromkeys(in_order))[: len(STDLIB_QUESTIONS)]
    while questions and len(questions) < QUESTIONS_LEAST:
        questions.append(questions[len(questions) % len(questions)])
    return tuple(questions)


def halves(documents: Iterable[Document]) -> tuple[list[Document], list[Document]]:
    """Deal documents out to two owners, in turn."""
    in_order = list(documents)
    return in_order[0::2], in_order[1::2]


def passages_of(documents: Iterable[Document], chunk: Callable[[Document], list[Passage]]) -> list[Passage]:
    """Return the passages of documents, in order."""
    return [passage for document in documents for passage in chunk(document)]
