"""An answer's entry is written without making its records; read again, it is what the books took (rule L3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enclave.answer_entry import answer_entry
from enclave.answer_receipt import answer_receipt
from enclave.asked import Asked, Outgoing
from enclave.output import outgoing
from tests import metered_load
from tests.builders import seeded, wallet
from tests.enclaves import license_of
from vault.attribution import rank_weight
from vault.booking import booking_of
from vault.entry import Entry, Kind
from vault.ledger import Books
from vault.limits import coverage
from vault.machine import MachineKey
from vault.question import Query
from vault.receipt import Receipt

WORLD = metered_load.setting()
LICENSE = license_of(WORLD, wallet("licensee"))
GROUNDS = metered_load.grounds_of(WORLD, MachineKey(seeded("instance")))
FOUND = metered_load.passages_of(WORLD)


def asked(k: int) -> Asked:
    return Asked(
        license=LICENSE,
        delegation=seeded("delegation"),
        policy=WORLD.policy,
        permit=WORLD.policy.admit(LICENSE, k=k, at=metered_load.NOW),
        coverage=coverage(WORLD.policy, [WORLD.dataset.manifest]),
        query=Query(request=seeded("request"), policy=LICENSE.policy, text="harbor", k=k, salt=seeded("salt")),
        spend_cap=1_000_000,
    )


@pytest.mark.parametrize("passages", [0, 1, 3, 8])
@pytest.mark.parametrize("redacted", [None, seeded("redacted")])
def test_its_bytes_are_those_of_an_entry_and_its_receipt(passages: int, redacted: bytes | None) -> None:
    question, books = asked(8), Books()
    leaving: list[Outgoing] = [
        replace(outgoing(found, WORLD.policy.output), redacted=redacted) for found in FOUND[:passages]
    ]
    weights = [rank_weight(rank) for rank in range(passages)]
    receipt = answer_receipt(
        books,
        question,
        leaving,
        weights,
        b"",
        GROUNDS,
        price=100 + 7 * passages,
        budget_left=7,
        is_partial=True,
        confirms=seeded("confirmed"),
        at=9,
    )
    booking, encoded = answer_entry(
        question,
        leaving,
        [seeded(f"identity {number}") for number in range(passages)],
        weights,
        b"vector",
        receipt,
        price=100 + 7 * passages,
        sequence=1,
        instance=GROUNDS.terms.instance,
        is_partial=True,
        at=9,
    )
    entry = Entry.from_bytes(encoded)  # canonical, every field within its bounds
    assert (entry.kind, entry.at, entry.sequence) == (Kind.QUERY, 9, 1)
    assert entry.query is not None and entry.query.receipt == receipt
    assert booking_of(entry) == booking
    said = Receipt.from_bytes(receipt)
    assert [proof.redacted for proof in said.passages] == [redacted] * passages
    assert (list(said.weights), said.confirmed) == (weights, seeded("confirmed"))
    assert [one.weight for one in entry.query.passages] == weights
    assert said.price == 100 + 7 * passages == sum(transfer.amount for transfer in entry.transfers)
    assert (said.budget_left, said.sequence, said.entry) == (7, 1, 1)
