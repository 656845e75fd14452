"""What has been seen of each dataset and each owner's part is what the books count, and never more than may be."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.people import seeded, wallet
from tests.policies import FIRST, serving, two_owners
from vault.ledger import Books
from vault.limits import Coverage, Place, Quota
from vault.seen_parts import seen_parts

HOLDER = b"holder"
LINEAGES = tuple(seeded(f"lineage {n}") for n in range(3))
OWNERS = (wallet("a").address, wallet("a").address, wallet("b").address)
CIDS = tuple(Cid.of(DAG_CBOR, bytes([n])) for n in range(3))


class Sized:
    """As much of a manifest as is asked for."""

    def __init__(self, cid: Cid) -> None:
        self.passages = 10
        self._cid = cid

    def cid(self) -> Cid:
        return self._cid


@given(shown=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=20))
def test_parts_add_up(shown: list[tuple[int, int]]) -> None:
    books = Books()
    own = {
        owner: Quota(frozenset(line for line, of in zip(LINEAGES, OWNERS, strict=True) if of == owner), 15)
        for owner in OWNERS
    }
    places = {
        cid: Place(line, owner, (Quota(frozenset([line]), 8), own[owner]))
        for cid, line, owner in zip(CIDS, LINEAGES, OWNERS, strict=True)
    }
    covered = Coverage(Quota(frozenset(LINEAGES), 25), places)
    books.seen.note(HOLDER, [(seeded(f"{n} {number}"), LINEAGES[n]) for n, number in shown])
    parts = seen_parts(books, HOLDER, covered, [Sized(cid) for cid in CIDS])  # type: ignore[misc]
    distinct = set(shown)
    assert [part.seen for part in parts[:3]] == [sum(of == n for of, _ in distinct) for n in range(3)]
    assert [part.seen for part in parts[3:]] == [parts[0].seen + parts[1].seen, parts[2].seen]
    assert [part.passages for part in parts] == [10, 10, 10, 20, 10]
    assert all(
        part.passages_max == max(part.seen, min(8, part.seen + 25 - len(distinct), part.seen + 15 - of))
        or part.seen > 8
        for part, of in zip(parts[:3], (parts[3].seen, parts[3].seen, parts[4].seen), strict=True)
    )


def test_an_account_says_it_part_by_part(tmp_path: Path) -> None:
    with serving(tmp_path, two_owners(owner_bps=5_000)) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            client.search(FIRST[0], k=1)
            account = client.account()
    datasets, owners = account.parts[:2], account.parts[2:]
    assert [part.manifest is None for part in account.parts] == [False, False, True, True]
    assert sorted(part.seen for part in datasets) == sorted(part.seen for part in owners) == [0, 1]
    assert {(part.passages, part.passages_max) for part in owners} == {(4, 2)}
