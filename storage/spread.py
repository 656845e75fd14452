"""Blocks written to one place, and read from whichever of several sends the right one soonest."""

from collections.abc import Callable, Iterator, Sequence

from storage.cid import Cid
from storage.model import Blobs
from storage.racing import RacingBlobs, Standing


class SpreadBlobs:
    """Blocks of `main` and of `others`, which are for reading. Safe to share between threads.

    Args:
        blame: as of `RacingBlobs`; `main` has number 0.
    """

    def __init__(
        self,
        main: Blobs,
        others: Sequence[Blobs],
        *,
        blame: Callable[[int, str], None] = lambda place, fault: None,
    ) -> None:
        self.name = ", ".join(place.name for place in (main, *others))
        self._main = main
        self._race = RacingBlobs([main, *others], blame=blame)

    def put(self, cid: Cid, block: bytes) -> None:
        """Write to `main`."""
        self._main.put(cid, block)

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked, from whichever place has it. Raises: BlockNotFound, NothingAgreed."""
        return self._race.get(cid)

    def has(self, cid: Cid) -> bool:
        """Say whether any place claims to keep the block. Raises: StorageUnavailable."""
        return self._race.has(cid)

    def delete(self, cid: Cid) -> None:
        """Delete from `main`; the others keep what they have."""
        self._main.delete(cid)

    def cids(self) -> Iterator[Cid]:
        """Yield what `main` claims to keep."""
        return self._main.cids()

    def standings(self) -> tuple[Standing, ...]:
        """Return what reads have shown of each place, `main` first."""
        return self._race.standings()
