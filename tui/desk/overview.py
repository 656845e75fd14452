"""How everything stands at a glance: the DAO, its enclave, its custodians, what is sealed, what happened today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from enclave.inspection import Inspection


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Whose terminal this is: what is configured, read without opening records or asking anyone."""

    home: str
    exists: bool
    enclave: str  # host:port; empty: none is configured
    custodians: tuple[str, ...]
    storage: str
    wallets: int
    credentials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaoFacts:
    """A DAO as this home's board knows it, verified from its charter."""

    name: str
    genesis: str
    epoch: int
    head: str
    members: int
    guardians: tuple[str, ...]  # addresses
    custodians: int
    policies: tuple[str, ...]  # titles of those in force
    open_proposals: int
    unanswered: int  # of the open ones: those that no wallet of this home has voted on


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodianFacts:
    """One custodian: the epoch it follows, or why it does not answer."""

    address: str
    epoch: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFacts:
    """One dataset version sealed in this home."""

    manifest: str
    title: str
    version: int
    owner: str
    state: str  # sealed, pending while copies are missing, published
    documents: int
    passages: int
    sealed_bytes: int
    created_at: int
    copies: tuple[str, ...]  # the places of its blocks; one that is not verified says so
    has_paper: bool  # the owner has confirmed that the paper shares are safe


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """What this home knows of the last 24 hours."""

    queries: tuple[int, ...]  # by hour, the oldest first; 24 of them
    amounts: tuple[int, ...]  # micro-units, likewise
    currency: str
    whose: str  # in words: what was counted


class OverviewDesk(Protocol):
    """Says how everything stands, one part at a time: a lost service leaves the rest."""

    def party(self) -> Party:
        """Return what is configured here."""
        ...

    def dao(self) -> DaoFacts | None:
        """Return the DAO of this home's board, or None where there is none yet."""
        ...

    def enclave(self, *, is_fresh: bool = False) -> Inspection:
        """Look at the enclave; evidence is asked for anew when it has aged, or `is_fresh`."""
        ...

    def custodians(self) -> tuple[CustodianFacts, ...]:
        """Ask each custodian which epoch it follows."""
        ...

    def sealed(self) -> tuple[SealedFacts, ...]:
        """Return the datasets sealed here, the newest first."""
        ...

    def today(self) -> Today:
        """Return queries and amounts of the last 24 hours."""
        ...
