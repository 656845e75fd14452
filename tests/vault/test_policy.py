"""A policy admits a licensee only when every fact is right."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import RAW, Cid
from tests.builders import DAY_S, EVERYTHING, NOW, dao, dataset, license, policy, wallet
from tests.machines import accepted_tee
from vault.codec import encode
from vault.dataset import DatasetRef
from vault.errors import AccessDenied, MalformedObject
from vault.licensees import SHARED_BUDGET, Admits, Licensees
from vault.output_rules import SCORE_DECIMALS_MAX, OutputRules, Redaction
from vault.policy import DATASETS_MAX, K_LIMIT, PRICE_MAX, TEES_MAX, Permit, Policy

DAO = dao()
POLICY = policy(DAO.genesis)
LICENSE = license(DAO.history, POLICY, wallet("licensee"))
DATASETS = tuple(dataset(str(n)) for n in range(DATASETS_MAX + 1))
LISTED = (wallet("licensee").address, wallet("second").address)


def test_a_valid_license_is_admitted_with_exactly_what_the_policy_says() -> None:
    assert POLICY.admit(LICENSE, k=10, at=NOW) == Permit(
        policy=POLICY.cid(),
        licensee=wallet("licensee").address,
        holder=wallet("licensee").address,
        k=10,
        price_max=100,
    )


def test_a_question_for_no_passages_costs_what_a_query_does() -> None:
    permit = POLICY.admit(LICENSE, k=0, at=NOW)
    assert (permit.k, permit.price_max) == (0, POLICY.price_of(0))


@pytest.mark.parametrize(
    ("changed", "k", "at", "reason"),
    [
        ({"policy": policy(DAO.genesis, title="Other").cid()}, 10, NOW, "another policy"),
        ({"issuer": wallet("mallory").address}, 10, NOW, "not granted by the policy's issuer"),
        ({"expires_at": NOW}, 10, NOW, "license has expired"),
        ({}, 10, NOW + DAY_S, "license has expired"),
        ({"expires_at": NOW + 1000 * DAY_S}, 10, POLICY.expires_at, "policy has expired"),
        ({}, -1, NOW, "k must be"),
        ({}, 11, NOW, "k must be"),
    ],
    ids=["policy", "issuer", "license-end", "license-over", "policy-end", "k=-1", "k=11"],
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
        {"datasets": (dataset(), dataset(manifest=None))},
        {"datasets": (dataset("a", manifest="same"), dataset("b", manifest="same"))},
        {"datasets": (dataset("a", manifest="same"), dataset("a", manifest="same", owner="mallory"))},
        {"tees": ()},
        {"tees": POLICY.tees * (TEES_MAX + 1)},
        {"tees": POLICY.tees * 2},
        {"configurations": POLICY.configurations * 2},
        {"configurations": ()},
        {"k_max": 0},
        {"k_max": K_LIMIT + 1},
        {"queries_per_minute": 0},
        {"passages_max": 0},
        {"price_per_query": PRICE_MAX + 1},
        {"price_per_query": -1},
        {"price_per_passage": PRICE_MAX + 1},
        {"price_per_passage": PRICE_MAX // 10},  # ten passages and the query are over it
        {"price_per_passage": -1},
        {"corpus_bps": 0},
        {"corpus_bps": 10_001},
        {"owner_bps": 0},
        {"owner_bps": 10_001},
        {"output": replace(EVERYTHING, owners_min=2)},  # of one owner
        {"licensees": Licensees.anyone(), "price_per_query": 0},
        {"treasury_bps": 9_501},
        {"operator_bps": 9_001},
        {"treasury_bps": 2**63 - 1},
        {"currency": ""},
        {"currency": "thirteen char"},
        {"expires_at": -1},
    ],
    ids=lambda field: next(iter(field)),
)
def test_one_field_out_of_bounds_is_enough_to_refuse(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(POLICY, **field)


@pytest.mark.parametrize(
    ("fields", "needed"),
    [({"k_max": 1}, "holds 1 passages"), ({"passages_max": 1}, "budget is 1"), ({}, "the datasets have 1")],
    ids=["k", "budget", "owners"],
)
def test_owners_that_could_never_stand_behind_an_answer_are_one_clear_sentence(
    fields: dict[str, Any], needed: str
) -> None:
    owners = ("owner", "second owner") if fields else ("owner", "owner")
    datasets = (dataset("a", owner=owners[0]), dataset("b", owner=owners[1]))
    with pytest.raises(MalformedObject, match=f"needs 2 owners behind it, and .*{needed}"):
        replace(POLICY, datasets=datasets, output=replace(EVERYTHING, owners_min=2), **fields)


class TestLicensees:
    def test_listed_ones_and_strangers_sign_their_own(self) -> None:
        for who in (Licensees.listed(LISTED), Licensees.anyone()):
            made = replace(POLICY, licensees=who)
            own = replace(LICENSE, policy=made.cid(), issuer=LICENSE.licensee)
            assert made.admit(own, k=1, at=NOW).licensee == LICENSE.licensee
            with pytest.raises(AccessDenied, match="sign their own"):
                made.admit(replace(own, issuer=wallet("issuer").address), k=1, at=NOW)

    def test_a_self_signed_license_is_nothing_to_a_policy_with_an_issuer(self) -> None:
        with pytest.raises(AccessDenied, match="not granted by the policy's issuer"):
            POLICY.admit(replace(LICENSE, issuer=LICENSE.licensee), k=1, at=NOW)

    def test_who_is_not_listed_stays_out(self) -> None:
        made = replace(POLICY, licensees=Licensees.listed(LISTED[1:]))
        with pytest.raises(AccessDenied, match="not on the policy's list"):
            made.admit(replace(LICENSE, policy=made.cid(), issuer=LICENSE.licensee), k=1, at=NOW)

    def test_strangers_have_one_budget_and_nobody_else_shares(self) -> None:
        first, second = LISTED
        assert Licensees.anyone().holder(first) == Licensees.anyone().holder(second) == SHARED_BUDGET
        assert len({Licensees.listed(LISTED).holder(one) for one in LISTED}) == 2
        assert POLICY.licensees.holder(first) == first

    @pytest.mark.parametrize(
        "fields",
        [
            {"admits": Admits.LISTED, "addresses": ()},
            {"admits": Admits.LISTED, "addresses": LISTED[:1] * 2},
            {"admits": Admits.LISTED, "addresses": tuple(sorted(LISTED, reverse=True))},
            {"admits": Admits.LISTED, "issuer": LISTED[0]},
            {"admits": Admits.CREDENTIAL, "addresses": (), "issuer": None},
            {"admits": Admits.CREDENTIAL, "issuer": LISTED[0]},
            {"admits": Admits.ANYONE},
            {"admits": Admits.ANYONE, "addresses": (), "issuer": LISTED[0]},
            {"addresses": (bytes(21),)},
        ],
        ids=str,
    )
    def test_a_kind_has_what_it_needs_and_nothing_else(self, fields: dict[str, Any]) -> None:
        valid: dict[str, Any] = {"admits": Admits.LISTED, "addresses": tuple(sorted(LISTED)), "issuer": None}
        Licensees(**valid)
        with pytest.raises(MalformedObject):
            Licensees(**(valid | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"owners_min": 0},
        {"owners_min": DATASETS_MAX + 1},
        {"score_decimals": SCORE_DECIMALS_MAX + 1},
        {"redacts": (Redaction.EMAIL, Redaction.EMAIL)},
        {"redacts": (Redaction.EMAIL, Redaction.CARD)},
        {"redacts": ("email",)},
    ],
    ids=str,
)
def test_output_rules_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    valid: dict[str, Any] = {"owners_min": 1, "score_decimals": 3, "redacts": (Redaction.CARD, Redaction.EMAIL)}
    OutputRules(**valid)
    with pytest.raises(MalformedObject):
        OutputRules(**(valid | fields))


def test_a_dataset_is_pinned_by_one_name_of_its_manifest() -> None:
    with pytest.raises(MalformedObject, match="DAG-CBOR"):
        DatasetRef(owner=bytes(20), dataset=bytes(32), manifest=Cid.of(RAW, b"manifest"))


@pytest.mark.parametrize(
    "only",
    [
        b"no filter",
        encode({"key": "tags"}),
        encode({"must": []}),
        encode({"key": "tags", "in": [f"{number:0>64}" for number in range(40)]}),
    ],
)
def test_what_limits_a_dataset_is_a_filter_of_bounded_size(only: bytes) -> None:
    whole = dataset()
    assert replace(whole, only=encode({"key": "tags", "equals": "open"})).only
    with pytest.raises(MalformedObject):
        replace(whole, only=only)


def test_the_price_is_per_query_and_per_passage() -> None:
    made = replace(POLICY, price_per_query=100, price_per_passage=7)
    assert [made.price_of(passages) for passages in (0, 1, 10)] == [100, 107, 170]


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
