"""A currency whose name another account's is read in: refused wherever one enters, or no epoch could be settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.channels import channel_of, voucher_world
from tests.enclaves import deposit
from vault.codec import Record
from vault.errors import MalformedObject
from vault.statement import CurrencySettled

WORLD = voucher_world()
MISNAMED = ("A/USDC", "/", "=1+1", "-USDC", "US DC", "USDC\n", "usdc", "US\u0414C", "", "THIRTEENCHARS")
SETTLED = CurrencySettled(
    currency="USDC",
    charged=1,
    refunded=0,
    owed_before=0,
    owed=0,
    total=1,
    accounts=1,
    sum_root=bytes(32),
    claims_root=bytes(32),
)
ENTERS: dict[str, Callable[[str], Record]] = {
    "policy": lambda name: replace(WORLD.policy, currency=name),
    "deposit": lambda name: replace(deposit(WORLD, 1), currency=name),
    "channel": lambda name: channel_of(WORLD, currency=name),
    "settlement": lambda name: replace(SETTLED, currency=name),
}


@pytest.mark.parametrize("where", ENTERS)
@pytest.mark.parametrize("name", MISNAMED)
def test_what_is_no_currencys_name_enters_nowhere(where: str, name: str) -> None:
    with pytest.raises(MalformedObject):
        ENTERS[where](name)


@pytest.mark.parametrize("name", ["USDC", "X", "EURC2", "ABCDEFGHIJKL"])
@pytest.mark.parametrize("where", ["policy", "deposit", "settlement"])
def test_a_currencys_name_does(where: str, name: str) -> None:
    assert ENTERS[where](name)
