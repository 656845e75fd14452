"""Datasets as a person names them, by a manifest's CID: found in this home, in the storage, or in a policy in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli import wiring
from cli.home import Settings
from storage.cid import Cid
from storage.errors import StorageError
from vault.dataset import DatasetRef
from vault.delivery import manifest_at
from vault.errors import MalformedObject, VaultError
from vault.manifest import Manifest
from vault.policy import Policy

if TYPE_CHECKING:
    from vault.history import History


def dataset_named(settings: Settings, history: History, cid: Cid) -> DatasetRef:
    """Return the dataset that a manifest is of, pinned to that version, or raise `MalformedObject`."""
    for policy in history.policies.values():
        for named in policy.datasets:
            if named.manifest == cid:
                return named
    try:
        manifest = manifest_named(settings, history, cid)
    except (StorageError, VaultError) as error:
        raise MalformedObject(
            f"no dataset of this DAO is known by manifest {cid} ({error}); name a storage that has it"
        ) from error
    return DatasetRef.pinned(manifest)


def manifest_named(settings: Settings, history: History, cid: Cid) -> Manifest:
    """Return a manifest of this DAO from this home or the storage, its owner's signature checked."""
    manifest = manifest_at(cid, wiring.open_staging(settings), wiring.open_storage(settings))
    if manifest.genesis != history.genesis:
        raise MalformedObject("it is under another DAO")
    manifest.verify_owner(history.charter.domain(history.genesis))
    return manifest


def corpora_known(settings: Settings, history: History, policies: Iterable[Policy | None]) -> dict[bytes, int]:
    """Return the number of passages of each dataset, by lineage, as far as its pinned manifest can be found."""
    corpora: dict[bytes, int] = {}
    for named in (one for policy in policies if policy is not None for one in policy.datasets):
        if named.manifest is None:
            continue
        try:
            manifest = manifest_named(settings, history, named.manifest)
        except (StorageError, VaultError):
            continue
        if named.means(manifest):
            corpora[named.lineage(history.genesis)] = manifest.passages
    return corpora
