"""The rows that stores take and return: plain values, free of any database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from storage.cid import Cid
from vault.board import Kind

if TYPE_CHECKING:
    from vault.manifest import Manifest

DatasetState: TypeAlias = Literal["sealed", "published"]

BOARD_KINDS: Final = frozenset({*Kind, "license"})  # licenses are private to issuer and licensee


@dataclass(frozen=True, slots=True)
class JournalRow:
    """Ledger entries that became durable together, sealed as one. The enclave that wrote them trusts only the MAC.

    Attributes:
        sequence: of the last entry in it; entries count from 1, without gaps.
        sealed: 1 to `SEALED_BYTES_MAX` bytes.
        mac: 32 bytes, chained over the row before.
        entries: how many are in it.
    """

    sequence: int
    sealed: bytes
    mac: bytes
    entries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """What an owner remembers of one dataset version; its passages lie sealed elsewhere.

    Attributes:
        dataset: 32 bytes, the same for all versions.
        owner: 20-byte wallet address.
        created_at: UTC seconds.
    """

    dataset: bytes
    version: int
    title: str
    owner: bytes
    genesis: Cid
    manifest: Cid
    state: DatasetState
    passages: int
    documents: int
    sealed_bytes: int
    created_at: int

    @classmethod
    def sealed(cls, manifest: Manifest, *, documents: int, at: int) -> DatasetRow:
        """Return the row of a version that lies sealed in this home."""
        return cls(
            dataset=manifest.dataset,
            version=manifest.version,
            title=manifest.title,
            owner=manifest.owner,
            genesis=manifest.genesis,
            manifest=manifest.cid(),
            state="sealed",
            passages=manifest.passages,
            documents=documents,
            sealed_bytes=manifest.sealed_bytes,
            created_at=at,
        )
