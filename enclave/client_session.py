"""A licensee's side of one session: its MACs, its place in it, and the check of every answer (rules E6, R4)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from enclave.answers import Answer, Result
from enclave.channel import EnclaveChannel
from enclave.credential import Credential
from enclave.footing import Footing
from enclave.proven import Proven, ProvenEnclaves
from enclave.v1 import retrieval_pb2 as pb
from enclave.v1 import retrieval_pb2_grpc as rpc
from enclave.verified import Grounds, manifests_of, policy_in_force
from vault.envelope import checked_passage
from vault.errors import InvalidReceipt
from vault.hpke import seal, strongest
from vault.keys import SecretKey
from vault.machine import BLANK
from vault.question import Query
from vault.receipt import (
    FIRST_PREVIOUS,
    OpenedPassage,
    ReceiptFile,
    receipt_digest,
    verified_receipt,
)
from vault.receipt_check import verify_answer
from vault.scores import packed_scores
from vault.session import SessionOpening, request_mac, secret_context, session_mac_key

SESSION_S = 3600
REMEMBERED_MAX = 4096  # questions without an answer so far


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was known when a question was sent."""

    epoch: int
    is_first: bool  # its request id was drawn for it, and never sent before
    confirmed: bytes  # the last receipt then


class ClientSession:
    """One session with one attested enclave. Use it from one thread at a time."""

    def __init__(
        self,
        channel: EnclaveChannel,
        credential: Credential,
        enclave: Proven,
        server_nonce: bytes,
        *,
        spend_cap: int,
        clock: Callable[[], float],
        proven: ProvenEnclaves,
    ) -> None:
        """Open it. Raises what the enclave says against it."""
        self.credential = credential
        self.last_receipt = FIRST_PREVIOUS  # a fresh client holds none, so it confirms none (rule R4)
        self._channel = channel
        self._clock = clock
        self._footing = Footing(channel, enclave.grounds, proven, clock)
        self._sequence = 0
        self._drawn: OrderedDict[bytes, None] = OrderedDict()  # request ids that no question was sent with yet
        self._sent: OrderedDict[bytes, _Sent] = OrderedDict()  # by request id, what is not answered yet
        self._mac_key, self.id = self._opened(enclave.grounds, server_nonce, spend_cap)

    def drawn(self) -> bytes:
        """Return a request id that nobody can have used before."""
        request = secrets.token_bytes(32)
        self._drawn[request] = None
        while len(self._drawn) > REMEMBERED_MAX:
            self._drawn.popitem(last=False)
        return request

    def send(self, query: Query) -> None:
        """Note that a question is being sent: what is known now, its answer has to match."""
        is_first = query.request in self._drawn
        self._drawn.pop(query.request, None)
        self._sent[query.request] = _Sent(epoch=self._footing.epoch, is_first=is_first, confirmed=self.last_receipt)
        while len(self._sent) > REMEMBERED_MAX:
            self._sent.popitem(last=False)

    def place(self, body: bytes, *, confirms: bytes | None = None) -> tuple[int, bytes]:
        """Return the next call's sequence number and MAC.

        Args:
            body: what the MAC covers of the call.
            confirms: the digest of a receipt; the last one by default.
        """
        self._sequence += 1
        previous = self.last_receipt if confirms is None else confirms
        mac = request_mac(self._mac_key, session=self.id, sequence=self._sequence, body=body, previous_receipt=previous)
        return self._sequence, mac

    def checked(self, query: Query, response: pb.SearchResponse) -> Answer:
        """Return an answer whose receipt holds for this very question, or raise `InvalidReceipt`."""
        receipt = verified_receipt(response.receipt, self._footing.attested.terms.instance)
        if (receipt.request, receipt.license) != (query.body_digest(), self.credential.license.cid()):
            raise InvalidReceipt("request: the receipt is for another question or license")
        sent = self._sent.pop(query.request, None)
        if response.is_repeat and sent is not None and sent.is_first:
            raise InvalidReceipt("request: an answer given before, to a question that was never asked before")
        since = sent.epoch if sent is not None else None
        grounds = self._footing.of(receipt, is_repeat=response.is_repeat, since=since)
        policy = policy_in_force(grounds, query.policy)
        file = ReceiptFile(
            message=response.receipt,
            charter=grounds.charter,
            head=grounds.head,
            policy=policy,
            license=self.credential.license,
            manifests=tuple(manifests_of(grounds, policy)),
            leases=grounds.leases,
            binding=grounds.binding,
            evidence=grounds.evidence,
            query=query,
            query_vector=response.query_vector,
            passages=tuple(OpenedPassage(salt=found.salt, body=found.body) for found in response.passages),
        )
        verify_answer(file, receipt, genesis=self.credential.genesis)
        if packed_scores([found.score for found in response.passages]) != receipt.scores:
            raise InvalidReceipt("scores: not those that the receipt vouches for")
        if sent is not None and not response.is_repeat and receipt.confirmed != sent.confirmed:
            raise InvalidReceipt("confirmed: not the receipt that the request named")
        self.last_receipt = receipt_digest(response.receipt)
        return Answer(
            results=tuple(
                Result(
                    passage=checked_passage(found.body),
                    manifest=proof.manifest,
                    index=proof.index,
                    score=found.score,
                    is_redacted=proof.redacted is not None,
                )
                for proof, found in zip(receipt.passages, response.passages, strict=True)
            ),
            receipt=receipt,
            file=file,
            is_partial=receipt.is_partial,
            is_repeat=response.is_repeat,
            embed_s=response.embed_s,
            search_s=response.search_s,
        )

    def _opened(self, grounds: Grounds, server_nonce: bytes, spend_cap: int) -> tuple[bytes, bytes]:
        """Open the session; return its MAC key and its id."""
        credential, key = self.credential, self.credential.key()
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
            tls_key=self._channel.tls_key,
            instance=grounds.terms.instance,
            ledger=grounds.terms.ledger,
            server_nonce=server_nonce,
            expires_at=int(self._clock()) + SESSION_S,
            spend_cap=spend_cap,
            suite=recipient.suite,
            sealed_secret=seal(recipient, secret, info=info),
            signature=BLANK,
        ).signed_by(key)
        answer = self._channel.call(
            rpc.RetrievalServiceStub(self._channel.channel).OpenSession,
            pb.OpenSessionRequest(
                license=credential.license.encoded(),
                delegation=credential.delegation.encoded(),
                opening=opening.encoded(),
            ),
        )
        return session_mac_key(SecretKey(secret), opening), bytes(answer.session)
