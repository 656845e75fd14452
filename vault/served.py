"""The DAOs a custodian serves: those that entrusted it with something, on disk, and the latest others, in memory.

Anybody may found a DAO that names this custodian, and nobody pays for it. So its heads are accepted on disk only before
the first share is kept or the first lease is signed for it, and where there are too many, the one that was founded
first among those without either makes room; whoever still wants it submits its head again. A stranger who also deposits
shares in DAOs of his own takes room for good: that is one manifest and one share of disk each, at the rate of one peer.
"""

from __future__ import annotations

from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.custodian import CustodyStore
from vault.errors import AccessDenied
from vault.history import History
from vault.links import link_blocks

GENESES_MAX = 1000


class Served(dict[Cid, History]):
    """The history that is followed of every DAO, by genesis, in the order in which they came; others are refused.

    Only what is settled of it (`vault.head_vote`) is on disk.
    """

    def __init__(self, store: CustodyStore, blobs: Blobs) -> None:
        super().__init__()
        self._store = store
        self._blobs = blobs
        self._idle: dict[Cid, None] = {}  # entrusted nothing to us; the first founded first
        self.settled: dict[Cid, History] = {}

    def __missing__(self, genesis: Cid) -> History:
        raise AccessDenied(f"this custodian knows no DAO {genesis}; submit its head first")

    def remember(self, history: History) -> None:
        """Take up what was on disk."""
        self[history.genesis] = self.settled[history.genesis] = history

    def follow(self, history: History, *, settled: History) -> None:
        """Take over a verified history and as much of it as is settled; its blocks are kept already.

        Raises: `AccessDenied` where there is no room for a new DAO.
        """
        genesis = history.genesis
        if genesis not in self:
            self._make_room()
            self._idle[genesis] = None
        elif genesis not in self._idle and settled is not self.settled[genesis]:
            self._replace(self.settled[genesis], settled)
        self[genesis], self.settled[genesis] = history, settled

    def is_idle(self, genesis: Cid) -> bool:
        """Say whether a DAO has entrusted us with nothing yet."""
        return genesis in self._idle

    def entrust(self, genesis: Cid) -> None:
        """Accept a DAO's heads on disk, where they stay, before anything is kept or signed for it."""
        if genesis in self._idle:
            self._accept(self.settled[genesis], after=-1)
            del self._idle[genesis]

    def _accept(self, history: History, *, after: int) -> None:
        for epoch, head in enumerate(history.heads):
            if epoch > after:
                self._store.accept_head(history.genesis, epoch, head)

    def _replace(self, before: History, history: History) -> None:
        if history.heads[before.head.epoch : before.head.epoch + 1] == before.heads[-1:]:
            self._accept(history, after=before.head.epoch)
            return
        pairs = zip(before.heads, history.heads, strict=False)
        since = next((epoch for epoch, (one, other) in enumerate(pairs) if one != other), len(history.heads))
        self._store.replace_heads(history.genesis, history.heads, since=since)

    def _make_room(self) -> None:
        while len(self) >= GENESES_MAX:
            genesis = next(iter(self._idle), None)
            if genesis is None:
                raise AccessDenied(f"this custodian serves {GENESES_MAX} DAOs already")
            del self._idle[genesis]
            del self.settled[genesis]
            self._forget_blocks(self.pop(genesis))

    def _forget_blocks(self, history: History) -> None:
        """Delete a chain's blocks; each names its DAO, so no other chain has them."""
        try:
            for head in history.heads:
                for cid in link_blocks(head, self._blobs.get):
                    self._blobs.delete(cid)
            self._blobs.delete(history.genesis)
        except StorageError:
            return  # what stays is of no consequence
