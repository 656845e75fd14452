"""Getting leases and keys from custodians: t shares make a key, q leases make it fresh (rules B2, E1, F1, F2, F3).

One piece of evidence binds every custodian's nonce.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from enclave.attestation.attester import Attester, attested
from enclave.chain import Chain
from enclave.combining import Combining, Secrets
from enclave.gathering import CLOSE_PATIENCE_S, Answer, CustodyService, Gathering, reason_of
from enclave.grounds import Grounds, agreed_grounds
from enclave.keys import InstanceKeys
from storage.cid import Cid
from vault.errors import StaleState, VaultError
from vault.evidence import RELEASE, Binding, Evidence, Nonce
from vault.history import History
from vault.lease import Anchor
from vault.machine import BLANK
from vault.release import HandBack, LeaseRequest, OfferedKeys
from vault.window import WindowId


class Opening:
    """Asks custodians on behalf of one instance."""

    def __init__(
        self,
        custodians: Sequence[CustodyService],
        attester: Attester,
        keys: InstanceKeys,
        *,
        genesis: Cid,
        configuration: Cid,
        monotonic: Callable[[], float],
        clock: Callable[[], int],
    ) -> None:
        """Ask nothing yet.

        Args:
            clock: UTC seconds by the host; only what is fetched before a lease goes by it.
        """
        self._gathering = Gathering(custodians)
        self._chain = Chain(custodians, genesis, require_open=self._gathering.require_open)
        self._attester = attester
        self._keys = keys
        self._genesis = genesis
        self._configuration = configuration
        self._monotonic = monotonic
        self._clock = clock
        self._turn = threading.Lock()
        self._is_patient = False  # the last renewal failed, perhaps for want of patience

    def open(self, anchor: Anchor) -> tuple[Grounds, Secrets]:
        """Return leases and keys for a fresh instance, or raise why the custodians or the chain do not allow it."""
        grounds, answers = self._ask(anchor, None, None, ())
        return grounds, Combining(self._keys.hpke, grounds, answers).secrets()

    def renew(self, anchor: Anchor, log: bytes, known: History, settled: Sequence[WindowId] = ()) -> Grounds:
        """Return fresh leases with a window, on fresh evidence, for an instance that holds its keys already.

        Args:
            anchor: of books that were verified.
            log: the public log's root as far as the anchor, for the custodians to sign.
            settled: others' windows that these books account for; the custodians close them.
        """
        return self._ask(anchor, log, known, settled)[0]

    def close(self, back: HandBack) -> list[VaultError]:
        """Hand the leases back to all custodians, after a renewal under way; none follows. Return what failed."""
        self._gathering.close()
        has_turn = self._turn.acquire(timeout=CLOSE_PATIENCE_S)
        try:
            return self._gathering.handed_back(back)
        finally:
            if has_turn:
                self._turn.release()

    def attested(self, purpose: str, nonces: Sequence[Nonce]) -> tuple[Binding, Evidence]:
        """Return what this instance's evidence binds, and the evidence. It asks hardware: seconds on some machines."""
        return attested(self._attester, lambda gpu: self.binding(purpose, nonces, gpu))

    def binding(self, purpose: str, nonces: Sequence[Nonce], gpu: bytes = b"") -> Binding:
        """Return what this instance's evidence binds; `gpu` is the digest of the GPUs' evidence, empty for none."""
        return Binding(
            purpose=purpose,
            nonces=tuple(sorted(nonces, key=lambda nonce: (nonce.challenger, nonce.nonce))),
            hpke=self._keys.hpke.public,
            tls_key=self._keys.tls.key_hash,
            receipt_key=self._keys.instance,
            gpu_evidence=gpu,
            configuration=self._configuration,
            genesis=self._genesis,
        )

    def _ask(
        self, anchor: Anchor, log: bytes | None, known: History | None, settled: Sequence[WindowId]
    ) -> tuple[Grounds, list[Answer]]:
        with self._turn:
            return self._asked(anchor, log, known, settled)

    def _asked(
        self, anchor: Anchor, log: bytes | None, known: History | None, settled: Sequence[WindowId]
    ) -> tuple[Grounds, list[Answer]]:
        """Ask for leases; with shares where no history is known yet."""
        if known is None:
            self._chain.prefetch(host_time=self._clock())
        asked_at = self._monotonic()
        needed = known.charter.signatures if known and not self._is_patient else len(self._gathering)
        keys = OfferedKeys(hpke=self._keys.hpke.public).digest()
        nonces, failures = self._gathering.challenged(self._keys.instance, keys, needed=needed)
        liars = known.charter.liars if known else None
        if not nonces:
            raise reason_of(failures, liars=liars)
        binding, evidence = self.attested(RELEASE, list(nonces.values()))

        def request_to(custodian: bytes) -> LeaseRequest:
            return LeaseRequest(
                instance=self._keys.instance,
                custodian=custodian,
                report_data=report_data,
                anchor=anchor,
                log=log,
                wants_shares=known is None,
                settled=tuple(settled),
                signature=BLANK,
            ).signed_by(self._keys.receipt)

        report_data = binding.report_data()
        head = known.head.cid() if known else self._chain.head
        answers, late = self._gathering.released(
            list(nonces), binding, evidence, request_to, known_head=head, needed=needed
        )
        failures += late
        if not answers:
            raise reason_of(failures, liars=liars)
        self._is_patient = known is not None
        try:
            grounds = agreed_grounds(
                binding, evidence, answers, anchor=anchor, log=log, known=known, chain=self._chain, asked_at=asked_at
            )
        except StaleState as error:
            raise (reason_of(failures, liars=liars) if failures else error) from error
        self._is_patient = False
        return grounds, answers
