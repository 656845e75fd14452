"""A licensee's machine without the client's manners: it builds every message itself and may break any of its facts."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import grpc

from enclave.channel import EnclaveChannel
from enclave.credential import Credential
from enclave.question_wire import question_of
from enclave.v1 import retrieval_pb2 as pb
from enclave.v1 import retrieval_pb2_grpc as rpc
from tests.builders import seeded
from tests.deployment import Deployment
from tests.enclaves import credential
from vault.hpke import seal, strongest
from vault.keys import SecretKey
from vault.lease import ledger_id
from vault.machine import BLANK, MachineKey
from vault.question import Query
from vault.session import SessionOpening, request_mac, secret_context, session_mac_key

ZEROS = bytes(32)


class Machine:
    """One channel to the enclave, and what was learned on it."""

    def __init__(self, deployment: Deployment, asking: Credential | None = None, *, address: str | None = None) -> None:
        self.deployment = deployment
        self.world = deployment.world
        self.credential = asking or credential(self.world)
        self.channel = EnclaveChannel(address or deployment.enclave.address)
        self.stub = rpc.RetrievalServiceStub(self.channel.channel)
        self.session = b""
        self.mac_key = b""
        self.sequence = 0
        self.last_receipt = ZEROS

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def nonce(self) -> bytes:
        """Return a fresh nonce of the server's."""
        return self.channel.evidence(secrets.token_bytes(32))[2]

    def opening(self, *, key: MachineKey | None = None, **fields: Any) -> tuple[SessionOpening, bytes]:
        """Return an opening and its secret; `fields` replace its fields before `key` signs."""
        nonce = fields.get("server_nonce") or self.nonce()
        recipient = strongest(self.deployment.enclave.keys.hpke.public, floor=self.world.dao.charter.suite_floor)
        secret = seeded("session secret")
        place = {
            "genesis": self.world.genesis,
            "instance": self.deployment.enclave.keys.instance,
            "ledger": ledger_id(self.world.genesis),
        }
        info = secret_context(server_nonce=nonce, suite=recipient.suite, **place)
        usual: dict[str, Any] = place | {
            "license": self.credential.license.cid(),
            "delegation": self.credential.delegation.cid(),
            "session_key": self.credential.key().public,
            "tls_key": self.channel.tls_key,
            "server_nonce": nonce,
            "expires_at": self.world.clock() + 3600,
            "spend_cap": self.credential.delegation.spend_cap,
            "suite": recipient.suite,
            "sealed_secret": seal(recipient, secret, info=info),
            "signature": BLANK,
        }
        made = SessionOpening(**(usual | fields))
        key = key or self.credential.key()
        return replace(made, signature=key.sign(made.signed_bytes())), secret

    def open(self, opening: SessionOpening | None = None, secret: bytes = b"", **fields: Any) -> Machine:
        """Open the session and keep its key."""
        if opening is None:
            opening, secret = self.opening(**fields)
        answer = self.channel.call(
            self.stub.OpenSession,
            pb.OpenSessionRequest(
                license=self.credential.license.encoded(),
                delegation=self.credential.delegation.encoded(),
                opening=opening.encoded(),
            ),
        )
        self.session, self.last_receipt = bytes(answer.session), bytes(answer.last_receipt)
        self.mac_key, self.sequence = session_mac_key(SecretKey(secret), opening), 0
        return self

    def mac(self, body: bytes, *, sequence: int = 1) -> bytes:
        """Return the MAC of a call that confirms no receipt."""
        return request_mac(self.mac_key, session=self.session, sequence=sequence, body=body, previous_receipt=ZEROS)

    def query(self, text: str = "tide table", **fields: Any) -> Query:
        usual: dict[str, Any] = {
            "request": secrets.token_bytes(32),
            "policy": self.credential.license.policy,
            "text": text,
            "k": 2,
            "salt": seeded("salt"),
        }
        return Query(**(usual | fields))

    def request(self, query: Query, **fields: Any) -> pb.SearchRequest:
        """Return the next request; `fields` replace its own or the question's fields after the MAC was made."""
        self.sequence += 1
        mac = request_mac(
            self.mac_key,
            session=self.session,
            sequence=self.sequence,
            body=query.body_digest(),
            previous_receipt=self.last_receipt,
        )
        usual: dict[str, Any] = {
            "session": self.session,
            "sequence": self.sequence,
            "mac": mac,
            "last_receipt": self.last_receipt,
        }
        of_question = {name: fields.pop(name) for name in [*fields] if name in pb.Question.DESCRIPTOR.fields_by_name}
        question = question_of(query)
        for name in of_question:
            question.ClearField(name)
        question.MergeFrom(pb.Question(**of_question))
        return pb.SearchRequest(question=question, **(usual | fields))

    def send(self, request: pb.SearchRequest) -> pb.SearchResponse:
        answer: pb.SearchResponse = self.channel.call(self.stub.Search, request)
        return answer

    def send_later(self, request: pb.SearchRequest) -> grpc.Future:
        """Send without waiting."""
        return self.stub.Search.future(request, timeout=30)

    def ask(self, query: Query | None = None, **fields: Any) -> pb.SearchResponse:
        return self.send(self.request(query or self.query(), **fields))
