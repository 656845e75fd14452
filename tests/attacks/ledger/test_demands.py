"""An enclave that lies about payment channels: its client refuses it, names it, and signs for nothing (rule L5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.promising import Promising
from tests.builders import resigned, seeded, wallet
from tests.channels import UNPAID, channel_of, opened, voucher_world
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential
from vault.channel import Channel, Voucher, signed_digest
from vault.errors import AccessDenied, CreditExhausted, ExcessiveDemand, InvalidSignature, VaultError
from vault.signing import SigningKey
from vault.unpaid import Debt

WORLD = voucher_world()
ASKING = credential(WORLD)
CHANNEL = channel_of(WORLD, ASKING)
ACCOUNT = "licensee/0x" + ASKING.license.licensee.hex() + "/USDC"


class Demanding(Promising):
    """An enclave that asks for more than it delivered, or shows what nobody signed."""

    def __init__(self, honest: Promising, lie: Callable[[Debt], Debt]) -> None:
        super().__init__(honest._instance, honest._admission)
        self._lie = lie

    def debt(self, session: Any) -> Debt:
        return self._lie(super().debt(session))


class TestLyingEnclave:
    @pytest.fixture
    def deployment(self, tmp_path: Path) -> Iterator[Deployment]:
        setting = voucher_world()
        with deployed(tmp_path, setting) as deployment:
            opened(deployment, channel_of(setting))
            yield deployment

    def lies(self, deployment: Deployment, lie: Callable[[Debt], Debt]) -> None:
        deployment.enclave.service.promising = Demanding(deployment.enclave.service.promising, lie)

    def test_one_that_asks_for_more_than_it_delivered_is_refused_and_named(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            for number in range(3):
                client.search(f"tide table {number}")
            self.lies(deployment, lambda debt: replace(debt, unpaid=3 * PRICE + UNPAID + 1))
            with pytest.raises(ExcessiveDemand, match="receipts since come to 300") as refused:
                client.pay()
            assert deployment.enclave.keys.instance.hex() in str(refused.value)
        standing = deployment.enclave.instance.meter().books.promises.of(ACCOUNT)
        assert standing is not None
        assert standing.voucher is None

    def test_one_that_asks_again_and_again_gains_no_more_than_may_be_unpaid(self, deployment: Deployment) -> None:
        """It demands a little more each time, refusing to answer until it is paid."""
        extra = 0

        def demanded(debt: Debt) -> Debt:
            nonlocal extra
            extra += 150
            return replace(debt, unpaid=debt.unpaid + extra)

        self.lies(deployment, demanded)
        with deployment.client() as client:
            client.search("tide table")
            for _ in range(40):
                client._payer.demand()
                try:
                    client.pay()
                except ExcessiveDemand:
                    break
            else:
                raise AssertionError("it never refused")
        standing = deployment.enclave.instance.meter().books.promises.of(ACCOUNT)
        assert standing is not None
        assert PRICE < standing.amount <= PRICE + UNPAID

    @pytest.mark.parametrize(
        ("lie", "error"),
        [
            (lambda debt: replace(debt, channel=replace(debt.channel, limit=10**9)), InvalidSignature),
            (lambda debt: replace(debt, channel=channel_of(WORLD, credential(WORLD, wallet("x")))), AccessDenied),
            (lambda debt: replace(debt, channel=with_config(token=seeded("other", 20))), AccessDenied),
            (lambda debt: replace(debt, voucher=signed_by(wallet("mallory"), 5_000)), InvalidSignature),
            (
                lambda debt: replace(debt, channel=with_config(payer_authorizer=wallet("m").address), unpaid=50),
                AccessDenied,
            ),
        ],
        ids=["altered channel", "another's channel", "other token", "forged voucher", "other signer"],
    )
    def test_what_nobody_signed_is_not_believed(
        self, deployment: Deployment, lie: Callable[[Debt], Debt], error: type[VaultError]
    ) -> None:
        self.lies(deployment, lie)
        with deployment.client() as client, pytest.raises(error):
            client._payer.demand()
            client.pay(is_accepting=True)

    def test_one_that_forgets_a_voucher_is_reminded_and_gets_nothing_on_top(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            for number in range(3):
                client.search(f"tide table {number}")
            client.pay()
            self.lies(deployment, lambda debt: replace(debt, voucher=None, unpaid=3 * PRICE))
            client._payer.demand()
            client.pay()
        standing = deployment.enclave.instance.meter().books.promises.of(ACCOUNT)
        assert standing is not None
        assert standing.amount == 3 * PRICE

    def test_max_spend_bounds_what_is_signed(self, deployment: Deployment) -> None:
        with deployment.client(max_spend=250) as client:
            for number in range(2):
                client.search(f"tide table {number}")
            with pytest.raises(CreditExhausted, match="max_spend"):
                client.search("harbor lights")
            paid = client.pay()
            assert paid is not None
            assert paid.voucher is not None
            assert paid.voucher.amount == 200


def signed_by(key: SigningKey, amount: int) -> Voucher:
    return Voucher(channel=CHANNEL.id, amount=amount, signature=key.sign(signed_digest(CHANNEL, amount)))


def with_config(**fields: Any) -> Channel:
    signed: Channel = resigned(WORLD.history, wallet("treasury"), CHANNEL, config=replace(CHANNEL.config, **fields))
    return signed
