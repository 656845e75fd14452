"""Getting leases and keys from custodians: t shares make a key, q leases make it fresh (rules B2, E1, F1, F2, F3).

All custodians are asked at once, and one piece of evidence binds every custodian's nonce. Those that do not answer are
passed over, as long as enough do; one whose share breaks its commitment is named and passed over as well. The age of a
lease counts from before it was asked for, on this machine's monotonic clock, so a host that moves the wall clock gains
nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from enclave.attestation.attester import Attester, attested
from enclave.keys import InstanceKeys
from enclave.parallel import Round
from storage.cid import Cid
from storage.errors import StorageError
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
from vault.hpke import SUITES, strongest
from vault.keys import SecretKey, combined, verify_key, verify_share
from vault.lease import EMPTY_ANCHOR, Anchor, Lease, Terms, agreed_terms
from vault.machine import BLANK
from vault.manifest import Manifest
from vault.release import (
    STATE_KEY_VERSION,
    HandBack,
    LeaseRequest,
    OfferedKeys,
    ShareRelease,
    StateDeposit,
    release_context,
)
from vault.window import OpenWindow, WindowId, last_of_each, lost_windows

CLOSE_PATIENCE_S = 5.0  # for a renewal under way, before the lease is handed back


class CustodyService(Protocol):
    """What an enclave asks of one custodian; `vault.client.CustodyClient` is the real one."""

    @property
    def custodian(self) -> Custodian: ...  # noqa: D102
    def challenge(self, instance: bytes, keys: bytes) -> bytes: ...  # noqa: D102
    def release(  # noqa: D102
        self, binding: Binding, evidence: Evidence, request: LeaseRequest, *, known_head: Cid | None
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
    lost: tuple[OpenWindow, ...]  # windows that others left open and did not return
    reported: tuple[WindowId, ...]  # windows of others that any custodian still has open

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
        self._round = Round()
        self._turn = threading.Lock()
        self._is_closed = False
        self._is_patient = False  # the last renewal failed, perhaps for want of patience

    def open(self, anchor: Anchor) -> tuple[Grounds, Secrets]:
        """Return leases and keys for a fresh instance, or raise why the custodians or the chain do not allow it."""
        grounds, answers = self._ask(anchor, None, ())
        charter = grounds.history.charter
        keys = {manifest.cid(): self._data_key(manifest, charter, answers, grounds) for manifest in grounds.manifests}
        return grounds, Secrets(data_keys=keys, state_key=self._state_key(charter, answers, grounds))

    def renew(self, anchor: Anchor, known: History, settled: Sequence[WindowId] = ()) -> Grounds:
        """Return fresh leases with a window, on fresh evidence, for an instance that holds its keys already.

        Args:
            anchor: of books that were verified.
            settled: others' windows that these books account for; the custodians close them.
        """
        return self._ask(anchor, known, settled)[0]

    def close(self, back: HandBack) -> list[VaultError]:
        """Hand the leases back to all custodians, after a renewal under way; none follows. Return what failed."""
        self._is_closed = True
        has_turn = self._turn.acquire(timeout=CLOSE_PATIENCE_S)
        try:
            calls = {number: partial(custodian.hand_back, back) for number, custodian in enumerate(self._custodians)}
            asked = self._round.ask(calls, is_enough=lambda _: False, patience_s=CLOSE_PATIENCE_S)
            return list(asked.failures.values())
        finally:
            if has_turn:
                self._turn.release()

    def attested(self, purpose: str, nonces: Sequence[Nonce]) -> tuple[Binding, Evidence]:
        """Return what this instance's evidence binds, and the evidence. It asks hardware: seconds on some machines."""
        return attested(self._attester, lambda gpu: self.binding(purpose, nonces, gpu))

    def binding(self, purpose: str, nonces: Sequence[Nonce], gpu: bytes = b"") -> Binding:
        """Return what this instance's evidence binds; `gpu` is the digest of the GPUs' evidence, empty for none."""
        return Binding(
            purpose=purpose,
            nonces=tuple(sorted(nonces, key=lambda nonce: (nonce.challenger, nonce.nonce))),
            hpke=self._keys.hpke.public,
            tls_key=self._keys.tls.key_hash,
            receipt_key=self._keys.instance,
            gpu_evidence=gpu,
            configuration=self._configuration,
            genesis=self._genesis,
        )

    def _ask(self, anchor: Anchor, known: History | None, settled: Sequence[WindowId]) -> tuple[Grounds, list[_Answer]]:
        with self._turn:
            return self._asked(anchor, known, settled)

    def _asked(
        self, anchor: Anchor, known: History | None, settled: Sequence[WindowId]
    ) -> tuple[Grounds, list[_Answer]]:
        """Ask for leases; with shares where no history is known yet."""
        asked_at = self._monotonic()
        needed = known.charter.signatures if known and not self._is_patient else len(self._custodians)
        challenged, failures = self._challenged(needed)
        if not challenged:
            raise _reason(failures)
        nonces = [
            Nonce(challenger=self._custodians[number].custodian.key, nonce=nonce)
            for number, nonce in challenged.items()
        ]
        binding, evidence = self.attested(RELEASE, nonces)
        request = LeaseRequest(
            instance=self._keys.instance,
            report_data=binding.report_data(),
            anchor=anchor,
            wants_shares=known is None,
            settled=tuple(settled),
            signature=BLANK,
        ).signed_by(self._keys.receipt)
        answers, late = self._released(challenged, binding, evidence, request, known, needed)
        failures += late
        self._require_open()
        if not answers:
            raise _reason(failures)
        self._is_patient = known is not None
        try:
            grounds = self._grounds(binding, evidence, anchor, answers, known, asked_at)
        except StaleState as error:
            raise (_reason(failures) if failures else error) from error
        self._is_patient = False
        return grounds, answers

    def _challenged(self, needed: int) -> tuple[dict[int, bytes], list[VaultError]]:
        self._require_open()
        keys = OfferedKeys(hpke=self._keys.hpke.public).digest()
        calls = {
            number: partial(custodian.challenge, self._keys.instance, keys)
            for number, custodian in enumerate(self._custodians)
        }
        asked = self._round.ask(calls, is_enough=lambda answers: len(answers) >= needed)
        return dict(sorted(asked.answers.items())), list(asked.failures.values())

    def _released(
        self,
        challenged: Mapping[int, bytes],
        binding: Binding,
        evidence: Evidence,
        request: LeaseRequest,
        known: History | None,
        needed: int,
    ) -> tuple[list[_Answer], list[VaultError]]:
        """Return the answers of custodians that leased something, each custodian's once, and why others did not."""

        def answer_of(custodian: CustodyService) -> _Answer:
            head = known.head.cid() if known else None
            try:
                answer = _Answer(custodian.custodian, *custodian.release(binding, evidence, request, known_head=head))
            except StorageError as error:
                raise MalformedObject("a custodian answered with blocks that cannot be read") from error
            _require_own_lease(answer, binding)
            return answer

        def is_enough(answers: Mapping[int, _Answer]) -> bool:
            terms = [answer.lease.terms for answer in answers.values()]
            return max(map(terms.count, terms)) >= needed

        self._require_open()
        calls = {number: partial(answer_of, self._custodians[number]) for number in challenged}
        asked = self._round.ask(calls, is_enough=is_enough)
        by_key = {answer.custodian.key: answer for _, answer in sorted(asked.answers.items())}
        return list(by_key.values()), list(asked.failures.values())

    def _require_open(self) -> None:
        if self._is_closed:
            raise StaleState("the enclave has handed its leases back; it asks for none any more")

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
        if terms.window != (charter.window if known else None):
            raise InvalidSignature("the leases grant another window than the charter's")
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
            lost=self._lost(leases, charter, terms),
            reported=last_of_each([window for lease in leases for window in self._others(lease)]),
        )

    def _others(self, lease: Lease) -> list[OpenWindow]:
        return [window for window in lease.windows if window.instance != self._keys.instance]

    def _lost(self, leases: Sequence[Lease], charter: Charter, terms: Terms) -> tuple[OpenWindow, ...]:
        """Return the windows lost with other instances: not those of one that signed that it stopped right here."""
        stopped = {
            lease.returned.instance
            for lease in leases
            if lease.returned is not None and _has_stopped(lease.returned, terms)
        }
        lost = lost_windows([self._others(lease) for lease in leases], charter)
        return tuple(window for window in lost if window.instance not in stopped)

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
        """Return the ledger's state key, or None where it was never used and its custodians lack one in common.

        An opening that ended between two deposits leaves shares of a key that sealed nothing; a new one is made, which
        `vault.custody` takes under the same condition. Afterwards, liars who show shares of a key of their own are too
        few to make it up.
        """
        by_key: dict[tuple[tuple[bytes, ...], bytes], list[tuple[Custodian, ShareRelease]]] = {}
        for answer in answers:
            state = answer.state
            if state is not None and state.subject == grounds.terms.ledger:
                by_key.setdefault((state.commitments, state.key_commitment), []).append((answer.custodian, state))
        is_unused = grounds.terms.anchor == EMPTY_ANCHOR and not grounds.reported
        is_in_common = [len(releases) for releases in by_key.values()] == [len(answers)]
        if not by_key or (is_unused and not is_in_common):
            return None
        failure: VaultError | None = None
        for (commitments, key_commitment), releases in sorted(by_key.items(), key=lambda item: -len(item[1])):
            try:
                shares = self._checked(releases, commitments, charter, grounds)
                key = combined(shares, shares=charter.shares)
                verify_key(
                    key_commitment,
                    genesis=self._genesis,
                    subject=grounds.terms.ledger,
                    version=STATE_KEY_VERSION,
                    key=key,
                )
            except (WrongKey, InvalidSignature, MalformedObject) as error:
                failure = failure or error
            else:
                return key
        raise failure or WrongKey("no custodian holds this ledger's state key")

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
        self._require_strongest(custodian, release.suite, charter)
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

    def _require_strongest(self, custodian: Custodian, suite: str, charter: Charter) -> None:
        """Raise `WrongKey` for a suite below the strongest that we offered and the charter says the custodian has."""
        theirs = {known.suite for known in custodian.hpke}
        offered = self._keys.hpke.public
        both = [known for known in offered if known.suite in theirs] or offered
        if suite not in SUITES[: SUITES.index(strongest(both, floor=charter.suite_floor).suite) + 1]:
            name = custodian.key.hex()
            raise WrongKey(f"custodian {name} chose a weaker HPKE suite than both sides have")


def _has_stopped(back: HandBack, terms: Terms) -> bool:
    """Say whether an instance signed that this ledger ended, for it, at the very anchor of these terms."""
    if (back.genesis, back.ledger, back.anchor) != (terms.genesis, terms.ledger, terms.anchor):
        return False
    try:
        back.verify()
    except InvalidSignature:
        return False
    return True


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
