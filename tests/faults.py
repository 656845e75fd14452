"""Places that fail: each wraps another place, keeps to the same protocol, and breaks one thing.

Those that return wrong bytes end in the check that every real adapter ends in, so that callers see the error that they
would see; `is_checked=False` makes an adapter that has lost its check.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator

from storage.cid import Cid
from storage.errors import BlockNotFound, StorageFull, StorageUnavailable
from storage.model import BLOCK_BYTES_MAX, Blobs, verified


class Faulty:
    """Passes everything through; the others override what they break."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.name = f"{type(self).__name__}({blobs.name})"

    def put(self, cid: Cid, block: bytes) -> None:
        self.blobs.put(cid, block)

    def get(self, cid: Cid) -> bytes:
        return self.blobs.get(cid)

    def has(self, cid: Cid) -> bool:
        return self.blobs.has(cid)

    def delete(self, cid: Cid) -> None:
        self.blobs.delete(cid)

    def cids(self) -> Iterator[Cid]:
        return self.blobs.cids()


class Counted(Faulty):
    """Breaks nothing; counts the blocks that were asked for."""

    gets = 0

    def get(self, cid: Cid) -> bytes:
        self.gets += 1
        return self.blobs.get(cid)


class _WrongBytes(Faulty, ABC):
    """Returns `wrong(block)` for the chosen CIDs, for all if none are chosen."""

    def __init__(self, blobs: Blobs, only: Collection[Cid] | None = None, *, is_checked: bool = True) -> None:
        super().__init__(blobs)
        self._only = only
        self._is_checked = is_checked

    def get(self, cid: Cid) -> bytes:
        block = self.blobs.get(cid)
        if self._only is not None and cid not in self._only:
            return block
        block = self.wrong(block)
        return verified(cid, block, place=self.name) if self._is_checked else block

    @abstractmethod
    def wrong(self, block: bytes) -> bytes: ...


class FlippedBit(_WrongBytes):
    """One bit of each block is flipped, in its middle byte; an empty block gains a byte."""

    def wrong(self, block: bytes) -> bytes:
        middle = len(block) // 2
        return block[:middle] + bytes((block[middle] ^ 1,)) + block[middle + 1 :] if block else b"\x01"


class Truncated(_WrongBytes):
    """Each block lacks its last byte; an empty block gains one."""

    def wrong(self, block: bytes) -> bytes:
        return block[:-1] if block else b"\x00"


class Endless(_WrongBytes):
    """Each block goes on for longer than any block may."""

    def wrong(self, block: bytes) -> bytes:
        return block + bytes(BLOCK_BYTES_MAX + 1)


class Swapped(_WrongBytes):
    """Each block is answered with another that is well-formed: `other`."""

    def __init__(self, blobs: Blobs, other: bytes, only: Collection[Cid] | None = None) -> None:
        super().__init__(blobs, only)
        self._other = other

    def wrong(self, block: bytes) -> bytes:
        return self._other


class Missing(Faulty):
    """Does not have the chosen blocks, or any if none are chosen, whatever was put."""

    def __init__(self, blobs: Blobs, only: Collection[Cid] | None = None) -> None:
        super().__init__(blobs)
        self._only = only

    def _lacks(self, cid: Cid) -> bool:
        return self._only is None or cid in self._only

    def get(self, cid: Cid) -> bytes:
        if self._lacks(cid):
            raise BlockNotFound(f"{self.name} has no block {cid}")
        return self.blobs.get(cid)

    def has(self, cid: Cid) -> bool:
        return not self._lacks(cid) and self.blobs.has(cid)

    def cids(self) -> Iterator[Cid]:
        return (cid for cid in self.blobs.cids() if not self._lacks(cid))


class Forgetful(Faulty):
    """Takes every block, says that all is well, and keeps none: "stored" is not retrievable."""

    def put(self, cid: Cid, block: bytes) -> None:
        verified(cid, block, place=self.name)


class Unavailable(Faulty):
    """Works for `calls` calls, then answers no more."""

    def __init__(self, blobs: Blobs, *, calls: int = 0) -> None:
        super().__init__(blobs)
        self._calls_left = calls

    def _call(self) -> None:
        if self._calls_left == 0:
            raise StorageUnavailable(f"{self.name} does not answer; try again later")
        self._calls_left -= 1

    def put(self, cid: Cid, block: bytes) -> None:
        self._call()
        super().put(cid, block)

    def get(self, cid: Cid) -> bytes:
        self._call()
        return super().get(cid)

    def has(self, cid: Cid) -> bool:
        self._call()
        return super().has(cid)

    def delete(self, cid: Cid) -> None:
        self._call()
        super().delete(cid)

    def cids(self) -> Iterator[Cid]:
        self._call()
        return super().cids()


class Full(Faulty):
    """Has no room for another block."""

    def put(self, cid: Cid, block: bytes) -> None:
        verified(cid, block, place=self.name)
        raise StorageFull(f"{self.name} has no room left; make some, then try again")


class Slow(Faulty):
    """Takes `seconds` for each block: told to `wait`, which moves a test's clock on instead of sleeping."""

    def __init__(self, blobs: Blobs, *, seconds: float, wait: Callable[[float], None]) -> None:
        super().__init__(blobs)
        self._seconds = seconds
        self._wait = wait

    def put(self, cid: Cid, block: bytes) -> None:
        self._wait(self._seconds)
        super().put(cid, block)

    def get(self, cid: Cid) -> bytes:
        self._wait(self._seconds)
        return super().get(cid)
