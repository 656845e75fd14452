"""A script, never imported for its work: PDF bytes on standard input, UTF-8 text on standard output.

It gives up memory, processor time, files, sockets and child processes before it parses a byte, so that a file that
takes over the parser finds nothing to reach but its own text. Run by path, it imports nothing of ours.
"""

from __future__ import annotations

import sys
from typing import Any

MEMORY_BYTES_MAX = 1024**3
CPU_S_MAX = 45
PAGES_MAX = 10_000
TEXT_BYTES_MAX = 16 * 1024 * 1024
PAGE_BREAK = "\f"
LINE_END_HYPHEN = "\x02"  # pdfium's mark where it joins the halves of a word that a line end parts
EVERYWHERE = 1_000_000.0  # points around a page's corner; its own bounds would cut long lines off silently

CANNOT_OPEN, NEEDS_PASSWORD, TOO_MANY_PAGES, TOO_MUCH_TEXT = 10, 11, 12, 13  # exit statuses

PDFIUM_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD in pdfium's fpdfview.h


def confine() -> None:
    """Give up everything that parsing does not need. Files that are open stay open; no other can be opened."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def main() -> int:
    """Read, confine, parse, write; the exit status says what went wrong."""
    import pypdfium2

    data = sys.stdin.buffer.read()
    "".encode("utf-16-le").decode("utf-16-le")  # loads the codec pypdfium2 uses, while files can still be opened
    confine()
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        return NEEDS_PASSWORD if error.err_code == PDFIUM_PASSWORD_ERROR else CANNOT_OPEN
    if len(pdf) > PAGES_MAX:
        return TOO_MANY_PAGES
    written = 0
    for number in range(len(pdf)):
        text = ((PAGE_BREAK if number else "") + page_text(pdf, number)).encode(errors="ignore")
        written += len(text)
        if written > TEXT_BYTES_MAX:
            return TOO_MUCH_TEXT
        sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    return 0


def page_text(pdf: Any, number: int) -> str:
    """Return one page's text, off its edges too, with plain line ends, and free the page."""
    page = pdf[number]
    textpage = page.get_textpage()
    text: str = textpage.get_text_bounded(-EVERYWHERE, -EVERYWHERE, EVERYWHERE, EVERYWHERE)
    textpage.close()
    page.close()
    return text.replace("\r\n", "\n").replace("\0", "").replace(LINE_END_HYPHEN, "")


if __name__ == "__main__":
    sys.exit(main())
