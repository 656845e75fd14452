"""The standard library's own documentation, out of the running interpreter: a corpus that is always at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.confined import run_worker
from rag.errors import MalformedDocument
from rag.model import Document, Skipped

TIMEOUT_S = 120.0  # measured: under ten seconds on two cores
TEXT_BYTES_MAX = 64 * 1024 * 1024  # measured: 7 MB


def stdlib_documents(modules: Sequence[str] = (), *, timeout_s: float = TIMEOUT_S) -> Iterator[Document | Skipped]:
    """Yield one document a module, submodules included, named as imported, in alphabetical order.

    The text is pydoc's, without the values of this process, so the same interpreter gives the same documents.

    Args:
        modules: only these; empty means all public ones.
    Raises: MalformedDocument: the modules could not be read within the bounds.
    """
    outcome = run_worker(
        Path(__file__).with_name("stdlib_worker.py"),
        b"",
        timeout_s=timeout_s,
        output_bytes_max=TEXT_BYTES_MAX,
        arguments=modules,
        has_packages=False,
    )
    if outcome.is_late or outcome.is_too_long or outcome.status != 0:
        raise MalformedDocument(
            f"reading the standard library took over {timeout_s:g} seconds or {TEXT_BYTES_MAX} bytes, "
            f"or failed (status {outcome.status}); try again with fewer modules"
        )
    for line in outcome.output.splitlines():
        record = json.loads(line)
        name, text = str(record["name"]), record["text"]
        if text:
            yield Document(name, str(text).encode(errors="replace").decode())
        else:
            yield Skipped(name, "this platform's Python cannot import it, or it documents nothing")
