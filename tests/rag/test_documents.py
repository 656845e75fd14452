"""Readers over good files, and over every kind of bad one: each is reported with why, none breaks the rest."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from rag.documents import FILE_BYTES_MAX, read, read_stdin
from rag.model import Document, Skipped
from tests.rag.pdf_files import pdf_with_pages


def documents(*paths: Path) -> dict[str, str]:
    return {item.name: item.text for item in read(paths) if isinstance(item, Document)}


def reasons(*paths: Path) -> dict[str, str]:
    return {item.name: item.reason for item in read(paths) if isinstance(item, Skipped)}


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def test_a_folder_is_read_with_all_below_it_in_order(folder: Path) -> None:
    write(folder, "b.txt", "second")
    write(folder, "a.md", "# first\r\n")
    write(folder, "sub/deep/c.TXT", "\ufeffthird")
    write(folder, "d.pdf", pdf_with_pages("fourth"))
    items = list(read([folder]))
    assert items == [
        Document("notes/a.md", "# first\r\n"),
        Document("notes/b.txt", "second"),
        Document("notes/d.pdf", "fourth"),
        Document("notes/sub/deep/c.TXT", "third"),
    ]


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "corrupt.pdf": (b"%PDF-1.4 then nothing", "not a PDF"),
    "scan.pdf": (pdf_with_pages(""), "hold no text"),
    "binary.txt": (b"some text\0and more", "NUL at byte 9"),
    "utf16.txt": ("text".encode("utf-16-le"), "NUL at byte 1"),
    "latin1.txt": ("caf\u00e9".encode("latin-1"), "not UTF-8 at byte 3"),
    "surrogate.md": (b"ab\xed\xa0\x80", "not UTF-8 at byte 2"),
    "latin1.csv": (b"text\ncaf\xe9\n", "not UTF-8 at byte 8"),
    "latin1.jsonl": (b'{"text": "caf\xe9"}\n', "not UTF-8 at byte 13"),
    "empty.txt": (b"", "it is empty"),
    "blank.md": (b" \n\t\n", "it is empty"),
    "empty.pdf": (b"", "it is empty"),
    "header.csv": (b"title,text\n", "no rows"),
    "program.exe": (b"MZ", "kind '.exe' are not read"),
    "noname": (b"text", "kind '' are not read"),
    ".hidden.txt": (b"text", "hidden"),
}


def test_every_bad_file_of_a_folder_is_reported_and_the_good_one_read(folder: Path) -> None:
    for name, (content, _) in BAD_FILES.items():
        write(folder, name, content)
    write(folder, "good.txt", "good")
    os.mkfifo(folder / "pipe.txt")
    (folder / "dangling.txt").symlink_to(folder / "nothing.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "inside.txt").symlink_to(folder / "good.txt")
    (folder / "up").symlink_to(folder.parent)
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    expected = {f"notes/{name}": reason for name, (_, reason) in BAD_FILES.items()} | {
        "notes/pipe.txt": "neither a file nor a folder",
        "notes/dangling.txt": "link to nothing",
        "notes/loop.txt": "link to nothing",
        "notes/inside.txt": "link within the folder",
        "notes/up": "link out of the folder",
        "notes/passwd.txt": "link out of the folder",
    }
    found = reasons(folder)
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name], name
    assert documents(folder) == {"notes/good.txt": "good"}


@pytest.mark.parametrize("name", sorted(BAD_FILES.keys() - {".hidden.txt"}))
def test_a_bad_file_named_by_itself_is_reported(folder: Path, name: str) -> None:
    content, reason = BAD_FILES[name]
    ((found, why),) = reasons(write(folder, name, content)).items()
    assert found == name
    assert reason in why


@pytest.mark.parametrize("size", [FILE_BYTES_MAX + 1, 2 * 1024**3])
def test_a_file_over_the_limit_is_refused_by_its_size(folder: Path, size: int) -> None:
    path = folder / "huge.txt"
    with path.open("wb") as file:
        file.truncate(size)
    assert f"has {size} bytes" in reasons(path)["huge.txt"]


def test_the_limit_itself_is_allowed(folder: Path) -> None:
    path = write(folder, "a.txt", "x" * 100)
    assert [type(item) for item in read([path], file_bytes_max=100)] == [Document]
    assert [type(item) for item in read([path], file_bytes_max=99)] == [Skipped]


def test_paths_that_lead_nowhere_are_reported(folder: Path) -> None:
    (folder / "dangling.txt").symlink_to(folder / "nothing.txt")
    below_a_file = write(folder, "a.txt", "text") / "b.txt"
    found = reasons(folder / "missing.txt", folder / "dangling.txt", below_a_file, folder / ("x" * 300 + ".txt"))
    assert len(found) == 4
    assert all("cannot be read" in reason for reason in found.values())


def test_an_empty_folder_is_reported_and_one_named_like_a_file_is_read(folder: Path) -> None:
    assert "is empty" in reasons(folder)["notes"]
    write(folder, "x.txt/y.txt", "inner")
    assert documents(folder / "x.txt") == {"x.txt/y.txt": "inner"}


def test_a_link_that_is_named_is_followed(folder: Path) -> None:
    write(folder, "real.txt", "text")
    (folder.parent / "link.txt").symlink_to(folder / "real.txt")
    (folder.parent / "folder").symlink_to(folder)
    assert documents(folder.parent / "link.txt") == {"link.txt": "text"}
    assert documents(folder.parent / "folder") == {"notes/real.txt": "text"}


def test_a_second_document_of_a_name_is_reported_not_mixed_up(folder: Path) -> None:
    first, second = write(folder, "a/x.txt", "one"), write(folder, "b/x.txt", "two")
    assert documents(first, second) == {"x.txt": "one"}
    assert "another document of this name" in reasons(first, second)["x.txt"]


def test_names_that_are_not_text_become_text(folder: Path) -> None:
    write(folder, os.fsdecode(b"caf\xe9\n.txt"), "text")
    assert documents(folder) == {"notes/caf\\xe9\\n.txt": "text"}


def test_a_very_deep_folder_ends_at_a_bound(folder: Path) -> None:
    write(folder, "/".join(["d"] * 70) + "/x.txt", "text")
    ((_, reason),) = reasons(folder).items()
    assert "folders deep" in reason


def test_each_json_line_is_a_document(folder: Path) -> None:
    lines = [
        {"_id": "one", "title": "Title", "text": "text"},
        {"text": "no\u2028title"},
        {"_id": 7, "text": "number", "metadata": {}},
    ]
    path = write(folder, "c.jsonl", "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n")
    assert documents(path) == {"c.jsonl#one": "Title text", "c.jsonl#2": "no\u2028title", "c.jsonl#7": "number"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"text": ' + "9" * 5000 + "}", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "not a string"),
        ('{"text": 1}', "not a string"),
        ('{"text": "a", "title": null}', "not a string"),
        ('{"text": "a", "_id": []}', '"_id"'),
        ('{"text": "a", "_id": "' + "x" * 257 + '"}', '"_id"'),
        ('{"text": "\\ud800"}', "surrogate"),
        ('{"text": " "}', "empty"),
    ],
    ids=["cut", "deep", "long number", "list", "no text", "number", "null title", "bad id", "long id", "half", "blank"],
)
def test_a_bad_json_line_is_reported_by_number_and_the_next_is_read(folder: Path, line: str, reason: str) -> None:
    path = write(folder, "c.jsonl", line + '\n{"text": "good"}\n')
    assert documents(path) == {"c.jsonl#2": "good"}
    assert reason in reasons(path)["c.jsonl#1"]


def test_each_csv_row_is_a_document(folder: Path) -> None:
    path = write(folder, "t.csv", 'id,title,text\n1,First,"a ""quoted""\nline"\n\n2,,b\n')
    assert documents(path) == {"t.csv#1": 'First a "quoted"\nline', "t.csv#2": "b"}


def test_csv_without_a_text_column_keeps_the_names_of_its_columns(folder: Path) -> None:
    path = write(folder, "t.csv", "city,country,note\nOslo,Norway,\n")
    assert documents(path) == {"t.csv#1": "city: Oslo\ncountry: Norway"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,2,3", "3 fields"),
        ('"a"b,c', "not CSV"),
        ('"never closed,', "not CSV"),
        ("x" * 200_000 + ",c", "not CSV"),
        (" ,", "empty"),
    ],
    ids=["fields", "quotes", "open", "long", "blank"],
)
def test_a_bad_csv_row_is_reported_after_the_good_one(folder: Path, row: str, reason: str) -> None:
    path = write(folder, "t.csv", f"title,text\na,good\n{row}\n")
    assert documents(path) == {"t.csv#1": "a good"}
    assert reason in reasons(path)["t.csv#2"]


def test_no_reason_quotes_the_content(folder: Path) -> None:
    secret = "hunter2"  # noqa: S105
    write(folder, "a.jsonl", f'{{"{secret}\n{{"text": "{secret}\\ud800"}}\n')
    write(folder, "b.csv", f'text,x\n{secret}\n"{secret}"{secret},1\n')
    write(folder, "c.txt", secret.encode() + b"\xff")
    write(folder, "d.pdf", secret)
    found = reasons(folder)
    assert len(found) == 6
    assert secret not in " ".join(found.values())


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("stdin", b"plain", [Document("stdin", "plain")]),
        ("rows.jsonl", b'{"text": "a"}', [Document("rows.jsonl#1", "a")]),
        ("page.pdf", pdf_with_pages("page"), [Document("page.pdf", "page")]),
    ],
)
def test_standard_input_is_parsed_by_the_name_it_is_given(name: str, content: bytes, expected: list[Document]) -> None:
    assert list(read_stdin(io.BytesIO(content), name)) == expected


def test_endless_standard_input_ends_at_the_limit() -> None:
    with open("/dev/zero", "rb") as endless:
        ((item),) = read_stdin(endless, "stdin", file_bytes_max=1000)
    assert isinstance(item, Skipped)
    assert "1001 bytes or more" in item.reason
