"""A look at one enclave for people: what it says, what it proves, and how that compares with what was voted.

Nothing is shown as proved that `appraised_channel` does not accept; the findings beside it only say why.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from enclave.attestation.findings import Finding, machine_findings
from enclave.channel import Claim, EnclaveChannel, Status
from enclave.verified import Grounds, appraised_channel
from storage.cid import Cid
from vault.errors import AccessDenied, VaultError
from vault.evidence import SERVE, Appraisal, Appraiser, Evidence
from vault.lease import CLOCK_SKEW_S
from vault.policy import Policy

AS_LEASED = "as leased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one policy in force makes of the enclave, and the fields it looks at."""

    policy: Policy
    refusal: str  # empty where the policy accepts it
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What came of one look."""

    status: Status  # the enclave's own word
    at: int
    tls_key: bytes
    grounds: Grounds | None = None  # verified against the genesis; None where it does not serve
    evidence: Evidence | None = None
    appraisal: Appraisal | None = None  # under the first policy that accepts it
    connection: tuple[Finding, ...] = ()
    judged: tuple[Judged, ...] = ()
    refusal: str = ""  # why it is not proved

    @property
    def is_proved(self) -> bool:
        """Say whether a policy in force accepts the enclave at the other end of this channel."""
        return self.appraisal is not None

    @property
    def leased_until(self) -> int | None:
        """Return the UTC second at which too few leases are left to serve on."""
        if self.grounds is None:
            return None
        ends = sorted((lease.not_after for lease in self.grounds.leases), reverse=True)
        needed = self.grounds.charter.signatures
        return ends[needed - 1] if len(ends) >= needed else None


def inspect(channel: EnclaveChannel, genesis: Cid, appraiser: Appraiser, *, at: int) -> Inspection:
    """Ask the enclave what it serves, have it prove that, and compare with the policies at `at` (UTC seconds).

    A simulated TEE is told as what it is rather than refused: whoever only looks sends nothing.

    Raises: `ServiceUnavailable`.
    """
    status = channel.status()
    blank = Inspection(status=status, at=at, tls_key=channel.tls_key)
    nonce = secrets.token_bytes(32)
    try:
        claim = channel.claim(nonce, genesis, at=at)
    except VaultError as error:
        return replace(blank, refusal=str(error))
    return _judged(blank, claim, nonce, appraiser)


def _judged(blank: Inspection, claim: Claim, nonce: bytes, appraiser: Appraiser) -> Inspection:
    grounds, at = claim.grounds, blank.at
    appraisal: Appraisal | None = None
    refusal = "no policy is in force, so no enclave can be accepted"
    judged = []
    for policy in grounds.policies.values():
        why = ""
        try:
            found = appraised_channel(
                claim.binding,
                claim.evidence,
                nonce=nonce,
                tls_key=blank.tls_key,
                grounds=grounds,
                policy=policy,
                appraiser=appraiser,
                allow_simulated=True,
                at=at,
            )
            appraisal = appraisal or found
        except VaultError as error:
            why = refusal = str(error)
        judged.append(Judged(policy=policy, refusal=why, findings=_findings(claim, policy, at)))
    return replace(
        blank,
        grounds=grounds,
        evidence=claim.evidence,
        appraisal=appraisal,
        connection=_connection(claim, nonce, blank.tls_key, at),
        judged=tuple(judged),
        refusal="" if appraisal is not None else refusal,
    )


def _findings(claim: Claim, policy: Policy, at: int) -> tuple[Finding, ...]:
    accepted = " or ".join(str(cid) for cid in policy.configurations)
    fits = claim.binding.configuration in policy.configurations
    stated = Finding(field="configuration", found=str(claim.binding.configuration), wanted=accepted, fits=fits)
    try:
        return (stated, *machine_findings(claim.evidence, claim.binding, policy.tees, at=at))
    except AccessDenied as error:
        return (stated, Finding(field="evidence", found=str(error), wanted="verified evidence", fits=False))


def _connection(claim: Claim, nonce: bytes, tls_key: bytes, at: int) -> tuple[Finding, ...]:
    """Return what ties the evidence to this very connection, and the custodians to this instance."""
    binding, grounds = claim.binding, claim.grounds
    terms, charter = grounds.terms, grounds.charter
    asked = next((one.nonce.hex() for one in binding.nonces if one.challenger == b""), "none")
    in_time = sum(lease.issued_at <= at + CLOCK_SKEW_S and at < lease.not_after for lease in grounds.leases)
    return (
        _equal("purpose", binding.purpose, SERVE),
        _equal("nonce", asked, nonce.hex()),
        _equal("tls_key", binding.tls_key.hex(), tls_key.hex()),
        _equal("dao", str(binding.genesis), str(terms.genesis)),
        _equal("instance", binding.receipt_key.hex(), terms.instance.hex()),
        Finding(field="hpke keys", found=_keys(claim), wanted=AS_LEASED, fits=_keys(claim) == AS_LEASED),
        _equal("head", str(grounds.head.cid()), str(terms.head)),
        Finding(
            field="leases",
            found=f"{in_time} in time, epoch {terms.epoch}",
            wanted=f"{charter.signatures} of {len(charter.custodians)} custodians",
            fits=in_time >= charter.signatures,
        ),
    )


def _keys(claim: Claim) -> str:
    return AS_LEASED if claim.binding.hpke == claim.grounds.binding.hpke else "others than leased"


def _equal(field: str, found: str, wanted: str) -> Finding:
    return Finding(field=field, found=found, wanted=wanted, fits=found == wanted)
