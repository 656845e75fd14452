"""Which dataset a policy means: one manifest of its owner, or whatever version the owner registered last (rule B4).

And which of its passages: all of them, or only those that meet a filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Annotated

from storage.cid import DAG_CBOR, Cid
from vault.codec import Address, Digest, Length, Record, record
from vault.errors import AccessDenied, MalformedObject
from vault.lineage import lineage_id
from vault.manifest import Manifest
from vault.permitted import ONLY_BYTES_MAX, filter_of

DATASETS_MAX = 64


@record
class DatasetRef(Record):
    """A dataset by owner and id, pinned to one version or not."""

    owner: Address
    dataset: Digest
    manifest: Cid | None  # None: the latest one that the owner signed and the leases name
    only: Annotated[bytes, Length(0, ONLY_BYTES_MAX)] = field(default=b"")  # a filter: what may be found; empty: all

    def check(self) -> None:
        """Refuse a second name for a manifest, and what is no filter."""
        if self.only:
            filter_of(self.only)
        if self.manifest is not None and self.manifest.codec != DAG_CBOR:
            raise MalformedObject(
                "a dataset is pinned by its manifest's CID, which is DAG-CBOR: one name, one revocation"
            )

    @classmethod
    def pinned(cls, manifest: Manifest) -> DatasetRef:
        """Return the reference to this very version."""
        return cls(owner=manifest.owner, dataset=manifest.dataset, manifest=manifest.cid())

    @classmethod
    def latest(cls, manifest: Manifest) -> DatasetRef:
        """Return the reference to this dataset, whatever its version."""
        return cls(owner=manifest.owner, dataset=manifest.dataset, manifest=None)

    def lineage(self, genesis: Cid) -> bytes:
        """Return what all versions of it have in common, and what a revocation of it names."""
        return lineage_id(genesis, self.owner, self.dataset)

    def means(self, manifest: Manifest) -> bool:
        """Say whether this manifest is one that the reference could mean: of that owner, dataset and version."""
        return (self.owner, self.dataset) == (manifest.owner, manifest.dataset) and (
            self.manifest in (None, manifest.cid())
        )

    def require(self, manifest: Manifest) -> None:
        """Raise `AccessDenied` for a pinned manifest that another owner signed, or of another dataset."""
        if not self.means(manifest):
            raise AccessDenied(
                f"manifest {manifest.cid()} is of dataset {manifest.dataset.hex()} of 0x{manifest.owner.hex()}, "
                f"and the policy names dataset {self.dataset.hex()} of 0x{self.owner.hex()}"
            )


def resolved(references: Sequence[DatasetRef], manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Return the manifest that each reference means among those that the leases name, in the references' order.

    Of several versions an unpinned reference means the highest.
    Raises: `AccessDenied` where one is not among them.
    """
    known: dict[tuple[bytes, bytes], list[Manifest]] = {}
    for manifest in manifests:
        known.setdefault((manifest.owner, manifest.dataset), []).append(manifest)
    chosen = []
    for reference in references:
        versions = [one for one in known.get((reference.owner, reference.dataset), ()) if reference.means(one)]
        if not versions:
            raise AccessDenied("this enclave was not leased every dataset of the policy")
        chosen.append(max(versions, key=lambda manifest: manifest.version))
    return tuple(chosen)


def only_of(references: Iterable[DatasetRef], manifests: Iterable[Manifest]) -> dict[Cid, bytes]:
    """Return the filter on each manifest of which not all passages may be found."""
    limited = [reference for reference in references if reference.only]
    if not limited:
        return {}
    return {
        manifest.cid(): reference.only for manifest in manifests for reference in limited if reference.means(manifest)
    }
