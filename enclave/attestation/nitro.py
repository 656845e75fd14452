"""AWS Nitro Enclaves: verifying an attestation document, which brings its certificates along, at a given time.

Cryptography alone; debug mode and registers are facts for the appraisal to judge. The signer's certificate lives three
hours, so a document is verified at about the time it was made, and whoever keeps one keeps that time too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from enclave.attestation.certificates import UNREADABLE, certificate_from_der, verified_chain
from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import BindingMismatch, ChainInvalid, SignatureInvalid
from enclave.attestation.nitro_document import SIGNATURE_BYTES, NitroDocument, NitroEnvelope
from enclave.attestation.roots import AWS_NITRO, ROOTS

NITRO: Final = "nitro"
CLOCK_SKEW_S: Final = 300  # by which a document may be ahead of the verifier's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class NitroClaims:
    """What a verified document says."""

    KIND: ClassVar[str] = NITRO

    document: NitroDocument

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        return self.KIND

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge: registers as `pcr0`; absent where the document lacks them.

        A document has no report data of its own: what an enclave binds, it gives as user data.
        """
        return {**self.document.facts(), "report_data": self.document.user_data}

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON, under the names of the evidence index."""
        return self.document.shown()


def verified_nitro(document: bytes, *, at: int, pinned: Mapping[str, bytes] = ROOTS) -> NitroClaims:
    """Return what the document says if AWS's chain certifies its signer at `at` (Unix seconds), who signed all of it.

    Another `pinned` table of roots than ours is for tests. Raises a subclass of `EvidenceRefused`.
    """
    envelope = NitroEnvelope.from_bytes(document)
    chain = [certificate_from_der(der) for der in (envelope.certificate, *reversed(envelope.cabundle))]
    verified_chain(chain, roots=(AWS_NITRO,), at=at, pinned=pinned)
    _require_signature(envelope, chain[0])
    found = envelope.document()
    _require_timely(found, chain[0], at=at)
    return NitroClaims(document=found)


def _require_signature(envelope: NitroEnvelope, leaf: x509.Certificate) -> None:
    try:
        key = leaf.public_key()
    except UNREADABLE as error:
        raise ChainInvalid("chain: the signer's key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ChainInvalid("chain: the signer's key is not on P-384")
    r, s = (int.from_bytes(half, "big") for half in _halves(envelope.signature))
    try:
        key.verify(encode_dss_signature(r, s), envelope.signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise SignatureInvalid("Nitro document: it is not signed by the certificate it brings") from error


def _halves(signature: bytes) -> tuple[bytes, bytes]:
    return signature[: SIGNATURE_BYTES // 2], signature[SIGNATURE_BYTES // 2 :]


def _require_timely(document: NitroDocument, leaf: x509.Certificate, *, at: int) -> None:
    """Raise `BindingMismatch` unless the document was made while its signer was certified, and not in the future."""
    made = document.timestamp_ms // 1000
    begins, ends = int(leaf.not_valid_before_utc.timestamp()), int(leaf.not_valid_after_utc.timestamp())
    if not begins <= made <= ends:
        raise BindingMismatch(f"Nitro document: made at {made}, while its certificate is valid {begins} to {ends}")
    if made > at + CLOCK_SKEW_S:
        raise BindingMismatch(f"Nitro document: made at {made}, which is after now, {at}")
