"""Answers paid for by vouchers, over real servers: neither side ever risks more than was agreed (rule L5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.channels import UNPAID, opened, voucher_world
from tests.clients import connected
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE

ACCOUNT = "licensee"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path, voucher_world()) as deployment:
        yield deployment


def standing(deployment: Deployment):  # type: ignore[no-untyped-def]
    (found,) = deployment.enclave.instance.meter().books.promises.standings()
    return found[1]


def test_questions_are_paid_for_as_their_receipts_come(deployment: Deployment) -> None:
    opened(deployment)
    with connected(deployment, tallies=None) as client:
        for number in range(25):
            assert client.search(f"tide table {number}").price == PRICE
        paid = client.pay()
    assert paid is not None and paid.voucher is not None
    assert paid.voucher.amount == 25 * PRICE
    assert paid.unpaid == 0
    assert sum(deployment.enclave.instance.meter().books.balances().values()) == 0
    assert standing(deployment).lent == UNPAID
