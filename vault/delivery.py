"""Handing a sealed dataset over: to the storage, fetched back; to every custodian, its share; only then it counts.

Each step may be done again after a failure of a later one. What waits in staging is deleted last, its manifest at the
very end, so that a staging place that has the manifest has all of the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from storage.bulk import Grouping
from storage.cid import Cid
from storage.errors import BlockMismatch, BlockNotFound
from storage.model import Blobs
from vault.charter import Charter
from vault.errors import MalformedObject, ServiceUnavailable
from vault.manifest import Manifest, ShareDeposit
from vault.publishing import Progress, Sealed, copy_dataset, dataset_blocks, share_deposits, verify_stored
from vault.signing import SigningKey


class ShareTaker(Protocol):
    """Who keeps shares; `vault.client.CustodyClient` is the real one."""

    def deposit_share(self, manifest: Manifest, deposit: ShareDeposit) -> None: ...  # noqa: D102


def manifest_at(cid: Cid, *places: Blobs) -> Manifest:
    """Return the manifest from the first place that has it."""
    for place in places:
        try:
            return Manifest.from_bytes(place.get(cid))
        except BlockNotFound:
            continue
    raise MalformedObject(f"no manifest {cid} in {' or '.join(place.name for place in places)}")


def deliver(
    sealed: Sealed,
    charter: Charter,
    owner: SigningKey,
    *,
    staging: Blobs,
    storage: Blobs,
    custodians: Mapping[bytes, ShareTaker],
    progress: Progress,
) -> int:
    """Store a dataset, fetch it back and open it, and deposit every custodian's share; return the bytes stored.

    Args:
        custodians: by signing key; every one of the charter's is needed.
    Raises: `ServiceUnavailable` naming a custodian that is missing; nothing is given up on, so do it again.
    """
    missing = [custodian.key for custodian in charter.custodians if custodian.key not in custodians]
    if missing:
        raise ServiceUnavailable(
            f"{len(missing)} of {len(charter.custodians)} custodians cannot be reached, first {missing[0].hex()}; "
            "start it, name its address, and publish again"
        )
    stored = stored_and_verified(sealed, staging, storage, progress=progress)
    for deposit in share_deposits(sealed, charter, owner):
        custodians[deposit.custodian].deposit_share(sealed.manifest, deposit)
    return stored


def stored_and_verified(sealed: Sealed, staging: Blobs, storage: Blobs, *, progress: Progress) -> int:
    """Copy a dataset out of staging, if it waits there, fetch it back and open it; return the bytes that came.

    Where the storage does not have what it said it had, all of it is sent once more.
    """
    manifest, is_staged = sealed.manifest, staging.has(sealed.manifest.cid())
    if is_staged:
        copy_dataset(manifest, staging, storage, progress=progress)
    try:
        return verify_stored(manifest, storage, sealed.key, progress=progress)
    except (BlockNotFound, BlockMismatch):
        if not is_staged:
            raise
    copy_dataset(manifest, staging, storage, progress=progress, held=lambda cid: False)
    return verify_stored(manifest, storage, sealed.key, progress=progress)


def clear_staging(manifest: Manifest, staging: Blobs) -> None:
    """Forget the staged blocks of a dataset that was delivered."""
    if not staging.has(manifest.cid()):
        return
    for cid in [cid for cid, _ in dataset_blocks(staging, manifest) if cid != manifest.cid()]:
        staging.delete(cid)
    staging.delete(manifest.cid())


class Undoable:
    """Passes blocks through to a place and remembers what it put, so that a failed sealing leaves nothing behind."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._put: list[Cid] = []
        self.name = blobs.name

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep the block."""
        self._put.append(cid)
        self._blobs.put(cid, block)

    def write(self, cid: Cid, block: bytes) -> Any:
        """Write a block as `storage.bulk.Grouping` does, or put it where the place names blocks one by one."""
        self._put.append(cid)
        return self._blobs.write(cid, block) if isinstance(self._blobs, Grouping) else self._blobs.put(cid, block)

    def settle(self, written: list[Any]) -> None:
        """Name blocks that were written."""
        if isinstance(self._blobs, Grouping):
            self._blobs.settle(written)

    def get(self, cid: Cid) -> bytes:
        """Return the block."""
        return self._blobs.get(cid)

    def has(self, cid: Cid) -> bool:
        """Say whether the place has the block."""
        return self._blobs.has(cid)

    def delete(self, cid: Cid) -> None:
        """Forget the block."""
        self._blobs.delete(cid)

    def cids(self) -> Iterator[Cid]:
        """Yield the CIDs of the place."""
        return self._blobs.cids()

    def undo(self) -> None:
        """Delete what was put."""
        while self._put:
            self._blobs.delete(self._put.pop())
