"""The charter: bounds without which a DAO could never decide, or its custodians be outvoted by liars."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import custodian, dao, seeded, wallet, weight
from vault.charter import CUSTODIANS_MAX, MEMBERS_MAX, Charter, Member, SuiteKey
from vault.errors import MalformedObject

CHARTER = dao(3, custodians=4).charter
MEMBERS = CHARTER.members
KEYS = tuple(custodian(str(n)).public() for n in range(CUSTODIANS_MAX))


def test_a_charter_comes_back_from_its_bytes_and_its_cid_is_the_dao() -> None:
    again = Charter.from_bytes(CHARTER.encoded())
    assert again == CHARTER
    assert CHARTER.domain(CHARTER.cid()).dao_id == CHARTER.cid().digest
    assert CHARTER.domain(CHARTER.cid()).chain_id == CHARTER.chain_id


def test_a_charter_holds_no_id_of_its_own() -> None:
    assert CHARTER.cid().digest not in CHARTER.encoded()
    assert replace(CHARTER, nonce=seeded("other")).cid() != CHARTER.cid()


@pytest.mark.parametrize(
    "field",
    [
        {"members": ()},
        {"members": MEMBERS[::-1]},
        {"members": MEMBERS + MEMBERS[-1:]},
        {"members": (MEMBERS[0], replace(MEMBERS[0], weight=weight(7)))},
        {"members": tuple(replace(member, weight=weight(0)) for member in MEMBERS)},
        {"members": tuple(replace(member, weight=weight(2**255)) for member in MEMBERS)},
        {"quorum_bps": 0},
        {"quorum_bps": 10_001},
        {"threshold_bps": 0},
        {"threshold_bps": 10_001},
        {"voting_period_s": 0},
        {"voting_period_s": 365 * 86_400 + 1},
        {"lease_s": 0},
        {"lease_s": 3601},
        {"custodians": ()},
        {"custodians": KEYS[:3] + KEYS[:1]},
        {"custodians": (*KEYS[:3], replace(KEYS[0], hpke=KEYS[3].hpke))},
        {"nonce": bytes(31)},
        {"treasury": bytes(19)},
        {"chain_id": -1},
        {"suite_floor": ""},
        {"name": "n" * 201},
    ],
    ids=lambda field: next(iter(field)),
)
def test_one_field_out_of_bounds_is_enough_to_refuse(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(CHARTER, **field)


def test_weights_fill_256_bits_and_no_more() -> None:
    most = (replace(MEMBERS[0], weight=weight(2**256 - 2)), replace(MEMBERS[1], weight=weight(1)))
    assert replace(CHARTER, members=most).total_weight() == 2**256 - 1
    with pytest.raises(MalformedObject, match="256 bits"):
        replace(CHARTER, members=(*most, MEMBERS[2]))


def test_members_are_bounded() -> None:
    many = tuple(Member(address=n.to_bytes(20, "big"), weight=weight(1)) for n in range(MEMBERS_MAX + 1))
    assert Charter.from_bytes(replace(CHARTER, members=many[:-1]).encoded()).total_weight() == MEMBERS_MAX
    with pytest.raises(MalformedObject):
        replace(CHARTER, members=many)


@pytest.mark.parametrize("size", [31, 33, 0])
def test_a_weight_has_32_bytes(size: int) -> None:
    with pytest.raises(MalformedObject):
        Member(address=bytes(20), weight=bytes(size))


@pytest.mark.parametrize(
    ("suite", "key"), [("", bytes(32)), ("s" * 41, bytes(32)), ("s", bytes(31)), ("s", bytes(1217))]
)
def test_a_suite_key_is_bounded(suite: str, key: bytes) -> None:
    with pytest.raises(MalformedObject):
        SuiteKey(suite=suite, key=key)


@pytest.mark.parametrize("n", [*range(1, 8), CUSTODIANS_MAX])
def test_numbers_stand_exactly_where_two_quorums_share_an_honest_custodian(n: int) -> None:
    sizes = range(n + 2) if n < CUSTODIANS_MAX else (0, 1, 5, 6, 8, 9, 10, 11, 15, 16, 17)
    for t, q, f in product(sizes, repeat=3):
        overlap = 2 * q - n  # custodians that any two sets of q have in common
        is_sound = overlap > f and f < t <= q <= n - f
        try:
            replace(CHARTER, custodians=KEYS[:n], shares=t, signatures=q, liars=f)
        except MalformedObject:
            assert not is_sound, (n, t, q, f)
        else:
            assert is_sound, (n, t, q, f)


def test_a_laptop_is_one_of_one() -> None:
    laptop = replace(CHARTER, custodians=KEYS[:1], shares=1, signatures=1, liars=0)
    for wrong in ({"shares": 0}, {"shares": 2}, {"signatures": 0}, {"signatures": 2}, {"liars": 1}):
        with pytest.raises(MalformedObject):
            replace(laptop, **wrong)  # type: ignore[arg-type]


def test_members_and_custodians_are_found_and_strangers_are_not() -> None:
    heavy = replace(CHARTER, members=(replace(MEMBERS[0], weight=weight(2**200)), *MEMBERS[1:]))
    assert heavy.weight_of(MEMBERS[0].address) == 2**200
    assert heavy.weight_of(wallet("stranger").address) == 0
    assert heavy.custodian(KEYS[2].key) == KEYS[2]
    assert heavy.custodian(KEYS[9].key) is None


def test_the_domain_is_that_of_the_genesis_not_of_a_later_charter() -> None:
    other = Cid.of(DAG_CBOR, b"genesis")
    assert CHARTER.domain(other).dao_id == other.digest
