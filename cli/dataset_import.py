"""`coffer dataset import` and `receipts`: a dataset out of one file, taken over whole or not at all.

All of it is read into a folder of its own and checked there: each block, the archive's order, the owner's signature,
and the DAO's affairs from the charter on. Only then are its blocks moved to staging and, last, its entry made.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import wiring
from cli.console import foreign, reported, say, show_json
from cli.home import Home, Settings
from cli.keyring import read_keys
from cli.options import HomeOption, JsonOption, cid_option
from cli.sealed_files import read_bounded, require_file, write_private
from cli.workplace import opened_home, owner_key, progress_bar
from storage.bulk import Bulk
from storage.car import read_car
from storage.cid import DAG_CBOR, Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockNotFound, StorageError
from storage.model import BLOCK_BYTES_MAX, Blobs
from storage.unixfs import read_file
from vault.assembly import history_of
from vault.carried_affairs import take_affairs
from vault.carrying import BLOCKS_MAX, RECEIPT_BYTES_MAX, Carried, carried_cids, open_receipt
from vault.delivery import manifest_at
from vault.errors import ForkedHistory, MalformedObject, RecordsUnavailable
from vault.manifest import Manifest
from vault.plain_text import counted
from vault.publishing import copy_dataset, dataset_cids, verify_stored
from vault.records.model import DatasetRow
from vault.snapshot import Snapshot

if TYPE_CHECKING:
    from vault.records.database import Records

_RECEIPT_NAME: Final = re.compile(r"[0-9]{1,20}-[0-9a-f]{12}\.receipt")
_LOCK_NAME: Final = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """An archive that was read and checked, its blocks in a folder of their own."""

    carried: Carried
    manifest: Manifest
    blobs: DirectoryBlobs
    size: int


def import_(
    file: Annotated[Path, typer.Argument(help="What `coffer dataset export` wrote.")],
    store: Annotated[
        bool, typer.Option("--store", help="Also put its blocks into the storage, for enclaves to read again.")
    ] = False,
    storage: Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take a dataset over from one file, after checking all of it; interrupted, it leaves nothing, so run it again.

    Restore its key next, from the words on paper. Custodians keep the shares they have: with --store, enclaves that can
    get them read from the new storage at once.
    """
    with reported():
        settings, place = opened_home(home, storage=storage)
        require_file(file)
        with _folder(place) as folder, DirectoryBlobs(folder / "blocks") as blobs:
            with progress_bar("bytes read", total=file.stat().st_size, is_json=json) as progress:
                read = _read(file, blobs, progress)
            _check_affairs(read, folder)
            with wiring.open_database(settings) as records:
                _taken_over(settings, place, records, read)
        stored = _stored(settings, read.manifest, is_json=json) if store else None
        _show(read, stored, is_json=json)


def receipts(
    manifest: Annotated[str, typer.Argument(help="The imported dataset's CID.")],
    owner: Annotated[str, typer.Option("--owner", help="The owner's wallet, once the dataset's key is restored.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Open the receipts that came along with an imported dataset, into this home's receipts."""
    with reported():
        settings, place = opened_home(home)
        cid = cid_option(manifest)
        found = manifest_at(cid, wiring.open_staging(settings), wiring.open_storage(settings))
        key = read_keys(place.data_key(found.dataset, found.version), found, owner_key(settings, owner, found)).key
        opened = []
        for path in sorted(place.carried_receipts(str(cid)).glob("*.sealed")):
            name, body = open_receipt(read_bounded(path, RECEIPT_BYTES_MAX), key, cid)
            if not _RECEIPT_NAME.fullmatch(name):
                raise MalformedObject(f"{path} holds something that is not named as a receipt")
            if not (place.receipts / name).exists():
                write_private(place.receipts / name, body)
            opened.append(name)
        if json:
            show_json({"manifest": str(cid), "receipts": opened})
        else:
            say(f"{counted(len(opened), 'receipt')} in {foreign(str(place.receipts))}")


def _show(read: _Read, stored: int | None, *, is_json: bool) -> None:
    cid = read.manifest.cid()
    facts: dict[str, Any] = {
        "manifest": str(cid),
        "version": read.manifest.version,
        "genesis": str(read.carried.genesis),
        "head": str(read.carried.head),
        "bytes": read.size,
        "snapshots": len(read.carried.snapshots),
        "receipts": len(read.carried.receipts),
        "stored": stored,
    }
    if is_json:
        show_json(facts)
        return
    say(
        f"imported [bold]{cid}[/], version {read.manifest.version}: {read.size} bytes, each block and signature checked"
    )
    say(f"the DAO {read.carried.genesis} is followed up to head {read.carried.head}")
    if stored is not None:
        say(f"{stored} bytes stored, and fetched back")
    say(f"next: coffer dataset restore {cid} --owner W, with the words on paper")


@contextmanager
def _folder(place: Home) -> Iterator[Path]:
    """Yield an empty folder that one import has to itself; what a killed one left is swept, and so is this one."""
    place.importing.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(place.importing / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordsUnavailable("another import is under way in this home; wait until it is done") from error
        _sweep(place.importing)
        try:
            yield place.importing
        finally:
            _sweep(place.importing)
    finally:
        os.close(lock)


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK_NAME:
            path.unlink()


def _read(file: Path, blobs: DirectoryBlobs, progress: Any) -> _Read:
    """Read an archive block by block into a folder, and compare it with what its root says it is."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream, Bulk(blobs) as bulk:
            roots, blocks = read_car(stream, blocks_max=BLOCKS_MAX, bytes_max=size + BLOCK_BYTES_MAX)
            carried, came = _streamed(roots, blocks, bulk, progress)
        _require_order(carried, came, blobs)
        manifest = Manifest.from_bytes(blobs.get(carried.manifest))
    except (StorageError, MalformedObject) as error:
        raise MalformedObject(f"{file} cannot be imported, and nothing of it was: {error}") from error
    if manifest.genesis != carried.genesis:
        raise MalformedObject(
            f"{file} cannot be imported: its dataset is under another DAO than the one it brings along"
        )
    return _Read(carried=carried, manifest=manifest, blobs=blobs, size=size)


def _streamed(
    roots: Sequence[Cid], blocks: Iterator[tuple[Cid, bytes]], bulk: Bulk, progress: Any
) -> tuple[Carried, list[Cid]]:
    carried: Carried | None = None
    came: dict[Cid, None] = {}
    done = 0
    for cid, block in blocks:
        if carried is None:
            if tuple(roots) != (cid,) or cid.codec != DAG_CBOR:
                raise MalformedObject("its one root is not the first block, so it is no dataset's archive")
            carried = Carried.from_bytes(block)
        if cid in came:
            raise MalformedObject(f"block {cid} is in it twice")
        came[cid] = None
        bulk.put(cid, block)
        done += len(block)
        progress(done)
    if carried is None:
        raise MalformedObject("there is no block in it")
    return carried, list(came)


def _require_order(carried: Carried, came: Sequence[Cid], blobs: Blobs) -> None:
    """Raise `MalformedObject` unless exactly those blocks came that belong to the root, in their order."""

    def get(cid: Cid) -> bytes:
        try:
            return blobs.get(cid)
        except BlockNotFound as error:
            raise MalformedObject(f"block {cid} is missing from it") from error

    for expected, cid in zip_longest(carried_cids(carried, get), came):
        if expected is None:
            raise MalformedObject(f"block {cid} does not belong into it")
        if expected != cid:
            raise MalformedObject(f"block {expected} is missing from it, or not in its place")


def _check_affairs(read: _Read, folder: Path) -> None:
    """Verify the DAO's affairs by themselves, as on a new machine, and the manifest's signature under its charter."""
    from vault.records.board import Board as OwnBoard
    from vault.records.database import open_records

    with open_records(f"sqlite:///{folder / 'records.db'}") as records:
        board = OwnBoard(records)
        take_affairs(board, read.carried, read.blobs, at=wiring.clock())
        charter = history_of(board, read.carried.genesis, at=wiring.clock()).charter
    read.manifest.verify_owner(charter.domain(read.carried.genesis))


def _taken_over(settings: Settings, place: Home, records: Records, read: _Read) -> None:
    """Move everything to where it belongs; the catalog's entry, which makes it a dataset of this home, comes last."""
    from vault.records.board import Board as OwnBoard
    from vault.records.catalog import Catalog

    manifest, cid = read.manifest, read.manifest.cid()
    catalog = Catalog(records)
    known = catalog.get_version(manifest.dataset, manifest.version)
    if known is not None and known.manifest != cid:
        raise ForkedHistory(
            f"version {manifest.version} of this dataset is here with another manifest, {known.manifest}"
        )
    take_affairs(OwnBoard(records), read.carried, read.blobs, at=wiring.clock())
    if read.carried.snapshots:
        _put_snapshots(read, wiring.open_storage(settings))
    for number, root in enumerate(read.carried.receipts):
        sealed = read_file(read.blobs, root, bytes_max=RECEIPT_BYTES_MAX)
        write_private(place.carried_receipts(str(cid)) / f"{number:05}.sealed", sealed)
    staging = DirectoryBlobs(place.staging)
    staging.adopt(read.blobs, list(dataset_cids(manifest, read.blobs)))
    staging.put(cid, manifest.encoded())
    if known is None:
        catalog.add(DatasetRow.sealed(manifest, documents=read.carried.documents, at=wiring.clock()))


def _put_snapshots(read: _Read, storage: Blobs) -> None:
    for root in read.carried.snapshots:
        block = read.blobs.get(root)
        with Bulk(storage) as bulk:
            for cid in Snapshot.from_bytes(block).blocks:
                bulk.put(cid, read.blobs.get(cid))
        storage.put(root, block)


def _stored(settings: Settings, manifest: Manifest, *, is_json: bool) -> int:
    staging, storage = wiring.open_staging(settings), wiring.open_storage(settings)
    total = manifest.sealed_bytes
    with progress_bar("bytes stored and checked", total=total, is_json=is_json) as progress:
        copy_dataset(manifest, staging, storage, progress=progress)
        return verify_stored(manifest, storage, None, progress=progress)
