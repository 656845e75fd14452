"""What vouches for an attested enclave, as files keep it."""

from __future__ import annotations

from enclave.verified import Grounds
from vault.vouching import Vouching


def vouching_of(grounds: Grounds) -> Vouching:
    """Return what an offline check of the enclave's signatures needs."""
    return Vouching(
        charter=grounds.charter,
        head=grounds.head,
        policies=tuple(grounds.policies[cid] for cid in grounds.head.policies if cid in grounds.policies),
        leases=grounds.leases,
        binding=grounds.binding,
        evidence=grounds.evidence,
    )
