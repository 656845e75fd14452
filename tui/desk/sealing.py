"""Sealing a folder, publishing it, checking its copies, and putting its key on paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

Tell = Callable[[str, int, int | None], None]
"""Called with what is done, how much of it, and of how many; raises `Stopped` where a person stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person wants sealed."""

    folder: str
    title: str
    owner: str  # a wallet's name
    allow_simulated: bool
    replaces: str = ""  # the manifest CID of the version it follows


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What was not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was sealed, and what of it was published."""

    manifest: str
    title: str
    version: int
    documents: int
    passages: int
    sealed_bytes: int
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a dataset went."""

    stored_bytes: int
    place: str
    custodians: int
    verified_copies: int
    wanted_copies: int  # where fewer are verified, the others are still on their way


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check of a dataset's copies found to hold."""

    segments: int
    checked_bytes: int
    place: str
    is_opened: bool  # decrypted too, and the corpus is the one its owner signed


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperShares:
    """A key as lists of words; any `needed` of them rebuild it. Whoever has those has the key."""

    needed: int
    lists: tuple[str, ...] = field(repr=False)


class SealingDesk(Protocol):
    """An owner's datasets."""

    def seal(self, wish: Wish, tell: Tell) -> Done:
        """Seal a folder; what fails or is stopped leaves no block, key or row behind."""
        ...

    def publish(self, manifest: str, tell: Tell) -> Published:
        """Store, fetch back, check, and hand each custodian its share.

        Stopped before that, nothing is left in the storage, and it can be published again.
        """
        ...

    def verify(self, manifest: str, tell: Tell) -> Checked:
        """Fetch every block again and check it; where the owner's wallet is open, decrypt it too."""
        ...

    def owner_wallet(self, manifest: str) -> str:
        """Return the name of the wallet that owns a dataset; raise `AccessDenied` where it is not in this home."""
        ...

    def paper(self, manifest: str, *, shares: int, of: int) -> PaperShares:
        """Return a dataset's key as lists of words."""
        ...

    def confirm_paper(self, manifest: str) -> None:
        """Keep that the owner has the lists safe."""
        ...
