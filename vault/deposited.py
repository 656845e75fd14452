"""Opening a share that was deposited: in its context (rule B2), and checked against its public commitment."""

from __future__ import annotations

from collections.abc import Sequence

from storage.cid import Cid
from vault.errors import MalformedObject
from vault.hpke import HpkeKeys
from vault.manifest import Manifest, ShareDeposit
from vault.release import STATE_KEY_VERSION, StateDeposit
from vault.share import ShareId


def opened_share(hpke: HpkeKeys, manifest: Manifest, deposit: ShareDeposit) -> bytes:
    """Return a custodian's share of a dataset's key, or raise `WrongKey` or `LyingCustodian`."""
    return _opened(hpke, deposit, manifest.genesis, manifest.dataset, manifest.key_version, manifest.share_commitments)


def opened_state_share(hpke: HpkeKeys, deposit: StateDeposit) -> bytes:
    """Return a custodian's share of a ledger's state key, or raise `WrongKey` or `LyingCustodian`."""
    return _opened(hpke, deposit, deposit.genesis, deposit.ledger, STATE_KEY_VERSION, deposit.commitments)


def _opened(
    hpke: HpkeKeys,
    deposit: ShareDeposit | StateDeposit,
    genesis: Cid,
    subject: bytes,
    key_version: int,
    commitments: Sequence[bytes],
) -> bytes:
    if deposit.index >= len(commitments):
        raise MalformedObject("there is no commitment to this share")
    id = ShareId(
        genesis=genesis, subject=subject, key_version=key_version, custodian=deposit.custodian, index=deposit.index
    )
    return id.opened_deposit(hpke, deposit.suite, deposit.sealed, commitment=commitments[deposit.index])
