"""Sealed snapshots: a dataset version's vectors, so that an enclave restarts without embedding anew (rule S2).

    block i  = AES-256-GCM(key, nonce i, at most `BLOCK_BYTES` of whole vectors, aad = the header's bytes)
    key      = HKDF-SHA256(data key, salt = 32 random bytes of the header,
                           info = purpose ‖ HKDF-SHA256(state key, info = purpose ‖ header's manifest))

Vectors invert to text, so they are sealed like text. The owner has the data key and no state key, so no owner can forge
vectors that win every question; the host has neither. Which snapshot counts is said by the ledger, never by storage.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.cid import DAG_CBOR, RAW, Cid
from storage.errors import BlockMismatch, BlockNotFound
from storage.model import Blobs
from vault.codec import Digest, Label, Length, Record, record
from vault.errors import MalformedObject, TamperedSegment
from vault.keys import SecretKey

SUITE: Final = "AES-256-GCM/HKDF-SHA256"
BLOCK_BYTES: Final = (1 << 20) - 4096  # of vectors: with its tag a block stays below what every IPFS node takes
BLOCKS_MAX: Final = 20_000  # whose names fit into the root's one block
DIMENSION_MAX: Final = 1 << 14
FLOAT32_BYTES: Final = 4
TAG_BYTES: Final = 16


@record
class SnapshotHeader(Record):
    """What a snapshot is of: all that would make other vectors of the same passages."""

    TYPE: ClassVar[str] = "coffer/snapshot-header/v2"

    suite: Label
    manifest: Cid
    model: Digest  # SHA-256 of the embedding model's weights
    settings: Digest  # SHA-256 over the model's tokenizer, pooling and prompts
    dtype: Label  # number format that the vectors were computed in
    dimension: int
    count: int
    salt: Digest

    def check(self) -> None:
        """Refuse vectors of no sensible size."""
        if not 1 <= self.dimension <= DIMENSION_MAX:
            raise MalformedObject(f"a vector has 1 … {DIMENSION_MAX} numbers")
        if self.blocks > BLOCKS_MAX:
            raise MalformedObject(f"a snapshot has at most {BLOCKS_MAX} blocks")

    @property
    def block_bytes(self) -> int:
        """Return how many bytes of vectors a block holds; the last one may hold fewer."""
        row = FLOAT32_BYTES * self.dimension
        return BLOCK_BYTES // row * row

    @property
    def size(self) -> int:
        """Return how many bytes the vectors have in all."""
        return FLOAT32_BYTES * self.dimension * self.count

    @property
    def blocks(self) -> int:
        """Return how many blocks there are."""
        return -(-self.size // self.block_bytes)

    def cipher(self, data_key: SecretKey, state_key: SecretKey) -> AESGCM:
        """Return the cipher for this snapshot alone: its salt is drawn anew for each."""
        mixed = state_key.derive("snapshot-state", info=self.manifest.binary)
        return AESGCM(data_key.derive("snapshot", salt=self.salt, info=mixed))


@record
class Snapshot(Record):
    """A snapshot's root: its header and its blocks, in order."""

    TYPE: ClassVar[str] = "coffer/snapshot/v2"

    header: SnapshotHeader
    blocks: Annotated[tuple[Cid, ...], Length(0, BLOCKS_MAX)]
    beside: Cid | None  # another snapshot, of something else about the same passages

    def check(self) -> None:
        """Refuse another number of blocks than the header says."""
        if len(self.blocks) != self.header.blocks:
            raise MalformedObject(f"a snapshot of {self.header.count} vectors has {self.header.blocks} blocks")


def store_snapshot(
    blobs: Blobs,
    vectors: memoryview,
    *,
    manifest: Cid,
    model: bytes,
    settings: bytes,
    dtype: str,
    dimension: int,
    keys: tuple[SecretKey, SecretKey],
    beside: Cid | None = None,
) -> Cid:
    """Seal vectors and store them; return the root, which names them once it stands in the ledger.

    Args:
        beside: a snapshot that counts wherever this one does.
        vectors: all of them, float32 little-endian, as bytes.
        keys: the dataset version's data key and the ledger's state key.
    Raises: `StorageError`; `MalformedObject` for more vectors than a snapshot holds.
    """
    row = FLOAT32_BYTES * dimension
    header = SnapshotHeader(
        suite=SUITE,
        manifest=manifest,
        model=model,
        settings=settings,
        dtype=dtype,
        dimension=dimension,
        count=len(vectors) // row,
        salt=secrets.token_bytes(32),
    )
    cipher, aad = header.cipher(*keys), header.encoded()
    blocks = []
    for index, part in enumerate(_parts(vectors, header.block_bytes)):
        sealed = cipher.encrypt(_nonce(index), part, aad)
        blocks.append(Cid.of(RAW, sealed))
        blobs.put(blocks[-1], sealed)
    root = Snapshot(header=header, blocks=tuple(blocks), beside=beside)
    blobs.put(root.cid(), root.encoded())
    return root.cid()


def read_snapshot(
    blobs: Blobs,
    root: Cid,
    *,
    manifest: Cid,
    model: bytes,
    settings: bytes,
    dtype: str,
    keys: tuple[SecretKey, SecretKey],
) -> tuple[int, bytearray]:
    """Return the dimension and the vectors of the snapshot that the ledger names.

    Raises: `TamperedSegment` for a snapshot of something else, or of another time; `StorageError`; `MalformedObject`.
    """
    if root.codec != DAG_CBOR:
        raise MalformedObject("the root of a snapshot is DAG-CBOR")
    snapshot = Snapshot.from_bytes(blobs.get(root))
    header = snapshot.header
    made_of = header.suite, header.manifest, header.model, header.settings, header.dtype
    if made_of != (SUITE, manifest, model, settings, dtype):
        raise TamperedSegment("the snapshot is of another dataset version, model, tokenizer or number format")
    cipher, aad = header.cipher(*keys), header.encoded()
    vectors = bytearray(header.size)
    with memoryview(vectors) as whole:
        for index, (cid, part) in enumerate(zip(snapshot.blocks, _parts(whole, header.block_bytes), strict=True)):
            sealed = blobs.get(cid)
            if len(sealed) != len(part) + TAG_BYTES:
                raise TamperedSegment(f"block {index} of the snapshot has another size than its header says")
            try:
                cipher.decrypt_into(_nonce(index), sealed, aad, part)
            except InvalidTag as error:
                raise TamperedSegment(f"block {index} of the snapshot does not authenticate") from error
    return header.dimension, vectors


def beside(blobs: Blobs, root: Cid) -> Cid:
    """Return the snapshot that stands beside one which the ledger names. Raises `MalformedObject`; `StorageError`."""
    found = Snapshot.from_bytes(blobs.get(root)).beside
    if found is None:
        raise MalformedObject("nothing stands beside the snapshot")
    return found


def _parts(data: memoryview, size: int) -> Iterator[memoryview]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _nonce(index: int) -> bytes:
    """Return the nonce of a block: a counter, under a key that seals one snapshot (NIST SP 800-38D, section 8.2.1)."""
    return index.to_bytes(12, "big")


def snapshot_at(blobs: Blobs, cid: Cid) -> Snapshot | None:
    """Return the snapshot that a block is the root of; None where it is none."""
    try:
        return Snapshot.from_bytes(blobs.get(cid))
    except (MalformedObject, BlockNotFound, BlockMismatch):
        return None
