"""`coffer dataset`: seal documents on this machine, publish what is sealed, and see that it is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import (
    dataset_copies,
    dataset_delete,
    dataset_export,
    dataset_import,
    dataset_reseal,
    dataset_tombstone,
    paper_shares,
    sealing,
    wiring,
)
from cli.console import FAILED, foreign, reported, say, show_json, warn_simulated
from cli.dataset_copies import CopiesOption, PlaceOption, WaitOption
from cli.home import Home, Settings
from cli.keyring import read_keys
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, cid_option
from cli.tables import show_table
from cli.workplace import custodians_reached, dao_meant, opened_home, owner_key, progress_bar, wallet_key
from storage.cid import Cid
from vault.assembly import history_of
from vault.delivery import clear_staging, deliver, manifest_at
from vault.errors import MalformedObject
from vault.manifest import Manifest
from vault.plain_text import counted
from vault.publishing import Sealed, verify_stored
from vault.records.model import DatasetRow
from vault.signing import SigningKey, address_text
from vault.utc import time_text

if TYPE_CHECKING:
    from vault.copies.status import DatasetCopies
    from vault.corpus import Corpus
    from vault.records.catalog import Catalog

app = typer.Typer(help="Seal documents, publish them, and check that they are still there.")
OwnerOption = Annotated[str, typer.Option("--owner", help="The owner's wallet: a name in the home folder, or a path.")]
StorageOption = Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")]
SKIPPED_SHOWN_MAX = 50
app.command("backup")(paper_shares.backup)
app.command("restore")(paper_shares.restore)
app.command("export")(dataset_export.export)
app.command("import")(dataset_import.import_)
app.command("receipts")(dataset_import.receipts)
app.command("remove")(dataset_reseal.remove)
app.command("reseal")(dataset_reseal.reseal)
app.command("delete")(dataset_delete.delete)
app.command("tombstone")(dataset_tombstone.tombstone)
app.command("status")(dataset_copies.status)


@app.command("seal")
def seal(
    paths: Annotated[list[str], typer.Argument(help="Files and folders (txt, md, jsonl, csv, pdf), or - for stdin.")],
    owner: OwnerOption,
    title: Annotated[str, typer.Option(help="What others see this dataset called; it is public.")] = "",
    name: Annotated[str, typer.Option(help="With -: what to call stdin; its suffix says how to read it.")] = "stdin",
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Let a SIMULATED TEE, which protects nothing, open it.")
    ] = False,
    replaces: Annotated[str | None, typer.Option(help="The CID of the version this one follows.")] = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Read, cut and encrypt documents on this machine, and print the dataset's CID.

    Nothing leaves this machine yet: publish it next. Whatever is not read is reported with why.
    """
    from vault.records.board import Board
    from vault.records.catalog import Catalog

    with reported():
        settings, _ = opened_home(home)
        key = wallet_key(settings, owner)
        with wiring.open_database(settings) as records:
            board, catalog = Board(records), Catalog(records)
            history = history_of(board, dao_meant(board, dao), at=wiring.clock())
            draft = sealing.draft_of(
                settings,
                catalog,
                key,
                genesis=history.genesis,
                title=title,
                allow_simulated=allow_simulated,
                replaces=cid_option(replaces) if replaces is not None else None,
            )
            with progress_bar("documents sealed", total=None, is_json=json) as progress:
                items = sealing.documents_of(paths, name)
                row, corpus = sealing.seal(settings, catalog, items, draft, history.charter, key, progress)
        if json:
            skipped = [{"name": item.name, "reason": item.reason} for item in corpus.skipped]
            show_json(_row_json(row) | {"text_bytes": corpus.text_bytes, "skipped": skipped})
        else:
            _say_sealed(row, corpus, owner, allow_simulated=allow_simulated)


def _say_sealed(row: DatasetRow, corpus: Corpus, owner: str, *, allow_simulated: bool) -> None:
    for item in corpus.skipped[:SKIPPED_SHOWN_MAX]:
        say(f"[yellow]skipped[/] {foreign(item.name)}: {foreign(item.reason)}")
    if len(corpus.skipped) > SKIPPED_SHOWN_MAX:
        say(f"[yellow]skipped[/] {len(corpus.skipped) - SKIPPED_SHOWN_MAX} more; --json lists all")
    if allow_simulated:
        warn_simulated()
    say(f"sealed [bold]{row.manifest}[/], version {row.version}")
    read = f"{counted(corpus.documents, 'document')}, {counted(corpus.passages, 'passage')}"
    say(f"{read}, {row.sealed_bytes} bytes sealed")
    say(f"{len(corpus.skipped)} skipped; next: coffer dataset publish {row.manifest} --owner {foreign(owner)}")


@app.command("publish")
def publish(
    manifest: Annotated[str, typer.Argument(help="The sealed dataset's CID.")],
    owner: OwnerOption,
    storage: StorageOption = None,
    custodian: CustodianOption = None,
    place: PlaceOption = None,
    copies: CopiesOption = None,
    wait: WaitOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Store a sealed dataset, fetch it back and check it, and hand each custodian its share of the key.

    Then copy it to the other places of the settings. It is pending until every wanted copy was fetched back from its
    own place. After a failure, run it again: it goes on; `coffer storage watch` goes on with copies by itself.
    """
    from vault.records.board import Board
    from vault.records.catalog import Catalog

    with reported():
        settings, _ = opened_home(home, storage=storage, custodians=tuple(custodian or ()))
        cid = cid_option(manifest)
        with wiring.open_database(settings) as records:
            catalog = Catalog(records)
            row = _known(catalog, cid)
            staging, blobs = wiring.open_staging(settings), wiring.open_storage(settings)
            sealed, key = _opened(settings, manifest_at(cid, staging, blobs), owner)
            plan = dataset_copies.planned(settings, place, copies, row.sealed_bytes)
            if not json:
                dataset_copies.show_costs(plan)
            if not sealed.shares:
                raise MalformedObject(
                    "this key came back from paper, without the custodians' shares; coffer dataset reseal makes others"
                )
            charter = history_of(Board(records), row.genesis, at=wiring.clock()).charter
            with (
                custodians_reached(settings) as reached,
                progress_bar("bytes stored and checked", total=row.sealed_bytes, is_json=json) as progress,
            ):
                stored = deliver(
                    sealed, charter, key, staging=staging, storage=blobs, custodians=reached.clients, progress=progress
                )
            found = dataset_copies.stored(settings, records, cid, plan, wait_s=wait)
            clear_staging(sealed.manifest, staging)
        _say_published(found, blobs.name, stored, len(charter.custodians), json=json)


def _say_published(found: DatasetCopies, storage: str, stored: int, custodians: int, *, json: bool) -> None:
    """Say where a dataset's copies and shares are; exit with a failure while copies are pending."""
    if json:
        facts = {"bytes": stored, "storage": storage, "custodians": custodians}
        show_json({**dataset_copies.dataset_json(found), "state": "published" if found.is_met else "pending", **facts})
    else:
        done = "published" if found.is_met else "[yellow]pending[/]:"
        say(f"{done} [bold]{found.manifest}[/] to {foreign(storage)}: {stored} bytes fetched back and checked")
        if len(found.copies) > 1:
            dataset_copies.show_copies(found)
        holders = counted(custodians, "custodian")
        say(f"key shares are with {holders}; next: coffer dao propose --dataset {found.manifest}")
    if not found.is_met:
        if not json:
            say("pending copies go on with: coffer storage watch; see them with: coffer dataset status")
        raise typer.Exit(FAILED)


@app.command("list")
def list_(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the datasets sealed in this home."""
    from vault.records.catalog import Catalog

    with reported():
        settings, _ = opened_home(home)
        with wiring.open_database(settings) as records:
            rows = Catalog(records).list()
            states = dataset_copies.states(records, rows)
        if json:
            show_json({"datasets": [_row_json(row) | {"state": states[row.manifest]} for row in rows]})
            return
        if not rows:
            say("no datasets yet; seal one with: coffer dataset seal")
            return
        facts = [
            (row.manifest, row.version, states[row.manifest], row.documents, row.passages, row.title) for row in rows
        ]
        header = ("dataset", "version", "state", "documents", "passages", "title")
        show_table(header, [[str(fact) for fact in line] for line in facts])


@app.command("show")
def show(
    manifest: Annotated[str, typer.Argument(help="The dataset's CID.")],
    storage: StorageOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print what a dataset's manifest says: all of it is public."""
    with reported():
        settings, _ = opened_home(home, storage=storage)
        found = manifest_at(cid_option(manifest), wiring.open_staging(settings), wiring.open_reading(settings))
        facts = _manifest_json(found)
        if json:
            show_json(facts)
            return
        for name, fact in facts.items():
            say(f"{name:16}  {foreign(str(fact))}")
        if found.allow_simulated:
            warn_simulated()


@app.command("verify")
def verify(
    manifest: Annotated[str, typer.Argument(help="The dataset's CID.")],
    owner: Annotated[str | None, typer.Option(help="The owner's wallet: also decrypt, and recompute the root.")] = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch every block of a dataset from the storage again and check it; with --owner, decrypt it too."""
    with reported():
        settings, _ = opened_home(home, storage=storage)
        cid, staging = cid_option(manifest), wiring.open_staging(settings)
        with dataset_copies.blaming(settings) as places:
            is_staged = staging.has(cid) and not places.has(cid)  # it was imported, or is not published yet
            blobs = staging if is_staged else places
            found = manifest_at(cid, blobs)
            key = _opened(settings, found, owner)[0].key if owner is not None else None
            total = found.sealed_bytes
            with progress_bar("bytes checked", total=total, is_json=json) as progress:
                checked = verify_stored(found, blobs, key, progress=progress)
        if json:
            show_json({"manifest": str(found.cid()), "bytes": checked, "decrypted": key is not None})
            return
        how = "and decrypted to the corpus its owner signed" if key else "by its CIDs; --owner decrypts it too"
        say(f"[green]✓[/] {counted(len(found.segments), 'segment')}, {checked} bytes, checked {how}")
        say(f"from {foreign(blobs.name)}")


def _opened(settings: Settings, manifest: Manifest, owner: str) -> tuple[Sealed, SigningKey]:
    key = owner_key(settings, owner, manifest)
    return read_keys(Home(settings.home).data_key(manifest.dataset, manifest.version), manifest, key), key


def _known(catalog: Catalog, cid: Cid) -> DatasetRow:
    row = catalog.get(cid)
    if row is None:
        raise MalformedObject(f"dataset {cid} was not sealed in this home; coffer dataset list prints those that were")
    return row


def _row_json(row: DatasetRow) -> dict[str, Any]:
    return {
        "manifest": str(row.manifest),
        "dataset": row.dataset.hex(),
        "version": row.version,
        "title": row.title,
        "owner": address_text(row.owner),
        "genesis": str(row.genesis),
        "state": row.state,
        "documents": row.documents,
        "passages": row.passages,
        "sealed_bytes": row.sealed_bytes,
        "created_at": row.created_at,
        "created": time_text(row.created_at),
    }


def _manifest_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "manifest": str(manifest.cid()),
        "genesis": str(manifest.genesis),
        "dataset": manifest.dataset.hex(),
        "title": manifest.title,
        "version": manifest.version,
        "previous": str(manifest.previous) if manifest.previous is not None else None,
        "owner": address_text(manifest.owner),
        "allow_simulated": manifest.allow_simulated,
        "passages": manifest.passages,
        "segments": len(manifest.segments),
        "sealed_bytes": manifest.sealed_bytes,
        "corpus_root": manifest.corpus_root.hex(),
        "model": manifest.model.hex(),
        "key_version": manifest.key_version,
    }
