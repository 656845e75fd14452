"""One share of one key on its way: sealed, opened and checked in its context (rules B2, E1)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from storage.cid import Cid
from vault.charter import Charter, SuiteKey
from vault.hpke import HpkeKeys, seal
from vault.keys import SecretKey, key_commitment, share_commitment, split, verify_share
from vault.release import deposit_context, release_context


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareId:
    """Which share it is: of what key, and whose."""

    genesis: Cid
    subject: bytes  # dataset id, or the ledger's for the state key
    key_version: int
    custodian: bytes
    index: int  # the custodian's place in the charter

    def sealed_for_deposit(self, recipient: SuiteKey, share: bytes) -> bytes:
        """Return the share sealed to its custodian."""
        return seal(recipient, share, info=deposit_context(**self._facts(recipient.suite)))

    def sealed_for_release(self, recipient: SuiteKey, share: bytes, *, report_data: bytes) -> bytes:
        """Return the share sealed to an enclave, for the evidence with that report data."""
        info = release_context(**self._facts(recipient.suite), report_data=report_data)
        return seal(recipient, share, info=info)

    def opened_deposit(self, hpke: HpkeKeys, suite: str, sealed: bytes, *, commitment: bytes) -> bytes:
        """Return the share that was deposited, or raise `WrongKey` or `LyingCustodian`."""
        return self._kept(hpke.open(suite, sealed, info=deposit_context(**self._facts(suite))), commitment)

    def opened_release(
        self, hpke: HpkeKeys, suite: str, sealed: bytes, *, commitment: bytes, report_data: bytes
    ) -> bytes:
        """Return the share that was released, or raise `WrongKey` or `LyingCustodian`."""
        info = release_context(**self._facts(suite), report_data=report_data)
        return self._kept(hpke.open(suite, sealed, info=info), commitment)

    def _kept(self, share: bytes, commitment: bytes) -> bytes:
        verify_share(
            commitment,
            genesis=self.genesis,
            subject=self.subject,
            version=self.key_version,
            index=self.index,
            share=share,
            custodian=self.custodian,
        )
        return share

    def _facts(self, suite: str) -> dict[str, Any]:
        return {
            "genesis": self.genesis,
            "subject": self.subject,
            "key_version": self.key_version,
            "custodian": self.custodian,
            "index": self.index,
            "suite": suite,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """A key's shares in the charter's order, and what commits to them and to the key in public."""

    shares: tuple[bytes, ...] = field(repr=False)
    commitments: tuple[bytes, ...]
    key_commitment: bytes


def dealt(key: SecretKey, charter: Charter, *, genesis: Cid, subject: bytes, version: int) -> Dealt:
    """Split a key among the charter's custodians."""
    shares = split(key, shares=charter.shares, of=len(charter.custodians), identifier=secrets.randbits(15))
    return Dealt(
        shares=tuple(shares),
        commitments=tuple(
            share_commitment(genesis, subject, version, index, share) for index, share in enumerate(shares)
        ),
        key_commitment=key_commitment(genesis, subject, version, key.reveal()),
    )
