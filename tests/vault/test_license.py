"""Licenses, delegations and deposits: their bounds, and that wallets show what they sign."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import NOW, dao, license, policy, seeded, signed, wallet
from vault.errors import InvalidSignature, MalformedObject
from vault.license import AMOUNT_MAX, Delegation, Deposit, License
from vault.signing import BLANK_SIGNATURE, PersonSigned

DAO = dao()
DOMAIN = DAO.charter.domain(DAO.genesis)
POLICY = policy(DAO.genesis)
LICENSE = license(DAO.history, POLICY, wallet("licensee"))
DELEGATION: Delegation = signed(
    DAO.history,
    wallet("licensee"),
    Delegation(
        genesis=DAO.genesis,
        license=LICENSE.cid(),
        licensee=wallet("licensee").address,
        session_key=seeded("session key"),
        spend_cap=1_000_000,
        expires_at=NOW + 3600,
        signature=BLANK_SIGNATURE,
    ),
)
DEPOSIT: Deposit = signed(
    DAO.history,
    wallet("treasury"),
    Deposit(
        genesis=DAO.genesis,
        ledger=seeded("ledger"),
        id=seeded("deposit"),
        treasury=wallet("treasury").address,
        licensee=wallet("licensee").address,
        amount=5_000_000,
        currency="USDC",
        signature=BLANK_SIGNATURE,
    ),
)
OTHER = Cid.of(DAG_CBOR, b"other")


@pytest.mark.parametrize("record", [LICENSE, DELEGATION, DEPOSIT], ids=lambda record: type(record).__name__)
def test_what_is_signed_verifies_and_comes_back_from_its_bytes(record: PersonSigned) -> None:
    record.verify(DOMAIN)
    again = type(record).from_bytes(record.encoded())
    assert again == record
    again.verify(DOMAIN)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        *((LICENSE, field) for field in ({"genesis": OTHER}, {"policy": OTHER}, {"epoch": 1}, {"issued_at": 0})),
        (LICENSE, {"licensee": wallet("mallory").address}),
        (LICENSE, {"expires_at": 2**63 - 1}),
        *((DELEGATION, field) for field in ({"genesis": OTHER}, {"license": OTHER}, {"spend_cap": 2_000_000})),
        (DELEGATION, {"session_key": seeded("mallory's key")}),
        (DELEGATION, {"licensee": wallet("mallory").address}),
        (DELEGATION, {"expires_at": 2**63 - 1}),
        *((DEPOSIT, field) for field in ({"genesis": OTHER}, {"ledger": seeded("other")}, {"id": seeded("other")})),
        (DEPOSIT, {"amount": 5_000_001}),
        (DEPOSIT, {"currency": "EURC"}),
        (DEPOSIT, {"licensee": wallet("mallory").address}),
        (DEPOSIT, {"treasury": wallet("mallory").address}),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else type(item).__name__,
)
def test_no_field_can_be_changed_after_signing(record: PersonSigned, field: dict[str, Any]) -> None:
    with pytest.raises(InvalidSignature):
        replace(record, **field).verify(DOMAIN)


@pytest.mark.parametrize("expires_at", [LICENSE.issued_at, LICENSE.issued_at - 1, 0])
def test_a_license_ends_after_it_is_issued(expires_at: int) -> None:
    with pytest.raises(MalformedObject, match="end after"):
        replace(LICENSE, expires_at=expires_at)


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1, 2**64, True, 1.5])
def test_a_deposit_is_of_something_and_of_no_more_than_a_ledger_can_add(amount: Any) -> None:
    assert replace(DEPOSIT, amount=AMOUNT_MAX).amount == AMOUNT_MAX
    with pytest.raises(MalformedObject):
        replace(DEPOSIT, amount=amount)


def test_the_wallet_shows_whom_and_how_much() -> None:
    assert LICENSE.message()["policy"] == str(POLICY.cid())
    assert LICENSE.message()["licensee"] == wallet("licensee").address
    assert DELEGATION.message()["spendCap"] == 1_000_000
    assert DEPOSIT.message()["amount"] == 5_000_000
    assert DEPOSIT.message()["ledger"] == seeded("ledger")


def test_two_deposits_of_one_amount_differ_by_their_id() -> None:
    assert replace(DEPOSIT, id=seeded("second")).unsigned_digest() != DEPOSIT.unsigned_digest()


def test_bytes_of_one_kind_are_not_read_as_another() -> None:
    with pytest.raises(MalformedObject):
        Delegation.from_bytes(LICENSE.encoded())
    with pytest.raises(MalformedObject):
        License.from_bytes(DEPOSIT.encoded())
