"""An enclave's channel for people without a license: pinned, and its evidence checked under a policy in force."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cli import wiring
from cli.console import warn_simulated
from cli.home import Settings
from enclave.channel import EnclaveChannel
from enclave.verified import Grounds, appraised_channel
from storage.cid import Cid
from vault.acts import inquire
from vault.errors import AccessDenied, ServiceUnavailable, VaultError
from vault.evidence import Appraiser
from vault.inquiry import Inquiry
from vault.policy import SIMULATED
from vault.signing import SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A channel whose enclave proved itself, what it serves on, and a nonce of its own for what is signed next."""

    channel: EnclaveChannel
    grounds: Grounds
    server_nonce: bytes
    tee: str

    def inquiry(self, genesis: Cid, key: SigningKey, *, server_nonce: bytes | None = None) -> Inquiry:
        """Return what a wallet signs to be told what is its own; `server_nonce` is a fresh one after the first."""
        return inquire(
            genesis,
            self.grounds.charter,
            key,
            server_nonce=server_nonce or self.server_nonce,
            tls_key=self.channel.tls_key,
        )


@contextmanager
def attested(settings: Settings, genesis: Cid) -> Iterator[Attested]:
    """Connect to the configured enclave and check it; a simulated one is shown in red, or refused in production.

    Raises: `AccessDenied` where no policy in force accepts the enclave.
    """
    channel = EnclaveChannel(enclave_address(settings))
    try:
        found = proved(channel, genesis, wiring.appraiser(settings), allow_simulated=not settings.production)
        if found.tee == SIMULATED:
            warn_simulated()
        yield found
    finally:
        channel.close()


def proved(channel: EnclaveChannel, genesis: Cid, appraiser: Appraiser, *, allow_simulated: bool) -> Attested:
    """Have the enclave behind a channel prove itself; raise `AccessDenied` where no policy in force accepts it."""
    nonce, at = secrets.token_bytes(32), wiring.clock()
    claim = channel.claim(nonce, genesis, at=at)
    grounds = claim.grounds
    refusal: VaultError = AccessDenied("no policy is in force, so no enclave can be accepted")
    for cid in grounds.head.policies:
        try:
            appraisal = appraised_channel(
                claim.binding,
                claim.evidence,
                nonce=nonce,
                tls_key=channel.tls_key,
                grounds=grounds,
                policy=grounds.policies[cid],
                appraiser=appraiser,
                allow_simulated=allow_simulated,
                at=at,
            )
        except (AccessDenied, KeyError) as error:
            refusal = error if isinstance(error, AccessDenied) else refusal
        else:
            return Attested(channel=channel, grounds=grounds, server_nonce=claim.server_nonce, tee=appraisal.kind)
    raise refusal


def enclave_address(settings: Settings) -> str:
    """Return the configured enclave's address, or raise how to name one."""
    if not settings.enclave:
        raise ServiceUnavailable("no enclave is configured; name it with --enclave HOST:PORT or in the settings")
    return settings.enclave
