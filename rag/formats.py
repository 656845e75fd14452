"""The bytes of one file to the documents in it, by the suffix of its name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator

from rag.errors import MalformedDocument
from rag.facts import DOCUMENT, OWNER, TAGS, TIME, MalformedMetadata, entries
from rag.model import Document, Metadata, Skipped, is_encodable
from rag.pdf import text_from_pdf

BYTE_ORDER_MARK = "\ufeff"
ID_CHARS_MAX = 256  # of a JSON line's `_id`, which becomes part of a name
TIME_DIGITS_MAX = 19  # of a 64-bit number
CSV_FIELD_CHARS_MAX = 131_072  # Python's own limit, which is one for the whole process and stays as it is


def documents_from_bytes(name: str, suffix: str, data: bytes) -> Iterator[Document | Skipped]:
    """Yield the documents of one file.

    Args:
        suffix: a key of `PARSERS`.
    Raises: MalformedDocument: none of it can be read; before anything is yielded.
    """
    return PARSERS[suffix](name, data)


def text_from_utf8(data: bytes) -> str:
    """Return the text without a byte-order mark, line ends as they are.

    Raises: MalformedDocument: it holds a NUL, or is not UTF-8; the message names the byte.
    """
    nul = data.find(b"\0")
    if nul >= 0:
        raise MalformedDocument(f"it holds a NUL at byte {nul}, so it is not text; save it as UTF-8 text")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedDocument(f"it is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    return text.removeprefix(BYTE_ORDER_MARK)


def _text(name: str, data: bytes) -> Iterator[Document | Skipped]:
    yield _document(name, text_from_utf8(data))


def _pdf(name: str, data: bytes) -> Iterator[Document | Skipped]:
    text = text_from_pdf(data)
    if not text.strip():
        yield Skipped(name, "its pages hold no text, perhaps scans; run character recognition over it first")
    else:
        yield Document(name, text)


def _json_lines(name: str, data: bytes) -> Iterator[Document | Skipped]:
    """One object a line: "text", perhaps "title" before it, and perhaps "_id" to name it instead of the line.

    An object under "metadata" is what filters can ask for: texts, whole numbers, booleans and lists of texts by key.
    """
    for number, line in enumerate(text_from_utf8(data).split("\n"), start=1):
        if line.strip():
            yield _json_line(name, number, line)


def _json_line(name: str, number: int, line: str) -> Document | Skipped:
    where = f"{name}#{number}"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # ValueError too for a number of thousands of digits
        return Skipped(where, "the line is not JSON; write one object a line")
    if not isinstance(record, dict):
        return Skipped(where, "the line is not a JSON object; write one object a line")
    text, title, identifier = record.get("text"), record.get("title", ""), record.get("_id", number)
    if not isinstance(text, str) or not isinstance(title, str):
        return Skipped(where, 'its "text" or "title" is not a string; give every line a "text"')
    if not isinstance(identifier, str | int) or len(str(identifier)) > ID_CHARS_MAX:
        return Skipped(where, f'its "_id" is not a number or a string of at most {ID_CHARS_MAX} characters; shorten it')
    if not is_encodable(f"{identifier}{title}{text}"):
        return Skipped(where, "it holds half a surrogate pair; write whole characters")
    metadata = record.get("metadata", {})
    reason = _wrong_metadata(metadata)
    if reason is not None:
        return Skipped(where, reason)
    return _document(f"{name}#{identifier}", f"{title} {text}".strip(), metadata)


def _csv(name: str, data: bytes) -> Iterator[Document | Skipped]:
    """One document a row, named by its number; the first row names the columns.

    The text is that of the column "text", perhaps after "title", and every other column is metadata: "tags" a list of
    texts between semicolons, "time" seconds since 1970, and the rest texts. Without such a column, the text is all of
    them as "name: value".
    """
    rows = csv.reader(io.StringIO(text_from_utf8(data), newline=""), strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for row in rows:
            if header is None:
                header = row
            elif row:
                number += 1
                yield _row(f"{name}#{number}", header, row)
    except csv.Error:
        yield Skipped(
            f"{name}#{number + 1}",
            f"from line {rows.line_num} on it is not CSV, or a field is over {CSV_FIELD_CHARS_MAX} characters; "
            "mend it and read the file again",
        )
    if not number and header is not None:
        yield Skipped(name, "it has no rows below the names of its columns; add one")


def _row(where: str, header: list[str], row: list[str]) -> Document | Skipped:
    if len(row) != len(header):
        return Skipped(
            where, f"it has {len(row)} fields and the first row has {len(header)}; give both the same number"
        )
    fields = dict(zip(header, row, strict=True))
    if "text" not in fields:
        return _document(where, "\n".join(f"{column}: {value}" for column, value in fields.items() if value.strip()))
    text = f"{fields.get('title', '')} {fields['text']}".strip()
    metadata = {
        column: _fact(column, value)
        for column, value in fields.items()
        if column not in ("text", "title") and value.strip()
    }
    reason = _wrong_metadata(metadata)
    return _document(where, text, metadata) if reason is None else Skipped(where, reason)


def _fact(column: str, value: str) -> str | int | list[str]:
    if column == TAGS:
        return [tag.strip() for tag in value.split(";") if tag.strip()]
    if column == TIME and value.strip().isdecimal() and len(value.strip()) < TIME_DIGITS_MAX:
        return int(value)
    return value


def _wrong_metadata(metadata: object) -> str | None:
    """Return why metadata cannot be sealed, if so."""
    if isinstance(metadata, dict) and metadata.keys().isdisjoint((DOCUMENT, OWNER)):
        try:
            if all(type(value) is not int or value >= 0 for _, value in entries(metadata, 0)):
                return None
        except MalformedMetadata:
            pass
    return (
        "its metadata is not what filters can ask for; give texts, whole numbers from 0, booleans or lists of texts, "
        "tags as a list, time in seconds, and neither document nor owner"
    )


def _document(name: str, text: str, metadata: Metadata | None = None) -> Document | Skipped:
    if not text.strip():
        return Skipped(name, "it is empty; write something or leave it out")
    return Document(name, text, metadata or {})


PARSERS: dict[str, Callable[[str, bytes], Iterator[Document | Skipped]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".md": _text,
    ".pdf": _pdf,
    ".txt": _text,
}
