"""Blocks from wherever somebody keeps them: a CAR file, a folder, the storage of the settings. All of them checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cli import wiring
from cli.home import Settings
from storage.car import read_car
from storage.cid import DAG_CBOR, Cid
from storage.errors import BlockNotFound, InvalidCid, StorageError
from storage.model import BLOCK_BYTES_MAX
from vault.charter import Charter
from vault.codec import Record
from vault.decision import Decision
from vault.epochs import kind_of
from vault.errors import MalformedObject
from vault.head import Head

BUNDLE_BLOCKS_MAX: Final = 100_000
BUNDLE_BYTES_MAX: Final = 2 << 30
NAMES_MAX: Final = 200_000  # files looked at in a folder

R = TypeVar("R", bound=Record)
Fetch = Callable[[Cid], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Blocks that somebody handed over, and what they say they are for.

    Attributes:
        roots: as the archive names them; none of a folder.
        geneses: charters that a first head here begins with.
        tips: by genesis, heads that no other head here grows from; by descending epoch.
        decisions: decisions that no head here has for its cause.
    """

    name: str
    fetch: Fetch
    roots: tuple[Cid, ...]
    geneses: tuple[Cid, ...]
    tips: dict[Cid, tuple[Cid, ...]]
    decisions: dict[Cid, tuple[Cid, ...]]


def bundle_from(text: str) -> Bundle | None:
    """Return the blocks of a CAR file or a folder; None where `text` names neither."""
    path = Path(text)
    if path.is_dir():
        return _from_folder(path)
    return _from_car(path) if path.exists() else None


def storage_fetch(settings: Settings) -> Fetch:
    """Return how to get a block from the storage of the settings."""
    blobs = wiring.open_storage(settings)

    def fetch(cid: Cid) -> bytes:
        try:
            return blobs.get(cid)
        except BlockNotFound as error:
            raise MalformedObject(f"block {cid} is not in {blobs.name}") from error

    return fetch


def _from_car(path: Path) -> Bundle:
    blocks: dict[Cid, bytes] = {}
    with path.open("rb") as stream:
        try:
            roots, found = read_car(stream, blocks_max=BUNDLE_BLOCKS_MAX, bytes_max=BUNDLE_BYTES_MAX)
            blocks.update(found)
        except StorageError as error:
            raise MalformedObject(f"{path} is no bundle: {error}") from error
    return _surveyed(str(path), _fetch_of(blocks, str(path)), roots, blocks.items())


def _fetch_of(blocks: dict[Cid, bytes], name: str) -> Fetch:
    def fetch(cid: Cid) -> bytes:
        if cid not in blocks:
            raise MalformedObject(f"block {cid} is missing from {name}")
        return blocks[cid]

    return fetch


def _from_folder(path: Path) -> Bundle:
    """Read a folder in which files bear the CIDs of what is in them, at whatever depth and with whatever suffix."""
    places: dict[Cid, Path] = {}
    for number, file in enumerate(sorted(path.rglob("*"))):
        if number >= NAMES_MAX:
            raise MalformedObject(f"{path} holds more than {NAMES_MAX} files; name the folder of one DAO's blocks")
        cid = _cid_of(file.name)
        if cid is not None and cid.codec == DAG_CBOR and file.is_file():
            places.setdefault(cid, file)

    def fetch(cid: Cid) -> bytes:
        if cid not in places:
            raise MalformedObject(f"block {cid} is missing from {path}")
        return _block(places[cid], cid)

    return _surveyed(str(path), fetch, (), ((cid, fetch(cid)) for cid in places))


def _block(file: Path, cid: Cid) -> bytes:
    with file.open("rb") as stream:
        body = stream.read(BLOCK_BYTES_MAX + 1)
    if len(body) > BLOCK_BYTES_MAX or not cid.matches(body):
        raise MalformedObject(f"{file} was changed: it is not the block that its name says")
    return body


def _cid_of(name: str) -> Cid | None:
    try:
        return Cid.parse(name.split(".", 1)[0])
    except InvalidCid:
        return None


def _surveyed(name: str, fetch: Fetch, roots: tuple[Cid, ...], blocks: Iterable[tuple[Cid, bytes]]) -> Bundle:
    """Look through all blocks for the DAOs in them and how far their chains go; nothing is verified here."""
    heads: dict[Cid, Head] = {}
    decisions: dict[Cid, Cid] = {}
    charters: set[Cid] = set()
    for cid, body in blocks:
        match kind_of(body):
            case Head.TYPE:
                heads[cid] = _read(Head, cid, body)
            case Decision.TYPE:
                decisions[cid] = _read(Decision, cid, body).proposal.genesis
            case Charter.TYPE:
                charters.add(cid)
    previous = {head.previous for head in heads.values()}
    causes = {head.cause for head in heads.values()}
    tips: dict[Cid, list[tuple[int, Cid]]] = {}
    for cid, head in heads.items():
        if cid not in previous:
            tips.setdefault(head.genesis, []).append((head.epoch, cid))
    known = {head.genesis for head in heads.values()} | set(decisions.values())
    loose: dict[Cid, list[Cid]] = {}
    for cid, genesis in decisions.items():
        if cid not in causes:
            loose.setdefault(genesis, []).append(cid)
    return Bundle(
        name=name,
        fetch=fetch,
        roots=roots,
        geneses=tuple(sorted(charters & known, key=lambda cid: cid.binary)),
        tips={
            genesis: tuple(cid for _, cid in sorted(found, key=lambda one: (-one[0], one[1].binary)))
            for genesis, found in tips.items()
        },
        decisions={genesis: tuple(sorted(found, key=lambda cid: cid.binary)) for genesis, found in loose.items()},
    )


def _read(kind: type[R], cid: Cid, body: bytes) -> R:
    try:
        return kind.from_bytes(body)
    except MalformedObject as error:
        raise MalformedObject(f"block {cid} is malformed: {error}") from error
