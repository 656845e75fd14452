"""The first steps of a new home: the folder itself, its services, and a DAO to belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Which first steps are done."""

    has_home: bool
    has_wallet: bool
    has_dao: bool
    has_datasets: bool

    @property
    def is_new(self) -> bool:
        """Say whether this home still lacks what everything else needs."""
        return not (self.has_home and self.has_wallet and self.has_dao)


class StartingDesk(Protocol):
    """Makes a home and gives it a DAO."""

    def steps(self) -> Steps:
        """Return which steps are done."""
        ...

    def begin(self) -> None:
        """Make the home folder; again is fine."""
        ...

    def found(self, name: str, wallet: str, *, custodians: tuple[str, ...], enclave: str) -> str:
        """Found a DAO of which the wallet is the first member and the treasury; return its genesis CID."""
        ...

    def join(self, genesis: str, board: str, *, custodians: tuple[str, ...], enclave: str) -> str:
        """Take a DAO over from a board, verified from its charter on; return its name."""
        ...
