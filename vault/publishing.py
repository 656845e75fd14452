"""Sealing a dataset and putting it where enclaves will find it: nothing counts as stored until it was fetched back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from storage.cid import Cid
from storage.errors import BlockMismatch
from storage.model import Blobs
from storage.unixfs import add_file, file_blocks, read_file
from vault.charter import Charter
from vault.envelope import (
    SEGMENT_BYTES_MAX,
    SIZE_FLOOR,
    Passage,
    SegmentSealer,
    open_segment,
    passage_commitment,
    passage_salts,
    segmented,
)
from vault.errors import MalformedObject
from vault.hpke import strongest
from vault.keys import SecretKey
from vault.manifest import Manifest, SegmentReference, ShareDeposit
from vault.merkle import Tree
from vault.share import Dealt, ShareId, dealt
from vault.signing import BLANK_SIGNATURE, SigningKey

SEALED_BYTES_MAX = SEGMENT_BYTES_MAX + SIZE_FLOOR
Progress = Callable[[int], None]
"""Called with the number of bytes or passages done so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an owner decides about a dataset version, before anything is sealed."""

    genesis: Cid
    dataset: bytes
    title: str
    version: int
    previous: Cid | None
    allow_simulated: bool
    model: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed dataset version: its signed manifest, the key that opens it, and the custodians' shares of that key."""

    manifest: Manifest
    key: SecretKey
    shares: tuple[bytes, ...] = field(repr=False)


def seal_dataset(
    passages: Iterable[Passage], draft: Draft, *, charter: Charter, owner: SigningKey, blobs: Blobs, progress: Progress
) -> Sealed:
    """Seal passages under a fresh data key into `blobs`, and sign the manifest.

    Raises: `MalformedObject` where there is no passage; a `StorageError` where blocks cannot be put. An aborted sealing
        leaves blocks that nothing names and nobody can open.
    """
    key = SecretKey(secrets.token_bytes(32))
    sealer = SegmentSealer(key, genesis=draft.genesis, dataset=draft.dataset, version=draft.version)
    salts = passage_salts(key)
    leaves: list[bytes] = []
    references: list[SegmentReference] = []

    def committed() -> Iterator[list[bytes]]:
        for group in segmented(passage.encoded() for passage in passages):
            leaves.extend(passage_commitment(next(salts), body) for body in group)
            yield group

    for reference in stored_segments(committed(), sealer, lambda sealed: add_file(blobs, sealed)):
        references.append(reference)
        progress(sum(done.passages for done in references))
    if not references:
        raise MalformedObject("there is nothing to seal: no document gave a passage")
    shared = dealt(key, charter, genesis=draft.genesis, subject=draft.dataset, version=draft.version)
    manifest = _manifest(draft, owner.address, shared, references, leaves)
    manifest = manifest.signed_by(owner, charter.domain(draft.genesis))
    blobs.put(manifest.cid(), manifest.encoded())
    return Sealed(manifest=manifest, key=key, shares=shared.shares)


def _manifest(
    draft: Draft, owner: bytes, shared: Dealt, references: Sequence[SegmentReference], leaves: Sequence[bytes]
) -> Manifest:
    return Manifest(
        genesis=draft.genesis,
        dataset=draft.dataset,
        title=draft.title,
        version=draft.version,
        previous=draft.previous,
        owner=owner,
        allow_simulated=draft.allow_simulated,
        key_version=draft.version,
        key_commitment=shared.key_commitment,
        share_commitments=shared.commitments,
        segments=tuple(references),
        corpus_root=Tree(leaves).root(),
        passages=len(leaves),
        model=draft.model,
        signature=BLANK_SIGNATURE,
    )


def stored_segments(
    groups: Iterable[list[bytes]], sealer: SegmentSealer, store: Callable[[memoryview], Cid]
) -> Iterator[SegmentReference]:
    """Seal groups of encoded passages in order and store each segment before the next one is sealed."""
    for index, group in enumerate(groups):
        sealed = sealer.seal(group, index)
        yield SegmentReference(root=store(sealed), sealed_bytes=len(sealed), passages=len(group))


def dataset_blocks(blobs: Blobs, manifest: Manifest) -> Iterator[tuple[Cid, bytes]]:
    """Yield every block of a dataset version: the manifest's and its segments'."""
    yield manifest.cid(), manifest.encoded()
    for segment in manifest.segments:
        yield from file_blocks(blobs, segment.root, bytes_max=SEALED_BYTES_MAX)


def copy_dataset(manifest: Manifest, source: Blobs, target: Blobs, *, progress: Progress) -> int:
    """Put every block of a dataset into `target` and return the bytes put; each is checked on the way."""
    done = 0
    for cid, block in dataset_blocks(source, manifest):
        target.put(cid, block)
        done += len(block)
        progress(done)
    return done


def verify_stored(manifest: Manifest, blobs: Blobs, key: SecretKey | None, *, progress: Progress) -> int:
    """Fetch a dataset back and check it; return the sealed bytes read.

    Args:
        key: with the data key, segments are also opened and the corpus root recomputed; None checks CIDs alone.
    Raises: a `StorageError` for a block that is missing or wrong; `TamperedSegment`.
    """
    fetched = Manifest.from_bytes(blobs.get(manifest.cid()))
    done = 0
    leaves: list[bytes] = []
    salts = passage_salts(key) if key is not None else iter(())
    for index, segment in enumerate(fetched.segments):
        sealed = read_file(blobs, segment.root, bytes_max=SEALED_BYTES_MAX)
        if key is not None:
            bodies = open_segment(
                key,
                sealed,
                genesis=fetched.genesis,
                dataset=fetched.dataset,
                version=fetched.version,
                index=index,
            )
            leaves += [passage_commitment(next(salts), body) for body in bodies]
        done += len(sealed)
        progress(done)
    if key is not None and Tree(leaves).root() != fetched.corpus_root:
        raise BlockMismatch("the passages fetched back are not the ones that were sealed")
    return done


def share_deposits(sealed: Sealed, charter: Charter, owner: SigningKey) -> Sequence[ShareDeposit]:
    """Return one signed deposit per custodian, in the charter's order, each sealed to that custodian alone (B2)."""
    manifest = sealed.manifest
    deposits = []
    for index, (custodian, share) in enumerate(zip(charter.custodians, sealed.shares, strict=True)):
        recipient = strongest(custodian.hpke, floor=charter.suite_floor)
        id = ShareId(
            genesis=manifest.genesis,
            subject=manifest.dataset,
            key_version=manifest.key_version,
            custodian=custodian.key,
            index=index,
        )
        deposit = ShareDeposit(
            manifest=manifest.cid(),
            owner=owner.address,
            custodian=custodian.key,
            index=index,
            suite=recipient.suite,
            sealed=id.sealed_for_deposit(recipient, share),
            signature=BLANK_SIGNATURE,
        )
        deposits.append(deposit.signed_by(owner, charter.domain(manifest.genesis)))
    return deposits
