"""Why evidence is refused. Each is an `AccessDenied`, since the answer to all of them is the same: nothing.

`reason` is the machine-readable class of the refusal, as `coffer attest check` compares it.
"""

from __future__ import annotations

from typing import ClassVar

from vault.errors import AccessDenied


class EvidenceRefused(AccessDenied):
    """Base of every reason to refuse evidence."""

    reason: ClassVar[str] = "refused"


class EvidenceMalformed(EvidenceRefused):
    """Bytes that are not evidence of the kind they claim."""

    reason = "parse_error"


class SignatureInvalid(EvidenceRefused):
    """Evidence that its claimed signer did not sign."""

    reason = "signature"


class ChainInvalid(EvidenceRefused):
    """A certificate chain that does not lead from the signer to the vendor's pinned root."""

    reason = "cert_chain"


class CertificateExpired(ChainInvalid):
    """A certificate whose validity ended before the time of verification."""

    reason = "cert_expired"


class CertificateNotYetValid(ChainInvalid):
    """A certificate whose validity begins after the time of verification."""

    reason = "cert_not_yet_valid"


class CertificateRevoked(ChainInvalid):
    """A certificate that its issuer revoked."""

    reason = "cert_revoked"


class CertificateMalformed(ChainInvalid, EvidenceMalformed):
    """Bytes that are no certificate where a chain should have one."""


class CertificateForged(ChainInvalid, SignatureInvalid):
    """A certificate that the issuer it names did not sign."""


class CollateralInvalid(EvidenceRefused):
    """Collateral that cannot be used for this evidence."""

    reason = "collateral_invalid"


class CollateralForged(CollateralInvalid, SignatureInvalid):
    """Collateral that its vendor did not sign."""

    reason = "signature"


class CollateralExpired(CollateralInvalid):
    """Collateral that the vendor has replaced since: its next update lies before the time of verification."""

    reason = "collateral_expired"


class CollateralNotYetValid(CollateralInvalid):
    """Collateral issued after the time of verification."""

    reason = "collateral_not_yet_valid"


class TcbNotMatched(EvidenceRefused):
    """A platform older than every level its vendor still describes."""

    reason = "tcb_no_match"


class TcbRefused(EvidenceRefused):
    """A platform whose firmware is below what the policy accepts."""

    reason = "tcb_status"


class BindingMismatch(EvidenceRefused):
    """Genuine parts that do not belong together: other keys, nonces or configuration than the ones at hand."""

    reason = "binding"


class CollateralMismatch(CollateralInvalid, BindingMismatch):
    """Collateral of another platform or kind of TEE."""

    reason = "binding"


class NonceMismatch(BindingMismatch):
    """Genuine evidence, made for another challenge."""

    reason = "nonce_mismatch"


class EventLogMismatch(EvidenceRefused):
    """An event log that the quoted registers do not bear out."""

    reason = "event_log_mismatch"


class AttributesRefused(EvidenceRefused):
    """Genuine evidence of a machine configured in a way that weakens it."""

    reason = "td_attributes_policy"


class MeasurementMismatch(EvidenceRefused):
    """Genuine evidence of a program or firmware the policy does not accept."""

    reason = "measurement_mismatch"


class DebugEnabled(EvidenceRefused):
    """Genuine evidence of a machine whose memory its host may read."""

    reason = "debug_enabled"


class KindUnsupported(EvidenceRefused):
    """Evidence of a kind this build cannot verify, or the policy does not name."""

    reason = "unsupported"


class FormUnsupported(KindUnsupported, EvidenceMalformed):
    """Evidence of a known kind in a form that no verifier here reads."""

    reason = "parse_error"
