"""A licensee's side of one session: its MACs, its place in it, and the check of every answer (rules E6, R4)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from enclave.answers import Answer, Result
from enclave.credential import Credential
from enclave.exchange import Call, Exchange, Service
from enclave.footing import Footing
from enclave.proven import Proven, ProvenEnclaves
from enclave.v1 import retrieval_pb2 as pb
from enclave.verified import Grounds, manifests_of, policy_in_force
from vault.cose import MESSAGE_BYTES_MAX
from vault.errors import InvalidReceipt
from vault.hpke import seal, strongest
from vault.keys import SecretKey
from vault.lease import CLOCK_SKEW_S
from vault.machine import BLANK
from vault.question import Query
from vault.receipt import FIRST_PREVIOUS, OpenedPassage, Receipt, ReceiptFile
from vault.receipt_check import AnswerCheck
from vault.receipt_message import BurstHeads, payload_digest, verified_message
from vault.record_decoding import decoded
from vault.scores import packed_scores
from vault.session import SessionOpening, request_mac, secret_context, session_mac_key

SESSION_S = 3600
EXPIRY_MARGIN_S = 60  # a session that ends so soon is replaced before it is used


@dataclass(slots=True)
class Pending:
    """A question over all its attempts: every one bears the same request id."""

    query: Query
    first_asked: int | None  # UTC seconds; None where the caller chose the request id, so perhaps long ago
    attempts: int = 0
    epoch: int = 0  # the newest that was known as it was sent last: no answer rests on an older one
    confirmed: bytes = FIRST_PREVIOUS  # the receipt that it confirmed as it was sent last (rule R4)
    is_uncertain: bool = False  # an attempt had no answer, so it may have been charged
    is_counted: bool = False  # its answer is among what vouchers are signed for


class Place(TypedDict):
    """What every call of a session begins with."""

    session: bytes
    sequence: int
    mac: bytes


class ClientSession:
    """One session with one attested enclave; one call of it at a time."""

    def __init__(
        self,
        credential: Credential,
        enclave: Proven,
        *,
        tls_key: bytes,
        id: bytes,
        mac_key: bytes,
        expires_at: int,
        proven: ProvenEnclaves,
        clock: Callable[[], float],
    ) -> None:
        self.credential = credential
        self.appraisal = enclave.appraisal
        self.policy = policy_in_force(enclave.grounds, credential.license.policy)
        self.footing = Footing(tls_key, enclave.grounds, proven, clock)
        self.last_receipt = FIRST_PREVIOUS  # a fresh session holds none, so it confirms none (rule R4)
        self._id = id
        self._mac_key = mac_key
        self._expires_at = expires_at
        self._clock = clock
        self._sequence = 0
        self._heads = BurstHeads()
        self._check = AnswerCheck(credential.genesis)
        self._parts: _Parts | None = None  # of the grounds that the answer before rested on

    @property
    def is_over(self) -> bool:
        """Say whether it ends too soon to ask by it."""
        return self._clock() >= self._expires_at - EXPIRY_MARGIN_S

    def place(self, body: bytes, *, confirms: bytes | None = None) -> Place:
        """Return the next call's place in the session, with its MAC.

        Args:
            body: what the MAC covers of the call.
            confirms: the digest of a receipt; the last one by default.
        """
        self._sequence += 1
        mac = request_mac(
            self._mac_key,
            session=self._id,
            sequence=self._sequence,
            body=body,
            previous_receipt=self.last_receipt if confirms is None else confirms,
        )
        return Place(session=self._id, sequence=self._sequence, mac=mac)

    def sending(self, pending: Pending) -> None:
        """Note that a question is being sent, and what is known now: its answer has to match that."""
        pending.attempts += 1
        pending.epoch = self.footing.epoch
        pending.confirmed = self.last_receipt

    def checked(self, pending: Pending, response: pb.SearchResponse) -> Exchange[Answer]:
        """Return an answer whose receipt holds for this very question, or raise `InvalidReceipt`."""
        query = pending.query
        body = verified_message(response.receipt, self.footing.attested.terms.instance, self._heads)
        receipt = decoded(Receipt, body, bytes_max=MESSAGE_BYTES_MAX)
        if (receipt.request, receipt.license) != (query.body_digest(), self.credential.license.cid()):
            raise InvalidReceipt("request: the receipt is for another question or license")
        if response.is_repeat:
            _require_asked_before(pending, receipt)
        grounds = yield from self.footing.of(receipt, is_repeat=response.is_repeat, since=pending.epoch)
        if self._parts is None or self._parts.grounds is not grounds:
            self._parts = _Parts(grounds, self.credential)
        file = self._parts.file(query, response)
        passages = self._check.verify(file, receipt)
        if packed_scores([found.score for found in response.passages]) != receipt.scores:
            raise InvalidReceipt("scores: not those that the receipt vouches for")
        if not response.is_repeat and receipt.confirmed != pending.confirmed:
            raise InvalidReceipt("confirmed: not the receipt that the request named")
        self.last_receipt = payload_digest(body)
        return Answer(
            results=tuple(
                Result(
                    passage=passage,
                    manifest=proof.manifest,
                    index=proof.index,
                    score=found.score,
                    is_redacted=proof.redacted is not None,
                )
                for proof, found, passage in zip(receipt.passages, response.passages, passages, strict=True)
            ),
            receipt=receipt,
            file=file,
            is_partial=receipt.is_partial,
            is_repeat=response.is_repeat,
            embed_s=response.embed_s,
            search_s=response.search_s,
        )


class _Parts:
    """What a session's answers on the same grounds have in common."""

    __slots__ = ("_license", "_manifests", "_policy", "grounds")

    def __init__(self, grounds: Grounds, credential: Credential) -> None:
        """Raises `Revoked` where the head has not the license's policy; `MalformedObject`, `AccessDenied`."""
        self.grounds = grounds
        self._license = credential.license
        self._policy = policy_in_force(grounds, credential.license.policy)
        self._manifests = tuple(manifests_of(grounds, self._policy))

    def file(self, query: Query, response: pb.SearchResponse) -> ReceiptFile:
        """Return everything that checks an answer; nothing of it is checked."""
        return ReceiptFile(
            message=response.receipt,
            charter=self.grounds.charter,
            head=self.grounds.head,
            policy=self._policy,
            license=self._license,
            manifests=self._manifests,
            leases=self.grounds.leases,
            binding=self.grounds.binding,
            evidence=self.grounds.evidence,
            query=query,
            query_vector=response.query_vector,
            passages=tuple([OpenedPassage(salt=found.salt, body=found.body) for found in response.passages]),
        )


def opening_session(
    credential: Credential,
    enclave: Proven,
    server_nonce: bytes,
    *,
    tls_key: bytes,
    spend_cap: int,
    proven: ProvenEnclaves,
    clock: Callable[[], float],
) -> Exchange[ClientSession]:
    """Open a session with an enclave that proved itself. Raises what the enclave says against it."""
    grounds, key = enclave.grounds, credential.key()
    recipient = strongest(grounds.binding.hpke, floor=grounds.charter.suite_floor)
    secret = secrets.token_bytes(32)
    info = secret_context(
        genesis=credential.genesis,
        instance=grounds.terms.instance,
        ledger=grounds.terms.ledger,
        server_nonce=server_nonce,
        suite=recipient.suite,
    )
    opening = SessionOpening(
        genesis=credential.genesis,
        license=credential.license.cid(),
        delegation=credential.delegation.cid(),
        session_key=key.public,
        tls_key=tls_key,
        instance=grounds.terms.instance,
        ledger=grounds.terms.ledger,
        server_nonce=server_nonce,
        expires_at=int(clock()) + SESSION_S,
        spend_cap=spend_cap,
        suite=recipient.suite,
        sealed_secret=seal(recipient, secret, info=info),
        signature=BLANK,
    ).signed_by(key)
    request = pb.OpenSessionRequest(
        license=credential.license.encoded(),
        delegation=credential.delegation.encoded(),
        opening=opening.encoded(),
    )
    answer = yield Call(Service.RETRIEVAL, "OpenSession", request)
    return ClientSession(
        credential,
        enclave,
        tls_key=tls_key,
        id=bytes(answer.session),
        mac_key=session_mac_key(SecretKey(secret), opening),
        expires_at=answer.expires_at,
        proven=proven,
        clock=clock,
    )


def _require_asked_before(pending: Pending, receipt: Receipt) -> None:
    """Refuse a repeat of what was never asked, or of before it was: leases of then would do for it."""
    if pending.first_asked is None:
        return
    if pending.attempts < 2:
        raise InvalidReceipt("request: an answer given before, to a question that was never asked before")
    if receipt.at < pending.first_asked - CLOCK_SKEW_S:
        raise InvalidReceipt("request: an answer that is older than its question")
