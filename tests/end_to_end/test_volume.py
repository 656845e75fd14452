"""Free answers and tiers by volume: what each answer cost, held, quoted and checked offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from enclave.client import Answer, EnclaveClient
from tests.builders import wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import APPRAISER, credential, world
from vault.errors import CreditExhausted, InvalidReceipt
from vault.pricing import Tier
from vault.receipt import verified_receipt
from vault.receipt_check import verify_receipt_file

SETTING = world(
    policy={
        "price_per_query": 100,
        "free_queries": 3,
        "tiers": (Tier(after=5, price_per_query=40, price_per_passage=1),),
        "queries_per_minute": 10_000,
    }
)


@pytest.fixture
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), SETTING) as deployment:
        yield deployment


@pytest.fixture
def client(deployment: Deployment) -> Iterator[EnclaveClient]:
    with deployment.client(credential(SETTING, spend_cap=10**6)) as client:
        yield client


def test_each_answer_costs_what_its_number_says(deployment: Deployment, client: EnclaveClient) -> None:
    for _ in range(3):  # without any credit
        assert client.quote(k=1).price_max == client.search("tide", k=1).receipt.price == 0
    with pytest.raises(CreditExhausted):
        client.search("tide", k=1)
    deployment.add_credit(1_000)
    for price in (100, 100, 41, 41):
        assert client.quote(k=1).price_max == price
        answer = client.search("tide", k=1)
        assert answer.receipt.price == price
    assert deployment.licensee_credit(wallet("licensee")) == 1_000 - 282
    checked(answer)


def checked(answer: Answer) -> None:
    """The price follows from receipt and policy alone; under another policy's prices the receipt does not hold."""
    assert list(verify(answer, answer.file))
    cheaper = replace(SETTING.policy, tiers=(Tier(after=5, price_per_query=30, price_per_passage=1),))
    with pytest.raises(InvalidReceipt, match="policy"):
        list(verify(answer, replace(answer.file, policy=cheaper)))


def verify(answer: Answer, file: object) -> Iterator[str]:
    return verify_receipt_file(file, genesis=SETTING.genesis, appraiser=APPRAISER, allow_simulated=True)  # type: ignore[arg-type]


def test_a_receipt_with_the_price_of_another_number_does_not_hold(
    deployment: Deployment, client: EnclaveClient
) -> None:
    answer = client.search("tide", k=1)
    key = deployment.enclave.keys.receipt
    receipt = verified_receipt(answer.file.message, key.public)
    for changed in ({"price": 100}, {"sequence": 4, "previous": bytes([1]) * 32, "entry": 9}):
        with pytest.raises(InvalidReceipt, match=r"price: the policy says \d+ for 1 passages after \d answers"):
            list(verify(answer, replace(answer.file, message=replace(receipt, **changed).signed(key))))  # type: ignore[arg-type]


def test_of_many_at_once_no_more_are_free_than_the_quota(deployment: Deployment, client: EnclaveClient) -> None:
    outcomes = client.search_batch([client.question("tide", k=1) for _ in range(8)])
    answers = [one for one in outcomes if isinstance(one, Answer)]
    assert [one.receipt.price for one in answers] == [0, 0, 0]
    assert all(isinstance(one, CreditExhausted) for one in outcomes if not isinstance(one, Answer))
    deployment.add_credit(250)
    outcomes = client.search_batch([client.question("tide", k=1) for _ in range(8)])
    paid = sorted(one.receipt.price for one in outcomes if isinstance(one, Answer))
    assert paid[-2:] == [100, 100] and set(paid[:-2]) <= {41}
    assert deployment.licensee_credit(wallet("licensee")) == 250 - sum(paid)
