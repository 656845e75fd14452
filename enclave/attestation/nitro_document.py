"""The AWS Nitro attestation document: COSE_Sign1 over a CBOR map, nothing verified.

It is parsed twice: first for its signature and the certificates to verify that with, then, strictly, for what it says.

Source: AWS, Nitro Enclaves Attestation Process (aws-nitro-enclaves-nsm-api, docs/attestation_process.md), sections 2.2
and 3.2; RFC 9052, section 4.2. Deployed documents write an absent optional field as null, which is read as absent.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import EvidenceMalformed, KindUnsupported

PAYLOAD_BYTES_MAX: Final = 16384
PROTECTED: Final = b"\xa1\x01\x38\x22"  # {1: -35}: ES384, RFC 9053, section 2.1
SIGNATURE_BYTES: Final = 96
DIGEST: Final = "SHA384"
PCR_BYTES: Final = 48  # of that digest
PCR_COUNT: Final = 32
CABUNDLE_MAX: Final = 7  # the root and those below it; real ones have 4
CERTIFICATE_BYTES_MAX: Final = 1024
USER_DATA_BYTES_MAX: Final = 512
NONCE_BYTES_MAX: Final = 512
PUBLIC_KEY_BYTES_MAX: Final = 1024
MODULE_ID_CHARACTERS_MAX: Final = 256
IMAGE_PCRS: Final = (0, 1, 2)  # image file, kernel and boot, application; all zero in debug mode

_TAG: Final = b"\xd2"  # 18, optional
_MANDATORY: Final = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
_OPTIONAL: Final = {"public_key": (1, PUBLIC_KEY_BYTES_MAX), "user_data": (0, USER_DATA_BYTES_MAX)} | {
    "nonce": (0, NONCE_BYTES_MAX)
}
_TPM_PCRS: Final = "nitrotpm_pcrs"  # the registers in a document of an EC2 instance's NitroTPM
_PCRS_SHOWN: Final = (*IMAGE_PCRS, 8)  # what an image is measured into; others only where they say something
_DEPTH_MAX: Final = 4
_TAGS: Final = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


@dataclass(frozen=True, slots=True, kw_only=True)
class NitroEnvelope:
    """A document as far as its signature needs it: nothing is judged of the rest of what is signed."""

    protected: bytes
    payload: bytes
    signature: bytes  # r ‖ s
    certificate: bytes
    cabundle: tuple[bytes, ...]  # root first

    @classmethod
    def from_bytes(cls, document: bytes) -> NitroEnvelope:
        """Return the one document that all of these bytes encode.

        Raises: EvidenceMalformed: none. KindUnsupported: one of an instance's NitroTPM.
        """
        protected, payload, signature = _cose_sign1(document)
        fields = _decoded(payload, strict=False)
        if type(fields) is not dict:
            raise EvidenceMalformed("Nitro document: its payload is not a map")
        if _TPM_PCRS in fields:
            raise KindUnsupported("Nitro document: found one of an EC2 instance's NitroTPM, wanted one of an enclave")
        certificate, cabundle = _certificates(fields)
        return cls(
            protected=protected, payload=payload, signature=signature, certificate=certificate, cabundle=cabundle
        )

    @property
    def signed(self) -> bytes:
        """Return the Sig_structure that the signature covers (RFC 9052, section 4.4)."""
        return cbor2.dumps(["Signature1", self.protected, b"", self.payload], canonical=True)

    def document(self) -> NitroDocument:
        """Return what is signed, or raise `EvidenceMalformed` where it is not as the specification wants it."""
        if self.protected != PROTECTED:
            raise EvidenceMalformed("Nitro document: its protected header is not that of ES384 alone")
        return NitroDocument.from_payload(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class NitroDocument:
    """What a document says; every field is of the type and size that the specification allows."""

    module_id: str
    timestamp_ms: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]  # root first
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None

    @classmethod
    def from_bytes(cls, document: bytes) -> NitroDocument:
        """Return what a document says, which nobody vouches for yet. Raises as `NitroEnvelope.from_bytes` does."""
        return NitroEnvelope.from_bytes(document).document()

    @classmethod
    def from_payload(cls, payload: bytes) -> NitroDocument:
        """Return what a signed payload says, or raise `EvidenceMalformed`."""
        fields = _decoded(payload, strict=True)
        if type(fields) is not dict or not _MANDATORY <= fields.keys() <= _MANDATORY | _OPTIONAL.keys():
            raise EvidenceMalformed("Nitro document: its fields are not those of the specification")
        module_id, timestamp = fields["module_id"], fields["timestamp"]
        if type(module_id) is not str or not 1 <= len(module_id) <= MODULE_ID_CHARACTERS_MAX:
            raise EvidenceMalformed("Nitro document: module_id is not text of a sensible length")
        if type(timestamp) is not int or not 0 < timestamp < 1 << 63:
            raise EvidenceMalformed("Nitro document: timestamp is not a positive integer")
        if fields["digest"] != DIGEST:
            raise EvidenceMalformed(f"Nitro document: digest is not {DIGEST}")
        certificate, cabundle = _certificates(fields)
        return cls(
            module_id=module_id,
            timestamp_ms=timestamp,
            pcrs=_pcrs(fields["pcrs"]),
            certificate=certificate,
            cabundle=cabundle,
            **{
                name: None if fields.get(name) is None else _bytes(fields[name], name, *bounds)
                for name, bounds in _OPTIONAL.items()
            },
        )

    @property
    def debug(self) -> bool:
        """Return whether the enclave runs in debug mode, in which nothing is measured."""
        return not any(any(self.pcrs.get(index, b"")) for index in IMAGE_PCRS)

    def facts(self) -> dict[str, Fact]:
        """Return what a policy may judge; a register that the document lacks is absent."""
        return {
            **{f"pcr{index}": value for index, value in sorted(self.pcrs.items())},
            "module_id": self.module_id,
            "timestamp_ms": self.timestamp_ms,
            "user_data": self.user_data,
            "nonce": self.nonce,
            "public_key": self.public_key,
            "debug": self.debug,
        }

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON."""
        pcrs: dict[str, Shown] = {
            str(index): value.hex() for index, value in sorted(self.pcrs.items()) if any(value) or index in _PCRS_SHOWN
        }
        return {
            "module_id": self.module_id,
            "digest": DIGEST,
            "timestamp_ms": self.timestamp_ms,
            "pcrs": pcrs,
            "user_data": None if self.user_data is None else self.user_data.hex(),
            "nonce": None if self.nonce is None else self.nonce.hex(),
            "public_key": None if self.public_key is None else self.public_key.hex(),
            "cabundle_len": len(self.cabundle),
            "debug": self.debug,
        }


def _cose_sign1(document: bytes) -> tuple[bytes, bytes, bytes]:
    """Return protected header, payload and signature; the envelope around them must be in its one canonical form."""
    body = document.removeprefix(_TAG)
    if len(body) > PAYLOAD_BYTES_MAX + SIGNATURE_BYTES + 16:
        raise EvidenceMalformed(f"Nitro document of {len(document)} bytes is too long")
    match _decoded(body, strict=True):
        case [bytes() as protected, _, bytes() as payload, bytes() as signature]:
            pass
        case _:
            raise EvidenceMalformed("Nitro document: not a COSE_Sign1")
    if cbor2.dumps([protected, {}, payload, signature], canonical=True) != body:
        raise EvidenceMalformed("Nitro document: not in the one form of a COSE_Sign1")
    if len(signature) != SIGNATURE_BYTES or not 1 <= len(payload) <= PAYLOAD_BYTES_MAX:
        raise EvidenceMalformed(f"Nitro document: {len(signature)} bytes of signature over {len(payload)}")
    return protected, payload, signature


def _certificates(fields: dict[Any, Any]) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the signer's certificate and the bundle that certifies it."""
    bundle = fields.get("cabundle")
    if type(bundle) is not list or not 1 <= len(bundle) <= CABUNDLE_MAX:
        raise EvidenceMalformed(f"Nitro document: cabundle is not a list of 1 to {CABUNDLE_MAX}")
    return (
        _bytes(fields.get("certificate"), "certificate", 1, CERTIFICATE_BYTES_MAX),
        tuple(_bytes(der, "cabundle", 1, CERTIFICATE_BYTES_MAX) for der in bundle),
    )


def _decoded(encoded: bytes, *, strict: bool) -> Any:
    """Return the one CBOR item that all of these bytes encode, without tags.

    Newer hypervisors write maps of indefinite length, which the specification does not forbid. Strictly, text is UTF-8
    and no map has a key twice; otherwise its framing alone counts.
    """
    stream = io.BytesIO(encoded)
    decoder = cbor2.CBORDecoder(
        stream,
        semantic_decoders=dict.fromkeys(_TAGS, _refuse_tag),
        str_errors="strict" if strict else "replace",
        max_depth=_DEPTH_MAX,
        allow_duplicate_keys=not strict,
    )
    try:
        item = decoder.decode()
    except (cbor2.CBORError, RecursionError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise EvidenceMalformed("Nitro document: not CBOR of the kind it must be") from error
    if stream.tell() != len(encoded):
        raise EvidenceMalformed("Nitro document: bytes after its end")
    return item


def _refuse_tag(*_: object) -> None:
    raise EvidenceMalformed("Nitro document: a tag where none may be")


def _pcrs(found: object) -> dict[int, bytes]:
    if type(found) is not dict or not 1 <= len(found) <= PCR_COUNT:
        raise EvidenceMalformed(f"Nitro document: pcrs is not a map of 1 to {PCR_COUNT}")
    if not all(type(index) is int and 0 <= index < PCR_COUNT for index in found):
        raise EvidenceMalformed(f"Nitro document: a register's index is not 0 to {PCR_COUNT - 1}")
    return {index: _bytes(value, "pcrs", PCR_BYTES, PCR_BYTES) for index, value in found.items()}


def _bytes(found: object, name: str, least: int, most: int) -> bytes:
    if type(found) is not bytes or not least <= len(found) <= most:
        raise EvidenceMalformed(f"Nitro document: {name} is not of {least} to {most} bytes")
    return found
