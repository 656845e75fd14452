"""Attacks on credit: forged, repeated and misdirected deposits; inquiries of strangers (rule L2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from enclave.channel import EnclaveChannel
from tests.builders import resigned, seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import deposit, world
from vault import acts
from vault.errors import AccessDenied, InvalidSignature, MalformedObject, RequestConflict
from vault.inquiry import Inquiry
from vault.signing import SigningKey
from vault.v1 import ledger_pb2, ledger_pb2_grpc
from vault.window import Anchor

WORLD = world()
MALLORY, LICENSEE, TREASURY = wallet("mallory"), wallet("licensee"), wallet("treasury")
ACCOUNT = "licensee/0x" + LICENSEE.address.hex() + "/USDC"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), WORLD) as deployment:
        deployment.add_credit(50)
        yield deployment


@pytest.fixture
def channel(deployment: Deployment) -> Iterator[EnclaveChannel]:
    channel = EnclaveChannel(deployment.enclave.address)
    yield channel
    channel.close()


class TestDeposits:
    @pytest.mark.parametrize(
        "fields",
        [
            {"treasury_key": MALLORY},
            {"treasury_key": wallet("issuer")},
            {"ledger": seeded("another ledger")},
            {"genesis": WORLD.policy.cid()},
            {"currency": "SHELLS"},
        ],
    )
    def test_one_wrong_fact_is_enough(self, deployment: Deployment, fields: dict[str, Any]) -> None:
        with pytest.raises(AccessDenied):
            deployment.add_credit(10, wallet("nobody"), **fields)
        assert deployment.licensee_credit(wallet("nobody")) == 0

    def test_one_signed_by_another_than_it_names(self, deployment: Deployment) -> None:
        with pytest.raises(InvalidSignature):
            deployment.hand_in(replace(deposit(WORLD, 50, treasury_key=MALLORY), treasury=TREASURY.address))

    @pytest.mark.parametrize(("field", "value"), [("amount", 10**6), ("licensee", MALLORY.address)])
    def test_one_changed_after_signing(self, deployment: Deployment, field: str, value: Any) -> None:
        with pytest.raises(InvalidSignature):
            deployment.hand_in(replace(deposit(WORLD, 50), **{field: value}))

    def test_one_for_another_dao(self, deployment: Deployment) -> None:
        with pytest.raises(InvalidSignature):
            deployment.hand_in(deposit(world(name="Elsewhere"), 50))

    def test_one_handed_in_twice_counts_once(self, deployment: Deployment) -> None:
        paid = deposit(WORLD, 50, wallet("twice"))
        assert deployment.hand_in(paid) == 50
        for again in (paid, resigned(WORLD.history, TREASURY, paid, amount=60)):
            with pytest.raises(RequestConflict):
                deployment.hand_in(again)
        assert deployment.licensee_credit(wallet("twice")) == 50

    def test_bytes_that_are_no_deposit_are_malformed(self, channel: EnclaveChannel) -> None:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel.channel)
        with pytest.raises(MalformedObject):
            channel.call(stub.AddCredit, ledger_pb2.AddCreditRequest(deposit=b"garbage"))


class TestInquiries:
    def inquiry(self, channel: EnclaveChannel, person: SigningKey, **fields: Any) -> Inquiry:
        nonce = channel.evidence(seeded("nonce"))[2]
        asked = acts.inquire(WORLD.genesis, WORLD.dao.charter, person, server_nonce=nonce, tls_key=channel.tls_key)
        inquiry: Inquiry = resigned(WORLD.history, person, asked, **fields)
        return inquiry

    def test_a_person_sees_its_own_account_and_the_treasury_all(self, channel: EnclaveChannel) -> None:
        assert channel.balances(self.inquiry(channel, LICENSEE).encoded()) == {ACCOUNT: 50}
        assert channel.balances(self.inquiry(channel, TREASURY).encoded())["paid-in/USDC"] < -49

    def test_a_stranger_sees_nothing(self, channel: EnclaveChannel) -> None:
        with pytest.raises(AccessDenied, match="no account"):
            channel.balances(self.inquiry(channel, MALLORY).encoded())
        claimed = replace(self.inquiry(channel, MALLORY), account=LICENSEE.address)
        with pytest.raises(InvalidSignature):
            channel.balances(claimed.encoded())

    @pytest.mark.parametrize("field", ["tls_key", "ledger", "server_nonce"])
    def test_one_made_for_another_place_or_moment_is_refused(self, channel: EnclaveChannel, field: str) -> None:
        with pytest.raises(AccessDenied):
            channel.balances(self.inquiry(channel, LICENSEE, **{field: seeded("another")}).encoded())

    def test_a_replayed_one_is_refused(self, channel: EnclaveChannel) -> None:
        inquiry = self.inquiry(channel, LICENSEE).encoded()
        channel.balances(inquiry)
        with pytest.raises(AccessDenied, match="nonce"):
            channel.balances(inquiry)

    def test_the_treasury_alone_has_the_books_checked(self, deployment: Deployment, channel: EnclaveChannel) -> None:
        for person in (LICENSEE, MALLORY):
            with pytest.raises(AccessDenied, match="the DAO's treasury"):
                channel.check_books(self.inquiry(channel, person).encoded())
        checked = channel.check_books(self.inquiry(channel, TREASURY).encoded())
        last = deployment.journal().last()
        assert last is not None and checked.anchor == Anchor(sequence=last.sequence, mac=last.mac)
        accounts = channel.balances(self.inquiry(channel, TREASURY).encoded())
        assert (checked.entries, checked.accounts) == (last.sequence, len(accounts))
