"""A policy admits a licensee only when every fact is right."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, RAW, Cid
from tests.builders import DAY_S, NOW, dao, license, policy, wallet
from tests.machines import accepted_tee
from vault.errors import AccessDenied, MalformedObject
from vault.policy import DATASETS_MAX, K_LIMIT, PRICE_MAX, TEES_MAX, Permit, Policy

DAO = dao()
POLICY = policy(DAO.genesis)
LICENSE = license(DAO.history, POLICY, wallet("licensee"))
DATASETS = tuple(Cid.of(DAG_CBOR, bytes([n])) for n in range(DATASETS_MAX + 1))


def test_a_valid_license_is_admitted_with_exactly_what_the_policy_says() -> None:
    assert POLICY.admit(LICENSE, k=10, at=NOW) == Permit(
        policy=POLICY.cid(),
        licensee=wallet("licensee").address,
        datasets=POLICY.datasets,
        k=10,
        price=100,
        passages_max=1000,
    )


@pytest.mark.parametrize(
    ("changed", "k", "at", "reason"),
    [
        ({"policy": policy(DAO.genesis, title="Other").cid()}, 10, NOW, "another policy"),
        ({"issuer": wallet("mallory").address}, 10, NOW, "not granted by the policy's issuer"),
        ({"expires_at": NOW}, 10, NOW, "license has expired"),
        ({}, 10, NOW + DAY_S, "license has expired"),
        ({"expires_at": NOW + 1000 * DAY_S}, 10, POLICY.expires_at, "policy has expired"),
        ({}, 0, NOW, "k must be"),
        ({}, -1, NOW, "k must be"),
        ({}, 11, NOW, "k must be"),
    ],
    ids=["policy", "issuer", "license-end", "license-over", "policy-end", "k=0", "k=-1", "k=11"],
)
def test_one_wrong_fact_is_enough_to_deny(changed: dict[str, Any], k: int, at: int, reason: str) -> None:
    with pytest.raises(AccessDenied, match=reason):
        POLICY.admit(replace(LICENSE, **changed), k=k, at=at)


def test_the_last_second_is_still_in_time() -> None:
    lasting = replace(LICENSE, expires_at=POLICY.expires_at)
    assert POLICY.admit(lasting, k=1, at=POLICY.expires_at - 1).k == 1


@pytest.mark.parametrize(
    "field",
    [
        {"datasets": ()},
        {"datasets": DATASETS},
        {"datasets": DATASETS[:1] * 2},
        {"datasets": (Cid.of(RAW, b"manifest"),)},
        {"tees": ()},
        {"tees": POLICY.tees * (TEES_MAX + 1)},
        {"configurations": ()},
        {"k_max": 0},
        {"k_max": K_LIMIT + 1},
        {"queries_per_minute": 0},
        {"passages_max": 0},
        {"price_per_query": PRICE_MAX + 1},
        {"price_per_query": -1},
        {"treasury_bps": 9_501},
        {"operator_bps": 9_001},
        {"treasury_bps": 2**63 - 1},
        {"currency": ""},
        {"currency": "thirteen char"},
        {"expires_at": -1},
        {"issuer": bytes(21)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_one_field_out_of_bounds_is_enough_to_refuse(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(POLICY, **field)


def test_shares_may_leave_nothing_to_the_owners_but_no_less() -> None:
    assert replace(POLICY, treasury_bps=9_500).treasury_bps == 9_500
    assert replace(POLICY, treasury_bps=0, operator_bps=0).treasury_bps == 0


def test_only_a_policy_that_names_the_simulated_tee_accepts_it() -> None:
    real = accepted_tee("nitro")
    assert POLICY.accepts_simulated()
    assert not replace(POLICY, tees=(real,)).accepts_simulated()
    assert replace(POLICY, tees=(real, *POLICY.tees)).accepts_simulated()


def test_a_policy_comes_back_from_its_bytes_and_every_field_is_in_its_cid() -> None:
    assert Policy.from_bytes(POLICY.encoded()) == POLICY
    others = [{"title": "T"}, {"k_max": 9}, {"expires_at": 1}, {"treasury_bps": 0}, {"datasets": DATASETS[:2]}]
    assert len({replace(POLICY, **field).cid() for field in others} | {POLICY.cid()}) == 6  # type: ignore[arg-type]
