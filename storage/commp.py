"""Piece commitments (commP): the root of a binary tree of SHA-256 over padded data, computed as the data streams by.

Source: Filecoin specification, `piece commitment`; a node is the SHA-256 of its two children with the two highest bits
of the last byte cleared. All pairs of a level are hashed at once, in as many lanes as the processor has.
"""

from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from itertools import pairwise
from threading import local
from typing import Any, BinaryIO, Final

from storage.errors import FileTooLarge, StorageUnavailable
from storage.piece_cid import HEIGHT_MIN, ROOT_BYTES, PieceCid, capacity, height_for

RAW_BYTES_MAX: Final = capacity(31)  # 64 GiB padded: the largest sector that there is
READ_BYTES: Final = 2**20

_BATCH_HEIGHT: Final = 14  # half a megabyte: two cores' caches hold all levels of it
_BATCH_RAW_BYTES: Final = capacity(_BATCH_HEIGHT)
_GROUPS = 1 << (_BATCH_HEIGHT - HEIGHT_MIN)
_PAIR_BYTES = 2 * ROOT_BYTES


def piece_cid(data: bytes | BinaryIO) -> PieceCid:
    """Return the piece CID of bytes, or of a stream read to its end.

    Raises: FileTooLarge: over `RAW_BYTES_MAX`; StorageUnavailable: the `owner` extra is not installed.
    """
    hasher = PieceHasher()
    if isinstance(data, bytes):
        hasher.update(data)
    else:
        while part := data.read(READ_BYTES):
            hasher.update(part)
    return hasher.piece_cid()


class PieceHasher:
    """Data fed in parts of any length; about 2 MB are held at a time."""

    def __init__(self) -> None:
        _own_batch()
        self._waiting = bytearray(_BATCH_RAW_BYTES)
        self._waiting_bytes = 0
        self._raw_bytes = 0
        self._roots: list[tuple[int, bytes]] = []  # of whole subtrees, heights falling: the left edge so far

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Feed the next bytes. Raises: FileTooLarge: over `RAW_BYTES_MAX` in all."""
        rest = memoryview(data).cast("B")
        if self._raw_bytes + len(rest) > RAW_BYTES_MAX:
            raise FileTooLarge(f"a piece has at most {RAW_BYTES_MAX} bytes; cut the data into several")
        self._raw_bytes += len(rest)
        while rest:
            if self._waiting_bytes == _BATCH_RAW_BYTES:
                self._flush()
            taken = rest[: _BATCH_RAW_BYTES - self._waiting_bytes]
            self._waiting[self._waiting_bytes : self._waiting_bytes + len(taken)] = taken
            self._waiting_bytes += len(taken)
            rest = rest[len(taken) :]

    def piece_cid(self) -> PieceCid:
        """Return the piece CID of all that was fed; feeding may go on afterwards."""
        height = height_for(self._raw_bytes)
        last = bytes(self._waiting[: self._waiting_bytes]).ljust(_BATCH_RAW_BYTES, b"\0")
        if height <= _BATCH_HEIGHT:
            root = _own_batch().root(last, height)
        else:
            root = _joined([*self._roots, (_BATCH_HEIGHT, _own_batch().root(last, _BATCH_HEIGHT))], height)
        return PieceCid(root=root, raw_bytes=self._raw_bytes, height=height)

    def _flush(self) -> None:
        height, root = _BATCH_HEIGHT, _own_batch().root(self._waiting, _BATCH_HEIGHT)
        while self._roots and self._roots[-1][0] == height:
            root = _parent(self._roots.pop()[1], root)
            height += 1
        self._roots.append((height, root))
        self._waiting_bytes = 0


class _Batch:
    """The arrays that batches pass through, one at a time: a level's lanes read from one and write into the next."""

    def __init__(self) -> None:
        try:
            np, lanes = import_module("numpy"), import_module("stringzilla")
            self._padded = import_module("storage.fr32").padded
        except ModuleNotFoundError as error:
            raise StorageUnavailable("piece commitments need two more packages; install coffer[owner]") from error
        self._np = np
        self._scratch = np.empty((2, 16, _GROUPS), np.uint64)
        self._levels = [np.empty((1 << height, ROOT_BYTES), np.uint8) for height in range(_BATCH_HEIGHT, -1, -1)]
        self._pairs = [
            (list(_pairs(below)), lanes.Sha256s(len(above)), above) for below, above in pairwise(self._levels)
        ]

    def root(self, raw: bytes | bytearray, height: int) -> bytes:
        """Return the root at `height` of the leftmost subtree over `_BATCH_RAW_BYTES` of data."""
        groups = self._np.frombuffer(raw, self._np.uint8).reshape(_GROUPS, -1)
        self._padded(groups, self._levels[0].reshape(_GROUPS, -1), self._scratch)
        for pairs, lanes, above in self._pairs[:height]:
            lanes.reset()
            lanes.update(pairs)
            lanes.digest(out=above)
            above[:, -1] &= 0x3F
        root: bytes = self._levels[height][0].tobytes()
        return root


_kept = local()


def _own_batch() -> _Batch:
    """Return this thread's arrays, made at its first piece: making them takes longer than hashing a small one."""
    if not hasattr(_kept, "batch"):
        _kept.batch = _Batch()
    batch: _Batch = _kept.batch
    return batch


def _pairs(level: Any) -> Iterator[memoryview]:
    view = memoryview(level.reshape(-1))
    return (view[at : at + _PAIR_BYTES] for at in range(0, len(view), _PAIR_BYTES))


def _joined(roots: list[tuple[int, bytes]], height: int) -> bytes:
    """Return the root of the tree whose left edge is `roots`, with zeros to its right."""
    at, root = roots.pop()
    while at < height:
        has_left = bool(roots) and roots[-1][0] == at
        root = _parent(roots.pop()[1], root) if has_left else _parent(root, zero_root(at))
        at += 1
    return root


def zero_root(height: int) -> bytes:
    """Return the root of a tree of zeros."""
    root = bytes(ROOT_BYTES)
    for _ in range(height):
        root = _parent(root, root)
    return root


def _parent(left: bytes, right: bytes) -> bytes:
    digest = sha256(left + right).digest()
    return digest[:-1] + bytes((digest[-1] & 0x3F,))
