"""Intel's collateral, for a genuine quote."""

from enclave.attestation.collateral import collateral_from, require_current
from enclave.attestation.tdx import verified_tdx
from fuzz.seeds import AT, seeds
from vault.errors import VaultError

ROLES = ("dcap_collateral_v3",)
_QUOTE = seeds("quote")[0]


def fuzz(data: bytes) -> None:
    """Parse collateral, ask whether it is current, and verify a quote with it."""
    try:
        verified_tdx(_QUOTE, data, at=AT)
    except VaultError:
        require_current(collateral_from(data), at=AT)
