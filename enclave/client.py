"""The client an AI app embeds: it believes nothing that the evidence does not prove (rules E5, E6).

    with EnclaveClient.connect("127.0.0.1:7001", credential, appraiser, allow_simulated=True) as coffer:
        answer = coffer.search("how do I open a zip file?", k=5)

`connect` reads the server's certificate, makes it the only root of the channel, asks for evidence over its own nonce,
and checks evidence, binding, leases, head and policy before it sends a word. What it verified of a TLS key holds in
this process until the leases end (`enclave.proven`). A reconnect is a new session. Importing this loads neither torch,
faiss, SQL nor wallets.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from enclave.channel import EnclaveChannel
from enclave.credential import Credential
from enclave.footing import Footing
from enclave.proven import PROVEN, Proven, ProvenEnclaves, Question
from enclave.v1 import retrieval_pb2 as retrieval
from enclave.v1 import retrieval_pb2_grpc as retrieval_rpc
from enclave.verified import Grounds, manifests_of, policy_in_force
from storage.cid import Cid
from vault.envelope import Passage, checked_passage
from vault.errors import InvalidReceipt
from vault.evidence import Appraiser
from vault.hpke import seal, strongest
from vault.keys import SecretKey
from vault.machine import BLANK
from vault.receipt import (
    FIRST_PREVIOUS,
    OpenedPassage,
    Receipt,
    ReceiptFile,
    receipt_digest,
    verified_receipt,
    verify_answer,
)
from vault.session import Query, SessionOpening, request_mac, secret_context, session_mac_key

SESSION_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One passage of an answer."""

    passage: Passage = field(repr=False)
    manifest: Cid
    index: int
    score: float
    is_redacted: bool  # something was blacked out of it; then its text is the enclave's word, not the owner's


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Passages, best first, with the receipt that was checked against them."""

    results: tuple[Result, ...]
    receipt: Receipt
    file: ReceiptFile = field(repr=False)  # everything an offline check needs
    is_partial: bool
    is_repeat: bool
    embed_s: float
    search_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a licensee has left."""

    credit: int  # micro-units
    spent: int
    spend_cap: int
    passages_seen: int
    passages_max: int


class EnclaveClient:
    """One session of one licensee with one attested enclave. Use it from one thread at a time."""

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
        self.appraisal = enclave.appraisal
        self.policy = policy_in_force(enclave.grounds, credential.license.policy)
        self._channel = channel
        self._credential = credential
        self._clock = clock
        self._footing = Footing(channel, enclave.grounds, proven, clock)
        self._stub = retrieval_rpc.RetrievalServiceStub(channel.channel)
        self._sequence = 0
        self._last_receipt = FIRST_PREVIOUS  # a fresh client holds none, so it confirms none (rule R4)
        self._mac_key, self._session = self._opened(enclave.grounds, server_nonce, spend_cap)

    @classmethod
    def connect(
        cls,
        address: str,
        credential: Credential,
        appraiser: Appraiser,
        *,
        allow_simulated: bool = False,
        spend_cap: int | None = None,
        clock: Callable[[], float] = time.time,
        proven: ProvenEnclaves = PROVEN,
    ) -> Self:
        """Verify the enclave at `host:port`, pin it and open a session.

        Args:
            spend_cap: micro-units this session may spend; the delegation's cap holds as well.
            clock: UTC seconds; leases are judged by the caller's own clock (rule F2).
            proven: what was verified before; by default, by anyone in this process.
        Raises: `AccessDenied`, `InvalidSignature`, `StaleState` for an enclave that does not prove itself;
            `Revoked` or `AccessDenied` for a license that does not hold; `ServiceUnavailable`.
        """
        channel = EnclaveChannel(address)
        try:
            question = Question(
                tls_key=channel.tls_key,
                genesis=credential.genesis,
                policy=credential.license.policy,
                allow_simulated=allow_simulated,
            )
            enclave, nonce = proven.prove(channel, question, appraiser=appraiser, at=int(clock()))
            cap = credential.delegation.spend_cap if spend_cap is None else spend_cap
            return cls(channel, credential, enclave, nonce, spend_cap=cap, clock=clock, proven=proven)
        except BaseException:
            channel.close()
            raise

    def search(self, text: str, *, k: int, request_id: bytes | None = None, salt: bytes | None = None) -> Answer:
        """Return the passages nearest to `text`, with a receipt already checked against them.

        Args:
            request_id: 32 bytes; give the one of a call that failed midway, and its salt, to get that answer without
                a second charge.
        Raises: `CreditExhausted`, `BudgetExhausted`, `RateExceeded`, `Revoked`, `AccessDenied`, `RequestConflict`,
            `ServiceUnavailable`: nothing was charged; `InvalidReceipt`: the enclave's answer does not hold.
        """
        query = Query(
            request=request_id or secrets.token_bytes(32),
            policy=self._credential.license.policy,
            text=text,
            k=k,
            salt=salt or secrets.token_bytes(32),
        )
        self._sequence += 1
        request = retrieval.SearchRequest(
            session=self._session,
            sequence=self._sequence,
            mac=self._mac(query.body_digest(), self._last_receipt),
            request_id=query.request,
            policy=query.policy.binary,
            text=text,
            k=k,
            salt=query.salt,
            last_receipt=self._last_receipt,
        )
        response = self._channel.call(self._stub.Search, request)
        if response.is_repeat and request_id is None:
            raise InvalidReceipt("request: an answer given before, to a question that was never asked before")
        return self._checked(query, response)

    def account(self) -> Account:
        """Return what this licensee has left."""
        self._sequence += 1
        answer = self._channel.call(
            self._stub.GetAccount,
            retrieval.GetAccountRequest(
                session=self._session, sequence=self._sequence, mac=self._mac(bytes(32), bytes(32))
            ),
        )
        return Account(
            credit=answer.credit,
            spent=answer.spent,
            spend_cap=answer.spend_cap,
            passages_seen=answer.passages_seen,
            passages_max=answer.passages_max,
        )

    def close(self) -> None:
        """Close the channel; the session ends with it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mac(self, body: bytes, last_receipt: bytes) -> bytes:
        return request_mac(
            self._mac_key, session=self._session, sequence=self._sequence, body=body, previous_receipt=last_receipt
        )

    def _opened(self, grounds: Grounds, server_nonce: bytes, spend_cap: int) -> tuple[bytes, bytes]:
        """Open the session; return its MAC key and its id."""
        credential, key = self._credential, self._credential.key()
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
            self._stub.OpenSession,
            retrieval.OpenSessionRequest(
                license=credential.license.encoded(),
                delegation=credential.delegation.encoded(),
                opening=opening.encoded(),
            ),
        )
        return session_mac_key(SecretKey(secret), opening), bytes(answer.session)

    def _checked(self, query: Query, response: retrieval.SearchResponse) -> Answer:
        receipt = verified_receipt(response.receipt, self._footing.attested.terms.instance)
        if (receipt.request, receipt.license) != (query.body_digest(), self._credential.license.cid()):
            raise InvalidReceipt("request: the receipt is for another question or license")
        grounds = self._footing.of(receipt, is_repeat=response.is_repeat)
        policy = policy_in_force(grounds, query.policy)
        file = ReceiptFile(
            message=response.receipt,
            charter=grounds.charter,
            head=grounds.head,
            policy=policy,
            license=self._credential.license,
            manifests=tuple(manifests_of(grounds, policy)),
            leases=grounds.leases,
            binding=grounds.binding,
            evidence=grounds.evidence,
            request_id=query.request,
            query_text=query.text,
            query_vector=response.query_vector,
            salt=query.salt,
            passages=tuple(OpenedPassage(salt=found.salt, body=found.body) for found in response.passages),
        )
        verify_answer(file, receipt, genesis=self._credential.genesis)
        self._last_receipt = receipt_digest(response.receipt)
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
