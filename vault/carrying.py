"""A dataset in one archive: all that its owner needs beside the words on paper, in one order that has no other form.

    CARv1, one root: `Carried`, then the DAO's affairs (an IPFS directory), the manifest, its segments, snapshots of its
    vectors, receipts; each tree from its root down, each block once

Nothing in it is secret: segments and snapshots are sealed, and receipts, which quote questions and answers, are sealed
to the data key here. Whoever reads one believes nothing of it: blocks by their CIDs, the manifest by its owner's
signature, the DAO's affairs as from any board. What is missing, twice, in another order or beyond all this is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.cid import DAG_CBOR, DAG_PB, Cid
from storage.dagpb import node_from
from storage.model import Blobs
from vault.codec import Label, Length, Record, record
from vault.envelope import padded_size
from vault.errors import MalformedObject, TamperedSegment
from vault.keys import SecretKey
from vault.manifest import Manifest
from vault.snapshot import Snapshot, snapshot_at

SNAPSHOTS_MAX: Final = 16
RECEIPTS_MAX: Final = 10_000
RECEIPT_BYTES_MAX: Final = 5 << 20  # sealed, with its padding
BLOCKS_MAX: Final = 1 << 20
DEPTH_MAX: Final = 12  # of links below a root: a directory of sharded directories of files
_NONCE: Final = bytes(12)
_SALT_BYTES: Final = 32
_LENGTH_BYTES: Final = 8


@record
class Carried(Record):
    """The root of an archive: what is in it."""

    TYPE: ClassVar[str] = "coffer/carried/v1"

    genesis: Cid
    head: Cid  # the newest one that the owner followed
    affairs: Cid  # the DAO's, as `vault.directory_board` publishes them
    manifest: Cid
    documents: int  # as the owner counted them; 0 where nobody did
    snapshots: Annotated[tuple[Cid, ...], Length(0, SNAPSHOTS_MAX)]
    receipts: Annotated[tuple[Cid, ...], Length(0, RECEIPTS_MAX)]  # each a file that `seal_receipt` made

    def check(self) -> None:
        """Refuse names of the wrong kind, and lists out of order: an archive has one form."""
        if any(cid.codec != DAG_CBOR for cid in (self.genesis, self.head, self.manifest, *self.snapshots)):
            raise MalformedObject("charters, heads, manifests and snapshots are DAG-CBOR")
        for cids in (self.snapshots, self.receipts):
            if list(cids) != sorted(set(cids)):
                raise MalformedObject("snapshots and receipts are listed once each, in the order of their CIDs")


def carried_cids(carried: Carried, get: Callable[[Cid], bytes]) -> Iterator[Cid]:
    """Yield the CID of every block that belongs into the archive, in its order; leaves are not read.

    Args:
        get: returns the block of a CID, checked.
    Raises: `MalformedObject` for trees of more blocks or levels than any honest one, and whatever `get` raises.
    """
    seen: set[Cid] = set()
    for cid in _named_cids(carried, get):
        if cid not in seen:
            seen.add(cid)
            yield cid
        if len(seen) > BLOCKS_MAX:
            raise MalformedObject(f"the archive names more than {BLOCKS_MAX} blocks")


def _named_cids(carried: Carried, get: Callable[[Cid], bytes]) -> Iterator[Cid]:
    yield carried.cid()
    seen: set[Cid] = set()
    yield from _tree_cids(carried.affairs, get, seen)
    yield carried.manifest
    for segment in Manifest.from_bytes(get(carried.manifest)).segments:
        yield from _tree_cids(segment.root, get, seen)
    for root in carried.snapshots:
        yield root
        yield from Snapshot.from_bytes(get(root)).blocks
    for root in carried.receipts:
        yield from _tree_cids(root, get, seen)


def _tree_cids(root: Cid, get: Callable[[Cid], bytes], seen: set[Cid]) -> Iterator[Cid]:
    """Yield a tree's CIDs, parents first; what was walked already is not walked again, however often it is named."""
    ahead = [(root, 0)]
    while ahead:
        cid, depth = ahead.pop()
        if cid in seen:
            continue
        seen.add(cid)
        yield cid
        if cid.codec != DAG_PB:
            continue
        if depth == DEPTH_MAX:
            raise MalformedObject(f"the tree of {root} is more than {DEPTH_MAX} levels deep")
        ahead.extend((link.cid, depth + 1) for link in reversed(node_from(get(cid)).links))


@record
class _KeptReceipt(Record):
    """A receipt file, and what it was called."""

    name: Label
    file: Annotated[bytes, Length(1, 4 << 20)]


def seal_receipt(name: str, file: bytes, key: SecretKey, manifest: Cid) -> bytes:
    """Return a receipt file sealed to a dataset's key; the same file always the same way, so that archives are too.

    The salt is a MAC of the content (as in SIV, RFC 5297): one key encrypts one content, and only who has the data key
    could tell that two are equal.
    """
    body = _KeptReceipt(name=name, file=file).encoded()
    plain = len(body).to_bytes(_LENGTH_BYTES, "big") + body
    plain += bytes(padded_size(len(plain)) - len(plain))
    salt = hmac.digest(key.derive("carried-receipt-salt", info=manifest.binary), plain, "sha256")
    return salt + _cipher(key, salt, manifest).encrypt(_NONCE, plain, manifest.binary)


def open_receipt(sealed: bytes, key: SecretKey, manifest: Cid) -> tuple[str, bytes]:
    """Return the name and the content of a receipt file, or raise `TamperedSegment`."""
    salt = sealed[:_SALT_BYTES]
    try:
        plain = _cipher(key, salt, manifest).decrypt(_NONCE, sealed[_SALT_BYTES:], manifest.binary)
        length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
        kept = _KeptReceipt.from_bytes(plain[_LENGTH_BYTES : _LENGTH_BYTES + length], bytes_max=RECEIPT_BYTES_MAX)
    except (InvalidTag, ValueError) as error:
        raise TamperedSegment("a receipt of the archive does not open with this dataset's key") from error
    return kept.name, kept.file


def _cipher(key: SecretKey, salt: bytes, manifest: Cid) -> AESGCM:
    return AESGCM(key.derive("carried-receipt", salt=salt, info=manifest.binary))


def snapshots_of(manifest: Cid, blobs: Blobs) -> tuple[Cid, ...]:
    """Return the roots of all snapshots of a version's vectors that a place lists, at most `SNAPSHOTS_MAX`."""
    found = []
    for cid in sorted(cid for cid in blobs.cids() if cid.codec == DAG_CBOR):
        snapshot = snapshot_at(blobs, cid)
        if snapshot is not None and snapshot.header.manifest == manifest:
            found.append(cid)
    return tuple(found[:SNAPSHOTS_MAX])
