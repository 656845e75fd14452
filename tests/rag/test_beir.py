"""Test collections in BEIR's layout: read strictly, and every break named by file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rag.beir import load
from rag.errors import MalformedCorpus
from rag.model import Document

FILES = {
    "corpus.jsonl": '{"_id": "d1", "title": "T", "text": "x"}\n'
    '{"_id": "d2", "title": "", "text": ""}\n\n{"_id": "d3", "text": "y "}\n',
    "queries.jsonl": '{"_id": "q1", "text": "one"}\r\n{"_id": "q2", "text": "two"}\n',
    "qrels.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td3\t-1\n",
}


def collection(folder: Path, **replaced: str | bytes) -> Path:
    for name, content in (FILES | {key.replace("_", "."): value for key, value in replaced.items()}).items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_a_collection_is_read_with_its_empty_documents(tmp_path: Path) -> None:
    corpus = load(collection(tmp_path))
    assert corpus.documents == [("d1", Document("d1", "T x")), ("d2", Document("d2", "")), ("d3", Document("d3", "y"))]
    assert corpus.queries == {"q1": "one", "q2": "two"}
    assert corpus.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d3": -1}}


def test_a_packed_corpus_is_the_same_corpus(tmp_path: Path) -> None:
    plain = load(collection(tmp_path))
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(FILES["corpus.jsonl"].encode()))
    assert load(tmp_path) == plain


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus", "{", "corpus.jsonl, line 1: not JSON"),
        ("corpus", "[" * 100_000, "corpus.jsonl, line 1: not JSON"),
        ("corpus", "[]", "corpus.jsonl, line 1: not a JSON object"),
        ("corpus", FILES["corpus.jsonl"] + '{"_id": "d9"}', "corpus.jsonl, line 5: field 'text'"),
        ("corpus", '{"_id": 1, "text": ""}', "corpus.jsonl, line 1: field '_id'"),
        ("corpus", '{"_id": "d1", "text": "\\udfff"}', "corpus.jsonl, line 1: field 'text' holds half"),
        ("corpus", FILES["corpus.jsonl"] + '{"_id": "d1", "text": ""}', "corpus.jsonl, line 5: its _id"),
        ("corpus", b'{"_id": "d1", "text": "\xff"}', "corpus.jsonl, line 1: not UTF-8 at byte 23"),
        ("queries", '{"_id": "q1", "text": null}', "queries.jsonl, line 1: field 'text'"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(MalformedCorpus) as caught:
        load(collection(tmp_path, **{f"{name}_jsonl": content}))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\td3", "2 fields"),
        ("q1\td3\t1\t1", "4 fields"),
        ("q9\td1\t1", "not in the collection"),
        ("q1\td9\t1", "not in the collection"),
        ("q1\td3\tyes", "not a small whole number"),
        ("q1\td3\t1.5", "not a small whole number"),
        ("q1\td3\t9999999999", "not a small whole number"),
        ("q1\td1\t1", "judged on an earlier line"),
        ("query-id\tcorpus-id\tscore", "not in the collection"),
    ],
)
def test_a_broken_judgement_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(MalformedCorpus, match=message) as caught:
        load(collection(tmp_path, qrels_tsv=FILES["qrels.tsv"] + line + "\n"))
    assert str(caught.value).startswith("qrels.tsv, line 5: ")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (collection(tmp_path) / name).unlink()
    with pytest.raises(MalformedCorpus, match=name):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_a_damaged_packed_corpus_is_named(tmp_path: Path, damage: str) -> None:
    lines = "".join(json.dumps({"_id": str(number), "text": "x" * number}) + "\n" for number in range(300))
    packed = gzip.compress(lines.encode())
    middle = len(packed) // 2
    flipped = packed[:middle] + bytes(byte ^ 0xFF for byte in packed[middle : middle + 40]) + packed[middle + 40 :]
    collection(tmp_path)
    (tmp_path / "corpus.jsonl.gz").write_bytes({"cut": packed[:middle], "flipped": flipped, "not gzip": b"x"}[damage])
    with pytest.raises(MalformedCorpus, match=r"corpus\.jsonl\.gz"):
        load(tmp_path)


def test_a_packed_line_that_never_ends_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    collection(tmp_path)
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(b" " * (64 * 1024 * 1024), compresslevel=1))
    with pytest.raises(MalformedCorpus, match="line 1: over 16777216 bytes"):
        load(tmp_path)
