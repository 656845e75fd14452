"""Intel quotes, TDX and SGX, with genuine collateral."""

from enclave.attestation.quote import quote_from
from enclave.attestation.sgx import verified_sgx
from enclave.attestation.tdx import verified_tdx
from enclave.attestation.unverified import claimed
from fuzz.seeds import AT, seeds
from vault.errors import VaultError

ROLES = ("quote",)
_COLLATERAL = seeds("dcap_collateral_v3")[0]


def fuzz(data: bytes) -> None:
    """Parse a quote, show it and verify it as either kind."""
    for verify in (verified_tdx, verified_sgx):
        try:
            verify(data, _COLLATERAL, at=AT)
        except VaultError:
            continue
    quote_from(data)
    claimed("tdx", data)
