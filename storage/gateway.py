"""Blocks from an HTTP gateway, for reading: whatever it sends is checked, so any gateway will do.

Source: the Trustless Gateway specification (ipfs/specs): `GET /ipfs/{cid}?format=raw` for one block, `?format=car` for
all blocks below a root. Redirects are followed to public addresses only, since public gateways move to subdomains.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from storage.car import HEADER_BYTES_MAX, read_car
from storage.cid import Cid
from storage.errors import AccessRefused, BlockNotFound, BlockTooLarge, MalformedCar, StorageUnavailable
from storage.http_place import REDIRECTS_MAX, Answer, HttpPlace
from storage.model import BLOCK_BYTES_MAX, verified
from storage.refusal import refused

TIMEOUT_S: Final = 30.0
RAW_TYPE: Final = "application/vnd.ipld.raw"
CAR_TYPE: Final = "application/vnd.ipld.car"
SECTION_BYTES_MAX: Final = 64  # before each block of an archive: its length and its CID

_ABSENT = frozenset({404, 410, 504})  # 504: no peer had it within the gateway's own patience
_BUFFER_BYTES = 64 * 1024


class GatewayBlobs:
    """Blocks that `url` can fetch. Nothing can be put there; safe to share between threads.

    Args:
        url: the gateway's, without `/ipfs`.
        timeout_s: for each block from connecting to its last byte.
        allow_private: the gateway is on the owner's own machine or network.
    Raises: StorageUnavailable: `url` is not one that can be used.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, allow_private: bool = False) -> None:
        self.name = f"gateway {url}"
        self._place = HttpPlace(url, name=self.name, timeout_s=timeout_s, allow_private=allow_private)

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked. Raises: BlockNotFound, BlockMismatch, BlockTooLarge, StorageUnavailable."""
        with self._asked("GET", cid, "raw", RAW_TYPE) as answer:
            if _is_over(answer.header("Content-Length"), BLOCK_BYTES_MAX):
                raise BlockTooLarge(f"{self.name}: block {cid} is said to have more than {BLOCK_BYTES_MAX} bytes")
            return verified(cid, answer.body(bytes_max=BLOCK_BYTES_MAX), place=self.name)

    def blocks_below(self, root: Cid, *, blocks_max: int, bytes_max: int) -> Iterator[tuple[Cid, bytes]]:
        """Yield the blocks of an archive that the gateway makes of all below `root`, each checked as it comes.

        Which blocks come, and whether all do, is the gateway's choice: put them where a walk from the root will look.
        Raises: MalformedCar; BlockMismatch; BlockTooLarge; FileTooLarge: over `blocks_max` or `bytes_max`;
            BlockNotFound; StorageUnavailable.
        """
        wire_bytes_max = HEADER_BYTES_MAX + bytes_max + blocks_max * SECTION_BYTES_MAX
        with self._asked("GET", root, "car", f"{CAR_TYPE}; version=1; order=dfs; dups=n") as answer:
            stream: Any = io.BufferedReader(_Stream(answer.parts(bytes_max=wire_bytes_max)), _BUFFER_BYTES)
            roots, blocks = read_car(stream, blocks_max=blocks_max, bytes_max=bytes_max)
            if roots != (root,):
                raise MalformedCar(f"{self.name} sent an archive of other roots than {root}")
            yield from blocks

    def has(self, cid: Cid) -> bool:
        """Say whether the gateway claims that it can fetch the block. Raises: StorageUnavailable."""
        try:
            with self._asked("HEAD", cid, "raw", RAW_TYPE):
                return True
        except BlockNotFound:
            return False

    def put(self, cid: Cid, block: bytes) -> None:
        """Refuse. Raises: StorageUnavailable."""
        raise StorageUnavailable(f"{self.name} is for reading only; name another place to write to")

    def delete(self, cid: Cid) -> None:
        """Refuse. Raises: StorageUnavailable."""
        raise StorageUnavailable(f"{self.name} is for reading only; delete where the block is kept")

    def cids(self) -> Iterator[Cid]:
        """Refuse: a gateway keeps no list. Raises: StorageUnavailable."""
        raise StorageUnavailable(f"{self.name} cannot list what it can fetch; ask the place where blocks are kept")

    @contextmanager
    def _asked(self, method: str, cid: Cid, form: str, accepted: str) -> Iterator[Answer]:
        """Yield a good answer of the type that was asked for."""
        with self._place.ask(
            method,
            f"/ipfs/{cid}",
            query={"format": form},
            headers={"Accept": accepted, "Cache-Control": "only-if-cached" if method == "HEAD" else "no-transform"},
            redirects_max=REDIRECTS_MAX,
        ) as answer:
            if answer.status in _ABSENT or (method, answer.status) == ("HEAD", 412):
                raise BlockNotFound(f"{self.name} found no block {cid}")
            if answer.status != 200:
                raise self._unavailable(answer)
            if answer.header("Content-Type").partition(";")[0].strip() != accepted.partition(";")[0]:
                raise StorageUnavailable(f"{self.name} does not send {form} blocks; it is no trustless gateway")
            yield answer

    def _unavailable(self, answer: Answer) -> Exception:
        """Return what an error status means for reading: another place may do better, whatever it is."""
        error = refused(answer, name=self.name)
        if isinstance(error, StorageUnavailable | AccessRefused):
            return error
        return StorageUnavailable(str(error))


class _Stream(io.RawIOBase):
    """The parts of a body as a stream."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._parts, b""))
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _is_over(length: str, bytes_max: int) -> bool:
    """Say whether a `Content-Length` is a number over `bytes_max`, however many digits it has."""
    digits = length.lstrip("0")
    return length.isascii() and length.isdecimal() and (len(digits), digits) > (len(str(bytes_max)), str(bytes_max))
