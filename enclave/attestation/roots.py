"""The vendors' root certificates, pinned: SHA-256 of each certificate's DER encoding. Nothing else is trusted.

Evidence brings its chain along, root included; the root counts only if its hash stands here.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from enclave.attestation.errors import ChainInvalid

INTEL_SGX: Final = "Intel SGX Root CA"
AWS_NITRO: Final = "AWS Nitro Enclaves Root G1"
NVIDIA_DEVICE: Final = "NVIDIA Device Identity CA"
NVIDIA_RIM: Final = "NVIDIA CoRIM signing Root CA"
AMD_MILAN: Final = "AMD ARK-Milan"
AMD_GENOA: Final = "AMD ARK-Genoa"
AMD_TURIN: Final = "AMD ARK-Turin"

ROOTS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        INTEL_SGX: bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"),
        AWS_NITRO: bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"),
        NVIDIA_DEVICE: bytes.fromhex("102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"),
        NVIDIA_RIM: bytes.fromhex("12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"),
        AMD_MILAN: bytes.fromhex("69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
        AMD_GENOA: bytes.fromhex("4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
        AMD_TURIN: bytes.fromhex("1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"),
    }
)


def require_root(der: bytes, *names: str, pinned: Mapping[str, bytes] = ROOTS) -> str:
    """Return which of the named roots this certificate (DER) is, or raise `ChainInvalid`.

    `pinned` is another table than ours only in tests, which cannot have a vendor sign their variants.
    """
    found = sha256(der).digest()
    for name in names:
        if hmac.compare_digest(found, pinned[name]):
            return name
    raise ChainInvalid(f"root: found a certificate of hash {found.hex()[:16]}, wanted {' or '.join(names)}")
