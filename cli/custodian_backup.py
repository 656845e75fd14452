"""`coffer custodian backup` and `restore`: one sealed file with the keys, the records and the blocks of a custodian.

    stream = `BackupHead`, then rows {table, row} and blocks {cid, block}, then {rows, blocks}: how many there were

Each is preceded by its length in 4 bytes. Rows carry names and plain values, so what was kept in SQLite can be restored
into PostgreSQL. Whoever is restored has forgotten what came after the backup, and is marked so (rule F5).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from cli import wiring
from cli.console import foreign, password_for, reported, say, show_json
from cli.home import Home, Settings, settings_from
from cli.options import HomeOption, JsonOption
from cli.sealed_files import new_file, require_file, require_folder_of, write_sealed
from cli.sealed_stream import SealedReader, SealedWriter
from storage.cid import Cid
from storage.model import BLOCK_BYTES_MAX, Blobs
from vault.codec import Length, Record, Value, decode, encode, record
from vault.custodian import SEED_BYTES, CustodianKeys
from vault.errors import MalformedObject, WrongKey
from vault.links import link_blocks
from vault.utc import time_text

if TYPE_CHECKING:
    from vault.records.custody_rows import Row
    from vault.records.database import Records

PURPOSE = "custodian backup"
ITEM_BYTES_MAX = BLOCK_BYTES_MAX + 1024
RecordsOption = Annotated[str | None, typer.Option(help="Database URL; SQLite in the home folder by default.")]


@record
class BackupHead(Record):
    """What stands first in a backup."""

    TYPE: ClassVar[str] = "coffer/custodian-backup/v1"

    seed: Annotated[bytes, Length(SEED_BYTES, SEED_BYTES)] = field(repr=False)
    taken_at: int


@dataclass(slots=True)
class _Count:
    rows: int = 0
    blocks: int = 0


def backup(
    file: Annotated[Path, typer.Argument(help="The new file to write.")],
    records: RecordsOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write this custodian's keys, records and blocks into one file, sealed under its password.

    It may go on serving meanwhile. What it signs later is not in the file: whoever restores it has to catch up.
    """
    with reported():
        settings = settings_from(home=home, records=records)
        place = Home(settings.home)
        if not place.custodian_key.exists():
            raise FileNotFoundError(f"there is no custodian at {place.path}; make one with: coffer custodian init")
        if file.exists():
            raise FileExistsError(f"there is a file at {file} already; name another one")
        require_folder_of(file)
        password = password_for("the custodian's keys, and for the backup", settings.password)
        seed = wiring.read_custodian_seed(place, password)
        with wiring.open_database(settings) as opened:
            count = _written(file, password, seed, opened, wiring.open_custodian_blocks(settings))
        custodian = CustodianKeys.from_seed(seed).signing.public.hex()
        if json:
            show_json(_facts(custodian, file, count))
        else:
            say(
                f"custodian [bold]{custodian}[/]: {count.rows} records and {count.blocks} blocks "
                f"in {foreign(str(file))}"
            )


def restore(
    file: Annotated[Path, typer.Argument(help="What `coffer custodian backup` wrote.")],
    records: RecordsOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a custodian from a backup, in a new home. It signs nothing until the other custodians told it more.

    Stop the custodian that the backup is of before you start this one: two of one key would sign apart.
    """
    with reported():
        settings = settings_from(home=home, records=records)
        if settings.home.exists() and (not settings.home.is_dir() or any(settings.home.iterdir())):
            raise FileExistsError(f"{settings.home} is not empty; restore into a new home")
        password = password_for("the backup", settings.password)
        require_file(file)
        try:
            with file.open("rb") as source:
                head, count = _restored(settings, password, SealedReader(source, password=password, purpose=PURPOSE))
        except (MalformedObject, WrongKey) as error:
            raise type(error)(f"{file} cannot be restored: {error}") from error
        custodian = CustodianKeys.from_seed(head.seed).signing.public.hex()
        if json:
            show_json(_facts(custodian, file, count) | {"taken_at": head.taken_at, "home": str(settings.home)})
            return
        say(f"custodian [bold]{custodian}[/] as of {time_text(head.taken_at)}, restored in {settings.home}")
        say("it signs nothing yet; next: coffer custodian serve --peer HOST:PORT, once for each other custodian")


def _facts(custodian: str, file: Path, count: _Count) -> dict[str, Any]:
    return {"custodian": custodian, "file": str(file), "records": count.rows, "blocks": count.blocks}


def _written(file: Path, password: str, seed: bytes, records: Records, blobs: Blobs) -> _Count:
    """Write the file whole or not at all."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = new_file(temporary, meant=file)
    try:
        with os.fdopen(descriptor, "wb") as target:
            sealed = SealedWriter(target, password=password, purpose=PURPOSE)
            count = _copied(sealed, seed, records, blobs)
            sealed.finish()
            target.flush()
            os.fsync(target.fileno())
        temporary.rename(file)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            raise type(error)(error.errno, error.strerror, str(file)) from error
        raise
    return count


def _copied(sealed: SealedWriter, seed: bytes, records: Records, blobs: Blobs) -> _Count:
    from vault.records.custody_rows import exported

    count = _Count()
    needed: dict[Cid, bool] = {}  # whether it is a head, whose decision and policy are needed too
    _put(sealed, BackupHead(seed=seed, taken_at=wiring.clock()).value())
    for table, row in exported(records):
        _put(sealed, {"table": table, "row": row})
        count.rows += 1
        needed |= {Cid(row[name]): name == "head" for name in ("genesis", "head", "manifest") if name in row}
    written: set[Cid] = set()
    for cid, is_head in needed.items():
        for link, block in (link_blocks(cid, blobs.get) if is_head else {cid: blobs.get(cid)}).items():
            if link not in written:
                _put(sealed, {"cid": link, "block": block})
                written.add(link)
    count.blocks = len(written)
    _put(sealed, {"rows": count.rows, "blocks": count.blocks})
    return count


def _restored(settings: Settings, password: str, sealed: SealedReader) -> tuple[BackupHead, _Count]:
    """Build the home beside its place and put it there last; after a failure nothing of it is left."""
    from storage.directory import DirectoryBlobs
    from vault.records.custody_rows import imported

    head = BackupHead.from_value(_next(sealed))
    home = settings.home.absolute()
    building = Home(home.with_name(f".{home.name}.{secrets.token_hex(4)}"))
    count = _Count()
    try:
        building.path.mkdir(mode=0o700, parents=True)
        write_sealed(building.custodian_key, head.seed, password=password, purpose="custodian keys")
        with (
            DirectoryBlobs(building.blocks) as blobs,
            wiring.open_database(settings.model_copy(update={"home": building.path})) as records,
            imported(records, _rows(sealed, blobs, count), at=wiring.clock()),
        ):
            if settings.records:  # elsewhere: the home is in its place before the records are there for good
                _moved(building.path, home)
        if not settings.records:
            _moved(building.path, home)
    except BaseException:
        shutil.rmtree(building.path, ignore_errors=True)
        raise
    return head, count


def _moved(building: Path, home: Path) -> None:
    with suppress(FileNotFoundError):
        home.rmdir()  # an empty one
    building.rename(home)


def _rows(sealed: SealedReader, blobs: Blobs, count: _Count) -> Iterator[tuple[str, Row]]:
    """Yield the rows and put the blocks, each checked against its CID, until the backup says that this was all."""
    while True:
        match _next(sealed):
            case {"table": str(table), "row": dict(row)}:
                count.rows += 1
                yield table, row  # type: ignore[misc]  # whoever inserts it checks each value
            case {"cid": Cid() as cid, "block": bytes(block)}:
                count.blocks += 1
                blobs.put(cid, block)
            case {"rows": count.rows, "blocks": count.blocks}:
                return sealed.end()
            case _:
                raise MalformedObject("it holds something that belongs in no backup of this version")


def _put(sealed: SealedWriter, value: Value) -> None:
    item = encode(value)
    sealed.write(len(item).to_bytes(4, "big") + item)


def _next(sealed: SealedReader) -> Value:
    length = int.from_bytes(sealed.read(4), "big")
    if length > ITEM_BYTES_MAX:
        raise MalformedObject("it holds an entry larger than any")
    return decode(sealed.read(length), bytes_max=ITEM_BYTES_MAX)
