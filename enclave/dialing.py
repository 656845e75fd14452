"""Whom a client asks, as whom and by which rules: what every line to the enclave begins with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from enclave.client_session import ClientSession, opening_session
from enclave.credential import Credential
from enclave.exchange import Exchange
from enclave.proven import PROVEN, ProvenEnclaves, Question
from vault.evidence import Appraiser


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing:
    """An address, a credential, and what an enclave there has to prove before a word is said."""

    address: str
    credential: Credential
    appraiser: Appraiser
    allow_simulated: bool = False
    spend_cap: int | None = None  # micro-units of each session; the delegation's own cap holds as well
    clock: Callable[[], float] = time.time  # UTC seconds; leases are judged by the caller's own clock (rule F2)
    proven: ProvenEnclaves = PROVEN  # what was verified before; by default, by anyone in this process

    def beginning(self, tls_key: bytes) -> Exchange[ClientSession]:
        """Verify the enclave at the end of a channel that is pinned to a TLS key, and open a session.

        Raises: `AccessDenied`, `InvalidSignature`, `StaleState` for an enclave that does not prove itself; `Revoked` or
            `AccessDenied` for a license that does not hold; `ServiceUnavailable`.
        """
        credential = self.credential
        question = Question(
            tls_key=tls_key,
            genesis=credential.genesis,
            policy=credential.license.policy,
            allow_simulated=self.allow_simulated,
        )
        enclave, nonce = yield from self.proven.proving(question, appraiser=self.appraiser, at=int(self.clock()))
        return (
            yield from opening_session(
                credential,
                enclave,
                nonce,
                tls_key=tls_key,
                spend_cap=credential.delegation.spend_cap if self.spend_cap is None else self.spend_cap,
                proven=self.proven,
                clock=self.clock,
            )
        )
