"""How much of each dataset, and of each owner's part, the holder of a budget has seen and may see yet (rule O1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.cid import Cid

if TYPE_CHECKING:
    from vault.ledger import Books
    from vault.limits import Coverage, Place
    from vault.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPart:
    """One dataset, or all of one owner's."""

    owner: bytes
    manifest: Cid | None  # None: all that this owner has in the policy's datasets
    seen: int  # distinct passages, of any version
    passages_max: int  # that may ever be seen of it, as far as budgets and shares go
    passages: int  # of the versions served now


def seen_parts(books: Books, holder: bytes, covered: Coverage, manifests: Iterable[Manifest]) -> list[SeenPart]:
    """Return each dataset's part, then each owner's."""
    sizes = {manifest.cid(): manifest.passages for manifest in manifests}
    by_owner: dict[bytes, list[Cid]] = {}
    for cid, place in covered.places.items():
        by_owner.setdefault(place.owner, []).append(cid)
    datasets = [
        _part(books, holder, covered, [place], owner=place.owner, manifest=cid, passages=sizes[cid])
        for cid, place in covered.places.items()
    ]
    owners = [
        _part(
            books,
            holder,
            covered,
            [covered.places[cid] for cid in cids],
            owner=owner,
            manifest=None,
            passages=sum(sizes[cid] for cid in cids),
        )
        for owner, cids in by_owner.items()
    ]
    return [*datasets, *owners]


def _part(
    books: Books,
    holder: bytes,
    covered: Coverage,
    places: list[Place],
    *,
    owner: bytes,
    manifest: Cid | None,
    passages: int,
) -> SeenPart:
    lineages = frozenset(place.lineage for place in places)
    seen = books.seen.count(holder, lineages)
    bounding = [quota for quota in (covered.whole, *places[0].quotas) if quota.lineages >= lineages]
    left = min(books.quota_left(holder, quota) for quota in bounding)
    return SeenPart(owner=owner, manifest=manifest, seen=seen, passages_max=seen + left, passages=passages)
