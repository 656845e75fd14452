"""What `coffer index` is given: sizes as a person writes them, arrays of vectors, and texts to embed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from cli import wiring
from cli.home import Settings
from cli.options import cid_option
from cli.sealed_files import UnreadableInput, read_bounded, require_file
from cli.sealing import documents_of
from cli.workplace import progress_bar
from rag.model import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.model import Embedder

UNITS: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}
VECTORS_BYTES_MAX = 1 << 40
QUESTIONS_BYTES_MAX = 64 << 20
_SIZE = re.compile(r"([0-9]{1,12})(\.[0-9]{1,3})?\s*([KMGT]?I?B)", re.IGNORECASE)


def bytes_from(size: str) -> int:
    """Return the bytes of `8GiB`, `512 MiB` or `1.5GB`."""
    found = _SIZE.fullmatch(size.strip())
    unit = UNITS.get(found[3].upper()) if found else None
    if found is None or unit is None:
        raise typer.BadParameter(f"{size!r} is not a size; write 8GiB, 512MiB or 1.5GB")
    thousandths = int(((found[2] or ".")[1:]).ljust(3, "0"))
    return int(found[1]) * unit + thousandths * unit // 1000


def vectors_from(path: Path) -> NDArray[np.float32]:
    """Return the rows of a NumPy file (.npy), shape (n, dimension), as float32; pickles are not read.

    Raises: UnreadableInput: it is not such a file.
    """
    import numpy as np

    require_file(path)
    if path.stat().st_size > VECTORS_BYTES_MAX:
        raise UnreadableInput(f"{path} has more than {VECTORS_BYTES_MAX} bytes")
    try:
        rows = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, SyntaxError, OverflowError) as error:
        raise UnreadableInput(f"{path} is not a NumPy array file; save one with numpy.save") from error
    if rows.ndim != 2 or not len(rows) or rows.dtype not in (np.float16, np.float32, np.float64):
        raise UnreadableInput(f"{path} holds {rows.dtype} of shape {rows.shape}, not rows of floating-point numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return np.ascontiguousarray(rows, dtype=np.float32)


def texts_from(path: Path, settings: Settings, embedder: Embedder, *, is_json: bool) -> NDArray[np.float32]:
    """Return the vectors of the passages of a file or folder, cut and embedded as an enclave does.

    Raises: UnreadableInput: it holds no text.
    """
    chunker = wiring.make_chunker(settings)
    passages: list[str] = []
    for item in documents_of([str(path)], "stdin"):
        if isinstance(item, Document):
            passages += [passage.text for passage in chunker.chunk(item)]
    if not passages:
        raise UnreadableInput(f"{path} holds no text, so there are no passages to index")
    with progress_bar("passages embedded", total=len(passages), is_json=is_json) as progress:
        return embedder.embed_passages(passages, progress=progress)


def questions_from(path: Path, embedder: Embedder) -> NDArray[np.float32]:
    """Return the vectors of a text file's lines. Raises UnreadableInput."""
    try:
        lines = read_bounded(path, QUESTIONS_BYTES_MAX).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path} is not text in UTF-8; write one question a line") from error
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise UnreadableInput(f"{path} holds no question; write one a line")
    return embedder.embed_queries(questions)


def dataset_passages(settings: Settings, cid: str) -> int:
    """Return how many passages a dataset sealed in this home has."""
    from vault.records.catalog import Catalog

    manifest = cid_option(cid)
    with wiring.open_database(settings) as records:
        row = Catalog(records).get(manifest)
    if row is None:
        raise UnreadableInput(f"dataset {manifest} was not sealed in this home; give its size with --count")
    return row.passages


def memory_of_this_machine() -> int:
    """Return the bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
