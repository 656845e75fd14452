"""Blocks in this process's memory: for tests, previews and one-off work."""

import threading
from collections.abc import Iterator
from typing import Final

from storage.cid import Cid
from storage.errors import BlockNotFound, StorageFull
from storage.model import verified

MEMORY_BYTES_MAX: Final = 2**30


class MemoryBlobs:
    """Blocks in a dictionary, gone with the process. Safe to share between threads."""

    def __init__(self, *, bytes_max: int = MEMORY_BYTES_MAX, name: str = "memory") -> None:
        self.name = name
        self._bytes_max = bytes_max
        self._bytes = 0
        self._blocks: dict[Cid, bytes] = {}
        self._lock = threading.Lock()

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a copy of `block`. Raises: BlockMismatch, BlockTooLarge, StorageFull: over `bytes_max` in all."""
        block = bytes(verified(cid, block, place=self.name))
        with self._lock:
            if cid in self._blocks:
                return
            if self._bytes + len(block) > self._bytes_max:
                raise StorageFull(
                    f"{self.name} holds at most {self._bytes_max} bytes; delete blocks or raise bytes_max"
                )
            self._blocks[cid] = block
            self._bytes += len(block)

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked. Raises: BlockNotFound, BlockMismatch."""
        block = self._blocks.get(cid)
        if block is None:
            raise BlockNotFound(f"{self.name} has no block {cid}")
        return verified(cid, block, place=self.name)

    def has(self, cid: Cid) -> bool:
        """Say whether the block is here."""
        return cid in self._blocks

    def delete(self, cid: Cid) -> None:
        """Forget the block, if it is here."""
        with self._lock:
            self._bytes -= len(self._blocks.pop(cid, b""))

    def cids(self) -> Iterator[Cid]:
        """Yield the CIDs as they were when the first was asked for."""
        with self._lock:
            held = tuple(self._blocks)
        yield from held
