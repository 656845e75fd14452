"""Custodians that keep in touch: in this process without a network, or over real servers; and ones set back in time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from enclave.attestation.appraise import EvidenceAppraiser
from storage.cid import Cid
from storage.memory import MemoryBlobs
from storage.model import Blobs
from tests.enclaves import Custodians, World
from tests.loops import WAIT_S, Loop
from vault.charter import Custodian
from vault.custody import Custody
from vault.custody_state import CustodyState, StateQuestion
from vault.custody_sync import CustodySync
from vault.destruction import Destruction
from vault.errors import ServiceUnavailable
from vault.head_vote import HeadVote, KnownTip
from vault.links import next_links
from vault.manifest import Manifest
from vault.records.custody import CustodyRecords
from vault.records.database import open_records


class LocalPeer:
    """Another custodian in this process; subclasses lie."""

    def __init__(self, custody: Custody) -> None:
        self.custody = custody

    @property
    def custodian(self) -> Custodian:
        return self.custody.public

    def tips(self, custodian: bytes) -> list[tuple[Cid, Cid, int]]:
        return self.custody.catching_up.tips(custodian)

    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        return self.custody.catching_up.chain(genesis, known)

    def known_tips(self, custodian: bytes) -> list[KnownTip]:
        votes = {tip.genesis: tip.votes for tip in self.custody.known_tips(custodian)}
        return [
            KnownTip(genesis=genesis, head=head, epoch=epoch, votes=votes.get(genesis, b""))
            for genesis, head, epoch in self.tips(custodian)
        ]

    def branch(self, genesis: Cid, known: Cid | None, tip: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        branch = self.custody.branch(genesis, tip) if tip else None
        return next_links(lambda known, skip: self.custody.catching_up.piece(genesis, known, skip, branch), known)

    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]:
        return self.custody.head_votes(genesis)

    def submit_head(self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = ()) -> int:
        return self.custody.submit_head(head, blocks.items(), votes)

    def custody_state(self, question: StateQuestion) -> CustodyState:
        return self.custody.catching_up.answer(question)

    def manifests(self, genesis: Cid, after: bytes) -> tuple[list[Manifest], bytes]:
        return self.custody.catching_up.manifests(genesis, after)

    def destroyed(self, genesis: Cid, after: bytes) -> tuple[list[Destruction], bytes]:
        return self.custody.destroying.orders(genesis, after)

    def close(self) -> None:
        pass


class Unreachable:
    """A peer whose machine is off."""

    def __new__(cls) -> Any:
        raise ServiceUnavailable("nothing answers at its address")


def visit(custody: Custody, peers: Sequence[Callable[[], Any]]) -> None:
    """Start the custodian's task of keeping in touch, visit every peer once, and stop it."""

    async def once() -> None:
        sync = CustodySync(
            custody, [str(n) for n in range(len(peers))], every_s=WAIT_S, connect=lambda name: peers[int(name)]()
        )
        await sync.start()
        await sync.close()

    asyncio.run(once())


def others(custodians: Custodians, index: int = 0) -> list[Callable[[], LocalPeer]]:
    """Return how to reach every custodian but one."""
    return [
        lambda custody=custody: LocalPeer(custody)  # type: ignore[misc]
        for n, custody in enumerate(custodians.all)
        if n != index
    ]


class Backup:
    """What one custodian remembers at a moment, taken as an operator copies a database by hand."""

    def __init__(self, world: World, custodians: Custodians, folder: Path, index: int = 0) -> None:
        self._world = world
        self._index = index
        self._records = folder / f"backup{index}.db"
        self._folder = folder
        self._blobs = dict(_all_blocks(custodians, index))
        with (
            closing(sqlite3.connect(folder / f"custodian{index}.db")) as source,
            closing(sqlite3.connect(self._records)) as target,
        ):
            source.backup(target)

    @contextmanager
    def started(self, *, is_marked: bool = True) -> Iterator[Custody]:
        """Start a custodian over a copy; not marked, it does not know that it was set back."""
        path = self._folder / f"restored-{is_marked}.db"
        path.write_bytes(self._records.read_bytes())
        blobs: Blobs = MemoryBlobs()
        for cid, block in self._blobs.items():
            blobs.put(cid, block)
        with open_records(f"sqlite:///{path}") as records:
            store = CustodyRecords(records)
            if is_marked:
                store.mark_restored(self._world.clock())
            yield Custody(
                self._world.dao.custodians[self._index],  # type: ignore[arg-type]  # the same two keys
                store,
                blobs,
                EvidenceAppraiser(production=False),
                clock=self._world.clock,
                production=False,
            )


def _all_blocks(custodians: Custodians, index: int) -> Iterator[tuple[Cid, bytes]]:
    blobs = custodians.blobs[index]
    for cid in list(blobs.cids()):
        yield cid, blobs.get(cid)


class Gossip:
    """The tasks of several running custodians that keep in touch, on one loop."""

    def __init__(self, loop: Loop, custodies: Sequence[Custody], addresses: Sequence[str]) -> None:
        self._loop = loop
        self._syncs = [
            CustodySync(custody, [address for n, address in enumerate(addresses) if n != index], every_s=WAIT_S)
            for index, custody in enumerate(custodies)
        ]

    def __enter__(self) -> Gossip:
        for sync in self._syncs:
            self._loop.call(sync.start())
        return self

    def __exit__(self, *_: object) -> None:
        for sync in self._syncs:
            self._loop.call(sync.close())
