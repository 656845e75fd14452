"""The charter: bounds without which a DAO could never decide, or its custodians be outvoted by liars."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import custodian, dao, seeded, wallet, weight
from tests.governing import GUARDIANS, guarded, successor
from tests.people import roll_fields, weighted
from vault.charter import CUSTODIANS_MAX, GUARDIANS_MAX, MEMBERS_MAX, PERIOD_S_MAX, ROUND_S_MAX, Charter, SuiteKey
from vault.codec import OBJECT_BYTES_MAX
from vault.errors import MalformedObject

CHARTER = guarded(3, custodians=4).charter
KEYS = tuple(custodian(str(n)).public() for n in range(CUSTODIANS_MAX))
ADDRESSES = tuple(key.address for key in GUARDIANS)


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
        {"members": 0},
        {"members": MEMBERS_MAX + 1, "total_weight": weight(MEMBERS_MAX + 1)},
        {"members": 4},
        {"total_weight": weight(2)},
        {"total_weight": bytes(31)},
        {"weights_root": bytes(31)},
        {"guardians": ADDRESSES[::-1]},
        {"guardians": ADDRESSES[:1] * 2},
        {"guardians": tuple(bytes(19) + bytes([n]) for n in range(GUARDIANS_MAX + 1))},
        {"guardians": (bytes(19),)},
        {"guardian_signatures": 0},
        {"guardian_signatures": 4},
        {"guardians": (), "guardian_signatures": 1},
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
    ids=lambda field: ", ".join(field),
)
def test_one_field_out_of_bounds_is_enough_to_refuse(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(CHARTER, **field)


@pytest.mark.parametrize(
    "field",
    [
        {"quorum_bps": 0},
        {"quorum_bps": 10_001},
        {"threshold_bps": 5_000},
        {"threshold_bps": 10_001},
        {"period_s": 0},
        {"period_s": PERIOD_S_MAX + 1},
        {"delay_s": PERIOD_S_MAX + 1},
        {"timelock_s": PERIOD_S_MAX + 1},
        {"delegations_every_s": PERIOD_S_MAX + 1},
        {"extension_s": CHARTER.voting.period_s + 1},
        {"period_s": PERIOD_S_MAX, "extension_s": PERIOD_S_MAX + 1},
        {"round_s": 0},
        {"round_s": ROUND_S_MAX + 1},
        {"proposals_per_day": 0},
        {"proposals_per_day": 1_001},
        {"proposal_weight": weight(4)},
        {"proposal_weight": bytes(33)},
    ],
    ids=lambda field: ", ".join(field),
)
def test_one_rule_of_voting_out_of_bounds_is_enough_to_refuse(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        successor(CHARTER, **field)


@pytest.mark.parametrize(
    "field",
    [
        {"quorum_bps": 1},
        {"quorum_bps": 10_000},
        {"threshold_bps": 5_001},
        {"threshold_bps": 10_000},
        {"period_s": PERIOD_S_MAX, "extension_s": PERIOD_S_MAX},
        {"delay_s": PERIOD_S_MAX},
        {"timelock_s": PERIOD_S_MAX},
        {"round_s": ROUND_S_MAX},
        {"proposal_weight": weight(3)},
        {"proposal_weight": weight(0)},
        {"guardians": (), "guardian_signatures": 0},
        {"guardian_signatures": 3},
        {"total_weight": weight(2**256 - 1)},
    ],
    ids=lambda field: ", ".join(field),
)
def test_what_is_just_within_its_bounds_is_fine(field: dict[str, Any]) -> None:
    changed = successor(CHARTER, **field)
    assert Charter.from_bytes(changed.encoded()) == changed


def test_a_charter_of_100_000_members_is_as_small_as_one_of_three() -> None:
    large = replace(CHARTER, members=MEMBERS_MAX, total_weight=weight(2**200))
    assert large.total() == 2**200
    assert len(large.encoded()) < len(CHARTER.encoded()) + 16 < OBJECT_BYTES_MAX


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


def test_custodians_are_found_and_strangers_are_not() -> None:
    assert CHARTER.custodian(KEYS[2].key) == KEYS[2]
    assert CHARTER.custodian(KEYS[9].key) is None


def test_the_domain_is_that_of_the_genesis_not_of_a_later_charter() -> None:
    other = Cid.of(DAG_CBOR, b"genesis")
    assert CHARTER.domain(other).dao_id == other.digest


@pytest.mark.parametrize(
    "field",
    [
        {"chain_id": 1},
        {"custodians": KEYS[:3] + KEYS[4:5]},
        {"custodians": KEYS[:4][::-1]},
        {"custodians": (*KEYS[:3], replace(KEYS[3], hpke=KEYS[4].hpke))},
        {"custodians": KEYS[:5]},
        {"shares": 2},
        {"signatures": 4},
        {"suite_floor": "another"},
    ],
    ids=lambda field: next(iter(field)),
)
def test_a_decision_cannot_change_what_keys_rest_on(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject, match=next(iter(field))):
        CHARTER.require_successor(replace(CHARTER, **field))


def test_a_decision_cannot_change_how_many_liars_are_tolerated() -> None:
    strict = dao(3, custodians=4, shares=3, signatures=3, liars=1).charter
    with pytest.raises(MalformedObject, match="liars"):
        strict.require_successor(replace(strict, liars=0))


@pytest.mark.parametrize(
    "field",
    [
        {"name": "Another"},
        roll_fields(weighted((1, 1))),
        roll_fields(weighted((1, 1, 2))),
        {"guardians": (), "guardian_signatures": 0},
        {"lease_s": 60},
        {"treasury": wallet("other").address},
        {"threshold_bps": 6_000},
        {"nonce": seeded("other")},
    ],
    ids=lambda field: next(iter(field)),
)
def test_a_decision_can_change_who_votes_how_and_who_may_stop(field: dict[str, Any]) -> None:
    CHARTER.require_successor(successor(CHARTER, **field))


OTHERS = roll_fields(weighted((1, 1, 7)))


@pytest.mark.parametrize(
    "field",
    [
        {"members": 2},
        {"total_weight": weight(4)},
        {"weights_root": OTHERS["weights_root"]},
        {name: value for name, value in OTHERS.items() if name != "roll"},
        {"roll": OTHERS["roll"]},
        {name: value for name, value in OTHERS.items() if name != "weights_root"},
    ],
    ids=lambda field: ", ".join(field),
)
def test_a_decision_cannot_change_what_is_counted_without_the_roll_nor_the_roll_alone(field: dict[str, Any]) -> None:
    CHARTER.require_successor(successor(CHARTER, **OTHERS))
    with pytest.raises(MalformedObject, match="the roll"):
        CHARTER.require_successor(successor(CHARTER, **field))


def test_a_charter_is_not_its_own_successor() -> None:
    with pytest.raises(MalformedObject, match="in force already"):
        CHARTER.require_successor(Charter.from_bytes(CHARTER.encoded()))
