"""Sealing a dataset and putting it where enclaves will find it: nothing counts as stored until it was fetched back."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from storage.bulk import Bulk, Through, Unchecked
from storage.cid import RAW, Cid
from storage.dagpb import node_from
from storage.errors import BlockMismatch, BlockTooLarge
from storage.model import Blobs
from storage.unixfs import add_file, file_blocks, read_file
from vault.charter import Charter
from vault.envelope import (
    SEALED_BYTES_MAX,
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
from vault.merkle import GrowingRoot
from vault.share import Dealt, ShareId, dealt
from vault.signing import BLANK_SIGNATURE, SigningKey

SEGMENTS_AHEAD = 2  # fetched while one is checked
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
    tree = GrowingRoot()
    references: list[SegmentReference] = []

    def committed() -> Iterator[list[bytes]]:
        for group in segmented(passage.encoded() for passage in passages):
            for body in group:
                tree.append(passage_commitment(next(salts), body))
            yield group

    with Bulk(blobs) as bulk:
        for reference in stored_segments(committed(), sealer, lambda sealed: add_file(Through(bulk, blobs), sealed)):
            references.append(reference)
            progress(tree.size)
    if not references:
        raise MalformedObject("there is nothing to seal: no document gave a passage")
    shared = dealt(key, charter, genesis=draft.genesis, subject=draft.dataset, version=draft.version)
    manifest = _manifest(draft, owner.address, shared, references, tree)
    manifest = manifest.signed_by(owner, charter.domain(draft.genesis))
    blobs.put(manifest.cid(), manifest.encoded())
    return Sealed(manifest=manifest, key=key, shares=shared.shares)


def _manifest(
    draft: Draft, owner: bytes, shared: Dealt, references: Sequence[SegmentReference], tree: GrowingRoot
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
        corpus_root=tree.root(),
        passages=tree.size,
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


def copy_dataset(
    manifest: Manifest,
    source: Blobs,
    target: Blobs,
    *,
    progress: Progress,
    held: Callable[[Cid], bool] | None = None,
) -> int:
    """Put every block of a dataset into `target`, several at a time, and return the bytes that are there by then.

    What `target` says it has is not sent again, so after a kill this goes on where it was; whether it told the truth,
    `verify_stored` finds out. The manifest's block comes last: a place that has it was sent all of the dataset.

    Args:
        held: says what need not be sent; what `target` claims to have by default.
    Raises: a `StorageError`; what arrived before stays there.
    """
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        progress(done)

    blocks = _segment_blocks(manifest, source)
    try:
        with Bulk(target, put=count) as bulk:
            for cid, size, block in blocks:
                bulk.put_missing(cid, size, block, held=held)
    except (BlockMismatch, BlockTooLarge):
        for cid in dataset_cids(manifest, source):
            source.get(cid)  # which says whose block is wrong
        raise
    target.put(manifest.cid(), manifest.encoded())
    count(len(manifest.encoded()))
    return done


def dataset_cids(manifest: Manifest, blobs: Blobs) -> Iterator[Cid]:
    """Yield the CIDs of the segments' blocks, leaves before roots; the manifest's is not among them."""
    return (cid for cid, _, _ in _segment_blocks(manifest, blobs))


def _segment_blocks(manifest: Manifest, source: Blobs) -> Iterator[tuple[Cid, int, Callable[[], bytes]]]:
    """Yield each block's CID and size, and how to read it: what need not be sent need not be read.

    Whoever it is put to checks it, so it is not checked here where it need not be: hashing twice takes a tenth longer.
    """
    read = source.unchecked if isinstance(source, Unchecked) else source.get
    for segment in manifest.segments:
        if segment.root.codec == RAW:
            yield segment.root, segment.sealed_bytes, partial(read, segment.root)
            continue
        root = source.get(segment.root)
        for link in node_from(root).links:
            yield link.cid, link.tree_bytes or 0, partial(read, link.cid)
        yield segment.root, len(root), partial(bytes, root)


def verify_stored(manifest: Manifest, blobs: Blobs, key: SecretKey | None, *, progress: Progress) -> int:
    """Fetch a dataset back and check it; return the sealed bytes read.

    Segments are fetched ahead, at most `SEGMENTS_AHEAD` of them, so memory does not grow with the dataset.

    Args:
        key: with the data key, segments are also opened and the corpus root recomputed; None checks CIDs alone.
    Raises: a `StorageError` for a block that is missing or wrong; `TamperedSegment`.
    """
    fetched = Manifest.from_bytes(blobs.get(manifest.cid()))
    done = 0
    tree, salts = GrowingRoot(), passage_salts(key) if key is not None else iter(())
    for index, sealed in enumerate(_segments_ahead(fetched, blobs)):
        if key is not None:
            bodies = open_segment(
                key,
                sealed,
                genesis=fetched.genesis,
                dataset=fetched.dataset,
                version=fetched.version,
                index=index,
            )
            for body in bodies:
                tree.append(passage_commitment(next(salts), body))
        done += len(sealed)
        progress(done)
    if key is not None and tree.root() != fetched.corpus_root:
        raise BlockMismatch("the passages fetched back are not the ones that were sealed")
    return done


def _segments_ahead(manifest: Manifest, blobs: Blobs) -> Iterator[bytes]:
    """Yield the sealed segments in order, while the next ones are fetched."""
    with ThreadPoolExecutor(SEGMENTS_AHEAD) as pool:
        under_way: deque[Future[bytes]] = deque()
        try:
            for segment in manifest.segments:
                under_way.append(pool.submit(read_file, blobs, segment.root, bytes_max=SEALED_BYTES_MAX))
                if len(under_way) == SEGMENTS_AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


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
