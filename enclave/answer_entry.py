"""The ledger entry of an answer: what the books take of it, and its canonical bytes, both straight from the answer.

A record of each of its parts would be made, checked and thrown away with every query, at half of what metering costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from enclave.asked import Asked, Outgoing
from vault.booking import Answered, Booking, PassageShown
from vault.charge import charged
from vault.entry import Entry, Kind, QueryDetail, packed_scores
from vault.receipt_message import payload_digest
from vault.record_encoding import Written, encoded_fields


def answer_entry(
    asked: Asked,
    passages: Sequence[Outgoing],
    identities: Sequence[bytes],
    weights: Sequence[int],
    vector: bytes,
    receipt: bytes,
    *,
    price: int,
    sequence: int,
    instance: bytes,
    is_partial: bool,
    at: int,
) -> tuple[Booking, bytes]:
    """Return the entry that charges for an answer: what the books take of it, and the bytes of its `Entry`."""
    query, licensee, places = asked.query, asked.license.licensee, asked.coverage.places
    shown = tuple(
        [
            PassageShown(
                passage.manifest, passage.index, places[passage.manifest].lineage, identity, passage.owner, weight
            )
            for passage, identity, weight in zip(passages, identities, weights, strict=True)
        ]
    )
    transfers, written = charged(licensee, asked.policy, [passage.owner for passage in passages], weights, price=price)
    detail = {
        "body": query.body_digest(),
        "policy": asked.permit.policy,
        "delegation": asked.delegation,
        "instance": instance,
        "vector": vector,
        "passages": shown,
        "scores": packed_scores([passage.score for passage in passages]),
        "shares_budget": asked.policy.licensees.shares_budget,
        "is_partial": is_partial,
        "receipt": receipt,
    }
    entry = {
        "sequence": sequence,
        "kind": Kind.QUERY,
        "at": at,
        "licensee": licensee,
        "reference": query.request,
        "transfers": written,
        "query": Written(encoded_fields(QueryDetail, detail)),
        "lost": (),
        "vectors": None,
        "promised": None,
    }
    answer = Answered(query.body_digest(), asked.delegation, instance, shown, payload_digest(receipt))
    holder = asked.permit.holder
    booking = Booking(sequence, Kind.QUERY, at, licensee, query.request, transfers, holder, answer)
    return booking, encoded_fields(Entry, entry)
