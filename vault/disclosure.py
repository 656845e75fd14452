"""How much of a corpus could leave under a policy if all whom it admits put together what they saw (rule O2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vault.charter import BASIS_POINTS
from vault.dataset import DatasetRef
from vault.licensees import Admits
from vault.limits import share_of
from vault.policy import Policy


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The most that could be seen of one dataset; of its passages, None where their number is not known."""

    dataset: DatasetRef
    seen: int | None  # None: as many as there are
    passages: int | None

    @property
    def bps(self) -> int | None:
        """Return the share that could be seen, in basis points, rounded up; None where nobody knows."""
        if self.passages is None:
            return BASIS_POINTS if self.seen is None else None
        if self.seen is None or self.passages == 0:
            return BASIS_POINTS
        return -(-self.seen * BASIS_POINTS // self.passages)


def budgets(policy: Policy) -> int | None:
    """Return how many extraction budgets there are under a policy; None where the issuer may make any number."""
    match policy.licensees.admits:
        case Admits.LISTED:
            return len(policy.licensees.addresses)
        case Admits.ANYONE:
            return 1
        case Admits.CREDENTIAL:
            return None


def worst_case(policy: Policy, corpora: Mapping[bytes, int]) -> list[Disclosure]:
    """Return, of each dataset, the most that all licensees together could ever be shown.

    A bound, not an estimate: each dataset's is as if all budgets were spent on it alone.

    Args:
        corpora: the number of passages of each dataset, by lineage, as far as it is known.
    """
    many, sizes = (
        budgets(policy),
        {dataset: corpora.get(dataset.lineage(policy.genesis)) for dataset in policy.datasets},
    )
    found = []
    for dataset, passages in sizes.items():
        if many is None:
            found.append(Disclosure(dataset, passages, passages))
            continue
        each = [policy.passages_max]
        if passages is not None:
            each.append(share_of(passages, policy.corpus_bps))
        owned = [size for other, size in sizes.items() if other.owner == dataset.owner]
        if None not in owned:
            each.append(share_of(sum(size or 0 for size in owned), policy.owner_bps))
        together = many * min(each)
        found.append(Disclosure(dataset, together if passages is None else min(together, passages), passages))
    return found
