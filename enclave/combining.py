"""Keys from released shares: t shares that keep their commitments make a key (rules B2, E1).

A custodian whose share breaks its commitment is named and passed over, as long as enough others are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from enclave.gathering import Answer
from enclave.grounds import Grounds
from storage.cid import Cid
from vault.charter import Custodian
from vault.errors import InvalidSignature, LyingCustodian, MalformedObject, VaultError, WrongKey
from vault.hpke import SUITES, HpkeKeys, strongest
from vault.keys import SecretKey, combined, verify_key
from vault.lease import EMPTY_ANCHOR
from vault.manifest import Manifest
from vault.release import STATE_KEY_VERSION, ShareRelease
from vault.share import ShareId

Releases = Sequence[tuple[Custodian, ShareRelease]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The keys an opening brought: one per manifest, and the state key if an enclave made one before."""

    data_keys: Mapping[Cid, SecretKey]
    state_key: SecretKey | None


class Combining:
    """Opens and combines what custodians released to one instance on the same grounds."""

    def __init__(self, hpke: HpkeKeys, grounds: Grounds, answers: Sequence[Answer]) -> None:
        self._hpke = hpke
        self._grounds = grounds
        self._answers = answers
        self._charter = grounds.history.charter
        self._report_data = grounds.binding.report_data()

    def secrets(self) -> Secrets:
        """Return the keys, or raise why too few shares are good, naming a liar."""
        keys = {manifest.cid(): self._data_key(manifest) for manifest in self._grounds.manifests}
        return Secrets(data_keys=keys, state_key=self._state_key())

    def _data_key(self, manifest: Manifest) -> SecretKey:
        subject, version = manifest.dataset, manifest.key_version
        releases = [
            (answer.custodian, share)
            for answer in self._answers
            for share in answer.shares
            if share.subject == subject and share.key_version == version
        ]
        return self._key(releases, manifest.share_commitments, manifest.key_commitment, subject, version)

    def _state_key(self) -> SecretKey | None:
        """Return the ledger's state key, or None where it was never used and its custodians lack one in common.

        An opening that ended between two deposits leaves shares of a key that sealed nothing; a new one is made, which
        `vault.custody` takes under the same condition. Afterwards, liars who show shares of a key of their own are too
        few to make it up.
        """
        by_key: dict[tuple[tuple[bytes, ...], bytes], list[tuple[Custodian, ShareRelease]]] = {}
        ledger = self._grounds.terms.ledger
        for answer in self._answers:
            state = answer.state
            if state is not None and state.subject == ledger:
                by_key.setdefault((state.commitments, state.key_commitment), []).append((answer.custodian, state))
        is_unused = self._grounds.terms.anchor == EMPTY_ANCHOR and not self._grounds.reported
        is_in_common = [len(releases) for releases in by_key.values()] == [len(self._answers)]
        if not by_key or (is_unused and not is_in_common):
            return None
        failure: VaultError | None = None
        for (commitments, key_commitment), releases in sorted(by_key.items(), key=lambda item: -len(item[1])):
            try:
                return self._key(releases, commitments, key_commitment, ledger, STATE_KEY_VERSION)
            except (WrongKey, InvalidSignature, MalformedObject) as error:
                failure = failure or error
        raise failure or WrongKey("no custodian holds this ledger's state key")

    def _key(
        self, releases: Releases, commitments: Sequence[bytes], key_commitment: bytes, subject: bytes, version: int
    ) -> SecretKey:
        key = combined(self._checked(releases, commitments), shares=self._charter.shares)
        genesis = self._grounds.terms.genesis
        verify_key(key_commitment, genesis=genesis, subject=subject, version=version, key=key)
        return key

    def _checked(
        self,
        releases: Sequence[tuple[Custodian, ShareRelease]],
        commitments: Sequence[bytes],
    ) -> dict[int, bytes]:
        """Return as many opened shares as are needed, which keep their commitments; name a liar if too few are left."""
        good: dict[int, bytes] = {}
        failure: VaultError | None = None
        for custodian, release in releases:
            try:
                good[release.index] = self._opened(custodian, release, commitments)
            except (LyingCustodian, WrongKey, InvalidSignature, MalformedObject) as error:
                failure = error
            if len(good) == self._charter.shares:
                return good
        raise failure or WrongKey(f"{self._charter.shares} shares are needed and {len(good)} came")

    def _opened(self, custodian: Custodian, release: ShareRelease, commitments: Sequence[bytes]) -> bytes:
        release.verify()
        keys = [known.key for known in self._charter.custodians]
        if release.custodian != custodian.key or keys[release.index : release.index + 1] != [custodian.key]:
            raise InvalidSignature("a share is not from the custodian whose index it bears")
        if release.report_data != self._report_data or release.index >= len(commitments):
            raise InvalidSignature("a share was released for other evidence than ours")
        self._require_strongest(custodian, release.suite)
        id = ShareId(
            genesis=self._grounds.terms.genesis,
            subject=release.subject,
            key_version=release.key_version,
            custodian=custodian.key,
            index=release.index,
        )
        commitment, report_data = commitments[release.index], self._report_data
        return id.opened_release(
            self._hpke, release.suite, release.sealed, commitment=commitment, report_data=report_data
        )

    def _require_strongest(self, custodian: Custodian, suite: str) -> None:
        """Raise `WrongKey` for a suite below the strongest that we offered and the charter says the custodian has."""
        theirs = {known.suite for known in custodian.hpke}
        offered = self._hpke.public
        both = [known for known in offered if known.suite in theirs] or offered
        if suite not in SUITES[: SUITES.index(strongest(both, floor=self._charter.suite_floor).suite) + 1]:
            name = custodian.key.hex()
            raise WrongKey(f"custodian {name} chose a weaker HPKE suite than both sides have")
