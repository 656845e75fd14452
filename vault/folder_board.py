"""A folder of files as a board: a DAO's affairs in a git repository, on a shared disk, or on a stick.

Each object is a file of its own, named by its CID, so that two copies of a board merge by copying files. Links, pipes
and odd names are passed over with a sentence; a folder that cannot be written to is read all the same.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from storage.cid import Cid
from storage.errors import InvalidCid
from vault.board import Kind
from vault.codec import OBJECT_BYTES_MAX
from vault.errors import ForkedHistory, MalformedObject, RecordsUnavailable, StaleState
from vault.listed_board import (
    FILES_MAX,
    GENESES_MAX,
    TIP_NAME,
    ListedBoard,
    by_rank,
    is_shard,
    name_of,
    tip_text,
)

FOLDER_MODE: Final = 0o755  # what is on a board is public
FILE_MODE: Final = 0o644


class FolderBoard(ListedBoard[Path]):
    """The board in one folder; it is made when the first object is put."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.name = f"folder {folder}"
        self._folder = folder

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Write an object's file; the same again is fine.

        Raises: `MalformedObject` where `cid` does not name `body`; `RecordsUnavailable` where it cannot be written.
        """
        if kind not in tuple(Kind) or len(body) > OBJECT_BYTES_MAX or not cid.matches(body):
            raise MalformedObject(f"these {len(body)} bytes are not the {kind} that {cid} names")
        if not self._daos:
            self._refresh()
        if self._is_known(genesis, cid) and self.get(cid) == body:
            return
        target = self._folder / str(genesis) / kind / name_of(cid, parent)
        with self._reported():
            target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            _write_whole(target, body)
        self._found(genesis, kind, [(target.name, target)])
        self._places[cid] = target

    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        """Note the newest verified head of a DAO; the same again is fine.

        Raises: StaleState: a later epoch was noted. ForkedHistory: this epoch was noted with another head.
        """
        noted = self._noted_tip(genesis)
        if noted is not None and epoch < noted[0]:
            raise StaleState(f"epoch {epoch} is older than epoch {noted[0]}, which the folder is at")
        if noted is not None and epoch == noted[0] and head != noted[1]:
            raise ForkedHistory(f"epoch {epoch} has another head in the folder: {noted[1]}")
        self._write_tip(genesis, head, epoch)

    def replace_tip(self, genesis: Cid, head: Cid, epoch: int, *, instead_of: Cid) -> None:
        """Note the head that custodians settled on, in the place of one that they did not.

        Raises: StaleState: another head than `instead_of` is noted by now.
        """
        noted = self._noted_tip(genesis)
        if noted is None or noted[1] != instead_of:
            raise StaleState(f"head {instead_of} is no longer the tip; look again")
        self._write_tip(genesis, head, epoch)

    def _write_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        target = self._folder / str(genesis) / TIP_NAME
        with self._reported():
            target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            _write_whole(target, tip_text(epoch, head))
        self._found_tip(genesis, target)

    def _refresh(self) -> None:
        with self._reported():
            for number, path in enumerate(self._folders(self._folder)):
                if number >= GENESES_MAX:
                    raise RecordsUnavailable(f"{self.name} holds more than {GENESES_MAX} DAOs")
                try:
                    genesis = Cid.parse(path.name)
                except InvalidCid:
                    self._ignore(f"{path.name[:80]!r} in {self.name} is no DAO's genesis")
                    continue
                self._refresh_dao(genesis, path)

    def _refresh_dao(self, genesis: Cid, path: Path) -> None:
        if (path / TIP_NAME).is_file():
            self._found_tip(genesis, path / TIP_NAME)
        folders = {folder.name: folder for folder in self._folders(path)}
        for name in folders.keys() - set(Kind):
            self._ignore(f"{name[:80]!r} in {self.name} is no kind of object")
        for kind in by_rank(folders):
            shards = [folder for folder in self._folders(folders[kind]) if is_shard(folder.name)]
            for folder in (folders[kind], *shards):
                self._found(genesis, kind, ((name, folder / name) for name in self._files(folder)))

    def _folders(self, path: Path) -> Iterator[Path]:
        if not path.is_dir():
            return
        for name in _names(path):
            if _is_folder(path / name):
                yield path / name

    def _files(self, path: Path) -> Iterator[str]:
        for name in _names(path):
            mode = os.lstat(path / name).st_mode
            if stat.S_ISREG(mode):
                yield name
            elif not stat.S_ISDIR(mode):
                self._ignore(f"{name[:80]!r} in {self.name} is a link or no file")

    def _read(self, place: Path) -> bytes | None:
        # O_NONBLOCK: opening a pipe that somebody put there must not wait for a writer.
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with self._reported():
                body = file.read(OBJECT_BYTES_MAX + 1)
        return body if len(body) <= OBJECT_BYTES_MAX else None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RecordsUnavailable(f"{self.name} cannot be used ({reason}); check the disk and its rights") from error


def _names(path: Path) -> list[str]:
    """Return the names in a folder, sorted and bounded; those that begin with a dot are somebody else's."""
    names: list[str] = []
    with os.scandir(path) as found:
        for entry in found:
            if entry.name.startswith("."):
                continue
            if len(names) >= FILES_MAX:
                raise RecordsUnavailable(f"folder {path} holds more than {FILES_MAX} files; split it up")
            names.append(entry.name)
    return sorted(names)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _write_whole(target: Path, body: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = target.parent / f".{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
