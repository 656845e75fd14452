"""Blocks that peers hand in before the head they lead to: a large link goes over in more than one message.

They are in memory only, checked against their CIDs and against nothing else. Each peer has a share of its own, in which
its earliest blocks make room, so it gets in its own way alone; where there are too many peers, the one not heard of for
longest makes room, and hands its blocks in again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.cid import Cid
from vault.links import LINK_BLOCKS_MAX, LINK_BYTES_MAX

PEER_BYTES_MAX: Final = LINK_BYTES_MAX  # of at most `LINK_BLOCKS_MAX` blocks
PEERS_MAX: Final = 8
LIFETIME_S: Final = 60.0


@dataclass(slots=True)
class _Staged:
    since: float
    blocks: dict[Cid, bytes] = field(default_factory=dict)
    size: int = 0

    def drop(self, cid: Cid) -> None:
        self.size -= len(self.blocks.pop(cid, b""))


class Staging:
    """What each peer has handed in ahead. Use it from one thread."""

    def __init__(
        self,
        *,
        peer_bytes_max: int = PEER_BYTES_MAX,
        peers_max: int = PEERS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peer_bytes_max = peer_bytes_max
        self._peers_max = peers_max
        self._monotonic = monotonic
        self._staged: dict[str, _Staged] = {}  # the one not heard of for longest first

    def put(self, peer: str, blocks: Mapping[Cid, bytes]) -> None:
        """Keep a peer's blocks, already checked against their CIDs, for `LIFETIME_S` after its last ones."""
        self._drop_old()
        staged = self._staged.pop(peer, None) or _Staged(since=0.0)
        staged.since = self._monotonic()
        for cid, block in blocks.items():
            if cid not in staged.blocks:
                staged.blocks[cid] = block
                staged.size += len(block)
        while staged.size > self._peer_bytes_max or len(staged.blocks) > LINK_BLOCKS_MAX:
            staged.drop(next(iter(staged.blocks)))
        while len(self._staged) >= self._peers_max:
            del self._staged[next(iter(self._staged))]
        self._staged[peer] = staged

    def of(self, peer: str) -> dict[Cid, bytes]:
        """Return what a peer has staged."""
        self._drop_old()
        staged = self._staged.get(peer)
        return dict(staged.blocks) if staged else {}

    def drop(self, peer: str, cids: Iterable[Cid]) -> None:
        """Forget blocks that a peer has staged; they are no longer needed."""
        staged = self._staged.get(peer)
        if staged is None:
            return
        for cid in cids:
            staged.drop(cid)
        if not staged.blocks:
            del self._staged[peer]

    def _drop_old(self) -> None:
        now = self._monotonic()
        for peer in [peer for peer, staged in self._staged.items() if staged.since + LIFETIME_S <= now]:
            del self._staged[peer]
