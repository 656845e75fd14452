"""What this process has verified of enclaves, for as long as the leases it rests on last (rules E5, F2).

Evidence is asked for once per TLS key: an enclave makes it anew at every start and it never leaves the TEE, so who
completes a handshake with it is the instance that was verified. Another key, DAO, policy or appraiser is verified anew,
and so is everything once its leases have ended by the caller's clock, or the enclave was seen to serve on another head.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass

from enclave.claiming import asking_nonce, claiming
from enclave.exchange import Exchange
from enclave.verified import Grounds, appraised_channel, policy_in_force
from storage.cid import Cid
from vault.errors import StaleState
from vault.evidence import Appraisal, Appraiser
from vault.lease import Terms, require_in_time

ENTRIES_MAX = 256  # the oldest make room


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Of whom something is to be proved, and by which rules."""

    tls_key: bytes
    genesis: Cid
    policy: Cid
    allow_simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """An enclave that proved itself over this process's own nonce, and what it served on then."""

    grounds: Grounds
    appraisal: Appraisal
    appraiser: Appraiser  # whose judgment this is


class ProvenEnclaves:
    """Verified enclaves by the question they answered; safe to share among threads, and bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Question, Proven] = {}

    def proving(self, question: Question, *, appraiser: Appraiser, at: int) -> Exchange[tuple[Proven, bytes]]:
        """Return the enclave at a channel's end, verified now or before, and its nonce for what is signed next.

        Raises: `AccessDenied`, `InvalidSignature`, `StaleState`, `Revoked` for an enclave that does not prove itself.
        """
        known = self._find(question, appraiser, at)
        if known is not None:
            return known, (yield from asking_nonce())
        nonce = secrets.token_bytes(32)
        claim = yield from claiming(nonce, question.genesis, at=at)
        appraisal = appraised_channel(
            claim.binding,
            claim.evidence,
            nonce=nonce,
            tls_key=question.tls_key,
            grounds=claim.grounds,
            policy=policy_in_force(claim.grounds, question.policy),
            appraiser=appraiser,
            allow_simulated=question.allow_simulated,
            at=at,
        )
        proven = Proven(grounds=claim.grounds, appraisal=appraisal, appraiser=appraiser)
        self._keep(question, proven)
        return proven, claim.server_nonce

    def forget_other_heads(self, tls_key: bytes, terms: Terms) -> None:
        """Drop what rests on another head, epoch or set of manifests than the enclave with this key now serves on."""
        now = _served(terms)
        with self._lock:
            self._known = {
                question: proven
                for question, proven in self._known.items()
                if question.tls_key != tls_key or _served(proven.grounds.terms) == now
            }

    def _find(self, question: Question, appraiser: Appraiser, at: int) -> Proven | None:
        with self._lock:
            proven = self._known.get(question)
            if proven is None or proven.appraiser is not appraiser:
                return None
            grounds = proven.grounds
            try:
                require_in_time(grounds.leases, grounds.charter, grounds.terms, at=at)
            except StaleState:
                del self._known[question]
                return None
            return proven

    def _keep(self, question: Question, proven: Proven) -> None:
        with self._lock:
            self._known.pop(question, None)
            while len(self._known) >= ENTRIES_MAX:
                del self._known[next(iter(self._known))]
            self._known[question] = proven


def _served(terms: Terms) -> tuple[Cid, int, tuple[Cid, ...]]:
    return terms.head, terms.epoch, terms.manifests


PROVEN = ProvenEnclaves()  # of this process; a caller may keep one of its own
