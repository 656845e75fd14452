"""Read a retrieval test collection in BEIR's layout: corpus.jsonl[.gz], queries.jsonl, qrels.tsv.

Strict: a collection that breaks the format would only show as a slightly wrong score.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rag.errors import MalformedCorpus
from rag.model import Document, is_encodable

LINE_BYTES_MAX = 16 * 1024 * 1024
CORPUS_BYTES_MAX = 4 * 1024**3  # unpacked; MS MARCO, BEIR's largest, has 3.1 GB
LINES_MAX = 10_000_000
QRELS_HEADER = ("query-id", "corpus-id", "score")


@dataclass(frozen=True, slots=True)
class BeirCorpus:
    """A collection: its documents in file order, some of them empty, its queries, and who answers what."""

    documents: list[tuple[str, Document]]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def load(folder: Path) -> BeirCorpus:
    """Return the collection in `folder`.

    A document's text is `(title + " " + text).strip()`, as published scores use it; its name is its id.

    Raises: MalformedCorpus: naming file and line.
    """
    documents = list(_documents(_either(folder, "corpus.jsonl")))
    queries = dict(_queries(_either(folder, "queries.jsonl")))
    known = {identifier for identifier, _ in documents}
    return BeirCorpus(documents, queries, _qrels(folder / "qrels.tsv", set(queries), known))


def _either(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name


def _documents(path: Path) -> Iterator[tuple[str, Document]]:
    for where, record in _records(path):
        text = (_string(record, "title", where, default="") + " " + _string(record, "text", where)).strip()
        identifier = _string(record, "_id", where)
        yield identifier, Document(identifier, text)


def _queries(path: Path) -> Iterator[tuple[str, str]]:
    for where, record in _records(path):
        yield _string(record, "_id", where), _string(record, "text", where)


def _records(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield (where, record) per line, each with an `_id` of its own."""
    seen: set[object] = set()
    for where, line in _lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise MalformedCorpus(f"{where}: not JSON") from error
        if not isinstance(record, dict):
            raise MalformedCorpus(f"{where}: not a JSON object")
        identifier = _string(record, "_id", where)
        if identifier in seen:
            raise MalformedCorpus(f"{where}: its _id was used on an earlier line")
        seen.add(identifier)
        yield where, record


def _string(record: dict[str, object], field: str, where: str, *, default: str | None = None) -> str:
    value = record.get(field, default)
    if not isinstance(value, str):
        raise MalformedCorpus(f"{where}: field {field!r} is missing or not a string")
    if not is_encodable(value):
        raise MalformedCorpus(f"{where}: field {field!r} holds half a surrogate pair")
    return value


def _qrels(path: Path, queries: set[str], documents: set[str]) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, (where, line) in enumerate(_lines(path)):
        fields = tuple(line.split("\t"))
        if number == 0 and fields == QRELS_HEADER:
            continue
        if len(fields) != len(QRELS_HEADER):
            raise MalformedCorpus(f"{where}: {len(fields)} fields, expected {len(QRELS_HEADER)} parted by tabs")
        query, document, score = fields
        if query not in queries or document not in documents:
            raise MalformedCorpus(f"{where}: its query or its document is not in the collection")
        if not score.removeprefix("-").isdecimal() or len(score) > 9:
            raise MalformedCorpus(f"{where}: the score is not a small whole number")
        if document in qrels.setdefault(query, {}):
            raise MalformedCorpus(f"{where}: this pair was judged on an earlier line")
        qrels[query][document] = int(score)
    return qrels


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file, line n", text without the line's end), blank lines left out."""
    total = 0
    with _opened(path) as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            total += len(line)
            where = f"{path.name}, line {number}"
            if len(line) > LINE_BYTES_MAX or total > CORPUS_BYTES_MAX or number > LINES_MAX:
                raise MalformedCorpus(
                    f"{where}: over {LINE_BYTES_MAX} bytes a line, {CORPUS_BYTES_MAX} bytes or {LINES_MAX} lines in all"
                )
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise MalformedCorpus(f"{where}: not UTF-8 at byte {error.start} of the line") from None
            if text.strip():
                yield where, text


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as packed:
                yield packed  # type: ignore[misc]
        else:
            with path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise MalformedCorpus(f"{path.name}: missing, unreadable or cut short; fetch the collection again") from error
