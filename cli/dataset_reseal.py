"""`coffer dataset remove` and `reseal`: a dataset's next version under a new key, without some documents or with all.

What is left out is out of reach once the version before is deleted: `coffer dataset delete OLD --this-version`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import sealing, wiring
from cli.console import foreign, reported, say, show_json
from cli.home import Home
from cli.keyring import read_keys
from cli.options import HomeOption, JsonOption, cid_option
from cli.workplace import opened_home, owner_key, progress_bar
from storage.cid import Cid
from vault.assembly import history_of
from vault.corpus import Corpus
from vault.delivery import manifest_at
from vault.errors import ForkedHistory, MalformedObject
from vault.manifest import Manifest
from vault.plain_text import counted
from vault.publishing import Draft
from vault.records.model import DatasetRow
from vault.resealing import surviving

_ManifestArgument = Annotated[str, typer.Argument(help="The CID of the dataset's latest version.")]
_OwnerOption = Annotated[str, typer.Option("--owner", help="The owner's wallet: a name in the home folder, or a path.")]
_StorageOption = Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")]


def remove(
    manifest: _ManifestArgument,
    documents: Annotated[
        list[str], typer.Argument(help="The documents to leave out, by the names they were sealed by.")
    ],
    owner: _OwnerOption,
    storage: _StorageOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Seal a dataset anew without some documents, as its next version under a new key.

    Publish that version, then delete this one: until then, what was removed is still in it.
    """
    _resealed(manifest, frozenset(documents), owner, storage, home, json=json)


def reseal(
    manifest: _ManifestArgument,
    owner: _OwnerOption,
    storage: _StorageOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Seal a dataset anew as its next version under a new key, with new shares for the custodians.

    So a dataset whose key came back from paper is handed out again, and a key that may be known is replaced.
    """
    _resealed(manifest, frozenset(), owner, storage, home, json=json)


def _resealed(
    manifest: str, without: Collection[str], owner: str, storage: str | None, home: Path | None, *, json: bool
) -> None:
    from vault.records.board import Board
    from vault.records.catalog import Catalog

    with reported():
        settings, place = opened_home(home, storage=storage)
        cid = cid_option(manifest)
        with wiring.open_database(settings) as records:
            catalog = Catalog(records)
            row = _latest(catalog, cid)
            staging, blobs = wiring.open_staging(settings), wiring.open_storage(settings)
            found = manifest_at(cid, staging, blobs)
            key = owner_key(settings, owner, found)
            sealed = read_keys(place.data_key(found.dataset, found.version), found, key)
            charter = history_of(Board(records), row.genesis, at=wiring.clock()).charter
            corpus = Corpus()
            with progress_bar("bytes sealed anew", total=row.sealed_bytes, is_json=json) as progress:
                passages = surviving(sealed, staging if staging.has(cid) else blobs, without, corpus, progress)
                made = sealing.seal_passages(settings, catalog, passages, corpus, _draft(found), charter, key)
        shown = _json(made, found, without)
        show_json(shown) if json else _say(shown, owner, place)


def _latest(catalog: Any, cid: Cid) -> DatasetRow:
    row: DatasetRow | None = catalog.get(cid)
    if row is None:
        raise MalformedObject(f"dataset {cid} is not known in this home; coffer dataset list prints those that are")
    if catalog.get_version(row.dataset, row.version + 1) is not None:
        raise ForkedHistory(f"version {row.version + 1} of this dataset is sealed already; seal that one anew")
    return row


def _draft(found: Manifest) -> Draft:
    return Draft(
        genesis=found.genesis,
        dataset=found.dataset,
        title=found.title,
        version=found.version + 1,
        previous=found.cid(),
        allow_simulated=found.allow_simulated,
        model=found.model,
    )


def _json(made: DatasetRow, before: Manifest, without: Collection[str]) -> dict[str, Any]:
    return {
        "manifest": str(made.manifest),
        "version": made.version,
        "previous": str(before.cid()),
        "documents": made.documents,
        "passages": made.passages,
        "removed": sorted(without),
        "removed_passages": before.passages - made.passages,
        "sealed_bytes": made.sealed_bytes,
    }


def _say(shown: dict[str, Any], owner: str, place: Home) -> None:
    say(f"sealed [bold]{shown['manifest']}[/], version {shown['version']}, under a new key")
    for name in shown["removed"]:
        say(f"without {foreign(name)}")
    kept = f"{counted(shown['documents'], 'document')}, {counted(shown['passages'], 'passage')}"
    say(f"{kept} in it; {counted(shown['removed_passages'], 'passage')} left out")
    say(f"next: coffer dataset publish {shown['manifest']} --owner {foreign(owner)}")
    say(f"then: coffer dataset delete {shown['previous']} --this-version --owner {foreign(owner)}")
