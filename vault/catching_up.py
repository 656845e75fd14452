"""One custodian among others: what it hands out to them, what it takes over, and when it may sign again (rule F5).

Heads and manifests carry their own signatures, so they are taken from whoever has them. Leases and anchors are one
custodian's word each, so they are taken only from states signed by the charter's custodians: of a restored custodian,
whatever any of `others_needed` remembers; of another one, at its start, only what more than f of them remember alike.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from storage.cid import Cid
from vault.charter import Charter
from vault.custodian import NONCE_LIFETIME_S
from vault.custody_state import (
    CustodyState,
    StateQuestion,
    all_windows,
    highest_standing,
    is_rolled_back,
    last_hand_back,
    lineage,
    merged,
    other_state_key,
    others_needed,
    shown_question,
    succeeding,
    verify_question,
    verify_state,
)
from vault.errors import MalformedObject, NotYet, StaleState
from vault.history import History
from vault.lease import ledger_id
from vault.links import Piece, next_links, piece_after
from vault.machine import BLANK
from vault.manifest import Manifest
from vault.release import HandBack, StateDeposit
from vault.station import Station

MANIFESTS_BYTES = 1 << 20  # handed out at once; with one manifest more they still fit a message
PAGE_LINEAGES = 32
LINEAGE_BYTES = 32
QUESTIONS_KEPT = 16  # of each peer; one after another is asked, so more are hardly under way
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What another custodian said of a DAO when asked at `asked_at` (UTC seconds): state and manifests, verified."""

    state: CustodyState
    manifests: tuple[Manifest, ...]
    asked_at: int


class CatchingUp:
    """One custodian's part in keeping all of them at the same state."""

    def __init__(
        self,
        station: Station,
        *,
        skew_s: int,
    ) -> None:
        self._keys, self._store, self._blobs = station.keys, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._skew_s = skew_s
        self._restored_at = station.store.restored_at()
        self._caught_up = set(station.store.caught_up())
        self._questions: dict[bytes, deque[bytes]] = {}  # of this very run, by whom they were asked of

    def now(self) -> int:
        """Return UTC seconds by this custodian's clock."""
        return self._clock()

    @property
    def is_waiting(self) -> bool:
        """Say whether there is a DAO that this custodian has not caught up with."""
        return any(self.is_behind(genesis) for genesis in self._histories)

    def is_behind(self, genesis: Cid) -> bool:
        """Say whether this custodian was restored and has not caught up with a DAO since."""
        return self._restored_at is not None and genesis not in self._caught_up

    def require(self, history: History) -> None:
        """Raise `NotYet` unless this custodian may sign for a DAO; where there are no others, waiting is enough."""
        if not self.is_behind(history.genesis) or self._restored_at is None:
            return
        needed, charter = others_needed(history.charter), history.charter
        if needed:
            raise NotYet(
                f"restored from a backup: waiting for the state of {needed} other custodians; name them with --peer"
            )
        free_from = self._restored_at + charter.lease_s + self._skew_s
        if self._clock() < free_from:
            raise NotYet(
                "restored from a backup, and no other custodian remembers what it leased: "
                f"ask again in {free_from - self._clock()} s, when such a lease has ended"
            )
        self._take(history, (), support=1, has_caught_up=True)

    def require_any(self) -> None:
        """Raise `NotYet` where this custodian may sign for no DAO at all yet."""
        refusal: NotYet | None = None
        for history in self._histories.values():
            try:
                return self.require(history)
            except NotYet as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None

    def tips(self, custodian: bytes) -> list[tuple[Cid, Cid, int]]:
        """Return genesis, head and epoch of every DAO here whose charter has that custodian."""
        known = (history for history in self._histories.values() if history.charter.custodian(custodian) is not None)
        return [(history.genesis, history.head.cid(), history.head.epoch) for history in known]

    def charter(self, genesis: Cid) -> Charter:
        """Return the charter of a DAO that is known here."""
        return self._histories[genesis].charter

    def knows(self, genesis: Cid, head: Cid) -> bool:
        """Say whether a head is in a DAO's history here."""
        return genesis in self._histories and head in self._histories[genesis].heads

    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        """Return the next links after a known head, or from the charter on, and the last head among them.

        Raises: `StaleState` for a DAO or a head that is not known here.
        """
        return next_links(lambda known, skip: self.piece(genesis, known, skip), known)

    def piece(self, genesis: Cid, known: Cid | None, skip: int, branch: History | None = None) -> Piece:
        """Return the next blocks after a known head, the taker having `skip` of them. It may run in any thread.

        Args:
            branch: leads to a head that may come next; by default, the history that is followed.
        Raises: `StaleState` for a DAO or a head that is not known here.
        """
        history = branch or self._histories.get(genesis)
        if history is None:
            raise StaleState("this custodian knows neither that DAO's head nor what follows it")
        return piece_after(history, known, skip, self._blobs.get)

    def manifests(self, genesis: Cid, after: bytes) -> tuple[list[Manifest], bytes]:
        """Return a page of the latest manifests under a DAO, and where the next page begins; empty at the end."""
        if len(after) not in (0, LINEAGE_BYTES):
            raise MalformedObject(f"a page begins after a lineage of {LINEAGE_BYTES} bytes, or at the beginning")
        page: list[Manifest] = []
        size = 0
        registered = self._store.registered(after, most=PAGE_LINEAGES)
        for key, _, cid in registered:
            manifest = Manifest.from_bytes(self._blobs.get(cid))
            if manifest.genesis == genesis:
                page.append(manifest)
                size += len(manifest.encoded())
            if size > MANIFESTS_BYTES:
                return page, key
        return page, registered[-1][0] if len(registered) == PAGE_LINEAGES else b""

    def question(self, genesis: Cid, asked: bytes) -> StateQuestion:
        """Return a fresh question about a DAO to another custodian, its number counted before it is asked."""
        question = StateQuestion(
            custodian=self._keys.signing.public,
            asked=asked,
            genesis=genesis,
            nonce=secrets.token_bytes(32),
            number=self._store.next_number(),
            signature=BLANK,
        ).signed_by(self._keys.signing)
        recent = self._questions.setdefault(asked, deque(maxlen=QUESTIONS_KEPT))
        recent.append(question.digest())
        return question

    def answer(self, question: StateQuestion) -> CustodyState:
        """Say what this custodian remembers of a DAO, to another custodian of it; while it is behind, nothing."""
        history = self._histories.get(question.genesis)
        if history is None:
            raise StaleState("this custodian does not know that DAO")
        verify_question(question, history.charter, asked=self._keys.signing.public)
        before = self._store.keep_question(question.custodian, question.number, question.encoded())
        self.require(history)
        ledger = ledger_id(history.genesis)
        windows, returned = self._store.reports(ledger)
        return CustodyState(
            custodian=self._keys.signing.public,
            question=question.digest(),
            genesis=history.genesis,
            head=history.head.cid(),
            epoch=history.head.epoch,
            standing=self._store.standing(ledger),
            windows=tuple(windows),
            returned=HandBack.from_bytes(returned) if returned else None,
            state_key=self._state_key(ledger),
            last_question=before,
            signature=BLANK,
        ).signed_by(self._keys.signing)

    def told(
        self, question: StateQuestion, state: CustodyState, manifests: Sequence[Manifest], *, asked_at: int
    ) -> Told:
        """Return a verified answer to our question; where it shows that we were rolled back, note that at once.

        Args:
            manifests: as `vault.listing.latest_manifests` verified them.
        Raises: what `verify_state` and `is_rolled_back` raise.
        """
        verify_state(state, question, self.charter(question.genesis), at=self._clock())
        if is_rolled_back(question, state) and not self._asked_lately(state):
            self._store.mark_restored(self._clock(), number=shown_question(state).number)
            self._restored_at = self._store.restored_at()
            self._caught_up.clear()
        return Told(state=state, manifests=tuple(manifests), asked_at=asked_at)

    def note_rolled_back(self) -> None:
        """Note that this custodian was set back in time: it signs nothing before it has caught up."""
        self._store.mark_restored(self._clock())
        self._restored_at = self._store.restored_at()
        self._caught_up.clear()

    def _asked_lately(self, state: CustodyState) -> bool:
        """Say whether what is shown was asked since this custodian started, and so by nobody set back in time."""
        return shown_question(state).digest() in self._questions.get(state.custodian, ())

    def takes(self, genesis: Cid, told: Sequence[Told], *, is_starting: bool = False) -> bool:
        """Say whether `adopt` would take over any of this now; then `keep_manifests` goes before it."""
        if not self.is_behind(genesis):
            return is_starting
        needed = others_needed(self.charter(genesis))
        return 0 < needed <= len({one.state.custodian for one in self._counted(genesis, told)})

    def keep_manifests(self, told: Sequence[Told]) -> None:
        """Store the manifests that others told of. It may run in any thread: there may be thousands."""
        for manifest in {m.cid(): m for one in told for m in one.manifests}.values():
            self._blobs.put(manifest.cid(), manifest.encoded())

    def adopt(self, genesis: Cid, told: Sequence[Told], *, is_starting: bool = False) -> bool:
        """Take over what others told, and say whether this custodian may sign for the DAO.

        Args:
            told: at most one of each custodian; their manifests are stored already.
            is_starting: nothing was signed since this custodian started, so it may take over without being behind.
        Raises: `ForkedHistory` where what is remembered contradicts itself.
        """
        history = self._histories[genesis]
        if not self.is_behind(genesis):
            if is_starting:
                self._take(history, told, support=history.charter.liars + 1, has_caught_up=False)
            return True
        if not self.takes(genesis, told):
            return False
        self._take(history, self._counted(genesis, told), support=1, has_caught_up=True)
        return True

    def _counted(self, genesis: Cid, told: Sequence[Told]) -> list[Told]:
        heads = self._histories[genesis].heads
        return [one for one in told if one.asked_at >= self._counts_from() and one.state.head in heads]

    def _counts_from(self) -> int:
        """Return from when on answers count: evidence shown before the restore can bring no lease any more.

        Otherwise an instance could join a forgotten lease of ours, a minute later, with leases that others sign only
        after they answered us.
        """
        return (self._restored_at or 0) + NONCE_LIFETIME_S

    def _take(self, history: History, told: Sequence[Told], *, support: int, has_caught_up: bool) -> None:
        ledger = ledger_id(history.genesis)
        states = [one.state for one in told]
        ours = self._store.standing(ledger)
        theirs = highest_standing(states, support=support, ended_by=max(0, self._clock() - self._skew_s))
        has_forgotten = has_caught_up and bool(told)
        standing = (
            succeeding(ours, theirs) if has_forgotten else merged(ours, theirs, at=self._clock(), skew_s=self._skew_s)
        )
        latest: dict[bytes, Manifest] = {}
        for manifest in sorted((m for one in told for m in one.manifests), key=lambda m: (m.version, m.cid().binary)):
            latest[lineage(manifest)] = manifest
        returned = last_hand_back(states, ledger, standing.anchor)
        self._store.adopt(
            history.genesis,
            ledger,
            standing,
            [(key, manifest.version, manifest.cid()) for key, manifest in latest.items()],
            windows=all_windows(states) if has_forgotten else None,
            returned=returned.encoded() if returned is not None else None,
            has_caught_up=has_caught_up,
        )
        if has_caught_up:
            self._caught_up.add(history.genesis)
            log.warning("caught up with DAO %s: this custodian signs for it again", history.genesis)
        needed = history.charter.shares
        if other_state_key(states, self._state_key(ledger), liars=history.charter.liars):
            log.warning(
                "the other custodians of DAO %s hold shares of a state key that this one holds no share of: at least %d"
                " of them must be kept",
                history.genesis,
                needed,
            )

    def _state_key(self, ledger: bytes) -> bytes:
        """Return the commitment of the state key that a share is kept of, or nothing."""
        kept = self._store.kept(ledger, ()).state_share
        return StateDeposit.from_bytes(kept).key_commitment if kept else b""
