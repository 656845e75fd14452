"""`coffer dataset export`: a dataset in one file that, with the words on paper, is all it takes to have it again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from cli import wiring
from cli.console import foreign, reported, say, show_json, warn
from cli.home import Home, Settings
from cli.keyring import read_keys
from cli.options import HomeOption, JsonOption, cid_option
from cli.sealed_files import new_file, read_bounded, require_folder_of
from cli.workplace import opened_home, owner_key, progress_bar
from storage.bulk import Bulk, Through
from storage.car import write_car
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockNotFound
from storage.model import Blobs
from storage.unixfs import add_file
from vault.assembly import history_of
from vault.carrying import RECEIPTS_MAX, Carried, carried_cids, seal_receipt, snapshots_of
from vault.delivery import manifest_at
from vault.directory_board import published
from vault.errors import MalformedObject
from vault.history import History
from vault.keys import SecretKey
from vault.manifest import Manifest
from vault.plain_text import counted
from vault.receipt import FILE_BYTES_MAX, ReceiptFile


def export(
    manifest: Annotated[str, typer.Argument(help="The dataset's CID.")],
    car: Annotated[Path, typer.Option("--car", help="The new file to write, in CARv1.")],
    owner: Annotated[
        str | None, typer.Option("--owner", help="The owner's wallet: also take this home's receipts along, sealed.")
    ] = None,
    snapshots: Annotated[
        bool, typer.Option("--snapshots", help="Also take the sealed vectors along that the storage lists.")
    ] = False,
    storage: Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a dataset into one file: manifest, sealed segments, the DAO's affairs, and receipts.

    With it and the words of `coffer dataset backup` and `coffer wallet backup`, the owner restores on a new machine
    with nothing else. The file holds no key and no plaintext. The same state is always written as the same bytes.
    """
    with reported():
        settings, place = opened_home(home, storage=storage)
        if car.exists():
            raise FileExistsError(f"there is a file at {car} already; name another one")
        require_folder_of(car)
        cid = cid_option(manifest)
        staging, blobs = wiring.open_staging(settings), wiring.open_storage(settings)
        found = manifest_at(cid, staging, blobs)
        with TemporaryDirectory(prefix=".exporting-", dir=place.path) as folder, DirectoryBlobs(folder) as made:
            carried = _carried(settings, place, found, made, blobs, owner, with_snapshots=snapshots)
            get = _first_of(made, staging, blobs)
            total = found.sealed_bytes
            with progress_bar("bytes written", total=total, is_json=json) as progress:
                size = _written(car, carried, get, progress)
        facts = {"receipts": len(carried.receipts), "snapshots": len(carried.snapshots)}
        if json:
            show_json({"manifest": str(cid), "root": str(carried.cid()), "file": str(car), "bytes": size, **facts})
            return
        say(f"wrote [bold]{cid}[/] to {foreign(str(car))}: {size} bytes")
        along = [counted(len(carried.snapshots), "snapshot")] if snapshots else []
        along += [counted(len(carried.receipts), "receipt")] if owner else []
        say(f"with the DAO's affairs up to head {carried.head}" + "".join(f", {one}" for one in along))
        say("it holds no key: keep the words of coffer dataset backup and coffer wallet backup apart from it")


def _carried(
    settings: Settings,
    place: Home,
    found: Manifest,
    made: DirectoryBlobs,
    blobs: Blobs,
    owner: str | None,
    *,
    with_snapshots: bool,
) -> Carried:
    """Return the archive's root, with all that is made for it alone put into `made`."""
    from vault.records.board import Board
    from vault.records.catalog import Catalog

    with wiring.open_database(settings) as records:
        board = Board(records)
        history = history_of(board, found.genesis, at=wiring.clock())
        found.verify_owner(history.charter.domain(history.genesis))
        row = Catalog(records).get(found.cid())
        with Bulk(made) as bulk:
            through = Through(bulk, made)
            carried = Carried(
                genesis=history.genesis,
                head=history.head.cid(),
                affairs=published(board, [history.genesis], through),
                manifest=found.cid(),
                documents=row.documents if row is not None else 0,
                snapshots=snapshots_of(found.cid(), blobs) if with_snapshots else (),
                receipts=_receipts(settings, place, found, history, owner, through) if owner is not None else (),
            )
            through.put(carried.cid(), carried.encoded())
    return carried


def _receipts(
    settings: Settings, place: Home, found: Manifest, history: History, owner: str, made: Blobs
) -> tuple[Cid, ...]:
    """Seal this home's receipts about the dataset; what is no whole receipt is named and left out."""
    wallet = owner_key(settings, owner, found)
    key: SecretKey = read_keys(place.data_key(found.dataset, found.version), found, wallet).key
    roots = set()
    for path in sorted(place.receipts.glob("*.receipt")):
        body = read_bounded(path, FILE_BYTES_MAX)
        try:
            file = ReceiptFile.from_bytes(body, bytes_max=FILE_BYTES_MAX)
        except MalformedObject as error:
            warn(f"{path} is left out: it is not a whole receipt file ({error})")
            continue
        if any((one.genesis, one.dataset) == (history.genesis, found.dataset) for one in file.manifests):
            roots.add(add_file(made, seal_receipt(path.name, body, key, found.cid())))
    if len(roots) > RECEIPTS_MAX:
        raise MalformedObject(f"{len(roots)} receipts are here, and an archive takes {RECEIPTS_MAX}; move some away")
    return tuple(sorted(roots))


def _first_of(*places: Blobs) -> Callable[[Cid], bytes]:
    def get(cid: Cid) -> bytes:
        for place in places[:-1]:
            try:
                return place.get(cid)
            except BlockNotFound:
                continue
        return places[-1].get(cid)

    return get


def _written(car: Path, carried: Carried, get: Callable[[Cid], bytes], progress: Callable[[int], None]) -> int:
    """Write the file whole or not at all, one block in memory at a time; return its size."""
    temporary = car.with_name(f".{car.name}.{secrets.token_hex(4)}")
    descriptor = new_file(temporary, meant=car)
    try:
        with os.fdopen(descriptor, "wb") as target:
            write_car(target, [carried.cid()], _blocks(carried, get, progress))
            target.flush()
            os.fsync(target.fileno())
            size = target.tell()
        temporary.rename(car)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            raise type(error)(error.errno, error.strerror, str(car)) from error
        raise
    return size


def _blocks(
    carried: Carried, get: Callable[[Cid], bytes], progress: Callable[[int], None]
) -> Iterator[tuple[Cid, bytes]]:
    done = 0
    for cid in carried_cids(carried, get):
        block = get(cid)
        yield cid, block
        done += len(block)
        progress(done)
