"""PDF text, and files that would crash, flood, hang or exhaust whoever parses them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import rag.pdf_worker
from rag.confined import run_worker
from rag.errors import MalformedDocument
from rag.pdf import text_from_pdf
from tests.rag.pdf_files import pdf_bomb, pdf_from_streams, pdf_with_pages, pdf_with_password


def test_the_text_of_every_page_is_read_in_order() -> None:
    assert text_from_pdf(pdf_with_pages("first page", "second page", "third")) == "first page\fsecond page\fthird"


def test_a_book_of_many_pages_is_within_the_bounds() -> None:
    pages = [f"page {number} " + "with words enough to fill it " * 40 for number in range(400)]
    assert text_from_pdf(pdf_with_pages(*pages)).count("enough") == 400 * 40


def test_a_word_parted_by_a_line_end_is_joined() -> None:
    content = b"BT /F1 12 Tf 14 TL 72 720 Td (this was a vol-) Tj T* (untary act) Tj ET"
    assert text_from_pdf(pdf_from_streams([(b"", content)])) == "this was a voluntary act"


def test_a_page_without_text_is_empty() -> None:
    assert text_from_pdf(pdf_with_pages("", "b")) == "\fb"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a PDF"),
        (b"%PDF-1.7\n garbage", "not a PDF"),
        (b"\x00" * 100_000, "not a PDF"),
        (pdf_with_password(), "needs a password"),
        (pdf_from_streams([(b"", b"")] * (rag.pdf_worker.PAGES_MAX + 1)), "more than 10000 pages"),
    ],
    ids=["nothing", "only a header", "zeros", "encrypted", "too many pages"],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedDocument, match=reason):
        text_from_pdf(data)


def test_a_file_cut_short_is_read_or_refused_but_breaks_nothing() -> None:
    whole = pdf_with_pages("only page")
    for length in range(0, len(whole), 97):
        try:
            assert text_from_pdf(whole[:length]) in ("only page", "")
        except MalformedDocument as error:
            assert "PDF" in str(error)


def test_a_decompression_bomb_ends_in_a_reason_within_its_bounds() -> None:
    bomb = pdf_bomb(600 * 1024 * 1024)
    assert len(bomb) < 200_000
    began = time.monotonic()
    with pytest.raises(MalformedDocument):
        text_from_pdf(bomb, timeout_s=8)
    assert time.monotonic() - began < 20


def test_a_parser_that_takes_too_long_is_ended() -> None:
    with pytest.raises(MalformedDocument, match=r"over 0\.001 seconds"):
        text_from_pdf(pdf_with_pages("text"), timeout_s=0.001)


def script(folder: Path, body: str) -> Path:
    path = folder / "worker.py"
    path.write_text(body)
    return path


def test_a_worker_that_floods_is_cut_off_at_the_bound(tmp_path: Path) -> None:
    flood = script(tmp_path, "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)\n")
    outcome = run_worker(flood, b"", timeout_s=60, output_bytes_max=1000)
    assert (outcome.output, outcome.is_too_long, outcome.is_late) == (b"x" * 1000, True, False)


def test_a_worker_that_hangs_with_a_child_holding_its_output_is_ended(tmp_path: Path) -> None:
    hang = script(tmp_path, "import os, time\nos.fork()\nprint('x', flush=True)\ntime.sleep(600)\n")
    outcome = run_worker(hang, b"", timeout_s=1, output_bytes_max=1000)
    assert (outcome.is_late, outcome.is_too_long) == (True, False)


def test_a_worker_that_dies_without_reading_is_an_outcome(tmp_path: Path) -> None:
    dies = script(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    outcome = run_worker(dies, b"x" * 10_000_000, timeout_s=60, output_bytes_max=1000)
    assert (outcome.status, outcome.output, outcome.is_late) == (-11, b"", False)


def test_a_worker_gets_none_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COFFER_TEST_SECRET", "1")
    shows = script(tmp_path, "import json, os\nprint(json.dumps(sorted(os.environ)))\n")
    names = json.loads(run_worker(shows, b"", timeout_s=60, output_bytes_max=10_000).output)
    assert "COFFER_TEST_SECRET" not in names
    assert "PYTHONHASHSEED" in names


REACHES_OUT = """
import json, mmap, os, socket, sys
sys.path.insert(0, sys.argv[1])
from rag.pdf_worker import confine
reached = []
def reach(name, act):
    try:
        act()
    except (OSError, MemoryError):
        return
    reached.append(name)
acts = {
    "read": lambda: open("/etc/passwd"),
    "socket": lambda: socket.socket(),
    "pipe": lambda: os.pipe(),
    "memory": lambda: mmap.mmap(-1, 2 * 1024**3),
}
if sys.argv[2] == "confined":
    confine()
for name, act in acts.items():
    reach(name, act)
print(json.dumps(reached))
"""


@pytest.mark.parametrize(("mode", "expected"), [("confined", []), ("free", ["read", "socket", "pipe", "memory"])])
def test_a_confined_worker_reaches_no_file_socket_or_memory(tmp_path: Path, mode: str, expected: list[str]) -> None:
    root = str(Path(rag.pdf_worker.__file__).parents[1])
    outcome = run_worker(
        script(tmp_path, REACHES_OUT), b"", timeout_s=60, output_bytes_max=10_000, arguments=[root, mode]
    )
    assert json.loads(outcome.output) == expected
