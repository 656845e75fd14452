"""The DAO's chain as one instance fetches it from its custodians, any of which may serve garbage, little, or nothing.

It is verified from raw signatures, so a custodian can only keep blocks back. What is long is fetched before leases are
asked for, so that they do not age meanwhile; what a lease names beyond that, from custodians that sign for it. The time
before a lease is the host's word: what was verified by it counts only where the leases' time is not before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from enclave.gathering import CustodyService
from enclave.parallel import Round
from storage.cid import Cid
from storage.errors import StorageError
from vault.charter import Charter
from vault.errors import ForkedHistory, MalformedObject, NotYet, ServiceUnavailable, StaleState, VaultError
from vault.history import History, extended, founded
from vault.lease import CLOCK_SKEW_S
from vault.links import CHAIN_BYTES_MAX

FETCH_PATIENCE_S = 60.0  # for one answer of one custodian: a link of `LINK_BYTES_MAX` at some 5 MBit/s
Blocks = Mapping[Cid, bytes]


class Chain:
    """Fetches and verifies; use it from one thread."""

    def __init__(self, custodians: Sequence[CustodyService], genesis: Cid, *, require_open: Callable[[], None]) -> None:
        """Fetch nothing yet.

        Args:
            require_open: raises once no chain is needed any more.
        """
        self._custodians = custodians
        self._genesis = genesis
        self._require_open = require_open
        self._round = Round()
        self._order = list(range(len(custodians)))  # of asking; whoever failed is asked last
        self._ahead: History | None = None  # verified, perhaps beyond what custodians lease
        self._ahead_at = 0  # UTC seconds by which it was

    @property
    def head(self) -> Cid | None:
        """Return the newest head fetched so far."""
        return self._ahead.head.cid() if self._ahead else None

    def prefetch(self, *, host_time: int) -> None:
        """Fetch what custodians have before leases are first asked for: from f+1 of them, so that one is honest.

        Once a chain is known, what grew since is short, and is fetched with the leases.

        Args:
            host_time: UTC seconds by the host's clock, which nobody vouches for.
        """
        if self._ahead is not None:
            return
        at = host_time - CLOCK_SKEW_S
        heard = 0
        for number in tuple(self._order):
            try:
                for history in self._followed(number, self._ahead, None, {}, at):
                    self._keep(history, max(at, self._ahead_at))
            except NotYet:
                heard += 1  # what was decided just now is fetched with the leases' time
            except (VaultError, StorageError):
                self._put_last(number)
            else:
                heard += 1
            if self._ahead is not None and heard > self._ahead.charter.liars:
                return

    def charter(self, known: History | None, blocks: Blocks) -> Charter:
        """Return the charter that names the custodians, which no other one changes."""
        history = known or self._ahead
        if history is not None:
            return history.charter
        if self._genesis not in blocks:
            raise ServiceUnavailable("no custodian serves the DAO's charter; ask again")
        return _founding(self._genesis, blocks).charter

    def reached(
        self, known: History | None, head: Cid, blocks: Blocks, signers: Sequence[bytes], *, at: int
    ) -> History:
        """Return the history to a leased head.

        Args:
            known: what the instance serves on, if this is a renewal.
            blocks: what came with the leases.
            signers: keys of the custodians that lease on this head.
            at: UTC seconds by the leases.
        Raises: what `extended` raises of the blocks that came; `ServiceUnavailable` where they are too few, and no
            custodian serves the others.
        """
        ahead = self._ahead
        if ahead is not None and self._ahead_at <= at and (known is None or known.head.cid() in ahead.heads):
            try:
                return self._reached(ahead, head, blocks, signers, at)
            except (ForkedHistory, StaleState):  # on a branch that custodians do not lease, or beyond what they lease
                self._ahead = None
        return self._reached(known, head, blocks, signers, at)

    def _reached(self, start: History | None, head: Cid, blocks: Blocks, signers: Sequence[bytes], at: int) -> History:
        with suppress(MalformedObject):  # where more is needed than came with the leases
            known = start or _founding(self._genesis, blocks)
            return self._keep(extended(known, head, partial(_fetch, blocks), at=at), at)
        progress = start
        for number in self._signing(signers):
            for begun in (progress,) if progress is start else (progress, start):
                try:
                    for history in self._followed(number, begun, head, blocks, at):
                        progress = self._keep(history, at)
                        if history.head.cid() == head:
                            return history
                except (ForkedHistory, StaleState):
                    continue  # from what another custodian served, perhaps; so once more from what is known
                except (VaultError, StorageError):
                    self._put_last(number)
                break
        raise ServiceUnavailable(f"no custodian serves the DAO's chain to the leased head {head}; ask again")

    def _followed(
        self, number: int, history: History | None, until: Cid | None, blocks: Blocks, at: int
    ) -> Iterator[History]:
        """Yield ever longer histories as one custodian serves them, to a head or to its last one."""
        size = 0
        while history is None or history.head.cid() != until:
            self._require_open()
            known = history.head.cid() if history else None
            tip, served = self._asked(number, known)
            size += sum(map(len, served.values()))
            if size > CHAIN_BYTES_MAX:
                raise MalformedObject(f"a custodian's chain goes on after {CHAIN_BYTES_MAX} bytes")
            if tip == known:
                return
            found = {**blocks, **served}
            to = until if until is not None and until in served else tip
            begun = history or _founding(self._genesis, found)
            history = extended(begun, to, partial(_fetch, found), at=at)
            yield history

    def _asked(self, number: int, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        def links() -> tuple[Cid, dict[Cid, bytes]]:
            try:
                return self._custodians[number].chain(self._genesis, known)
            except StorageError as error:
                raise MalformedObject("a custodian answered with blocks that cannot be read") from error

        asked = self._round.ask({number: links}, is_enough=lambda _: True, patience_s=FETCH_PATIENCE_S)
        if number not in asked.answers:
            raise asked.failures[number]
        return asked.answers[number]

    def _keep(self, history: History, at: int) -> History:
        self._ahead, self._ahead_at = history, at
        return history

    def _signing(self, signers: Sequence[bytes]) -> list[int]:
        """Return whom to ask: those who lease on the head first, and of each kind whoever failed last."""
        keys: dict[int, bytes] = {}
        for number in self._order:
            with suppress(VaultError, StorageError):
                keys[number] = self._custodians[number].custodian.key
        return sorted(keys, key=lambda number: keys[number] not in signers)

    def _put_last(self, number: int) -> None:
        self._order.remove(number)
        self._order.append(number)


def _founding(genesis: Cid, blocks: Blocks) -> History:
    charter = Charter.from_bytes(_fetch(blocks, genesis))
    if charter.cid() != genesis:
        raise MalformedObject(f"{genesis} is not the CID of the charter that came for it")
    return founded(charter)


def _fetch(blocks: Blocks, cid: Cid) -> bytes:
    if cid not in blocks:
        raise MalformedObject(f"the custodians did not send block {cid}")
    return blocks[cid]
