"""A passage as it leaves: its score rounded, and what the policy redacts blacked out.

A redacted passage's own salt stays inside: with it, and with a card or phone number missing from the text, whoever
holds the owner's commitment could try all numbers until one opens it. What left is committed to under a salt of its
own, which the passage's salt gives and which does not give that back.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from enclave.asked import Outgoing
from enclave.found import Found
from enclave.redaction import redacted
from vault.envelope import Passage, checked_passage
from vault.output_rules import OutputRules, Redaction
from vault.receipt import redacted_commitment
from vault.scores import rounded

_SALT_FOR = b"coffer/redacted-salt/v1"


def redacted_body(body: bytes, rules: Sequence[Redaction]) -> bytes:
    """Return a passage's bytes without what is redacted; the engine's process does it, so that nobody waits for it."""
    passage = checked_passage(body)
    document, text = redacted(passage.document, rules), redacted(passage.text, rules)
    metadata = {key: _redacted_fact(fact, rules) for key, fact in passage.metadata.items()}
    if (document, text, metadata) == (passage.document, passage.text, passage.metadata):
        return body
    return Passage(document, passage.start, passage.end, text, metadata).encoded()


def outgoing(found: Found, rules: OutputRules) -> Outgoing:
    """Return what leaves of a passage that was found; the same every time."""
    body, salt, commitment = found.body, found.salt, None
    if rules.redacts:
        if found.leaving is None:
            raise ValueError("the policy redacts, and the passage was not redacted")
        if found.leaving != found.body:
            body = found.leaving
            salt = hmac.digest(found.salt, _SALT_FOR, "sha256")
            commitment = redacted_commitment(salt, body)
    return Outgoing(
        manifest=found.manifest,
        index=found.index,
        score=rounded(found.score, rules.score_decimals),
        body=body,
        salt=salt,
        commitment=found.commitment,
        path=found.path,
        owner=found.owner,
        redacted=commitment,
    )


def _redacted_fact(
    fact: str | int | bool | Sequence[str], rules: Sequence[Redaction]
) -> str | int | bool | Sequence[str]:
    if isinstance(fact, str):
        return redacted(fact, rules)
    if isinstance(fact, int):
        plain = str(fact)
        return fact if redacted(plain, rules) == plain else 0
    return [redacted(item, rules) for item in fact]
