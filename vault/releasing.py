"""Releasing a share: opened as it was deposited, and sealed at once to the keys an enclave's evidence vouches for."""

from __future__ import annotations

from dataclasses import dataclass

from storage.cid import Cid
from vault.custodian import CustodianKeys
from vault.deposited import opened_share, opened_state_share
from vault.errors import AccessDenied
from vault.evidence import Binding
from vault.history import History
from vault.hpke import strongest
from vault.lease import Lease
from vault.machine import BLANK
from vault.manifest import Manifest, ShareDeposit
from vault.release import STATE_KEY_VERSION, ShareRelease, StateDeposit
from vault.share import ShareId


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What an accepted enclave gets."""

    lease: Lease
    blocks: tuple[tuple[Cid, bytes], ...]
    shares: tuple[ShareRelease, ...]
    state_share: ShareRelease | None


@dataclass(frozen=True, slots=True)
class Releasing:
    """One custodian's releases to one attested enclave (rules B1, E1)."""

    keys: CustodianKeys
    history: History
    binding: Binding
    report_data: bytes  # the binding's

    def share(self, manifest: Manifest, deposited: bytes | None) -> ShareRelease:
        """Return the share of a dataset's key; raise `AccessDenied` where none was deposited under this DAO."""
        if deposited is None or manifest.genesis != self.history.genesis:
            raise AccessDenied(f"no share of dataset {manifest.dataset.hex()} was deposited here under this DAO")
        deposit = ShareDeposit.from_bytes(deposited)
        share = opened_share(self.keys.hpke, manifest, deposit)
        return self._sealed(manifest.dataset, manifest.key_version, deposit.index, share)

    def state_share(self, ledger: bytes, deposited: bytes) -> ShareRelease:
        """Return the share of a ledger's state key."""
        deposit = StateDeposit.from_bytes(deposited)
        share = opened_state_share(self.keys.hpke, deposit)
        return self._sealed(ledger, STATE_KEY_VERSION, deposit.index, share, state=deposit)

    def _sealed(
        self, subject: bytes, key_version: int, index: int, share: bytes, *, state: StateDeposit | None = None
    ) -> ShareRelease:
        recipient = strongest(self.binding.hpke, floor=self.history.charter.suite_floor)
        custodian = self.keys.signing.public
        id = ShareId(
            genesis=self.history.genesis, subject=subject, key_version=key_version, custodian=custodian, index=index
        )
        return ShareRelease(
            custodian=custodian,
            subject=subject,
            key_version=key_version,
            index=index,
            suite=recipient.suite,
            report_data=self.report_data,
            sealed=id.sealed_for_release(recipient, share, report_data=self.report_data),
            commitments=state.commitments if state else (),
            key_commitment=state.key_commitment if state else b"",
            signature=BLANK,
        ).signed_by(self.keys.signing)
