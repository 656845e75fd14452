"""What a proposal changes, in words, and the worst that could leave (rule O2)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.builders import dao, dataset, policy, wallet
from tests.machines import accepted_tee
from vault.attribution import Attribution
from vault.codec import encode
from vault.disclosure import worst_case
from vault.licensees import Licensees
from vault.output_rules import OutputRules, Redaction
from vault.policy import Policy
from vault.policy_diff import changes, volume_words
from vault.pricing import Tier
from vault.signing import address_text
from vault.voucher_rules import SETTLEMENT_CONTRACT, VoucherRules

DAO = dao()
ONLY = encode({"key": "tags", "equals": "open"})
LISTED = tuple(wallet(name).address for name in ("a", "b", "c"))
POLICY = policy(DAO.genesis, licensees=Licensees.listed(LISTED))
TIER = Tier(after=10, price_per_query=50, price_per_passage=3)
VOUCHERS = VoucherRules(
    unpaid_max=500,
    unpaid_queries_max=9,
    chain_id=1,
    contract=SETTLEMENT_CONTRACT,
    token=wallet("token").address,
    withdraw_delay_least=900,
)
LINEAGE = POLICY.datasets[0].lineage(DAO.genesis)
CORPORA = {LINEAGE: 5_000}


def said(after: Policy, before: Policy | None = POLICY) -> str:
    return "\n".join(changes(before, after, corpora=CORPORA))


def test_tiers_are_said_as_they_come_change_and_go() -> None:
    tiered = replace(POLICY, tiers=(TIER,))
    assert "after 10" not in said(tiered, tiered)
    assert "after 10 answers, a query costs 40 micro-USDC" in said(
        replace(POLICY, tiers=(replace(TIER, price_per_query=40),)), tiered
    )
    assert "after 10 answers, the price is no other one any more" in said(POLICY, tiered)


def test_vouchers_are_said_as_their_terms_change_and_go() -> None:
    taken = replace(POLICY, vouchers=VOUCHERS)
    assert "voucher" not in said(taken, taken)
    longer = replace(POLICY, vouchers=replace(VOUCHERS, chain_id=8453))
    assert "on chain 8453" in said(longer, taken)
    assert "before: 500 and 9 answers" in said(longer, taken)
    assert "vouchers are not taken any more: questions are paid for in advance" in said(POLICY, taken)


def test_prices_by_volume_are_said_in_their_order_and_one_price_is_not() -> None:
    assert list(volume_words(3, (TIER,), "USDC")) == [
        "each licensee's first 3 answers are free",
        "after 10 answers, a query costs 50 micro-USDC and 3 a passage",
    ]
    assert list(volume_words(0, (), "USDC")) == []


def test_nothing_changed_is_said_but_for_the_worst_case() -> None:
    (sentence,) = changes(POLICY, POLICY, corpora=CORPORA)
    assert sentence.startswith("if all licensees collude, at most 3000 of 5000 passages (60%)")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"title": "New"}, "the title goes from 'Tides' to 'New'"),
        ({"price_per_query": 200}, "price per query goes from 100 to 200 micro-USDC"),
        ({"price_per_passage": 5}, "price per passage goes from 0 to 5 micro-USDC"),
        ({"free_queries": 9}, "each licensee's first 9 answers are free; before: 0"),
        ({"tiers": (TIER,)}, "after 10 answers, a query costs 50 micro-USDC and 3 a passage"),
        ({"vouchers": VOUCHERS}, "vouchers are taken; 500 micro-USDC and 9 answers of one licensee may be unpaid"),
        ({"currency": "SHELLS"}, "the currency goes from USDC to SHELLS"),
        ({"k_max": 20}, "an answer's most passages goes from 10 to 20"),
        ({"queries_per_minute": 1}, "queries a minute of one licensee goes from 60 to 1"),
        ({"passages_max": 2_000}, "the extraction budget in distinct passages goes from 1000 to 2000"),
        ({"corpus_bps": 150}, "the share of each dataset that may be seen goes from 100% to 1.5%"),
        ({"owner_bps": 1_000}, "the share of each owner's passages that may be seen goes from 100% to 10%"),
        ({"treasury_bps": 0}, "the treasury's share of each price goes from 10% to 0%"),
        ({"operator_bps": 501}, "the operator's share of each price goes from 5% to 5.01%"),
        ({"attribution": Attribution.SCORE}, "is split by the score of passages now; before: by the rank of passages"),
        ({"treasury": bytes(20)}, "the treasury goes from 0x"),
        ({"operator": bytes(20)}, "the operator goes from 0x"),
        ({"expires_at": 0}, "it holds until 1970-01-01 00:00 UTC; before: 2028-01-15"),
        ({"expires_at": 2**63 - 1}, "it holds until second 9223372036854775807 of UTC"),
        ({"licensees": Licensees.anyone()}, "anyone who pays may ask now; before: 3 named licensees"),
        ({"licensees": Licensees.listed(LISTED[:2])}, "may not ask any more"),
        ({"licensees": Licensees.credential(bytes(20))}, "whoever 0x0000000000000000000000000000000000000000 licenses"),
        ({"datasets": (dataset("other"),)}, "may be asked now"),
        ({"datasets": (dataset(manifest=None),)}, "to the latest version its owner signed"),
        (
            {"datasets": (replace(POLICY.datasets[0], only=ONLY),)},
            'only passages that meet {"key": "tags", "equals": "open"} may be found; before: all passages',
        ),
        ({"datasets": (replace(dataset("other"), only=ONLY),)}, "of which only passages that meet"),
        ({"tees": (accepted_tee("nitro"),)}, "not accepted any more: SIMULATED TEE"),
        ({"configurations": (Cid.of(DAG_CBOR, b"other"),)}, "accepted configuration now"),
        (
            {"output": OutputRules(owners_min=1, score_decimals=9, redacts=(), counts_from=20)},
            "how many passages meet a filter: told in multiples of 20, for the price of a query; before: not told",
        ),
        (
            {"output": OutputRules(owners_min=1, score_decimals=2, redacts=())},
            "decimals that scores keep: 2; before: 9",
        ),
        (
            {"output": OutputRules(owners_min=1, score_decimals=9, redacts=(Redaction.EMAIL,))},
            "e-mail addresses are blacked out",
        ),
    ],
    ids=lambda given: str(given)[:30],
)
def test_each_change_has_its_sentence(changed: dict[str, Any], words: str) -> None:
    assert words in said(replace(POLICY, **changed))


def test_a_filter_that_falls_is_said() -> None:
    limited = replace(POLICY, datasets=(replace(POLICY.datasets[0], only=ONLY),))
    assert "all passages may be found; before: only passages that meet" in said(POLICY, limited)
    assert "may be found" not in said(limited, limited)


def test_what_is_blacked_out_no_more_is_said() -> None:
    before = replace(POLICY, output=OutputRules(owners_min=1, score_decimals=9, redacts=(Redaction.CARD,)))
    assert "card numbers are not blacked out any more" in said(POLICY, before)


def test_no_field_changes_without_a_word() -> None:
    other = policy(
        dao(name="Elsewhere").genesis,
        title="x",
        datasets=(dataset("x"),),
        currency="X",
        price_per_query=1,
        price_per_passage=1,
        k_max=1,
        queries_per_minute=1,
        passages_max=1,
        corpus_bps=1,
        owner_bps=1,
        tees=(accepted_tee("nitro"),),
        configurations=(Cid.of(DAG_CBOR, b"x"),),
        output=OutputRules(owners_min=1, score_decimals=0, redacts=()),
        treasury=bytes(20),
        operator=bytes(20),
        treasury_bps=1,
        operator_bps=1,
        attribution=Attribution.EQUAL,
        expires_at=1,
        free_queries=1,
        tiers=(TIER,),
        vouchers=VOUCHERS,
    )
    names = {field.name for field in fields(Policy) if field.init} - {"genesis"}
    for name in names:
        assert len(changes(POLICY, replace(POLICY, **{name: getattr(other, name)}), corpora=CORPORA)) > 1, name


def test_a_new_policy_is_told_whole() -> None:
    told = said(POLICY, None)
    for words in ("a new policy, 'Tides'", "3 named licensees may ask", "price per query: 100", "SIMULATED", "60%"):
        assert words in told


MANY = tuple(wallet(f"licensee {n}").address for n in range(30))


def test_who_may_ask_under_a_new_policy_is_named() -> None:
    told = said(POLICY, None)
    for address in LISTED:
        assert f"{address_text(address)} may ask" in told


@pytest.mark.parametrize("before", [None, replace(POLICY, licensees=Licensees.anyone()), POLICY], ids=str)
def test_so_many_licensees_are_named_and_the_others_counted(before: Policy | None) -> None:
    wide = replace(POLICY, licensees=Licensees.listed(MANY))
    whole = "\n".join(changes(before, wide, corpora=CORPORA))
    assert all(f"{address_text(address)} may ask" in whole for address in MANY)
    short = "\n".join(changes(before, wide, corpora=CORPORA, most=20))
    assert sum(f"{address_text(address)} may ask" in short for address in MANY) == 20
    assert "and 10 more may ask" in short and "coffer dao diff --json has all" in short


def test_who_was_named_and_is_not_any_more_is_told() -> None:
    told = said(replace(POLICY, licensees=Licensees.credential(bytes(20))))
    assert all(f"{address_text(address)} was named" in told for address in LISTED)
    fewer = replace(POLICY, licensees=Licensees.listed(LISTED[:1]))
    assert said(fewer).count("may not ask any more") == 2


class TestWorstCase:
    """Rule O2: budgets times licensees, one budget for strangers, all where an issuer may license any number."""

    @pytest.mark.parametrize(
        ("licensees", "fields", "seen"),
        [
            (Licensees.listed(LISTED), {}, 3_000),
            (Licensees.listed(LISTED), {"passages_max": 2_000}, 5_000),
            (Licensees.listed(LISTED), {"corpus_bps": 100}, 150),
            (Licensees.listed(LISTED), {"owner_bps": 10}, 15),
            (Licensees.anyone(), {}, 1_000),
            (Licensees.anyone(), {"corpus_bps": 100}, 50),
            (Licensees.credential(bytes(20)), {"passages_max": 1}, 5_000),
        ],
    )
    def test_the_bound(self, licensees: Licensees, fields: dict[str, Any], seen: int) -> None:
        (found,) = worst_case(replace(POLICY, licensees=licensees, **fields), CORPORA)
        assert found.seen == seen

    def test_where_no_size_is_known_the_budgets_are(self) -> None:
        assert "at most 3000 passages of" in "\n".join(changes(POLICY, POLICY, corpora={}))
        unbounded = replace(POLICY, licensees=Licensees.credential(bytes(20)))
        assert "everything of" in "\n".join(changes(None, unbounded, corpora={}))

    @given(
        size=st.integers(0, 10_000),
        budget=st.integers(1, 10_000),
        corpus=st.integers(1, 10_000),
        owner=st.integers(1, 10_000),
        many=st.integers(1, 3),
    )
    def test_no_bound_is_above_the_corpus_or_the_budgets(
        self, size: int, budget: int, corpus: int, owner: int, many: int
    ) -> None:
        made = replace(
            POLICY,
            licensees=Licensees.listed(LISTED[:many]),
            passages_max=budget,
            corpus_bps=corpus,
            owner_bps=owner,
        )
        (found,) = worst_case(made, {LINEAGE: size})
        assert found.seen is not None
        assert found.seen <= min(size, many * budget, many * (size * corpus // 10_000), many * (size * owner // 10_000))
        assert found.bps is not None
        assert found.bps <= 10_000
