"""What anyone is told of an enclave that does not serve: never an address, nor advice for its operator."""

from __future__ import annotations

import pytest

from enclave.status import shown
from vault import errors
from vault.errors import AccessDenied, Revoked, VaultError

DETAIL = "custodian at 10.1.2.3:7101 waits for the state of 2 others; name them with --peer"
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VaultError)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not issubclass(kind, AccessDenied)])
def test_no_detail_is_told(kind: type[VaultError]) -> None:
    words = shown(kind(DETAIL))
    assert words
    assert not any(part in words for part in ("10.1.2.3", "--peer", "7101"))


@pytest.mark.parametrize("kind", [AccessDenied, Revoked])
def test_what_the_dao_decided_is_told(kind: type[VaultError]) -> None:
    assert shown(kind("the DAO revoked policy bafy")) == "the DAO revoked policy bafy"
