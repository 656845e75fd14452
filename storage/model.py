"""A place to put blocks, and the check that every block passes on its way in and out."""

from collections.abc import Iterator
from typing import Final, Protocol

from storage.cid import Cid
from storage.errors import BlockMismatch, BlockTooLarge

BLOCK_BYTES_MAX: Final = 2 * 2**20  # what IPFS peers exchange: Bitswap drops larger messages


class Blobs(Protocol):
    """A place to put blocks, trusted with staying up and with nothing else."""

    @property
    def name(self) -> str:
        """What a person calls this place, e.g. `directory /srv/coffer` or `ipfs /ip4/127.0.0.1/tcp/5001`."""

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep `block`; it is durable when this returns, and putting it again changes nothing.

        Raises: BlockMismatch, BlockTooLarge: `block` is refused before it leaves; StorageFull; StorageUnavailable.
        """

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked against its CID.

        Raises: BlockNotFound; BlockMismatch, BlockTooLarge: the place returned something else; StorageUnavailable.
        """

    def has(self, cid: Cid) -> bool:
        """Say whether the place claims to keep the block; only `get` finds out. Raises: StorageUnavailable."""

    def delete(self, cid: Cid) -> None:
        """Forget the block, if it is there. Raises: StorageUnavailable."""

    def cids(self) -> Iterator[Cid]:
        """Yield the CIDs that the place claims to keep, in no order. Raises: StorageUnavailable."""


def verified(cid: Cid, block: bytes, *, place: str) -> bytes:
    """Return `block` once it is known to be the one that `cid` names.

    Args:
        place: who supplied it, for the message.
    Raises: BlockTooLarge: over `BLOCK_BYTES_MAX`, so that nothing larger is ever hashed; BlockMismatch.
    """
    if len(block) > BLOCK_BYTES_MAX:
        raise BlockTooLarge(f"{place}: block {cid} has more than {BLOCK_BYTES_MAX} bytes; cut it into smaller ones")
    if not cid.matches(block):
        raise BlockMismatch(f"{place}: {len(block)} bytes are not the block {cid}; fetch it from another place")
    return block
