"""Blocks and records at hand: what a CID names never changes, so it is fetched, verified and decoded once.

Only public objects pass here. What is at hand is bounded in number and encoded size; the longest unused goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

from storage.cid import Cid
from storage.model import Blobs
from vault.codec import Record

BYTES_MAX: Final = 16 << 20  # of blocks; decoded records take a multiple of theirs
BLOCKS_MAX: Final = 4096

Kind = TypeVar("Kind", bound=Record)


@dataclass(slots=True)
class _Known:
    block: bytes
    record: Record | None = None


class Known:
    """Reads through to a place for blocks, which verifies each against its CID."""

    def __init__(self, blobs: Blobs, *, bytes_max: int = BYTES_MAX, blocks_max: int = BLOCKS_MAX) -> None:
        self._blobs = blobs
        self._bytes_max = bytes_max
        self._blocks_max = blocks_max
        self._bytes = 0
        self._known: OrderedDict[Cid, _Known] = OrderedDict()

    def block(self, cid: Cid) -> bytes:
        """Return the block of that CID, or raise what `Blobs.get` raises."""
        return self._at_hand(cid).block

    def record(self, kind: type[Kind], cid: Cid) -> Kind:
        """Return the record of that CID, or raise what `Blobs.get` or `Record.from_bytes` raises."""
        known = self._at_hand(cid)
        if type(known.record) is not kind:
            known.record = kind.from_bytes(known.block)
        return known.record

    def _at_hand(self, cid: Cid) -> _Known:
        known = self._known.get(cid)
        if known is None:
            known = self._known[cid] = _Known(self._blobs.get(cid))
            self._bytes += len(known.block)
        self._known.move_to_end(cid)
        while self._bytes > self._bytes_max or len(self._known) > self._blocks_max:
            self._bytes -= len(self._known.popitem(last=False)[1].block)
        return known
