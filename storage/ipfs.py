"""Blocks on an IPFS node, reached through its RPC; the node is only a place to put them.

Every CID is computed and checked here, so a node that lies is found out and can do no worse than fail. Only calls that
have long been stable are used (`dag/import`, `pin/*`, `block/get`, `block/rm`), so that js-ipfs and Kubo both serve.
Each block that we put is pinned directly: garbage collection then leaves it, and `cids` can tell ours from the rest.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from storage.car import write_car
from storage.cid import Cid
from storage.errors import BlockNotFound, InvalidCid, StorageFull, StorageUnavailable
from storage.model import BLOCK_BYTES_MAX, verified

TIMEOUT_S: Final = 30.0
NODE_SHARE_OF_TIMEOUT: Final = 0.9  # the node is told to give up a little before we do, so that it does give up
ANSWER_BYTES_MAX: Final = 16 * 1024
LISTING_BYTES_MAX: Final = 128 * 2**20  # about a million and a half CIDs
LISTING_TIMEOUTS: Final = 10  # a listing may take this many times `timeout_s`


class IpfsBlobs:
    """Blocks on the node at `multiaddr`. Holds no connection open; safe to share between threads.

    Args:
        multiaddr: of the node's RPC, e.g. `/ip4/127.0.0.1/tcp/5001`; append `/https` for TLS.
        timeout_s: for each request from connecting to its last byte; `get` makes up to three.
    Raises: StorageUnavailable: `multiaddr` is not one, or the `owner` extra is not installed.
    """

    def __init__(self, multiaddr: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = f"ipfs {multiaddr}"
        self._multiaddr = multiaddr
        self._timeout_s = timeout_s
        try:
            from storage import ipfs_request
        except ModuleNotFoundError as error:
            raise StorageUnavailable("IPFS needs the client package; install coffer[owner]") from error
        self._rpc = ipfs_request
        self._check_address()

    def put(self, cid: Cid, block: bytes) -> None:
        """Send the block in an archive and pin it.

        `block/put` is not used: js-ipfs refuses more than 1 MiB there, and each node names codecs its own way.
        Raises: BlockMismatch, BlockTooLarge, StorageFull, StorageUnavailable.
        """
        archive = io.BytesIO()
        write_car(archive, (), [(cid, verified(cid, block, place=f"block for {self.name}"))])
        self._ask("dag/import", options={"pin-roots": "false", "allow-big-block": "true"}, upload=archive.getvalue())
        self._pin(cid)

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked. Raises: BlockNotFound, BlockMismatch, BlockTooLarge, StorageUnavailable.

        A node that is offline, or finds no peer with the block, says nothing at all; so its silence is taken for "not
        found" only when it then says that it does not keep the block.
        """
        try:
            block = self._rpc.ask(
                self._multiaddr,
                "block/get",
                str(cid),
                options=self._patience(),
                timeout_s=self._timeout_s,
                answer_bytes_max=BLOCK_BYTES_MAX,
            )
        except (self._rpc.NodeSilent, self._rpc.NodeRefused, self._rpc.NodeUnusable) as error:
            raise self._no_block(cid, error) from error
        return verified(cid, block, place=self.name)

    def has(self, cid: Cid) -> bool:
        """Say whether the node pins the block, by our pin or another's. Raises: StorageUnavailable."""
        return any(self._is_pinned(cid, kind) for kind in ("direct", "recursive"))

    def delete(self, cid: Cid) -> None:
        """Unpin the block and drop it from the node. Copies that peers hold are out of reach.

        Raises: StorageUnavailable: also when the node keeps the block for another pin.
        """
        with self._unless_refused("not pinned"):
            self._ask("pin/rm", str(cid), options={"recursive": "false"})
        answer = self._ask("block/rm", str(cid), options={"force": "true"})
        with self._reported():
            errors = [str(line["Error"]) for line in self._rpc.json_lines(answer) if line.get("Error")]
        if errors and "not found" not in errors[0]:
            raise StorageUnavailable(f"{self.name} keeps block {cid} for another pin; unpin it there")

    def cids(self) -> Iterator[Cid]:
        """Yield the CIDs that are pinned directly, which is how `put` pins. Raises: StorageUnavailable."""
        answer = self._ask(
            "pin/ls",
            options={"type": "direct", "stream": "true"},
            timeout_s=LISTING_TIMEOUTS * self._timeout_s,
            answer_bytes_max=LISTING_BYTES_MAX,
        )
        with self._reported():
            for line in self._rpc.json_lines(answer):
                try:
                    cid = Cid.parse(str(line.get("Cid", "")))
                except InvalidCid:
                    continue  # somebody else's pin, of a kind that we never put
                yield cid

    def _pin(self, cid: Cid) -> None:
        with self._unless_refused("already pinned recursively"):
            self._ask("pin/add", str(cid), options={"recursive": "false"})

    def _is_pinned(self, cid: Cid, kind: str) -> bool:
        with self._unless_refused("not pinned"):
            answer = self._ask("pin/ls", str(cid), options={"type": kind})
            with self._reported():
                return any(line.get("Keys") for line in self._rpc.json_lines(answer))
        return False

    def _no_block(self, cid: Cid, error: Exception) -> BlockNotFound | StorageUnavailable:
        """Tell a node that lacks the block from one that is of no use."""
        refused = isinstance(error, self._rpc.NodeRefused)
        if refused and ("not found" in str(error) or "could not find" in str(error)):
            return BlockNotFound(f"{self.name} has no block {cid}")
        if isinstance(error, self._rpc.NodeSilent) or (refused and _is_timeout(str(error))):
            if not self.has(cid):
                return BlockNotFound(f"{self.name} found no block {cid} within {self._timeout_s:g} s")
            return StorageUnavailable(f"{self.name} keeps block {cid} but did not send it; try again later")
        return _unavailable(self.name, error)

    def _ask(
        self,
        path: str,
        argument: str | None = None,
        *,
        options: Mapping[str, str],
        upload: bytes | None = None,
        timeout_s: float | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> bytes:
        with self._reported():
            return self._rpc.ask(
                self._multiaddr,
                path,
                argument,
                options={**options, **self._patience()} if upload is None else options,
                timeout_s=timeout_s or self._timeout_s,
                answer_bytes_max=answer_bytes_max,
                upload=upload,
            )

    def _patience(self) -> dict[str, str]:
        return {"timeout": f"{max(1, int(self._timeout_s * NODE_SHARE_OF_TIMEOUT * 1000))}ms"}

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what a request can raise into this package's errors."""
        try:
            yield
        except self._rpc.NodeRefused as error:
            if "no space left" in error.reason.lower() or "ENOSPC" in error.reason:
                raise StorageFull(f"{self.name} has no room left; make some, then try again") from error
            raise _unavailable(self.name, error) from error
        except (self._rpc.NodeSilent, self._rpc.NodeUnusable) as error:
            raise _unavailable(self.name, error) from error

    @contextmanager
    def _unless_refused(self, words: str) -> Iterator[None]:
        """Pass over a refusal in the node's given words, which says that there is nothing to do."""
        try:
            yield
        except StorageUnavailable as error:
            cause = error.__cause__
            if not (isinstance(cause, self._rpc.NodeRefused) and words in cause.reason):
                raise

    def _check_address(self) -> None:
        try:
            self._rpc.check_address(self._multiaddr)
        except self._rpc.NodeUnusable as error:
            raise StorageUnavailable(
                f"{self._multiaddr!r} is not the multiaddress of an RPC; write it like /ip4/127.0.0.1/tcp/5001"
            ) from error


def _is_timeout(reason: str) -> bool:
    return "timed out" in reason or "deadline exceeded" in reason


def _unavailable(name: str, error: Exception) -> StorageUnavailable:
    return StorageUnavailable(f"{name} gave no usable answer ({error}); check that the node is running, then try again")
