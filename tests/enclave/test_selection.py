"""What may leave of what was found: no order of answers crosses a quota, and nothing allowed is held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.asked import Asked
from enclave.found import AS_IT_IS, Found
from enclave.output import PassageWriter
from enclave.selection import room_for, selected
from storage.cid import DAG_CBOR, Cid
from tests.builders import EVERYTHING, dataset, policy, seeded, wallet
from tests.enclaves import license_of, world
from vault.envelope import Passage
from vault.errors import BudgetExhausted
from vault.ledger import Books
from vault.limits import Coverage, Place, Quota
from vault.policy import Permit
from vault.question import Query

WORLD = world()
LICENSE = license_of(WORLD)
OWNERS = (wallet("owner").address, wallet("second owner").address)
CIDS = tuple(Cid.of(DAG_CBOR, bytes([n])) for n in range(3))
LINEAGES = tuple(seeded(f"lineage {n}") for n in range(3))
OWNER_OF = (OWNERS[0], OWNERS[0], OWNERS[1])  # the first has two datasets


def asked(*, budget: int, each: Sequence[int], owned: Sequence[int], k: int = 10, owners_min: int = 1) -> Asked:
    """Return a query under quotas: the whole budget, one of each dataset, and one of each owner."""
    datasets = (dataset("a"), dataset("b"), dataset("c", owner="second owner"))
    output = replace(EVERYTHING, owners_min=owners_min)
    made = policy(WORLD.genesis, datasets=datasets, passages_max=budget, output=output)
    of_owner = {
        owner: Quota(frozenset(at for at, who in zip(LINEAGES, OWNER_OF, strict=True) if who == owner), most)
        for owner, most in zip(OWNERS, owned, strict=True)
    }
    places = {
        cid: Place(lineage, owner, (Quota(frozenset([lineage]), most), of_owner[owner]))
        for cid, lineage, owner, most in zip(CIDS, LINEAGES, OWNER_OF, each, strict=True)
    }
    return Asked(
        license=LICENSE,
        delegation=bytes(32),
        policy=made,
        permit=Permit(policy=made.cid(), licensee=LICENSE.licensee, holder=LICENSE.licensee, k=k, price_max=0),
        coverage=Coverage(Quota(frozenset(LINEAGES), budget), places),
        query=Query(request=bytes(32), policy=made.cid(), text="q", k=k, salt=bytes(32)),
        spend_cap=0,
    )


def found(dataset: int, number: int) -> Found:
    return PassageWriter(CIDS[dataset], OWNER_OF[dataset]).found(
        number,
        0.5,
        AS_IT_IS,
        body=Passage("document", 0, 1, str(number)).encoded(),
        salt=bytes(32),
        commitment=bytes(32),
        path=(),
    )


def answered(books: Books, query: Asked, passages: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return which passages leave, by dataset and number, and note them; text alone is identity."""
    room = room_for(books, query)
    candidates = [found(*passage) for passage in passages if CIDS[passage[0]] in room.datasets][: query.permit.k]
    chosen = selected(books, query, candidates, [seeded(one.text) for one in candidates], room)
    books.seen.note(
        query.permit.holder,
        [
            (identity, query.coverage.places[one.manifest].lineage)
            for one, identity in zip(chosen.passages, chosen.identities, strict=True)
        ],
    )
    assert chosen.budget_left == books.quota_left(query.permit.holder, query.coverage.whole)
    return [(CIDS.index(one.manifest), one.index) for one in chosen.passages]


PASSAGES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=12)


@given(
    answers=st.lists(PASSAGES, max_size=10),
    budget=st.integers(1, 15),
    each=st.tuples(*[st.integers(0, 8)] * 3),
    owned=st.tuples(*[st.integers(0, 10)] * 2),
    k=st.integers(1, 10),
)
def test_no_sequence_of_answers_crosses_a_quota_and_none_holds_back_what_is_allowed(
    answers: list[list[tuple[int, int]]], budget: int, each: tuple[int, ...], owned: tuple[int, ...], k: int
) -> None:
    books, query = Books(), asked(budget=budget, each=each, owned=owned, k=k)
    shown: set[tuple[int, int]] = set()  # dataset, identity

    def texts(datasets: Sequence[int]) -> set[int]:
        return {number for dataset, number in shown if dataset in datasets}

    for passages in answers:
        try:
            open_now = room_for(books, query).datasets
            left = answered(books, query, passages)
        except BudgetExhausted:
            is_over = len(texts((0, 1, 2))) == budget
            of_owner = [owned[0] - len(texts((0, 1))), owned[1] - len(texts((2,)))]
            used_up = [min(each[at] - len(texts((at,))), of_owner[OWNERS.index(OWNER_OF[at])]) == 0 for at in range(3)]
            assert is_over or all(used_up)
            continue
        shown |= set(left)
        assert len(texts((0, 1, 2))) <= budget
        assert all(len(texts((at,))) <= each[at] for at in range(3))
        assert len(texts((0, 1))) <= owned[0]
        assert len(texts((2,))) <= owned[1]
        offered = [one for one in passages if CIDS[one[0]] in open_now][:k]
        for source, number in set(offered) - shown:  # each of these has a reason
            mates = (0, 1) if source < 2 else (2,)
            full = [
                number not in texts((0, 1, 2)) and len(texts((0, 1, 2))) == budget,
                len(texts((source,))) == each[source],
                number not in texts(mates) and len(texts(mates)) == owned[OWNERS.index(OWNER_OF[source])],
            ]
            assert any(full)


def test_the_same_text_from_two_datasets_counts_once_in_the_whole_and_once_in_each() -> None:
    books, query = Books(), asked(budget=2, each=(5, 5, 5), owned=(5, 5))
    assert answered(books, query, [(0, 1), (1, 1), (2, 1)]) == [(0, 1), (1, 1), (2, 1)]
    assert books.quota_left(query.permit.holder, query.coverage.whole) == 1
    assert answered(books, query, [(0, 2), (0, 3)]) == [(0, 2)]


def test_what_was_seen_before_may_be_seen_again_beside_what_is_new() -> None:
    books, query = Books(), asked(budget=3, each=(2, 5, 5), owned=(5, 5))
    assert answered(books, query, [(0, 1), (2, 7)]) == [(0, 1), (2, 7)]
    assert answered(books, query, [(0, 1), (2, 7)]) == [(0, 1), (2, 7)]
    assert answered(books, query, [(0, 1), (0, 2), (0, 3)]) == [(0, 1), (0, 2)]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"each": (0, 0, 0)}, "of every dataset"),
        ({"owned": (0, 0)}, "of every dataset"),
        ({"owned": (5, 0), "owners_min": 2}, "too few owners"),
    ],
)
def test_what_is_used_up_refuses_before_anything_is_searched(limits: dict[str, Any], reason: str) -> None:
    usual: dict[str, Any] = {"budget": 5, "each": (5, 5, 5), "owned": (5, 5)}
    with pytest.raises(BudgetExhausted, match=reason):
        room_for(Books(), asked(**(usual | limits)))


def test_with_too_few_owners_nothing_leaves_and_nothing_is_counted() -> None:
    books, query = Books(), asked(budget=5, each=(5, 5, 5), owned=(5, 5), owners_min=2)
    assert answered(books, query, [(0, 1), (1, 2)]) == []
    assert books.seen_count(query.permit.holder) == 0
    assert answered(books, query, [(0, 1), (2, 2)]) == [(0, 1), (2, 2)]


def test_a_passage_from_elsewhere_never_leaves() -> None:
    books, query = Books(), asked(budget=5, each=(5, 5, 5), owned=(5, 5))
    foreign = replace(found(0, 1), manifest=Cid.of(85, b"x"))
    assert selected(books, query, [foreign], [bytes(32)], room_for(books, query)).passages == ()
