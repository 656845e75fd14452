"""Receipts wrong in one thing, signed and linked truly in all others: each is refused, and the thing is named.

Every case is made from a valid receipt. What hangs on the changed fact is made anew and signed by whoever would sign
it, so that nothing but this fact can be what refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enclave.attestation.appraise import EvidenceAppraiser
from tests.deployment import deployed
from tests.enclaves import APPRAISER, world
from tests.people import DAY_S, seeded
from tests.vault.forged_receipts import Case, cose
from tests.vault.wrong_facts import FILES, GOVERNANCE, LEASES, MACHINES, OWNERS, PASSAGES, QUESTIONS
from tests.vault.wrong_forms import BURSTS, HEADERS, MESSAGES, PAYLOADS, RECEIPT
from tests.vault.wrong_making import Made
from vault.errors import InvalidReceipt, MalformedObject
from vault.receipt_check import ReceiptCheck
from vault.receipt_message import signed_receipts
from vault.receipt_reading import ReceiptReader


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with deployed(tmp_path_factory.mktemp("deployment"), world(custodians=3)) as deployment:
        deployment.add_credit(1_000)
        with deployment.client() as client:
            first = client.search("rain", k=1).file
            second = client.search("tide table", k=2).file
        yield Case(deployment.world, first, second, deployment.enclave.keys.receipt)


GROUPS = {
    "receipt": RECEIPT,
    "header": HEADERS,
    "message": MESSAGES,
    "payload": PAYLOADS,
    "burst": BURSTS,
    "file": FILES,
    "leases": LEASES,
    "governance": GOVERNANCE,
    "question": QUESTIONS,
    "passages": PASSAGES,
    "manifests": OWNERS,
    "machine": MACHINES,
}
WRONG = {f"{group}: {name}": wrong for group, cases in GROUPS.items() for name, wrong in cases.items()}


def test_what_they_are_made_from_holds_and_so_does_what_is_made_with_nothing_changed(case: Case) -> None:
    assert case.verify(case.file) == case.verify(case.forged()) == case.verify(case.forged(binding={}))
    again = case.with_message(cose(case.key, case.receipt.encoded()))
    assert again.message == case.file.message or len(case.verify(again)) == len(case.verify(case.file))
    assert len(case.verify(case.with_message(_in_burst(case)))) == 9


def _in_burst(case: Case) -> bytes:
    return signed_receipts([case.receipt.encoded(), *(seeded(f"receipt {n}", 64) for n in range(4))], case.key)[0]


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_fact_is_enough_and_is_named(case: Case, name: str) -> None:
    fact, make = WRONG[name]
    said = refusal(case, make(case))
    assert said.split(":")[0] == fact, said


def refusal(case: Case, made: Made) -> str:
    """Return what is said against a file, as `coffer receipt verify` reads it."""
    data = made if isinstance(made, bytes) else made.encoded()
    try:
        file = ReceiptReader().read(data)
    except MalformedObject as error:
        return f"file: {error}"
    with pytest.raises(InvalidReceipt) as refused:
        case.verify(file)
    return str(refused.value)


def test_there_are_more_than_a_hundred_and_no_two_are_the_same(case: Case) -> None:
    made = [make(case) for _, make in WRONG.values()]
    assert len({one if isinstance(one, bytes) else one.encoded() for one in made} - {case.file.encoded()}) > 200


@pytest.mark.parametrize("appraiser", [APPRAISER, EvidenceAppraiser(production=True)])
def test_a_simulated_machine_is_refused_unless_expected_and_always_in_production(
    case: Case, appraiser: EvidenceAppraiser
) -> None:
    with pytest.raises(InvalidReceipt, match=r"^(tee|evidence): .*(SIMULATED|production)"):
        case.verify(case.file, allow_simulated=False, appraiser=appraiser)


def test_of_files_read_together_each_is_judged_by_itself(case: Case) -> None:
    """What a valid file had verified for it does not carry a wrong one along."""
    reader, check = ReceiptReader(), ReceiptCheck(case.world.genesis, APPRAISER, allow_simulated=True)
    for name, (fact, make) in WRONG.items():
        assert len(list(check.links(reader.read(case.file.encoded())))) == 9
        made = make(case)
        try:
            file = reader.read(made if isinstance(made, bytes) else made.encoded())
        except MalformedObject:
            assert fact == "file", name
            continue
        with pytest.raises(InvalidReceipt, match=f"^{fact}: "):
            list(check.links(file))


def test_a_day_later_it_still_holds_since_time_is_the_receipts_own(case: Case) -> None:
    case.world.clock.advance(DAY_S)
    assert len(case.verify(case.file)) == 9
