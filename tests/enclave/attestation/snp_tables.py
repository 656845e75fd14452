"""Certificate tables as a SEV-SNP host hands them over (GHCB specification, extended guest request)."""

from __future__ import annotations

from tests.enclave.attestation.amd import Guest, issuers
from tests.people import seeded

VCEK = bytes.fromhex("63da758de6644564adc5f4b93be8accd")
VLEK = bytes.fromhex("a8074bc2a25a483eaae639c045a0b8a1")
ASK = bytes.fromhex("4ab7b379bbac4fe4a02f05aef327c782")
ARK = bytes.fromhex("c0b406a4a803495297433fb6014cd0ae")
OTHER = seeded("GUID", 16)


def table(*entries: tuple[bytes, bytes]) -> bytes:
    offset = 24 * (len(entries) + 1)
    head, body = b"", b""
    for guid, content in entries:
        head += guid + (offset + len(body)).to_bytes(4, "little") + len(content).to_bytes(4, "little")
        body += content
    return head + bytes(24) + body


def moved(place: int, offset: int) -> bytes:
    """Return a table that is whole but for one entry, which begins elsewhere."""
    whole = bytearray(table((VCEK, b"v"), (ASK, b"a"), (ARK, b"rr")))
    whole[place * 24 + 16 : place * 24 + 20] = offset.to_bytes(4, "little")
    return bytes(whole)


def whole_table(guest: Guest) -> bytes:
    ask, ark = issuers(guest.product, guest.kind)
    return table((ARK, ark), (OTHER, b"?"), (VCEK if guest.kind == "VCEK" else VLEK, guest.signer()), (ASK, ask))
