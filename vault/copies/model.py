"""A copy of a dataset at one place, and what every kind of place can do with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from storage.cid import Cid

if TYPE_CHECKING:
    from storage.model import Blobs
    from storage.pieces import ListedPiece
    from vault.manifest import Manifest
    from vault.publishing import Progress

PLACE_CHARS_MAX: Final = 32
FAULT_CHARS_MAX: Final = 500
NOTE_BYTES_MAX: Final = 4096
COPIES_MAX: Final = 16  # of one dataset


class Kind(StrEnum):
    """What a place is."""

    DIRECTORY = "directory"
    IPFS = "ipfs"
    PINNING = "pinning"
    FILECOIN = "filecoin"
    GATEWAY = "gateway"

    @property
    def keeps(self) -> bool:
        """Say whether a copy can be put there; a gateway is for reading alone."""
        return self is not Kind.GATEWAY


class CopyState(StrEnum):
    """What is known of a copy; only a verified one counts, and a leaving one is of what was deleted."""

    PENDING = "pending"  # not all of it was fetched back yet
    VERIFIED = "verified"  # all of it was, and every sample since was right
    UNREACHABLE = "unreachable"  # it was verified, and its place does not answer now
    DAMAGED = "damaged"  # something of it is missing or wrong
    LEAVING = "leaving"  # its dataset was deleted, and its place has not let go of it yet
    GONE = "gone"  # its place let go of it; the records know nothing of it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy as the records have it; times are UTC seconds.

    Attributes:
        place: the owner's name for the place.
        since: when it was first verified whole.
        verified_at: when what was read of it, sample or whole, was last right.
        whole_at: when it was last read whole.
        due_at: when it is to be looked at next.
        lapses_at: when the place will let go of it, where that is known.
        month_cost: micro-dollars; None where it is not known.
        fault: what is wrong or waited for, in one sentence; empty where nothing is.
        note: what the place has to remember about it, as its number of a pin.
        repairs: how often it was put right.
    """

    manifest: Cid
    place: str
    kind: Kind
    state: CopyState = CopyState.PENDING
    since: int | None = None
    verified_at: int | None = None
    whole_at: int | None = None
    due_at: int = 0
    lapses_at: int | None = None
    month_cost: int | None = None
    fault: str = ""
    note: bytes = b""
    repairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceStanding:
    """How a place behaved, over all datasets.

    Attributes:
        lies: wrong blocks that it sent.
        last_lie: in one sentence; empty if there was none.
        note: what the place has to remember about itself, as its data set.
    """

    place: str
    lies: int = 0
    last_lie_at: int | None = None
    last_lie: str = ""
    note: bytes = b""


class Notes(Protocol):
    """What a place may remember while it works, durable when a method returns; `vault.copies.notes` has it."""

    def copy_note(self) -> bytes: ...  # noqa: D102
    def set_copy_note(self, note: bytes) -> None: ...  # noqa: D102
    def place_note(self) -> bytes: ...  # noqa: D102
    def claim_place_note(self, before: bytes, after: bytes) -> bytes: ...  # noqa: D102
    def pieces(self) -> list[ListedPiece]: ...  # noqa: D102
    def keep_piece(self, piece: ListedPiece) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work on one copy.

    Attributes:
        source: other copies, to read blocks from.
        is_repair: look at every block, instead of going by what the place says it has.
    """

    manifest: Manifest
    source: Blobs
    notes: Notes
    is_repair: bool = False
    progress: Progress = field(default=lambda done: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far a copy has come.

    Attributes:
        waiting: for what; empty once the place claims to have all of it.
        warning: as of `Outlook`.
    """

    waiting: str = ""
    warning: str = ""
    lapses_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a place says of a copy without sending any of it.

    Attributes:
        fault: why the copy does not count any more; empty while it does.
        warning: what the owner should know of a copy that still counts.
    """

    fault: str = ""
    warning: str = ""
    lapses_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How far a place has let go of a copy.

    Attributes:
        waiting: for what; empty once the place is done with it.
        stays: what stays there all the same, in words.
    """

    waiting: str = ""
    stays: str = ""


class Place(Protocol):
    """A place where copies are kept."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def shown(self) -> str:
        """What the place is, for a person: a folder, an address."""

    def month_cost(self, sealed_bytes: int) -> int | None:
        """Return what a copy of so many bytes costs a month, in micro-dollars; None where nobody says.

        Raises: a `StorageError`: who sets the price does not answer; `OverLimit`: more than the owner allows.
        """

    def advance(self, job: Job) -> Advance:
        """Bring a copy as far as it goes without waiting; doing it again goes on from there."""

    def reads(self, notes: Notes) -> Blobs:
        """Return the blocks as this very place sends them."""

    def read_whole(self, job: Job) -> None:
        """Fetch all of a copy back and check it. Raises: a `StorageError` that says what is wrong."""

    def outlook(self, job: Job) -> Outlook:
        """Ask the place how it stands with a copy. Raises: StorageUnavailable."""

    def let_go(self, notes: Notes, *, at: int) -> Release:
        """Have the place stop keeping a deleted dataset, as far as it goes without waiting; again goes on from there.

        Args:
            at: UTC seconds.
        Raises: a `StorageError`.
        """

    def renew(self, job: Job) -> int | None:
        """Have the place keep a copy for longer, and return until when it does now, where it says."""


Blame = Callable[[str, str], None]
"""Told a place's name and what it sent that was wrong."""
