"""A dataset's archive as proof of its DAO's affairs: read up to its manifest, which is all that takes.

What follows the manifest, the sealed segments, is the dataset's own and is left to `coffer dataset import`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli import wiring
from cli.dao_bundle import BUNDLE_BLOCKS_MAX
from storage.car import read_car
from storage.cid import Cid
from storage.errors import MalformedCar, StorageError
from storage.memory import MEMORY_BYTES_MAX, MemoryBlobs
from vault.assembly import history_of
from vault.carried_affairs import take_affairs
from vault.carrying import Carried, carried_cids
from vault.epochs import kind_of
from vault.errors import MalformedObject
from vault.manifest import Manifest
from vault.signing import address_text

if TYPE_CHECKING:
    from vault.records.board import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an archive says that it is, and its blocks up to the manifest."""

    name: str
    carried: Carried
    blobs: MemoryBlobs

    def manifest_held(self, board: Board) -> Manifest:
        """Take the affairs onto an empty board, as from a stranger, and return the manifest, its signature verified.

        Raises: MalformedObject, ForkedHistory, AccessDenied: what does not hold.
        """
        take_affairs(board, self.carried, self.blobs, at=wiring.clock())
        manifest = Manifest.from_bytes(self.blobs.get(self.carried.manifest))
        if manifest.genesis != self.carried.genesis:
            raise MalformedObject(f"the dataset in {self.name} is under DAO {manifest.genesis}, not under this one")
        charter = history_of(board, manifest.genesis, at=wiring.clock()).charter
        manifest.verify_owner(charter.domain(manifest.genesis))
        return manifest


def archive_from(text: str) -> Archive | None:
    """Return a dataset's archive, read up to its manifest; None where `text` names no file of that kind.

    Raises: MalformedObject: it is one, and damaged.
    """
    path = Path(text)
    if not path.is_file():
        return None
    blobs = MemoryBlobs(name=text)
    with path.open("rb") as stream:
        try:
            roots, blocks = read_car(stream, blocks_max=BUNDLE_BLOCKS_MAX, bytes_max=MEMORY_BYTES_MAX)
            first, root = next(blocks)
        except (StorageError, StopIteration):
            return None  # whoever reads it as a bundle says what is wrong
        if roots != (first,) or kind_of(root) != Carried.TYPE:
            return None
        try:
            carried = Carried.from_bytes(root)
            _read_affairs(carried, root, blocks, blobs)
            return Archive(name=text, carried=carried, blobs=blobs)
        except (StorageError, MalformedObject) as error:
            raise MalformedObject(f"{text} is damaged: {error}") from error


def _read_affairs(carried: Carried, root: bytes, blocks: Iterator[tuple[Cid, bytes]], blobs: MemoryBlobs) -> None:
    """Put everything up to the manifest into `blobs`; raise unless it is all that belongs there, in its order."""
    blobs.put(carried.cid(), root)
    came = [carried.cid()]
    for cid, block in blocks:
        blobs.put(cid, block)
        came.append(cid)
        if cid == carried.manifest:
            break
    else:
        raise MalformedCar("it ends before its manifest")
    for expected, cid in zip(carried_cids(carried, blobs.get), came, strict=False):
        if expected != cid:
            raise MalformedCar(f"block {expected} is missing from it, or not in its place")


def described(manifest: Manifest) -> str:
    """Return in a sentence what was verified of a dataset."""
    owner = address_text(manifest.owner)
    return f"dataset {manifest.cid()}, version {manifest.version}: signed by its owner {owner} under this charter"


@contextmanager
def empty_board() -> Iterator[Board]:
    """Yield a board of its own in a folder that goes afterwards."""
    from vault.records.board import Board
    from vault.records.database import open_records

    with (
        tempfile.TemporaryDirectory(prefix="coffer-verify-") as folder,
        open_records(f"sqlite:///{folder}/records.db") as records,
    ):
        yield Board(records)
