"""Blocks as files in a directory: the place that needs no server.

A block is written to a temporary file, flushed to the disk, renamed to its own name, and the rename is flushed too: a
crash at any point leaves a whole block or none. What a crash leaves behind is swept when the directory is next opened
by nobody else, which a lock on the directory tells.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.cid import Cid
from storage.errors import BlockMismatch, BlockNotFound, InvalidCid, StorageFull, StorageUnavailable
from storage.model import BLOCK_BYTES_MAX, verified

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
ADOPTED_AT_ONCE: Final = 256
SHARD_CHARS: Final = 2  # 1,024 folders, named by the last characters but one: the last has few values

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOCK_NAME = ".lock"
_INCOMING_NAME = ".incoming"


@dataclass(frozen=True, slots=True)
class Written:
    """A block's bytes on disk, and the name that they are to have."""

    temporary: Path
    target: Path


class DirectoryBlobs:
    """Blocks in `path/xy/<cid>`. Safe to share between threads and between processes, also several at a time.

    Args:
        path: made, with its parents, if it is not there; it must be on one local file system.
    Raises: StorageFull, StorageUnavailable.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self.name = f"directory {self._path}"
        self._incoming = self._path / _INCOMING_NAME
        with self._reported():
            self._path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            self._incoming.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            lock = os.open(self._path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            self._release = weakref.finalize(self, os.close, lock)
            self._sweep(lock)

    def __enter__(self) -> DirectoryBlobs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory, so that the next to open it may sweep. Nothing else is held."""
        self._release()

    def put(self, cid: Cid, block: bytes) -> None:
        """Write the block, or leave the good one that is there.

        Raises: BlockMismatch, BlockTooLarge, StorageFull, StorageUnavailable.
        """
        block = verified(cid, block, place=f"block for {self.name}")
        target = self._file_of(cid)
        with self._reported():
            if self._holds_good(cid):
                _flush_directory(target.parent)  # whoever wrote it may have died between rename and flush
                return
            self._make_shard(target.parent)
            self._write(target, block)

    def write(self, cid: Cid, block: bytes) -> Written | None:
        """Write and flush a block's bytes without naming them; None where the good block is there, and durable.

        Raises: what `put` raises. Only `settle` makes the block a part of this place; a crash before leaves nothing.
        """
        block = verified(cid, block, place=f"block for {self.name}")
        target = self._file_of(cid)
        with self._reported():
            if self._holds_good(cid):
                _flush_directory(target.parent)
                return None
            temporary = self._incoming / secrets.token_hex(16)
            with _removed_on_failure(temporary):
                _write_flushed(temporary, block)
        return Written(temporary, target)

    def settle(self, written: list[Written]) -> None:
        """Name blocks that were written, durably: a folder is flushed once for all of them.

        Raises: StorageFull, StorageUnavailable; what has no name by then is removed.
        """
        shards = dict.fromkeys(one.target.parent for one in written)
        left = list(written)
        try:
            with self._reported():
                for shard in shards:
                    with suppress(FileExistsError):
                        os.mkdir(shard, DIRECTORY_MODE)
                _flush_directory(self._path)
                while left:
                    os.replace(left[-1].temporary, left[-1].target)
                    left.pop()
                for shard in shards:
                    _flush_directory(shard)
        finally:
            self.drop(left)

    def drop(self, written: list[Written]) -> None:
        """Remove what was written and not named."""
        for one in written:
            with suppress(OSError):
                os.unlink(one.temporary)

    def adopt(self, other: DirectoryBlobs, cids: Iterable[Cid]) -> None:
        """Take blocks over from another directory on the same file system, without copying a byte; again is fine.

        Raises: BlockNotFound: neither has one; StorageFull, StorageUnavailable.
        """
        group: list[Written] = []
        for cid in cids:
            source = Written(other._file_of(cid), self._file_of(cid))
            with self._reported():
                if source.temporary.is_file():
                    group.append(source)
                elif not source.target.is_file():
                    raise BlockNotFound(f"{other.name} has no block {cid}")
            if len(group) == ADOPTED_AT_ONCE:
                self.settle(group)
                group = []
        self.settle(group)

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked. Raises: BlockNotFound, BlockMismatch, BlockTooLarge, StorageUnavailable."""
        return verified(cid, self.unchecked(cid), place=self.name)

    def unchecked(self, cid: Cid) -> bytes:
        """Return what is named as the block, for whoever checks it next. Raises: as `get`."""
        with self._reported():
            try:
                block = _read_regular(self._file_of(cid))
            except FileNotFoundError as error:
                raise BlockNotFound(f"{self.name} has no block {cid}") from error
        if block is None:
            raise BlockMismatch(f"{self.name}: what is named {cid} is not a regular file; remove it and store again")
        return block

    def has(self, cid: Cid) -> bool:
        """Say whether a regular file has the block's name. Raises: StorageUnavailable."""
        with self._reported():
            try:
                return stat.S_ISREG(os.lstat(self._file_of(cid)).st_mode)
            except FileNotFoundError:
                return False

    def delete(self, cid: Cid) -> None:
        """Remove the block's file, durably. Raises: StorageUnavailable."""
        target = self._file_of(cid)
        with self._reported(), suppress(FileNotFoundError):
            os.unlink(target)
            _flush_directory(target.parent)

    def cids(self) -> Iterator[Cid]:
        """Yield the CID of every file named by one, in order of folders; other files are passed over."""
        with self._reported():
            shards = sorted(entry.name for entry in os.scandir(self._path) if len(entry.name) == SHARD_CHARS)
        for shard in shards:
            yield from sorted(self._cids_in(shard))

    def _cids_in(self, shard: str) -> list[Cid]:
        found = []
        with self._reported(), suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(self._path / shard):
                with suppress(InvalidCid):
                    cid = Cid.parse(name)
                    if self._file_of(cid) == self._path / shard / name:
                        found.append(cid)
        return found

    def _file_of(self, cid: Cid) -> Path:
        text = str(cid)
        return self._path / text[-SHARD_CHARS - 1 : -1] / text

    def _holds_good(self, cid: Cid) -> bool:
        try:
            block = _read_regular(self._file_of(cid))
        except FileNotFoundError:
            return False
        return block is not None and len(block) <= BLOCK_BYTES_MAX and cid.matches(block)

    def _make_shard(self, shard: Path) -> None:
        with suppress(FileExistsError):
            os.mkdir(shard, DIRECTORY_MODE)
        _flush_directory(self._path)  # also when another made it just now, and has not flushed yet

    def _write(self, target: Path, block: bytes) -> None:
        temporary = self._incoming / secrets.token_hex(16)
        with _removed_on_failure(temporary):
            _write_flushed(temporary, block)
            os.replace(temporary, target)
        _flush_directory(target.parent)

    def _sweep(self, lock: int) -> None:
        """Remove unfinished files while nobody else has the directory open, then stay as one who has."""
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in os.listdir(self._incoming):
                os.unlink(self._incoming / name)
        fcntl.flock(lock, fcntl.LOCK_SH)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn the file system's errors into this package's."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if error.errno in _FULL:
                raise StorageFull(f"{self.name} has no room left ({reason}); make some, then try again") from error
            raise StorageUnavailable(f"{self.name} cannot be used ({reason}); check the disk and its rights") from error


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def _write_flushed(path: Path, block: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_regular(path: Path) -> bytes | None:
    """Return a file's bytes, at most one more than a block may have; None if it is a link, a pipe or a folder."""
    try:
        # O_NONBLOCK: opening a pipe that somebody put there must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            return None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        parts: list[bytes] = []
        left = min(status.st_size, BLOCK_BYTES_MAX) + 1  # one more shows that it grew, and the end at the first reading
        while left and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
            if left == 1:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(descriptor)


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
