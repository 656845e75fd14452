"""Getting leases and keys from custodians: t shares make a key, q leases make it fresh (rules B2, E1, F1, F2).

One piece of evidence binds every custodian's nonce. Custodians that do not answer are passed over, as long as enough
do; one whose share breaks its commitment is named and passed over as well. The age of a lease counts from before it was
asked for, on this machine's monotonic clock, so a host that moves the wall clock gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from enclave.attestation.attester import Attester
from enclave.keys import InstanceKeys
from storage.cid import Cid
from vault.charter import Charter, Custodian
from vault.errors import (
    InvalidSignature,
    LyingCustodian,
    MalformedObject,
    ServiceUnavailable,
    StaleState,
    VaultError,
    WrongKey,
)
from vault.evidence import RELEASE, Binding, Evidence, Nonce
from vault.head import History, extended, verified_history
from vault.keys import SecretKey, combined, verify_key, verify_share
from vault.lease import Anchor, Lease, Terms, agreed_terms
from vault.manifest import Manifest
from vault.release import STATE_KEY_VERSION, HandBack, ShareRelease, StateDeposit, release_context


class CustodyService(Protocol):
    """What an enclave asks of one custodian; `vault.client.CustodyClient` is the real one."""

    @property
    def custodian(self) -> Custodian: ...  # noqa: D102
    def challenge(self, instance: bytes) -> bytes: ...  # noqa: D102
    def release(  # noqa: D102
        self, binding: Binding, evidence: Evidence, anchor: Anchor, *, wants_shares: bool, known_head: Cid | None
    ) -> tuple[Lease, dict[Cid, bytes], list[ShareRelease], ShareRelease | None]: ...
    def deposit_state(self, deposit: StateDeposit) -> None: ...  # noqa: D102
    def hand_back(self, hand_back: HandBack) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """On what an instance serves, and until when: public objects that anyone can check."""

    binding: Binding
    evidence: Evidence
    leases: tuple[Lease, ...]
    terms: Terms
    history: History
    manifests: tuple[Manifest, ...]
    time_base: int  # UTC seconds at `asked_at`
    asked_at: float  # monotonic seconds, before the leases were asked for
    lifetime_s: int

    def now(self, monotonic: float) -> int:
        """Return UTC seconds by the leases' time, whatever the host's clock says."""
        return self.time_base + int(monotonic - self.asked_at)

    def remaining_s(self, monotonic: float, *, at_most: float) -> float:
        """Return how many seconds the leases still last, `at_most` if longer, never below zero."""
        return max(0.0, min(at_most, self.asked_at + self.lifetime_s - monotonic))

    def require_fresh(self, monotonic: float) -> int:
        """Return the time, or raise `StaleState` where the leases have run out."""
        if monotonic - self.asked_at >= self.lifetime_s:
            raise StaleState("the enclave's lease has run out and could not be renewed; it does not serve")
        return self.now(monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The keys an opening brought: one per manifest, and the state key if an enclave made one before."""

    data_keys: Mapping[Cid, SecretKey]
    state_key: SecretKey | None


@dataclass(frozen=True, slots=True)
class _Answer:
    custodian: Custodian
    lease: Lease
    blocks: dict[Cid, bytes]
    shares: list[ShareRelease]
    state: ShareRelease | None


class Opening:
    """Asks custodians on behalf of one instance."""

    def __init__(
        self,
        custodians: Sequence[CustodyService],
        attester: Attester,
        keys: InstanceKeys,
        *,
        genesis: Cid,
        configuration: Cid,
        monotonic: Callable[[], float],
    ) -> None:
        self._custodians = custodians
        self._attester = attester
        self._keys = keys
        self._genesis = genesis
        self._configuration = configuration
        self._monotonic = monotonic

    def open(self, anchor: Anchor) -> tuple[Grounds, Secrets]:
        """Return leases and keys for a fresh instance, or raise why the custodians or the chain do not allow it."""
        grounds, answers = self._ask(anchor, wants_shares=True, known=None)
        charter = grounds.history.charter
        keys = {manifest.cid(): self._data_key(manifest, charter, answers, grounds) for manifest in grounds.manifests}
        return grounds, Secrets(data_keys=keys, state_key=self._state_key(charter, answers, grounds))

    def renew(self, anchor: Anchor, known: History) -> Grounds:
        """Return fresh leases, on fresh evidence, for an instance that holds its keys already."""
        return self._ask(anchor, wants_shares=False, known=known)[0]

    def binding(self, purpose: str, nonces: Sequence[Nonce]) -> Binding:
        """Return what this instance's evidence binds."""
        return Binding(
            purpose=purpose,
            nonces=tuple(sorted(nonces, key=lambda nonce: (nonce.challenger, nonce.nonce))),
            hpke=self._keys.hpke.public,
            tls_key=self._keys.tls.key_hash,
            receipt_key=self._keys.instance,
            gpu_evidence=b"",
            configuration=self._configuration,
            genesis=self._genesis,
        )

    def _ask(self, anchor: Anchor, *, wants_shares: bool, known: History | None) -> tuple[Grounds, list[_Answer]]:
        asked_at = self._monotonic()
        challenged, failures = self._challenged()
        if not challenged:
            raise _reason(failures)
        binding = self.binding(RELEASE, [Nonce(challenger=c.custodian.key, nonce=nonce) for c, nonce in challenged])
        evidence = self._attester.evidence(binding.report_data())
        answers: list[_Answer] = []
        for custodian, _ in challenged:
            try:
                answer = _Answer(
                    custodian.custodian,
                    *custodian.release(
                        binding,
                        evidence,
                        anchor,
                        wants_shares=wants_shares,
                        known_head=known.head.cid() if known else None,
                    ),
                )
                _require_own_lease(answer, binding)
                answers.append(answer)
            except VaultError as error:
                failures.append(error)
        if not answers:
            raise _reason(failures)
        try:
            return self._grounds(binding, evidence, anchor, answers, known, asked_at), answers
        except StaleState as error:
            raise (_reason(failures) if failures else error) from error

    def _challenged(self) -> tuple[list[tuple[CustodyService, bytes]], list[VaultError]]:
        challenged: list[tuple[CustodyService, bytes]] = []
        failures: list[VaultError] = []
        for custodian in self._custodians:
            try:
                challenged.append((custodian, custodian.challenge(self._keys.instance)))
            except VaultError as error:
                failures.append(error)
        return challenged, failures

    def _grounds(
        self,
        binding: Binding,
        evidence: Evidence,
        anchor: Anchor,
        answers: list[_Answer],
        known: History | None,
        asked_at: float,
    ) -> Grounds:
        blocks = {cid: block for answer in answers for cid, block in answer.blocks.items()}
        charter = known.charter if known else Charter.from_bytes(_fetch(blocks, self._genesis))
        leases = tuple(answer.lease for answer in answers if charter.custodian(answer.lease.custodian) is not None)
        times = sorted(lease.issued_at for lease in leases) or [0]
        time_base = times[min(charter.liars, len(times) - 1)]  # rule F2: f liars cannot move it forward
        terms = agreed_terms(leases, charter, genesis=self._genesis, at=time_base)
        if (terms.instance, terms.evidence, terms.anchor) != (self._keys.instance, evidence.digest(), anchor):
            raise InvalidSignature("the leases are for another instance, evidence or ledger state than ours")
        history = (
            extended(known, terms.head, lambda cid: _fetch(blocks, cid), at=time_base)
            if known
            else verified_history(self._genesis, terms.head, lambda cid: _fetch(blocks, cid), at=time_base)
        )
        manifests = tuple(Manifest.from_bytes(_fetch(blocks, cid)) for cid in terms.manifests)
        for manifest in manifests:
            manifest.verify_owner(charter.domain(self._genesis))
        agreeing = tuple(lease for lease in leases if lease.terms == terms)
        # As long as q leases last: a liar among them neither lengthens nor shortens it.
        lifetimes = sorted((lease.not_after - lease.issued_at for lease in agreeing), reverse=True)
        return Grounds(
            binding=binding,
            evidence=evidence,
            leases=agreeing,
            terms=terms,
            history=history,
            manifests=manifests,
            time_base=time_base,
            asked_at=asked_at,
            lifetime_s=min(charter.lease_s, lifetimes[charter.signatures - 1]),
        )

    def _data_key(self, manifest: Manifest, charter: Charter, answers: list[_Answer], grounds: Grounds) -> SecretKey:
        releases = [
            (answer.custodian, share)
            for answer in answers
            for share in answer.shares
            if share.subject == manifest.dataset and share.key_version == manifest.key_version
        ]
        shares = self._checked(releases, manifest.share_commitments, charter, grounds)
        key = combined(shares, shares=charter.shares)
        verify_key(
            manifest.key_commitment,
            genesis=self._genesis,
            subject=manifest.dataset,
            version=manifest.key_version,
            key=key,
        )
        return key

    def _state_key(self, charter: Charter, answers: list[_Answer], grounds: Grounds) -> SecretKey | None:
        releases = [
            (answer.custodian, answer.state)
            for answer in answers
            if answer.state is not None and answer.state.subject == grounds.terms.ledger
        ]
        if not releases:
            return None
        first = releases[0][1]
        if any((r.commitments, r.key_commitment) != (first.commitments, first.key_commitment) for _, r in releases):
            raise WrongKey("custodians disagree about the state key's commitments")
        shares = self._checked(releases, first.commitments, charter, grounds)
        key = combined(shares, shares=charter.shares)
        verify_key(
            first.key_commitment,
            genesis=self._genesis,
            subject=grounds.terms.ledger,
            version=STATE_KEY_VERSION,
            key=key,
        )
        return key

    def _checked(
        self,
        releases: Sequence[tuple[Custodian, ShareRelease]],
        commitments: Sequence[bytes],
        charter: Charter,
        grounds: Grounds,
    ) -> dict[int, bytes]:
        """Return `charter.shares` opened shares that keep their commitments; name a liar if too few are left."""
        good: dict[int, bytes] = {}
        failure: VaultError | None = None
        for custodian, release in releases:
            try:
                good[release.index] = self._opened(custodian, release, commitments, charter, grounds)
            except (LyingCustodian, WrongKey, InvalidSignature, MalformedObject) as error:
                failure = error
            if len(good) == charter.shares:
                return good
        raise failure or WrongKey(f"{charter.shares} shares are needed and {len(good)} came")

    def _opened(
        self,
        custodian: Custodian,
        release: ShareRelease,
        commitments: Sequence[bytes],
        charter: Charter,
        grounds: Grounds,
    ) -> bytes:
        release.verify()
        report_data = grounds.binding.report_data()
        keys = [known.key for known in charter.custodians]
        if release.custodian != custodian.key or keys[release.index : release.index + 1] != [custodian.key]:
            raise InvalidSignature("a share is not from the custodian whose index it bears")
        if release.report_data != report_data or release.index >= len(commitments):
            raise InvalidSignature("a share was released for other evidence than ours")
        info = release_context(
            genesis=self._genesis,
            subject=release.subject,
            key_version=release.key_version,
            custodian=custodian.key,
            index=release.index,
            suite=release.suite,
            report_data=report_data,
        )
        share = self._keys.hpke.open(release.suite, release.sealed, info=info)
        verify_share(
            commitments[release.index],
            genesis=self._genesis,
            subject=release.subject,
            version=release.key_version,
            index=release.index,
            share=share,
            custodian=custodian.key,
        )
        return share


def _require_own_lease(answer: _Answer, binding: Binding) -> None:
    """Raise `InvalidSignature` for a lease that is not this custodian's own answer to what was asked."""
    lease = answer.lease
    if lease.custodian != answer.custodian.key or (
        Nonce(challenger=lease.custodian, nonce=lease.nonce) not in binding.nonces
    ):
        raise InvalidSignature(f"custodian {answer.custodian.key.hex()} gave a lease that answers another request")
    lease.verify()


def _reason(failures: Sequence[VaultError]) -> VaultError:
    """Return why custodians refused, before any that merely did not answer."""
    return next((error for error in failures if not isinstance(error, ServiceUnavailable)), failures[0])


def _fetch(blocks: Mapping[Cid, bytes], cid: Cid) -> bytes:
    if cid not in blocks:
        raise MalformedObject(f"the custodians did not send block {cid}")
    return blocks[cid]
