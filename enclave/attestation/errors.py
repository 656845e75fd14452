"""Why evidence is refused. Each is an `AccessDenied`, since the answer to all of them is the same: nothing."""

from __future__ import annotations

from vault.errors import AccessDenied


class EvidenceRefused(AccessDenied):
    """Base of every reason to refuse evidence."""


class EvidenceMalformed(EvidenceRefused):
    """Bytes that are not evidence of the kind they claim."""


class SignatureInvalid(EvidenceRefused):
    """Evidence that its claimed signer did not sign."""


class BindingMismatch(EvidenceRefused):
    """Genuine evidence, made for other keys, nonces or configuration."""


class KindUnsupported(EvidenceRefused):
    """Evidence of a kind this build cannot verify."""


class MeasurementMismatch(EvidenceRefused):
    """Genuine evidence of a program the policy does not accept."""


class DebugEnabled(EvidenceRefused):
    """Genuine evidence of a machine whose memory its host may read."""
