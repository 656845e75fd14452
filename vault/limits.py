"""How much of the datasets may ever be seen under a policy: in passages, per dataset, and per owner.

A *quota* is a number of distinct passages over some lineages. Which ones apply to a passage follows from the policy and
the manifests alone, so it is worked out once per policy and lease, and a query only looks it up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.cid import Cid
from vault.charter import BASIS_POINTS
from vault.dataset import resolved
from vault.lineage import lineage_id
from vault.manifest import Manifest
from vault.policy import Policy


@dataclass(frozen=True, slots=True)
class Quota:
    """At most so many distinct passages out of these lineages, for each holder of a budget."""

    lineages: frozenset[bytes]
    passages_max: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a manifest's passages count."""

    lineage: bytes
    owner: bytes
    quotas: tuple[Quota, ...]  # of its dataset and its owner, where less than all may be seen; beside the policy's own
    only: bytes = b""  # the filter that its passages have to meet, where not all may be found


@dataclass(frozen=True, slots=True)
class Coverage:
    """A policy's datasets as the leases name them, and the quotas on them."""

    whole: Quota  # the policy's extraction budget
    places: Mapping[Cid, Place]

    def manifests(self) -> tuple[Cid, ...]:
        """Return the manifests that may be searched."""
        return tuple(self.places)

    def only_of(self, manifests: Sequence[Cid]) -> tuple[bytes, ...]:
        """Return the filter on each of some manifests; nothing where all passages of all of them may be found."""
        found = tuple([self.places[cid].only for cid in manifests])
        return found if any(found) else ()


def share_of(passages: int, bps: int) -> int:
    """Return how many passages a share in basis points is, rounded down."""
    return passages * bps // BASIS_POINTS


def coverage(policy: Policy, manifests: Iterable[Manifest]) -> Coverage:
    """Return what a policy covers of the manifests that the leases name.

    Raises: `AccessDenied` where they lack one of its datasets.
    """
    chosen = resolved(policy.datasets, manifests)
    by_owner: dict[bytes, list[Manifest]] = {}
    for manifest in chosen:
        by_owner.setdefault(manifest.owner, []).append(manifest)
    of_owner = {owner: _quotas(policy, owned, policy.owner_bps) for owner, owned in by_owner.items()}
    places = {}
    for reference, manifest in zip(policy.datasets, chosen, strict=True):
        quotas = (*_quotas(policy, [manifest], policy.corpus_bps), *of_owner[manifest.owner])
        places[manifest.cid()] = Place(_lineage(policy, manifest), manifest.owner, quotas, reference.only)
    lineages = frozenset(place.lineage for place in places.values())
    return Coverage(Quota(lineages, policy.passages_max), places)


def _quotas(policy: Policy, manifests: Sequence[Manifest], bps: int) -> tuple[Quota, ...]:
    """Return the quota of a share of these manifests' passages; none for all of them, which limits nothing."""
    if bps == BASIS_POINTS:
        return ()
    lineages = frozenset(_lineage(policy, manifest) for manifest in manifests)
    return (Quota(lineages, share_of(sum(manifest.passages for manifest in manifests), bps)),)


def _lineage(policy: Policy, manifest: Manifest) -> bytes:
    return lineage_id(policy.genesis, manifest.owner, manifest.dataset)
