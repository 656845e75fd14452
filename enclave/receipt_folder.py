"""Where a client keeps its receipts: with what an offline check needs, so with the question and the passages too."""

from __future__ import annotations

from pathlib import Path

from vault.receipt import Receipt, ReceiptFile
from vault.sealed_files import write_private

SUFFIX = ".receipt"


class ReceiptFolder:
    """A folder of receipt files, each readable by its owner alone and written whole or not at all."""

    def __init__(self, path: Path) -> None:
        """Make the folder where it is missing. Raises `OSError` where nothing can be written there."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path

    def keep(self, receipt: Receipt, file: ReceiptFile) -> Path:
        """Write a receipt; return where it lies. The same receipt has the same name."""
        path = self.path / f"{receipt.sequence}-{receipt.cid().digest.hex()[:12]}{SUFFIX}"
        write_private(path, file.encoded())
        return path
