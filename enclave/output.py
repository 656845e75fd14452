"""A passage as it leaves: its score rounded, and what the policy redacts blacked out; the engine's process does it.

A redacted passage's own salt stays inside: with it, and with a card or phone number missing from the text, whoever
holds the owner's commitment could try all numbers until one opens it. What left is committed to under a salt of its
own, which the passage's salt gives and which does not give that back.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from enclave.found import Found, Shaping
from enclave.redaction import redacted
from enclave.v1 import retrieval_pb2 as pb
from enclave.wire_parts import part
from storage.cid import Cid
from vault.envelope import Passage, checked_passage, lasting_words
from vault.output_rules import OutputRules, Redaction
from vault.receipt import PassageProof, redacted_commitment
from vault.record_encoding import form_of
from vault.scores import rounded

_SALT_FOR = b"coffer/redacted-salt/v1"
_PASSAGES = pb.SearchResponse.PASSAGES_FIELD_NUMBER


class PassageWriter:
    """Writes the passages of one dataset version as they leave."""

    def __init__(self, manifest: Cid, owner: bytes) -> None:
        self._manifest = manifest
        self._owner = owner
        self._whole = form_of(PassageProof, {"manifest": manifest, "redacted": None})
        self._redacted = form_of(PassageProof, {"manifest": manifest})

    def found(
        self,
        index: int,
        score: float,
        shaping: Shaping,
        body: bytes,
        salt: bytes,
        commitment: bytes,
        path: Sequence[bytes],
        kin: str | None = None,
    ) -> Found:
        """Return a passage that was found; it leaves the same every time.

        Args:
            path: proves the commitment.
            kin: the lasting words of the passage under whose name it counts, where that is another one.
        """
        left = redacted_body(body, shaping.redacts) if shaping.redacts else body
        if left is body or left == body:
            proof = self._whole({"index": index, "commitment": commitment, "path": path})
        else:
            kin = lasting_words(body) if kin is None else kin
            salt = hmac.digest(salt, _SALT_FOR, "sha256")
            hidden = redacted_commitment(salt, left)
            proof = self._redacted({"index": index, "commitment": commitment, "path": path, "redacted": hidden})
        score = rounded(score, shaping.score_decimals)
        message = pb.Passage(manifest=self._manifest.binary, index=index, score=score, body=left, salt=salt)
        sent = part(_PASSAGES, message.SerializeToString())
        return Found(self._manifest, index, score, self._owner, commitment, proof, sent, shaping, kin)


def redacted_body(body: bytes, rules: Sequence[Redaction]) -> bytes:
    """Return a passage's bytes without what is redacted."""
    passage = checked_passage(body)
    document, text = redacted(passage.document, rules), redacted(passage.text, rules)
    metadata = {key: _redacted_fact(fact, rules) for key, fact in passage.metadata.items()}
    if (document, text, metadata) == (passage.document, passage.text, passage.metadata):
        return body
    return Passage(document, passage.start, passage.end, text, metadata).encoded()


def shaping_of(rules: OutputRules) -> Shaping:
    """Return what rules say of every passage."""
    return Shaping(rules.redacts, rules.score_decimals)


def shaped(passages: tuple[Found, ...], rules: OutputRules) -> tuple[Found, ...]:
    """Return passages that were written by these rules; a `ValueError` keeps any other one from leaving."""
    wanted = shaping_of(rules)
    for passage in passages:
        if passage.shaping != wanted:
            raise ValueError("the engine was asked by other rules than the policy's")
    return passages


def _redacted_fact(
    fact: str | int | bool | Sequence[str], rules: Sequence[Redaction]
) -> str | int | bool | Sequence[str]:
    if isinstance(fact, str):
        return redacted(fact, rules)
    if isinstance(fact, int):
        plain = str(fact)
        return fact if redacted(plain, rules) == plain else 0
    return [redacted(item, rules) for item in fact]
