"""The ledger entry of an answer: what the books take of it, and its canonical bytes, both straight from the answer.

A record of each of its parts would be made, checked and thrown away with every query, at half of what metering costs.
"""

from __future__ import annotations

from enclave.answer_forms import AnswerForms
from enclave.leaving import Leaving
from vault.booking import Answered, Booking, PassageShown
from vault.charge import charged
from vault.entry import Kind
from vault.receipt_message import payload_digest
from vault.record_encoding import Written


def answer_entry(leaving: Leaving, forms: AnswerForms, instance: bytes, receipt: bytes) -> tuple[Booking, bytes]:
    """Return the entry that charges for an answer: what the books take of it, and the bytes of its `Entry`.

    Args:
        forms: of the session, on the grounds of `instance`.
    """
    asked, at, sequence = leaving.asked, leaving.at, leaving.sequence
    query, licensee, places = asked.query, asked.license.licensee, asked.coverage.places
    shown = tuple(
        [
            PassageShown(
                passage.manifest, passage.index, places[passage.manifest].lineage, identity, passage.owner, weight
            )
            for passage, identity, weight in zip(leaving.passages, leaving.identities, leaving.weights, strict=True)
        ]
    )
    owners = [passage.owner for passage in leaving.passages]
    transfers, written = charged(licensee, asked.policy, owners, leaving.weights, price=leaving.price)
    body = query.body_digest()
    detail = forms.detail(
        {
            "body": body,
            "vector": leaving.vector,
            "passages": shown,
            "scores": leaving.scores,
            "is_partial": leaving.is_partial,
            "receipt": receipt,
        }
    )
    encoded = forms.entry(
        {
            "sequence": sequence,
            "at": at,
            "reference": query.request,
            "transfers": written,
            "query": Written(detail),
        }
    )
    answer = Answered(body, asked.delegation, instance, shown, payload_digest(receipt))
    booking = Booking(
        sequence, Kind.QUERY, at, licensee, query.request, transfers, leaving.price, asked.permit.holder, answer
    )
    return booking, encoded
