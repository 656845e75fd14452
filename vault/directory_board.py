"""A board as an IPFS directory: a folder board's layout under one CID, which names a state of it for good.

It is read from any place that has the blocks, and each block is checked against its CID; nobody has to be trusted to
serve it. A directory of IPFS is never changed: another state has another CID.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from storage.cid import Cid
from storage.errors import InvalidCid, StorageError
from storage.model import Blobs
from storage.unixfs import Tree, add_directory, add_tree, read_directory, read_file
from vault.board import Board, Entry, Kind, bodies_of
from vault.codec import OBJECT_BYTES_MAX
from vault.errors import AccessDenied, RecordsUnavailable
from vault.head import Head
from vault.listed_board import GENESES_MAX, SHARD_CHARS, TIP_NAME, ListedBoard, by_rank, is_shard, name_of, tip_text

NAMES_MAX: Final = 800  # in one directory; beyond twice as many, other tools would shard it their own way


class DirectoryBoard(ListedBoard[Cid]):
    """The board in one IPFS directory, to be read only."""

    def __init__(self, blobs: Blobs, root: Cid) -> None:
        super().__init__()
        self.name = f"directory {root}"
        self._blobs = blobs
        self._root = root
        self._is_read = False

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Refuse: publish another directory instead."""
        raise AccessDenied(f"{self.name} cannot be added to; publish a board anew with: coffer dao sync --publish")

    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        """Refuse, as `put` does."""
        raise AccessDenied(f"{self.name} cannot be changed; publish a board anew with: coffer dao sync --publish")

    def replace_tip(self, genesis: Cid, head: Cid, epoch: int, *, instead_of: Cid) -> None:
        """Refuse, as `put` does."""
        self.set_tip(genesis, head, epoch)

    def _refresh(self) -> None:
        if self._is_read:
            return
        with self._reported():
            daos = read_directory(self._blobs, self._root)
            for name, path in list(daos.items())[:GENESES_MAX]:
                try:
                    genesis = Cid.parse(name)
                except InvalidCid:
                    self._ignore(f"{name[:80]!r} in {self.name} is no DAO's genesis")
                    continue
                self._refresh_dao(genesis, read_directory(self._blobs, path))
        self._is_read = True

    def _refresh_dao(self, genesis: Cid, names: Mapping[str, Cid]) -> None:
        if TIP_NAME in names:
            self._found_tip(genesis, names[TIP_NAME])
        for name in names.keys() - set(Kind) - {TIP_NAME}:
            self._ignore(f"{name[:80]!r} in {self.name} is no kind of object")
        for kind in by_rank(names):
            files = read_directory(self._blobs, names[kind])
            for shard in filter(is_shard, files):
                self._found(genesis, kind, read_directory(self._blobs, files[shard]).items())
            self._found(genesis, kind, ((name, cid) for name, cid in files.items() if not is_shard(name)))

    def _read(self, place: Cid) -> bytes | None:
        try:
            return read_file(self._blobs, place, bytes_max=OBJECT_BYTES_MAX)
        except StorageError:
            return None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            raise RecordsUnavailable(f"{self.name} cannot be read: {error}") from error


def published(board: Board, geneses: Iterable[Cid], blobs: Blobs) -> Cid:
    """Store what a board has of some DAOs as an IPFS directory, and return its CID; the same board has the same one.

    Raises: what `blobs` raises; what is stored by then stays.
    """
    return add_directory(blobs, {str(genesis): _dao_tree(board, genesis, blobs) for genesis in geneses}).cid


def _dao_tree(board: Board, genesis: Cid, blobs: Blobs) -> Tree:
    by_kind: dict[str, dict[str, Tree]] = {}
    after = 0
    while page := board.since(genesis, after):
        after = page[-1].position
        entries: dict[Cid, Entry] = {entry.cid: entry for entry in page if entry.kind in tuple(Kind)}
        for cid, body in bodies_of(board, list(entries)):
            entry = entries[cid]
            by_kind.setdefault(entry.kind, {})[name_of(cid, entry.parent)] = add_tree(blobs, body)
    trees = {kind: _folder_tree(files, blobs) for kind, files in by_kind.items()}
    if (tip := board.tip(genesis)) is not None:
        epoch = Head.from_bytes(board.get(tip) or b"").epoch
        trees[TIP_NAME] = add_tree(blobs, tip_text(epoch, tip))
    return add_directory(blobs, trees)


def _folder_tree(files: Mapping[str, Tree], blobs: Blobs) -> Tree:
    """Store one kind's objects, in folders of two characters where they are many."""
    if len(files) <= NAMES_MAX:
        return add_directory(blobs, files)
    shards: dict[str, dict[str, Tree]] = {}
    for name, tree in files.items():
        cid = name.partition(".")[0]
        shards.setdefault(cid[-SHARD_CHARS - 1 : -1], {})[name] = tree  # the last character holds few bits
    return add_directory(blobs, {shard: add_directory(blobs, named) for shard, named in shards.items()})
