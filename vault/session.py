"""Sessions: one signature to open, one MAC a request (rule E6, R4).

The opening covers the TLS key, instance, ledger, server nonce, expiry and spend cap, and a secret sealed to the
instance; the MAC key derives from that secret. A request's MAC covers its place in the session, its body and the
receipt before it, so replays and reordering are refused and earlier answers are confirmed.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import Annotated, ClassVar

import cbor2

from storage.cid import Cid
from vault.codec import INTEGER_MAX, Digest, Label, Length, PublicKey, record
from vault.errors import AccessDenied, MalformedObject
from vault.hpke import context
from vault.keys import SecretKey
from vault.machine import MachineSigned

MAC_BYTES = 32


@record
class SessionOpening(MachineSigned):
    """A licensee's machine asks for a session."""

    TYPE: ClassVar[str] = "coffer/session-opening/v1"

    genesis: Cid
    license: Cid
    delegation: Cid
    session_key: PublicKey
    tls_key: Digest
    instance: PublicKey
    ledger: Digest
    server_nonce: Digest
    expires_at: int
    spend_cap: int  # of this session; the delegation's own cap holds as well
    suite: Label
    sealed_secret: Annotated[bytes, Length(48, 2048)]

    def signer(self) -> bytes:
        """Return the delegated key."""
        return self.session_key


def secret_context(*, genesis: Cid, instance: bytes, ledger: bytes, server_nonce: bytes, suite: str) -> bytes:
    """Return the HPKE `info` of a session's secret."""
    return context("session-secret", genesis=genesis, instance=instance, ledger=ledger, nonce=server_nonce, suite=suite)


def session_mac_key(secret: SecretKey, opening: SessionOpening) -> bytes:
    """Return the 32-byte MAC key of the session that `opening` asks for."""
    return secret.derive("session-mac", salt=opening.server_nonce, info=opening.signed_bytes())


def request_mac(key: bytes, *, session: bytes, sequence: int, body: bytes, previous_receipt: bytes) -> bytes:
    """Return keyed BLAKE2b over a request's place, body digest and the last receipt's hash (zeros before the first)."""
    if not 0 <= sequence <= INTEGER_MAX:
        raise MalformedObject("a request's place in its session is a whole number of 0 … 2^63-1")
    message = cbor2.dumps(["coffer/request/v1", session, sequence, body, previous_receipt])  # as `encode` writes it
    return blake2b(message, key=key, digest_size=MAC_BYTES).digest()


def verify_mac(expected: bytes, given: bytes) -> None:
    """Raise `AccessDenied` unless the two MACs are equal, in constant time."""
    if not hmac.compare_digest(expected, given):
        raise AccessDenied("the request is not authenticated by this session; open a new one")
