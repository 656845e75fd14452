"""Whether a policy could do any good if members adopted it now: a valid one, and each reason against it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import NOW, dao, dataset, policy, wallet
from tests.machines import accepted_tee
from vault.action import Scope
from vault.errors import InvalidDecision
from vault.licensees import Licensees
from vault.output_rules import EVERYTHING
from vault.policy import Policy
from vault.policy_check import require_adoptable
from vault.pricing import Tier

DAO = dao()
POLICY = policy(DAO.genesis)
LINEAGE = POLICY.datasets[0].lineage(DAO.genesis)
LISTED = (wallet("a").address, wallet("b").address)


def judged(made: Policy = POLICY, **facts: Any) -> None:
    usual: dict[str, Any] = {
        "genesis": DAO.genesis,
        "window": DAO.charter.window,
        "takes_effect_at": NOW + 1_000,
        "at": NOW,
        "production": False,
        "revoked": lambda scope, subject: False,
        "corpora": {LINEAGE: 1_000},
    }
    require_adoptable(made, **(usual | facts))


def test_a_good_one_is_adoptable_also_where_nobody_knows_how_large_its_datasets_are() -> None:
    judged()
    judged(corpora=None)
    judged(replace(POLICY, tees=(accepted_tee("nitro"),)), production=True)


@pytest.mark.parametrize(
    ("fields", "facts", "reason"),
    [
        ({"genesis": dao(name="Elsewhere").genesis}, {}, "another DAO"),
        ({"expires_at": NOW}, {}, "has expired already"),
        ({"expires_at": NOW + 1_000}, {}, "expires before a vote on it could take effect"),
        ({}, {"production": True}, "simulated TEE"),
        ({"price_per_query": 100_001}, {}, "window lets 100000 through"),
        ({"price_per_passage": 99_901}, {}, "window lets 100000 through"),
        (
            {"tiers": (Tier(after=5, price_per_query=0, price_per_passage=100_001),)},
            {},
            "window lets 100000 through",
        ),
        ({"corpus_bps": 9}, {}, "comes to 0 of its 1000 passages"),
        ({"owner_bps": 9}, {}, "owner .* comes to 0 of its 1000 passages"),
    ],
)
def test_one_wrong_fact_is_enough(fields: dict[str, Any], facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDecision, match=reason):
        judged(replace(POLICY, **fields), **facts)


@pytest.mark.parametrize(
    ("scope", "subject", "reason"),
    [
        (Scope.POLICY, POLICY.cid().binary, "this very policy"),
        (Scope.DATASET, LINEAGE, "dataset .* was revoked"),
        (Scope.MEASUREMENT, POLICY.tees[0].measurements()[0], "measurement"),
    ],
)
def test_nothing_revoked_is_proposed_again(scope: Scope, subject: bytes, reason: str) -> None:
    with pytest.raises(InvalidDecision, match=reason):
        judged(revoked=lambda kind, what: (kind, what) == (scope, subject))


def test_a_list_of_which_one_was_revoked_is_still_of_use_but_not_one_of_which_all_were() -> None:
    made = replace(POLICY, licensees=Licensees.listed(LISTED))
    judged(made, revoked=lambda _, subject: subject == LISTED[0])
    with pytest.raises(InvalidDecision, match="every licensee"):
        judged(made, revoked=lambda _, subject: subject in LISTED)


def test_an_owners_share_is_judged_over_all_its_datasets_and_only_if_all_are_known() -> None:
    second = dataset("second")
    made = replace(POLICY, datasets=(*POLICY.datasets, second), owner_bps=9)
    judged(made)  # the second one's size is not known
    judged(made, corpora={LINEAGE: 1_000, second.lineage(DAO.genesis): 112})
    with pytest.raises(InvalidDecision, match="0 of its 1111"):
        judged(made, corpora={LINEAGE: 1_000, second.lineage(DAO.genesis): 111})


def test_an_answer_that_no_window_lets_through_is_refused() -> None:
    datasets = tuple(dataset(str(n), owner=f"owner {n}") for n in range(3))
    made = replace(POLICY, datasets=datasets, output=replace(EVERYTHING, owners_min=3))
    with pytest.raises(InvalidDecision, match="3 passages or more; the charter's window lets fewer through"):
        judged(made, window=replace(DAO.charter.window, passages=2))
