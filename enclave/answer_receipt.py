"""The receipt of an answer, as the books stand right before it is booked."""

from __future__ import annotations

from collections.abc import Sequence

from enclave.asked import Asked, Outgoing
from enclave.grounds import Grounds
from vault.ledger import Books
from vault.question import text_commitment, vector_commitment
from vault.receipt import PassageProof, Receipt
from vault.scores import packed_scores


def answer_receipt(
    books: Books,
    asked: Asked,
    passages: Sequence[Outgoing],
    vector: bytes,
    grounds: Grounds,
    *,
    budget_left: int,
    is_partial: bool,
    at: int,
) -> Receipt:
    """Return the receipt of the entry that comes next in `books`; it is not signed yet."""
    count, previous = books.receipt_chain(asked.license.licensee)
    query = asked.query
    return Receipt(
        genesis=grounds.terms.genesis,
        ledger=grounds.terms.ledger,
        entry=books.last_sequence + 1,
        instance=grounds.terms.instance,
        evidence=grounds.terms.evidence,
        head=grounds.terms.head,
        policy=asked.permit.policy,
        license=asked.license.cid(),
        request=query.body_digest(),
        text=text_commitment(query.salt, query.text),
        vector=vector_commitment(query.salt, vector),
        k=query.k,
        passages=tuple(map(_proof, passages)),
        scores=packed_scores([passage.score for passage in passages]),
        is_partial=is_partial,
        price=asked.policy.price_of(len(passages)),
        currency=asked.policy.currency,
        budget_left=budget_left,
        tee=grounds.evidence.kind,
        at=at,
        sequence=count + 1,
        previous=previous,
    )


def _proof(passage: Outgoing) -> PassageProof:
    return PassageProof(
        manifest=passage.manifest,
        index=passage.index,
        commitment=passage.commitment,
        path=passage.path,
        redacted=passage.redacted,
    )
