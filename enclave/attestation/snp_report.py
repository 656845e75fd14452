"""The SEV-SNP attestation report: its fields by offset, nothing verified.

Source: AMD, SEV Secure Nested Paging Firmware ABI Specification (56860), ATTESTATION_REPORT; little-endian. Version 3
added the CPU's identity, version 5 the mitigation vectors; version 4 was never published and is seen in the wild with
the fields of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import EvidenceMalformed, FormUnsupported

REPORT_BYTES: Final = 1184
SIGNED_BYTES: Final = 0x2A0
VERSIONS: Final = (2, 3, 4, 5)
ECDSA_P384_SHA384: Final = 1  # SIGNATURE_ALGO
VCEK: Final = "VCEK"
VLEK: Final = "VLEK"
SIGNING_KEYS: Final = {0: VCEK, 1: VLEK}  # 2 to 6 are reserved, 7 says that nothing signed
TCB_FIELDS: Final = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")

_SCALAR_BYTES: Final = 72  # of R and of S, each a little-endian integer of 48 significant bytes
_SIGNATURE_END: Final = SIGNED_BYTES + 2 * _SCALAR_BYTES
_POLICY_BITS: Final = {  # GUEST_POLICY
    "smt": 16,
    "migrate": 18,
    "debug": 19,
    "single_socket": 20,
    "cxl_allowed": 21,
    "mem_aes_256_xts": 22,
    "rapl_disabled": 23,
    "ciphertext_hiding_dram": 24,
    "page_swap_disabled": 25,
}
_POLICY_SHOWN: Final = ("debug", "migrate", "smt", "single_socket")
_POLICY_ALWAYS_ONE: Final = 1 << 17
_POLICY_KNOWN: Final = (1 << 26) - 1
_FIELDS: Final = {  # of bytes: offset and length
    "family_id": (0x010, 16),
    "image_id": (0x020, 16),
    "current_tcb": (0x038, 8),
    "report_data": (0x050, 64),
    "measurement": (0x090, 48),
    "host_data": (0x0C0, 32),
    "id_key_digest": (0x0E0, 48),
    "author_key_digest": (0x110, 48),
    "report_id": (0x140, 32),
    "report_id_ma": (0x160, 32),
    "reported_tcb": (0x180, 8),
    "chip_id": (0x1A0, 64),
    "committed_tcb": (0x1E0, 8),
    "launch_tcb": (0x1F0, 8),
}
_NUMBERS: Final = {  # offset and length
    "version": (0x000, 4),
    "guest_svn": (0x004, 4),
    "policy": (0x008, 8),
    "vmpl": (0x030, 4),
    "sig_algo": (0x034, 4),
    "platform_info": (0x040, 8),
}
_BYTES_SHOWN: Final = tuple(name for name in _FIELDS if name not in ("author_key_digest", "report_id_ma"))


@dataclass(frozen=True, slots=True)
class SnpReport:
    """1184 bytes that may be a report; no byte outside what its signature covers is free to choose."""

    encoded: bytes

    def __post_init__(self) -> None:
        if len(self.encoded) != REPORT_BYTES:
            raise EvidenceMalformed(f"SNP report of {len(self.encoded)} bytes, wanted {REPORT_BYTES}")
        if any(self.encoded[_SIGNATURE_END:]):
            raise EvidenceMalformed("SNP report: bytes after its signature are not zero")

    @property
    def signed(self) -> bytes:
        """Return the bytes that the signature covers."""
        return self.encoded[:SIGNED_BYTES]

    @property
    def signature(self) -> tuple[int, int]:
        """Return R and S as found."""
        middle = SIGNED_BYTES + _SCALAR_BYTES
        return (
            int.from_bytes(self.encoded[SIGNED_BYTES:middle], "little"),
            int.from_bytes(self.encoded[middle:_SIGNATURE_END], "little"),
        )

    def field(self, name: str) -> bytes:
        """Return a field of bytes by its name in the specification, in lower case."""
        offset, length = _FIELDS[name]
        return self.encoded[offset : offset + length]

    def number(self, name: str) -> int:
        """Return a numeric field by its name in the specification, in lower case."""
        offset, length = _NUMBERS[name]
        return int.from_bytes(self.encoded[offset : offset + length], "little")

    @property
    def _key_flags(self) -> int:
        return int.from_bytes(self.encoded[0x048:0x04C], "little")

    @property
    def author_key_en(self) -> int:
        """Return whether an author key signed the ID key: 0 or 1."""
        return self._key_flags & 1

    @property
    def mask_chip_key(self) -> int:
        """Return whether the host forbids the VCEK to sign: 0 or 1."""
        return self._key_flags >> 1 & 1

    @property
    def signing_key(self) -> int:
        """Return which kind of key signed, as `SIGNING_KEYS` numbers them."""
        return self._key_flags >> 2 & 7

    @property
    def cpuid(self) -> tuple[int, int, int] | None:
        """Return the CPU's family, model and stepping, which version 2 does not tell."""
        return None if self.number("version") < 3 else (self.encoded[0x188], self.encoded[0x189], self.encoded[0x18A])

    def policy_allows(self, name: str) -> bool:
        """Return one bit of the guest policy."""
        return bool(self.number("policy") >> _POLICY_BITS[name] & 1)

    @property
    def abi(self) -> str:
        """Return the least firmware ABI the guest policy asks for, as major.minor."""
        return f"{self.number('policy') >> 8 & 0xFF}.{self.number('policy') & 0xFF}"

    def require_known(self) -> None:
        """Raise unless every byte has a meaning that this build knows."""
        version = self.number("version")
        if version not in VERSIONS:
            raise FormUnsupported(f"SNP report of version {version}, wanted one of {VERSIONS}")
        reserved = {
            0x04C: 0x050,
            0x18B if version >= 3 else 0x188: 0x1A0,
            0x1EB: 0x1EC,
            0x1EF: 0x1F0,
            0x208 if version >= 4 else 0x1F8: SIGNED_BYTES,
        }
        if self._key_flags >> 5 or any(any(self.encoded[begin:end]) for begin, end in reserved.items()):
            raise EvidenceMalformed(f"SNP report of version {version}: reserved bytes are not zero")
        policy = self.number("policy")
        if not policy & _POLICY_ALWAYS_ONE or policy & ~_POLICY_KNOWN:
            raise EvidenceMalformed(f"SNP report: guest policy {policy:#x} has bits that no specification names")

    def facts(self) -> dict[str, Fact]:
        """Return what a policy may judge of the report alone."""
        return {
            **{name: self.number(name) for name in _NUMBERS},
            **{name: self.field(name) for name in _FIELDS},
            **{name: self.policy_allows(name) for name in _POLICY_BITS},
            "abi": self.abi,
            "author_key_en": self.author_key_en,
        }

    def shown(self) -> dict[str, Shown]:
        """Return the report's own claims as JSON."""
        return {
            **{name: self.number(name) for name in _NUMBERS},
            **{name: self.field(name).hex() for name in _BYTES_SHOWN},
            **{name: self.policy_allows(name) for name in _POLICY_SHOWN},
            "abi": self.abi,
            "author_key_en": self.author_key_en,
            "mask_chip_key": self.mask_chip_key,
            "signing_key": self.signing_key,
            "cpuid_fms": list(self.cpuid or (None, None, None)),
        }
