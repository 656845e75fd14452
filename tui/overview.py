"""What the overview shows, fetched and verified: no widget knows gRPC, and nothing is shown as proved that is not."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from enclave.channel import EnclaveChannel, Status
from enclave.verified import Grounds, appraised_channel
from storage.cid import Cid
from vault.errors import VaultError
from vault.evidence import Appraiser


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One look at an enclave."""

    status: Status  # the enclave's own word
    grounds: Grounds | None  # verified against the genesis; None where it does not serve
    proof: str  # what the evidence of this channel proves, in words
    is_proved: bool


def look(address: str, genesis: Cid, appraiser: Appraiser, *, at: int) -> Overview:
    """Ask the enclave at `host:port` what it serves, and check what it proves at `at` (UTC seconds).

    Raises: `ServiceUnavailable`.
    """
    channel = EnclaveChannel(address)
    try:
        status = channel.status()
        try:
            grounds, proof = _proved(channel, genesis, appraiser, at)
        except VaultError as error:
            return Overview(status=status, grounds=None, proof=str(error), is_proved=False)
        return Overview(status=status, grounds=grounds, proof=proof, is_proved=True)
    finally:
        channel.close()


def _proved(channel: EnclaveChannel, genesis: Cid, appraiser: Appraiser, at: int) -> tuple[Grounds, str]:
    nonce = secrets.token_bytes(32)
    claim = channel.claim(nonce, genesis, at=at)
    grounds = claim.grounds
    measurement = ""
    for policy in grounds.policies.values():
        appraisal = appraised_channel(
            claim.binding,
            claim.evidence,
            nonce=nonce,
            tls_key=channel.tls_key,
            grounds=grounds,
            policy=policy,
            appraiser=appraiser,
            allow_simulated=True,  # shown in red rather than refused: this screen sends nothing
            at=at,
        )
        measurement = appraisal.measurement.hex()
    ends = max(lease.not_after for lease in grounds.leases) - at
    return grounds, f"measurement {measurement[:24]}…, TLS key bound, leases of {len(grounds.leases)} end in {ends} s"
