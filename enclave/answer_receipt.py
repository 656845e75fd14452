"""The receipt of an answer, as the books stand right before it is booked."""

from __future__ import annotations

from enclave.answer_forms import AnswerForms
from enclave.leaving import Leaving
from vault.question import text_commitment, vector_commitment
from vault.record_encoding import joined_list


def answer_receipt(leaving: Leaving, forms: AnswerForms, chain: tuple[int, bytes], *, confirms: bytes) -> bytes:
    """Return the canonical bytes of the `Receipt` of the entry that comes next; it is not signed yet.

    Args:
        forms: of the session, on the grounds that are served on.
        chain: how many receipts the licensee has, and the digest of the last.
    """
    query, (count, previous) = leaving.asked.query, chain
    return forms.receipt(
        {
            "entry": leaving.sequence,
            "request": query.body_digest(),
            "text": text_commitment(query.salt, query.text),
            "vector": vector_commitment(query.salt, leaving.vector),
            "k": query.k,
            "passages": joined_list([passage.proof for passage in leaving.passages]),
            "scores": leaving.scores,
            "weights": leaving.weights,
            "is_partial": leaving.is_partial,
            "price": leaving.price,
            "budget_left": leaving.budget_left,
            "at": leaving.at,
            "sequence": count + 1,
            "previous": previous,
            "confirmed": confirms,
        }
    )
