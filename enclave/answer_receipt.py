"""The receipt of an answer, as the books stand right before it is booked."""

from __future__ import annotations

from collections.abc import Sequence

from enclave.asked import Asked, Outgoing
from enclave.grounds import Grounds
from vault.ledger import Books
from vault.question import text_commitment, vector_commitment
from vault.receipt import Receipt
from vault.record_encoding import encoded_fields
from vault.scores import packed_scores


def answer_receipt(
    books: Books,
    asked: Asked,
    passages: Sequence[Outgoing],
    weights: Sequence[int],
    vector: bytes,
    grounds: Grounds,
    *,
    price: int,
    budget_left: int,
    is_partial: bool,
    confirms: bytes,
    at: int,
) -> bytes:
    """Return the canonical bytes of the `Receipt` of the entry that comes next in `books`; it is not signed yet."""
    terms, query, policy = grounds.terms, asked.query, asked.policy
    count, previous = books.receipt_chain(asked.license.licensee)
    return encoded_fields(
        Receipt,
        {
            "genesis": terms.genesis,
            "ledger": terms.ledger,
            "entry": books.last_sequence + 1,
            "instance": terms.instance,
            "evidence": terms.evidence,
            "head": terms.head,
            "policy": asked.permit.policy,
            "license": asked.license.cid(),
            "request": query.body_digest(),
            "text": text_commitment(query.salt, query.text),
            "vector": vector_commitment(query.salt, vector),
            "k": query.k,
            "passages": passages,  # each has the attributes of a `PassageProof`
            "scores": packed_scores([passage.score for passage in passages]),
            "weights": weights,
            "is_partial": is_partial,
            "price": price,
            "currency": policy.currency,
            "budget_left": budget_left,
            "tee": grounds.evidence.kind,
            "at": at,
            "sequence": count + 1,
            "previous": previous,
            "confirmed": confirms,
        },
    )
