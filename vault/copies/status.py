"""What an owner sees of the copies of a dataset, as plain values for whoever shows them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from storage.cid import Cid
from vault.copies.model import Copy, CopyState, PlaceStanding
from vault.records.copies import CopyRecords


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCopies:
    """One dataset version's copies.

    Attributes:
        wanted: how many verified copies the owner wants.
        standings: how the places of its copies behaved, by name.
        unknown: places of copies that the settings do not name any more, so that nobody looks at them.
    """

    manifest: Cid
    wanted: int
    copies: tuple[Copy, ...]
    standings: dict[str, PlaceStanding]
    unknown: frozenset[str]

    @property
    def verified(self) -> int:
        """How many copies are verified and looked at."""
        return sum(copy.state is CopyState.VERIFIED and copy.place not in self.unknown for copy in self.copies)

    @property
    def is_met(self) -> bool:
        """Say whether there are as many verified copies as are wanted."""
        return self.wanted > 0 and self.verified >= self.wanted

    @property
    def month_cost(self) -> int | None:
        """What all copies cost a month in micro-dollars, as far as it is known; None where nothing is."""
        known = [copy.month_cost for copy in self.copies if copy.month_cost is not None]
        return sum(known) if known else None


def leaving(records: CopyRecords, manifest: Cid | None = None) -> list[Copy]:
    """Return the copies of what was deleted that their places have not let go of yet."""
    return [copy for copy in records.copies(manifest) if copy.state is CopyState.LEAVING]


def copies_of(
    records: CopyRecords, manifest: Cid | None = None, *, places: Collection[str] | None = None
) -> list[DatasetCopies]:
    """Return the copies of one dataset version, or of all.

    Args:
        places: the names in the settings; None takes every place for a known one.
    """
    standings = records.standings()
    found = []
    for one in records.datasets() if manifest is None else [manifest]:
        copies = tuple(copy for copy in records.copies(one) if copy.state is not CopyState.LEAVING)
        names = {copy.place for copy in copies}
        found.append(
            DatasetCopies(
                manifest=one,
                wanted=records.wanted(one),
                copies=copies,
                standings={name: standing for name, standing in standings.items() if name in names},
                unknown=frozenset() if places is None else frozenset(names - set(places)),
            )
        )
    return found
