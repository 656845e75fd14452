"""What the answers of one session rest on: the grounds first attested, and those leased since (rule F2).

No answer rests on an older head than the newest one that was known when its question was sent. Later answers may
overtake it: an answer that was begun on one head, while the enclave took up the next, still counts.
"""

from __future__ import annotations

from collections.abc import Callable

from enclave.claiming import asking_grounds
from enclave.exchange import Exchange
from enclave.proven import ProvenEnclaves
from enclave.verified import Grounds, require_same_enclave
from vault.errors import InvalidReceipt, StaleState
from vault.lease import require_in_time
from vault.receipt import Receipt


class Footing:
    """Takes up renewed leases as receipts name them; never another instance, and never an older head."""

    def __init__(self, tls_key: bytes, attested: Grounds, proven: ProvenEnclaves, clock: Callable[[], float]) -> None:
        self.attested = attested
        self._tls_key = tls_key
        self._proven = proven
        self._clock = clock
        self._last = attested
        self._epoch = attested.terms.epoch  # the highest one that an answer rested on

    @property
    def epoch(self) -> int:
        """Return the newest epoch that an answer rested on so far."""
        return self._epoch

    def of(self, receipt: Receipt, *, is_repeat: bool, since: int | None = None) -> Exchange[Grounds]:
        """Return the verified grounds that a receipt was issued on.

        Args:
            since: the epoch that was known when the question was sent; by default the newest one known now.
        Raises: `StaleState` unless they were in time, for an answer given anew by our own clock; `InvalidReceipt`.
        """
        at = receipt.at if is_repeat else int(self._clock())
        if receipt.evidence != self._last.terms.evidence:
            grounds = yield from asking_grounds(self.attested.terms.genesis, at=at, evidence=receipt.evidence)
            if grounds.terms.evidence != receipt.evidence:
                raise InvalidReceipt("evidence: the enclave showed other grounds than those the receipt names")
            require_same_enclave(grounds, self.attested)
            self._last = grounds
        require_in_time(self._last.leases, self._last.charter, self._last.terms, at=at)
        if not is_repeat:
            self._require_no_older_head(self._last, self._epoch if since is None else since)
        return self._last

    def _require_no_older_head(self, grounds: Grounds, since: int) -> None:
        if grounds.terms.epoch < since:
            raise StaleState("the enclave went back to an older head; connect anew")
        if grounds.terms.epoch > self._epoch:
            self._epoch = grounds.terms.epoch
            self._proven.forget_other_heads(self._tls_key, grounds.terms)
