"""Nitro documents, their CBOR and their certificates."""

from contextlib import suppress

from enclave.attestation.nitro import verified_nitro
from enclave.attestation.nitro_document import NitroDocument
from fuzz.seeds import AT
from vault.errors import VaultError

ROLES = ("cose_sign1",)


def fuzz(data: bytes) -> None:
    """Parse a document, read all of it, and verify it."""
    with suppress(VaultError):
        document = NitroDocument.from_bytes(data)
        document.facts()
        document.shown()
    verified_nitro(data, at=AT)
