"""Asking all custodians at once, and passing over those that do not answer, as long as enough do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from enclave.parallel import Round
from storage.cid import Cid
from storage.errors import StorageError
from vault.charter import Custodian
from vault.errors import (
    AccessDenied,
    InvalidSignature,
    MalformedObject,
    NotYet,
    RateExceeded,
    RecordsUnavailable,
    ServiceUnavailable,
    StaleState,
    VaultError,
)
from vault.evidence import Binding, Evidence, Nonce
from vault.lease import Lease
from vault.release import HandBack, LeaseRequest, ShareRelease, StateDeposit

WAITABLE = (AccessDenied, NotYet, RateExceeded, RecordsUnavailable, StaleState)  # passes with time, or with a vote
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
    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Answer:
    """What one custodian gave; the lease is its own and answers our challenge, the rest is still to be verified."""

    custodian: Custodian
    lease: Lease
    blocks: dict[Cid, bytes]
    shares: list[ShareRelease]
    state: ShareRelease | None


class Gathering:
    """The rounds of one instance; after `close`, only its hand-back."""

    def __init__(self, custodians: Sequence[CustodyService]) -> None:
        self._custodians = custodians
        self._round = Round()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._custodians)

    def challenged(self, instance: bytes, keys: bytes, *, needed: int) -> tuple[dict[int, Nonce], list[VaultError]]:
        """Return the nonces of the custodians that answered, by number, and why others did not."""
        self.require_open()
        calls = {
            number: partial(custodian.challenge, instance, keys) for number, custodian in enumerate(self._custodians)
        }
        asked = self._round.ask(calls, is_enough=lambda answers: len(answers) >= needed)
        nonces = {
            number: Nonce(challenger=self._custodians[number].custodian.key, nonce=nonce)
            for number, nonce in sorted(asked.answers.items())
        }
        return nonces, list(asked.failures.values())

    def released(
        self,
        numbers: Sequence[int],
        binding: Binding,
        evidence: Evidence,
        request_to: Callable[[bytes], LeaseRequest],
        *,
        known_head: Cid | None,
        needed: int,
    ) -> tuple[list[Answer], list[VaultError]]:
        """Return the answers of custodians that leased something, each custodian's once, and why others did not.

        Args:
            request_to: what is asked of the custodian with that key.
        """

        def answer_of(custodian: CustodyService) -> Answer:
            try:
                request = request_to(custodian.custodian.key)
                answered = custodian.release(binding, evidence, request, known_head=known_head)
            except StorageError as error:
                raise MalformedObject("a custodian answered with blocks that cannot be read") from error
            answer = Answer(custodian.custodian, *answered)
            _require_own_lease(answer, binding)
            return answer

        def is_enough(answers: Mapping[int, Answer]) -> bool:
            terms = [answer.lease.terms for answer in answers.values()]
            return max(map(terms.count, terms)) >= needed

        self.require_open()
        calls = {number: partial(answer_of, self._custodians[number]) for number in numbers}
        asked = self._round.ask(calls, is_enough=is_enough)
        self.require_open()
        by_key = {answer.custodian.key: answer for _, answer in sorted(asked.answers.items())}
        return list(by_key.values()), list(asked.failures.values())

    def handed_back(self, back: HandBack) -> list[VaultError]:
        """Hand the leases back to all custodians, and return what failed."""
        calls = {number: partial(custodian.hand_back, back) for number, custodian in enumerate(self._custodians)}
        asked = self._round.ask(calls, is_enough=lambda _: False, patience_s=CLOSE_PATIENCE_S)
        return list(asked.failures.values())

    def close(self) -> None:
        """Ask for no lease any more."""
        self._is_closed = True

    def require_open(self) -> None:
        """Raise `StaleState` once the leases were handed back, or are about to be."""
        if self._is_closed:
            raise StaleState("the enclave has handed its leases back; it asks for none any more")


def _require_own_lease(answer: Answer, binding: Binding) -> None:
    """Raise `InvalidSignature` for a lease that is not this custodian's own answer to what was asked."""
    lease = answer.lease
    if lease.custodian != answer.custodian.key or (
        Nonce(challenger=lease.custodian, nonce=lease.nonce) not in binding.nonces
    ):
        raise InvalidSignature(f"custodian {answer.custodian.key.hex()} gave a lease that answers another request")
    lease.verify()


def reason_of(failures: Sequence[VaultError], *, liars: int | None = None) -> VaultError:
    """Return why custodians refused, before any that merely did not answer.

    Args:
        liars: f, where the charter is known: then a reason that no waiting mends counts only with more voices than
            that. Without it, one that waiting may mend goes first, so that a single liar ends nothing.
    """
    said = [error for error in failures if not isinstance(error, ServiceUnavailable)]
    if liars is None:
        return next((error for error in said if isinstance(error, WAITABLE)), said[0] if said else failures[0])
    for error in said:
        if sum(type(other) is type(error) for other in said) > liars:
            return error
    return ServiceUnavailable("too few custodians renewed the leases")
