"""What may be seen: quotas over lineages, and the count of what was shown (rules O1, O2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import Cid
from tests.builders import dao, dataset, policy, resigned, sealed_dataset, seeded, wallet
from vault.codec import encode
from vault.dataset import DatasetRef, resolved
from vault.errors import AccessDenied
from vault.limits import Coverage, Quota, coverage, share_of
from vault.seen import Seen

DAO = dao()
FIRST = sealed_dataset(DAO, ("a", "b", "c", "d")).manifest
SECOND = sealed_dataset(DAO, ("e", "f"), owner=wallet("second owner")).manifest
NEWER = resigned(DAO.history, wallet("owner"), FIRST, version=2, previous=FIRST.cid())


def covered(**fields: object) -> Coverage:
    datasets = (DatasetRef.pinned(FIRST), DatasetRef.pinned(SECOND))
    return coverage(policy(DAO.genesis, datasets=datasets, **fields), (FIRST, SECOND))


def quotas(found: Coverage) -> Mapping[Cid, list[int]]:
    return {cid: [quota.passages_max for quota in place.quotas] for cid, place in found.places.items()}


class TestCoverage:
    def test_the_whole_of_everything_limits_nothing_but_the_budget(self) -> None:
        found = covered()
        assert quotas(found) == {FIRST.cid(): [], SECOND.cid(): []}
        assert found.whole == Quota(frozenset(place.lineage for place in found.places.values()), 1000)

    def test_the_filters_on_datasets_stand_in_the_order_that_is_asked_for(self) -> None:
        only = encode({"key": "tags", "equals": "open"})
        datasets = (DatasetRef.pinned(FIRST), replace(DatasetRef.latest(SECOND), only=only))
        found = coverage(policy(DAO.genesis, datasets=datasets), (FIRST, SECOND))
        assert found.only_of((SECOND.cid(), FIRST.cid())) == (only, b"")
        assert found.only_of((FIRST.cid(),)) == ()
        assert covered().only_of((FIRST.cid(), SECOND.cid())) == ()

    def test_shares_are_of_each_dataset_and_of_each_owner(self) -> None:
        assert quotas(covered(corpus_bps=5_000)) == {FIRST.cid(): [2], SECOND.cid(): [1]}
        assert quotas(covered(owner_bps=2_500, corpus_bps=5_000)) == {FIRST.cid(): [2, 1], SECOND.cid(): [1, 0]}

    def test_an_owners_datasets_count_together(self) -> None:
        other = resigned(DAO.history, wallet("owner"), FIRST, dataset=seeded("another dataset"))
        made = policy(DAO.genesis, datasets=(DatasetRef.pinned(FIRST), DatasetRef.pinned(other)), owner_bps=5_000)
        found = coverage(made, (FIRST, other))
        (quota,) = {quota for place in found.places.values() for quota in place.quotas}
        assert (len(quota.lineages), quota.passages_max) == (2, 4)

    @given(passages=st.integers(0, 1 << 32), bps=st.integers(0, 10_000))
    def test_a_share_is_rounded_down_and_never_more_than_all(self, passages: int, bps: int) -> None:
        assert share_of(passages, bps) <= passages
        assert 0 <= passages * bps - share_of(passages, bps) * 10_000 < 10_000


class TestResolving:
    def test_the_latest_is_the_highest_that_the_leases_name(self) -> None:
        assert resolved([DatasetRef.latest(FIRST)], (NEWER, FIRST, SECOND)) == (NEWER,)
        assert resolved([DatasetRef.latest(FIRST)], (SECOND, FIRST)) == (FIRST,)

    def test_a_pinned_one_is_that_version_and_no_other(self) -> None:
        assert resolved([DatasetRef.pinned(FIRST)], (NEWER, FIRST)) == (FIRST,)
        with pytest.raises(AccessDenied, match="not leased every dataset"):
            resolved([DatasetRef.pinned(FIRST)], (NEWER, SECOND))

    def test_a_manifest_of_another_owner_or_dataset_is_not_the_one_meant(self) -> None:
        for wrong in (
            replace(DatasetRef.pinned(FIRST), owner=wallet("mallory").address),
            replace(DatasetRef.pinned(FIRST), dataset=seeded("another dataset")),
        ):
            assert not wrong.means(FIRST)
            with pytest.raises(AccessDenied):
                resolved([wrong], (FIRST,))
            with pytest.raises(AccessDenied, match="and the policy names"):
                wrong.require(FIRST)

    def test_one_lineage_has_all_versions_and_one_dao(self) -> None:
        reference = DatasetRef.pinned(FIRST)
        assert reference.lineage(DAO.genesis) == DatasetRef.latest(NEWER).lineage(DAO.genesis)
        others = {
            reference.lineage(dao(name="Elsewhere").genesis),
            replace(reference, owner=wallet("mallory").address).lineage(DAO.genesis),
            dataset().lineage(DAO.genesis),
        }
        assert len(others | {reference.lineage(DAO.genesis)}) == 4


LINEAGES = tuple(seeded(f"lineage {n}") for n in range(4))
SHOWN = st.lists(
    st.tuples(st.sampled_from([b"one", b"two"]), st.integers(0, 6), st.sampled_from(LINEAGES)), max_size=60
)
SETS = st.frozensets(st.sampled_from(LINEAGES))


@given(shown=SHOWN, asked=st.lists(st.tuples(st.integers(0, 60), SETS), max_size=12))
def test_counts_kept_up_are_the_counts_of_a_plain_set(
    shown: list[tuple[bytes, int, bytes]], asked: list[tuple[int, frozenset[bytes]]]
) -> None:
    seen, plain = Seen(), set[tuple[bytes, bytes, bytes]]()

    def expected(holder: bytes, lineages: frozenset[bytes]) -> int:
        return len({identity for who, identity, lineage in plain if who == holder and lineage in lineages})

    for step, (holder, number, lineage) in enumerate(shown):
        for _, lineages in (one for one in asked if one[0] == step):
            assert seen.count(holder, lineages) == expected(holder, lineages)
        seen.note(holder, [(bytes([number]), lineage)])
        plain.add((holder, bytes([number]), lineage))
    identities = [bytes([number]) for number in range(8)]  # the last one was never shown to anybody
    for holder in (b"one", b"two", b"never"):
        for _, lineages in asked:
            assert seen.count(holder, lineages) == expected(holder, lineages)
        froms = [{lineage for who, one, lineage in plain if (who, one) == (holder, each)} for each in identities]
        assert [set(seen.shown_from(holder, each)) for each in identities] == froms
        assert [set(each) for each in seen.all_shown_from(holder, identities)] == froms
        assert seen.passages(holder) == expected(holder, frozenset(LINEAGES))
        assert seen.showings(holder) == sum(who == holder for who, _, _ in plain)
