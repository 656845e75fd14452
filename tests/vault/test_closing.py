"""The closed set of ballots: its pages, its deadlines, and q custodians' word on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders
from tests.people import custodian
from tests.voting import CLOSES_AT, EXTENSION_S, ROUND_S, proposal, vote, voting_dao
from vault.closing import BallotPage, Cast, Closing, Period, agreed_pages, deadline, final_at, pages_of
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject

DAO = voting_dao(4)  # q = 3, f = 1
PROPOSAL = proposal(DAO.history)
CAST = [
    Cast(vote(DAO.history, PROPOSAL, member, sequence=sequence).ballot, member + 1, Period(sequence))
    for member in range(3)
    for sequence in range(3)
]
PAGES = pages_of(PROPOSAL, CAST)


def agreed(closings: list[Closing]) -> Any:
    return agreed_pages(closings, DAO.charter, genesis=DAO.genesis, proposal=PROPOSAL.cid().digest)


def signed(*names: str, pages: Any = PAGES, **fields: Any) -> list[Closing]:
    made = builders.closings(DAO.history, PROPOSAL, pages, *names)
    return [replace(one, **fields).signed_by(custodian(name).signing) for one, name in zip(made, names, strict=True)]


def test_each_period_ends_an_extension_later_and_the_set_f_plus_one_rounds_after_the_last() -> None:
    ends = [deadline(PROPOSAL, DAO.charter.voting, period) for period in Period]
    assert ends == [CLOSES_AT - EXTENSION_S, CLOSES_AT, CLOSES_AT + EXTENSION_S]
    assert final_at(PROPOSAL, DAO.charter) == CLOSES_AT + EXTENSION_S + 2 * ROUND_S
    assert final_at(PROPOSAL, voting_dao(1).charter) == CLOSES_AT + EXTENSION_S


@given(cast=st.permutations(CAST))
def test_one_set_has_one_form_in_whatever_order_it_came(cast: list[Cast]) -> None:
    assert pages_of(PROPOSAL, cast) == PAGES


@settings(max_examples=20)
@given(size=st.integers(1, len(CAST)), page=st.integers(1, 4))
def test_pages_give_back_what_was_put_in(size: int, page: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vault.closing.PAGE_BALLOTS", page)
        pages = pages_of(PROPOSAL, CAST[:size])
    assert len(pages) == -(-size // page)
    again = [one for made in pages for one in BallotPage.from_bytes(made.encoded()).cast()]
    assert sorted(again, key=repr) == sorted(CAST[:size], key=repr)


@pytest.mark.parametrize(
    "change", [{"voters": bytes(20)}, {"weights": bytes(32)}, {"signatures": bytes(65)}, {"reasons": ("",)}]
)
def test_columns_of_different_lengths_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject, match="different lengths"):
        replace(PAGES[0], **change)


@pytest.mark.parametrize("change", [{"supports": b"\x03" * len(CAST)}, {"periods": b"\x03" * len(CAST)}])
def test_values_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject, match="one of three periods"):
        replace(PAGES[0], **change)


def test_nobody_voted() -> None:
    with pytest.raises(InvalidDecision, match="nobody voted"):
        pages_of(PROPOSAL, [])


class TestAgreement:
    def test_q_custodians_agree(self) -> None:
        assert agreed(signed("0", "1", "2")) == tuple(page.cid() for page in PAGES)

    def test_fewer_do_not(self) -> None:
        with pytest.raises(InvalidDecision, match="2 custodians"):
            agreed(signed("0", "1"))

    def test_a_stranger_or_one_twice_does_not_count(self) -> None:
        for extra in (signed("9"), signed("1")):
            with pytest.raises(InvalidSignature, match="no custodian of this DAO, or given twice"):
                agreed([*signed("0", "1"), *extra])

    def test_another_set_or_another_proposal_is_no_agreement(self) -> None:
        for extra in (signed("2", pages=pages_of(PROPOSAL, CAST[:4])), signed("2", proposal=bytes(32))):
            with pytest.raises(InvalidDecision, match="different ballots"):
                agreed([*signed("0", "1"), *extra])

    def test_a_forged_one_is_refused(self) -> None:
        forged = replace(signed("2")[0], signature=bytes(64))
        with pytest.raises(InvalidSignature):
            agreed([*signed("0", "1"), forged])
