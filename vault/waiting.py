"""Causes that wait to be carried out: what they lead to after another head than the one they were verified against."""

from __future__ import annotations

from typing import Final

from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.contest import Contest
from vault.custodian import CustodyStore
from vault.decision import Decision
from vault.errors import MalformedObject, NotYet, VaultError
from vault.guardian import GuardianAct
from vault.history import Cause, History, advanced, cause_from
from vault.vote_delegation import DelegationBatch

DELEGATIONS_WAITING: Final = 16  # batches of a DAO
LARGE_BYTES: Final = 64 << 10  # of ballots; counting more again takes a thread
_ORDER: Final[tuple[type[Cause], ...]] = (GuardianAct, Decision, DelegationBatch)


class Waiting:
    """What waits in every DAO of one custodian."""

    def __init__(self, store: CustodyStore, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    def add(self, contest: Contest, cause: Cid, history: History | None) -> None:
        """Have something verified wait; its blocks are kept already. Where too much waits, it is handed in again."""
        if cause in contest.waiting:
            contest.waiting[cause] = history or contest.waiting[cause]
            return
        if self._is_batch(cause) and sum(map(self._is_batch, contest.waiting)) >= DELEGATIONS_WAITING:
            return
        if self._store.keep_cause(contest.genesis, cause):
            contest.waiting[cause] = history

    def in_order(self, contest: Contest, *, at: int) -> list[History]:
        """Return what could be carried out after the followed head, acts of guardians first."""
        causes = sorted(contest.waiting, key=lambda cause: (_ORDER.index(type(self._cause(cause))), cause.binary))
        return [history for cause in causes if (history := self._rebased(contest, cause, at=at)) is not None]

    def restrictions(self, contest: Contest, *, at: int) -> list[History]:
        """Return the histories with what waits and may take something away."""
        causes = [cause for cause in contest.waiting if not self._is_batch(cause)]
        found = ((self._rebased(contest, cause, at=at), contest.waiting.get(cause)) for cause in causes)
        return [history for rebased, before in found if (history := rebased or before) is not None]

    def large(self, contest: Contest) -> list[Cid]:
        """Return what takes long to verify after the followed head, and was not yet."""
        self._start(contest)
        return [cause for cause in contest.waiting if cause not in contest.rebased and self._is_large(cause)]

    def carried_out(self, before: History, cause: Cid, *, at: int) -> History | VaultError:
        """Return the history with something carried out, or why it cannot be. Any thread may do it."""
        try:
            return advanced(before, self._cause(cause), self._blobs.get, at=at)
        except VaultError as error:
            return error
        except StorageError as error:
            return MalformedObject(f"a block of the cause is gone: {error}")

    def _start(self, contest: Contest) -> None:
        if contest.rebased_on != contest.followed.heads[-1]:
            contest.rebased, contest.rebased_on = {}, contest.followed.heads[-1]

    def _rebased(self, contest: Contest, cause: Cid, *, at: int) -> History | None:
        self._start(contest)
        if cause not in contest.rebased:
            if self._is_large(cause) and not self._is_done(contest.followed, cause):
                return None
            contest.rebased[cause] = self.carried_out(contest.followed, cause, at=at)
        result = contest.rebased[cause]
        if isinstance(result, NotYet):
            del contest.rebased[cause]
        elif isinstance(result, VaultError) and contest.followed is contest.settled:
            contest.waiting.pop(cause, None)
            self._store.drop_causes(contest.genesis, [cause])
        return result if isinstance(result, History) else None

    def _cause(self, cause: Cid) -> Cause:
        return cause_from(self._blobs.get(cause))

    def _is_batch(self, cause: Cid) -> bool:
        return isinstance(self._cause(cause), DelegationBatch)

    def _is_large(self, cause: Cid) -> bool:
        known = self._cause(cause)
        return isinstance(known, Decision) and sum(len(self._blobs.get(page)) for page in known.pages()) > LARGE_BYTES

    def _is_done(self, history: History, cause: Cid) -> bool:
        known = self._cause(cause)
        return isinstance(known, Decision) and history.is_carried(known.proposal.cid())
