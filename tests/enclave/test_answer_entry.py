"""An answer's entry is written without making its records; read again, it is what the books took (rule L3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enclave.answer_entry import answer_entry
from enclave.answer_forms import KeptForms, answer_forms
from enclave.answer_receipt import answer_receipt
from enclave.asked import Asked
from enclave.leaving import Leaving
from tests import metered_load
from tests.builders import seeded, wallet
from tests.enclaves import license_of
from vault.attribution import rank_weight
from vault.booking import booking_of
from vault.entry import Entry, Kind, packed_scores
from vault.limits import coverage
from vault.machine import MachineKey
from vault.question import Query
from vault.receipt import FIRST_PREVIOUS, Receipt

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
def test_its_bytes_are_those_of_an_entry_and_its_receipt(passages: int) -> None:
    question = asked(8)
    passed = FOUND[:passages]
    weights = [rank_weight(rank) for rank in range(passages)]
    leaving = Leaving(
        asked=question,
        passages=passed,
        identities=[seeded(f"identity {number}") for number in range(passages)],
        weights=weights,
        scores=packed_scores([passage.score for passage in passed]),
        vector=b"vector",
        price=100 + 7 * passages,
        budget_left=7,
        is_partial=True,
        at=9,
        sequence=1,
    )
    forms = answer_forms(question, GROUNDS)
    receipt = answer_receipt(leaving, forms, (0, FIRST_PREVIOUS), confirms=seeded("confirmed"))
    booking, encoded = answer_entry(leaving, forms, GROUNDS.terms.instance, receipt)
    entry = Entry.from_bytes(encoded)  # canonical, every field within its bounds
    assert (entry.kind, entry.at, entry.sequence) == (Kind.QUERY, 9, 1)
    assert entry.query is not None and entry.query.receipt == receipt
    assert booking_of(entry) == booking
    said = Receipt.from_bytes(receipt)
    assert [proof.encoded() for proof in said.passages] == [found.proof for found in passed]
    assert [proof.commitment for proof in said.passages] == [found.commitment for found in passed]
    assert (list(said.weights), said.confirmed) == (weights, seeded("confirmed"))
    assert [one.weight for one in entry.query.passages] == weights
    assert said.price == 100 + 7 * passages == sum(transfer.amount for transfer in entry.transfers)
    assert (said.budget_left, said.sequence, said.entry) == (7, 1, 1)
    assert (said.license, said.instance, said.head) == (LICENSE.cid(), GROUNDS.terms.instance, GROUNDS.terms.head)
    assert (said.genesis, said.tee, said.currency) == (WORLD.genesis, GROUNDS.evidence.kind, WORLD.policy.currency)


def test_forms_are_kept_for_as_long_as_nothing_that_they_say_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclave.answer_forms.SESSIONS_KEPT", 2)
    kept, one = KeptForms(), asked(1)
    forms = kept.of(one, GROUNDS)
    assert kept.of(replace(one, query=asked(8).query), GROUNDS) is forms
    for changed, grounds in [
        (one, replace(GROUNDS, lifetime_s=1)),
        (replace(one, license=replace(LICENSE, epoch=LICENSE.epoch + 1)), GROUNDS),
        (replace(one, policy=replace(WORLD.policy, currency="EURC")), GROUNDS),
    ]:
        assert kept.of(one, GROUNDS) is kept.of(one, GROUNDS)
        assert kept.of(changed, grounds) is not kept.of(one, GROUNDS)
    assert kept.of(replace(one, license=replace(LICENSE)), GROUNDS) is kept.of(one, GROUNDS)  # of another session
    again = kept.of(one, GROUNDS)
    for number in range(2):
        kept.of(replace(one, delegation=seeded(f"delegation {number}")), GROUNDS)
    assert kept.of(one, GROUNDS) is not again  # the oldest made room
