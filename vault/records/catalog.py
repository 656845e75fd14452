"""The catalog: an owner's own datasets, so that they need not be found again. Nothing here is trusted by others."""

from __future__ import annotations

import builtins
from typing import Final

from sqlmodel import Session, col, select

from storage.cid import Cid
from vault.errors import ForkedHistory
from vault.records.database import Records
from vault.records.model import DatasetRow
from vault.records.room import require_room
from vault.records.tables import CatalogedDataset

VERSIONS_MAX: Final = 10_000  # of all datasets together

_TURN: Final = b"catalog"


class Catalog:
    """One owner's dataset versions."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def add(self, row: DatasetRow) -> None:
        """Add a dataset version; the same again is fine.

        Raises: ForkedHistory: this version stands there with other facts.
        """
        with self._records.writing(_TURN) as session:
            known = session.get(CatalogedDataset, (row.dataset, row.version))
            if known is None:
                require_room(session, CatalogedDataset, most=VERSIONS_MAX)
                session.add(_entry(row))
            elif known.manifest != row.manifest.binary:
                raise ForkedHistory(f"version {row.version} of this dataset has another manifest in the catalog")

    def mark_published(self, manifest: Cid) -> None:
        """Note that the custodians and block stores have it; again is fine. `ValueError` for an unknown manifest."""
        with self._records.writing(_TURN) as session:
            entry = _by_manifest(session, manifest)
            if entry is None:
                raise ValueError(f"manifest {manifest} is not in the catalog")
            entry.state = "published"
            session.add(entry)

    def remove(self, manifest: Cid) -> None:
        """Forget a dataset version; nothing happens where it is not there."""
        with self._records.writing(_TURN) as session:
            entry = _by_manifest(session, manifest)
            if entry is not None:
                session.delete(entry)

    def get(self, manifest: Cid) -> DatasetRow | None:
        """Return the dataset version with this manifest."""
        with self._records.reading() as session:
            entry = _by_manifest(session, manifest)
            return _row(entry) if entry else None

    def get_version(self, dataset: bytes, version: int) -> DatasetRow | None:
        """Return that version of a dataset."""
        with self._records.reading() as session:
            entry = session.get(CatalogedDataset, (dataset, version))
            return _row(entry) if entry else None

    def list(self) -> builtins.list[DatasetRow]:
        """Return all versions, oldest first by creation, then dataset and version; at most `VERSIONS_MAX`."""
        order = (col(CatalogedDataset.created_at), col(CatalogedDataset.dataset), col(CatalogedDataset.version))
        with self._records.reading() as session:
            return [_row(entry) for entry in session.exec(select(CatalogedDataset).order_by(*order))]


def _by_manifest(session: Session, manifest: Cid) -> CatalogedDataset | None:
    return session.exec(select(CatalogedDataset).where(CatalogedDataset.manifest == manifest.binary)).first()


def _entry(row: DatasetRow) -> CatalogedDataset:
    return CatalogedDataset(
        dataset=row.dataset,
        version=row.version,
        title=row.title,
        owner=row.owner,
        genesis=row.genesis.binary,
        manifest=row.manifest.binary,
        state=row.state,
        passages=row.passages,
        documents=row.documents,
        sealed_bytes=row.sealed_bytes,
        created_at=row.created_at,
    )


def _row(entry: CatalogedDataset) -> DatasetRow:
    return DatasetRow(
        dataset=entry.dataset,
        version=entry.version,
        title=entry.title,
        owner=entry.owner,
        genesis=Cid(entry.genesis),
        manifest=Cid(entry.manifest),
        state="published" if entry.state == "published" else "sealed",
        passages=entry.passages,
        documents=entry.documents,
        sealed_bytes=entry.sealed_bytes,
        created_at=entry.created_at,
    )
