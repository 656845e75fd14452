"""Attacks on vouchers and channels, over real servers: forged, repeated, lowered, misdirected, late (rule L5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enclave.client import EnclaveClient
from enclave.client_session import ClientSession
from enclave.credential import Credential
from enclave.exchange import Call, Exchange, Service
from enclave.payer import Payer
from enclave.v1 import retrieval_pb2 as pb
from tests.builders import resigned, seeded, wallet
from tests.channels import LIMIT, UNPAID, channel_of, opened, voucher_on, voucher_world
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, credential, world
from vault.channel import Channel, Voucher, signed_digest
from vault.codec import encode
from vault.errors import (
    AccessDenied,
    CreditExhausted,
    InvalidSignature,
    MalformedObject,
    RateExceeded,
    RequestConflict,
    VaultError,
    VoucherDue,
)
from vault.question import voucher_digest
from vault.receipt import FIRST_PREVIOUS
from vault.signing import SigningKey

WORLD = voucher_world()
ASKING = credential(WORLD)
CHANNEL = channel_of(WORLD, ASKING)
STRANGER = credential(WORLD, wallet("stranger"), seed=seeded("stranger"))
ACCOUNT = "licensee/0x" + ASKING.license.licensee.hex() + "/USDC"


def handing(session: ClientSession, voucher: bytes, *, of: bytes | None = None) -> Exchange[pb.ChannelState]:
    """Hand in these bytes, under a MAC over `of`, the same bytes by default."""
    place = session.place(voucher_digest(voucher if of is None else of), confirms=FIRST_PREVIOUS)
    return (yield Call(Service.RETRIEVAL, "PayVoucher", pb.PayVoucherRequest(**place, voucher=voucher)))


class Unpaying(Payer):
    """A client that signs nothing."""

    def is_due(self, rules: Any) -> bool:
        return False

    def demand(self) -> bool:
        return False


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), WORLD) as deployment:
        yield deployment


class TestVouchers:
    @pytest.fixture
    def client(self, deployment: Deployment) -> Iterator[EnclaveClient]:
        """A client whose voucher for 400 is held."""
        with suppress(RequestConflict):
            opened(deployment, CHANNEL)
        with deployment.client(ASKING, payer=Unpaying(ASKING)) as client:
            hand(client, voucher_on(CHANNEL, 400, ASKING))
            yield client

    def credit(self, deployment: Deployment) -> int:
        return deployment.balance(ACCOUNT)

    @pytest.mark.parametrize(
        ("voucher", "error"),
        [
            (lambda: voucher_on(CHANNEL, 399, ASKING), RequestConflict),
            (lambda: voucher_on(CHANNEL, LIMIT + 1, ASKING), CreditExhausted),
            (lambda: voucher_on(channel_of(WORLD, ASKING, number=1), 500, ASKING), AccessDenied),
            (lambda: voucher_on(channel_of(WORLD, ASKING, chain_id=1), 500, ASKING), AccessDenied),
            (lambda: voucher_on(channel_of(WORLD, ASKING, contract=seeded("other", 20)), 500, ASKING), AccessDenied),
            (lambda: voucher_on(on_another_dao_of(ASKING), 500, ASKING), AccessDenied),
            (lambda: replace(voucher_on(CHANNEL, 500, ASKING), amount=900), InvalidSignature),
            (lambda: signed_by(wallet("mallory"), 500), InvalidSignature),
            (lambda: signed_by(wallet("payer"), 500), InvalidSignature),  # whoever pays named another to sign
            (lambda: moved_from(channel_of(WORLD, ASKING, chain_id=1), 500), InvalidSignature),
        ],
        ids=[
            *("lowered", "inflated", "other channel", "other chain", "other contract", "other ledger", "altered"),
            *("forged", "the payer's own", "moved from another chain"),
        ],
    )
    def test_one_wrong_fact_is_enough(
        self, deployment: Deployment, client: EnclaveClient, voucher: Callable[[], Voucher], error: type[VaultError]
    ) -> None:
        before, rows = self.credit(deployment), deployment.enclave.instance.meter().books.last_sequence
        with pytest.raises(error):
            hand(client, voucher())
        assert self.credit(deployment) == before
        assert deployment.enclave.instance.meter().books.last_sequence == rows

    def test_they_count_in_one_order_only(self, deployment: Deployment) -> None:
        asking = credential(WORLD, wallet("reordering"), seed=seeded("reordering"))
        channel = opened(deployment, channel_of(WORLD, asking))
        with deployment.client(asking, payer=Unpaying(asking)) as client:
            hand(client, voucher_on(channel, 600, asking))
            with pytest.raises(RequestConflict, match="only rise"):
                hand(client, voucher_on(channel, 500, asking))
        assert deployment.licensee_credit(wallet("reordering")) == UNPAID + 600

    def test_one_handed_in_twice_counts_once(self, deployment: Deployment, client: EnclaveClient) -> None:
        before = self.credit(deployment)
        for _ in range(3):
            assert hand(client, voucher_on(CHANNEL, 400, ASKING)).due == 400
        assert self.credit(deployment) == before

    def test_another_licensees_session_is_no_place_for_one(self, deployment: Deployment) -> None:
        other = credential(WORLD, wallet("other"), seed=seeded("other key"))
        with deployment.client(other, payer=Unpaying(other)) as client:
            with pytest.raises(AccessDenied, match="no channel"):
                hand(client, voucher_on(CHANNEL, 5_000, ASKING))
            opened(deployment, channel_of(WORLD, other))
            with pytest.raises(AccessDenied, match="another channel"):
                hand(client, voucher_on(CHANNEL, 5_000, ASKING))

    def test_the_mac_covers_the_voucher(self, deployment: Deployment, client: EnclaveClient) -> None:
        body, other = (voucher_on(CHANNEL, amount, ASKING).encoded() for amount in (5_000, 5_001))
        with pytest.raises(AccessDenied, match="not authenticated"):
            client._done(partial(handing, voucher=body, of=other), None)

    @pytest.mark.parametrize("body", [b"", b"garbage", bytes(1 << 16), encode({"type": Voucher.TYPE})])
    def test_bytes_that_are_no_voucher_are_malformed(self, client: EnclaveClient, body: bytes) -> None:
        with pytest.raises(MalformedObject):
            client._done(partial(handing, voucher=body), None)

    def test_nobody_floods_the_ledger_with_them(self, tmp_path: Path) -> None:
        setting = voucher_world()
        setting = world(policy={"queries_per_minute": 3, "vouchers": setting.policy.vouchers})
        asking = credential(setting)
        with deployed(tmp_path, setting) as deployment:
            channel = opened(deployment, channel_of(setting, asking))
            with deployment.client(asking, payer=Unpaying(asking)) as client:
                for amount in (1, 2, 3):
                    hand(client, voucher_on(channel, amount, asking))
                with pytest.raises(RateExceeded, match="3 vouchers in a minute"):
                    hand(client, voucher_on(channel, 4, asking))

    def test_none_counts_once_the_channel_has_ended(self, tmp_path: Path) -> None:
        setting = voucher_world()
        asking, clock = credential(setting), setting.clock
        with deployed(tmp_path, setting) as deployment:
            channel = opened(deployment, channel_of(setting, asking, expires_at=clock() + 300))
            with deployment.client(asking, payer=Unpaying(asking)) as client:
                client.search("tide table")
                clock.advance(300)
                with pytest.raises(AccessDenied, match="ended"):
                    hand(client, voucher_on(channel, PRICE, asking))
                with pytest.raises(CreditExhausted, match="ended"):
                    client.search("harbor lights")


class TestUnpaying:
    def test_a_client_that_never_pays_gets_what_may_be_unpaid_and_no_more(self, tmp_path: Path) -> None:
        setting = voucher_world()
        asking = credential(setting)
        with deployed(tmp_path, setting) as deployment:
            opened(deployment, channel_of(setting, asking))
            for _ in range(2):  # another session begins nothing anew
                with deployment.client(asking, payer=Unpaying(asking)) as client:
                    for number in range(UNPAID // PRICE + 1):
                        try:
                            client.search(f"tide table {number}")
                        except VoucherDue as refusal:
                            assert "hand in a voucher for 1000" in str(refusal)  # and where it stops
                            break
            books = deployment.enclave.instance.meter().books
            assert books.spent(asking.delegation.cid().digest) == UNPAID
            with deployment.client(asking, payer=Unpaying(asking)) as client:
                with pytest.raises(VoucherDue):
                    client.search("harbor lights")
                hand(client, voucher_on(channel_of(setting, asking), PRICE, asking))
                client.search("harbor lights")
                with pytest.raises(VoucherDue):
                    client.search("sextant")

    def test_another_channel_is_no_fresh_start(self, tmp_path: Path) -> None:
        setting = voucher_world()
        asking = credential(setting)
        with deployed(tmp_path, setting) as deployment:
            opened(deployment, channel_of(setting, asking))
            with deployment.client(asking, payer=Unpaying(asking)) as client:
                for number in range(UNPAID // PRICE):
                    client.search(f"tide table {number}")
                opened(deployment, channel_of(setting, asking, number=1))
                with pytest.raises(VoucherDue):
                    client.search("harbor lights")


class TestOpening:
    @pytest.mark.parametrize(
        ("channel", "error"),
        [
            (lambda: channel_of(WORLD, STRANGER, treasury_key=wallet("mallory")), AccessDenied),
            (lambda: replace(channel_of(WORLD, STRANGER), limit=LIMIT + 1), InvalidSignature),
            (lambda: channel_of(WORLD, STRANGER, chain_id=1), AccessDenied),
            (lambda: channel_of(WORLD, STRANGER, contract=seeded("other", 20)), AccessDenied),
            (lambda: with_config(STRANGER, token=seeded("other", 20)), AccessDenied),
            (lambda: channel_of(WORLD, STRANGER, expires_at=WORLD.clock()), AccessDenied),
            (lambda: on_another_dao_of(STRANGER), InvalidSignature),
        ],
        ids=["forged", "altered", "other chain", "other contract", "other token", "ended", "other DAO"],
    )
    def test_one_wrong_fact_is_enough(
        self, deployment: Deployment, channel: Callable[[], Channel], error: type[VaultError]
    ) -> None:
        with pytest.raises(error):
            opened(deployment, channel())
        assert deployment.licensee_credit(wallet("stranger")) == 0

    def test_no_policy_with_vouchers_no_channel(self, tmp_path: Path) -> None:
        setting = world()
        with deployed(tmp_path, setting) as deployment, pytest.raises(AccessDenied, match="takes vouchers"):
            opened(deployment, channel_of(setting))

    def test_an_older_word_of_the_treasury_undoes_no_newer_one(self, deployment: Deployment) -> None:
        who = credential(WORLD, wallet("raised"))
        first, raised = channel_of(WORLD, who, limit=300), channel_of(WORLD, who, limit=5_000)
        following = channel_of(WORLD, who, number=1)
        for one in (first, raised, following):
            opened(deployment, one)
        for one in (first, raised, following):
            with pytest.raises(RequestConflict):
                opened(deployment, one)


def hand(client: EnclaveClient, voucher: Voucher) -> pb.ChannelState:
    return client._done(partial(handing, voucher=voucher.encoded()), None)


def signed_by(key: SigningKey, amount: int) -> Voucher:
    return Voucher(channel=CHANNEL.id, amount=amount, signature=key.sign(signed_digest(CHANNEL, amount)))


def moved_from(other: Channel, amount: int) -> Voucher:
    """Return a voucher signed for another channel, under this one's name."""
    return replace(voucher_on(other, amount, ASKING), channel=CHANNEL.id)


def with_config(asking: Credential, **fields: Any) -> Channel:
    made = channel_of(WORLD, asking)
    signed: Channel = resigned(WORLD.history, wallet("treasury"), made, config=replace(made.config, **fields))
    return signed


def on_another_dao_of(asking: Credential) -> Channel:
    elsewhere = world(name="Elsewhere", policy={"vouchers": WORLD.policy.vouchers})
    return channel_of(elsewhere, credential(elsewhere, seed=asking.seed), licensee=asking.license.licensee)
