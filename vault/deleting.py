"""An owner's part in deleting a dataset: every custodian is ordered to destroy its share, and what it signs is checked.

No custodian waits for another, and one that refuses, lies or is down is told of and keeps nobody from being asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from storage.cid import DAG_CBOR, RAW, Cid
from storage.dagpb import node_from
from storage.errors import BlockMismatch, BlockNotFound, MalformedDag
from storage.model import Blobs
from vault.charter import CUSTODIANS_MAX, Charter
from vault.destruction import Destruction, DestructionReceipt, challenge_facts, receipts_needed
from vault.errors import VaultError
from vault.manifest import Manifest
from vault.signing import BLANK_SIGNATURE, SigningKey
from vault.snapshot import snapshot_at


class ShareDestroyer(Protocol):
    """Who keeps a share; `vault.client.CustodyClient` is the real one."""

    def challenge(self, instance: bytes, keys: bytes) -> bytes: ...  # noqa: D102
    def destroy_share(self, manifest: Manifest, order: Destruction) -> DestructionReceipt: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Shredded:
    """What custodians answered to the order to destroy one version's key.

    Attributes:
        receipts: verified, in the charter's order.
        failures: why the others gave none, by signing key.
        needed: receipts by which too few shares are left.
    """

    receipts: tuple[DestructionReceipt, ...]
    failures: Mapping[bytes, str]
    needed: int

    @property
    def is_done(self) -> bool:
        """Say whether the key can no longer be rebuilt, if no more custodians lie than the charter tolerates."""
        return len(self.receipts) >= self.needed


def shredded(
    manifest: Manifest, charter: Charter, owner: SigningKey, custodians: Mapping[bytes, ShareDestroyer]
) -> Shredded:
    """Order every custodian of a charter to destroy its share, and return what each said.

    Args:
        custodians: by signing key, those that can be reached; the others count as having given no receipt.
    """
    keys = [custodian.key for custodian in charter.custodians]
    failures = {key: "it cannot be reached" for key in keys if key not in custodians}

    def order(key: bytes) -> DestructionReceipt | str:
        try:
            return _ordered(manifest, charter, owner, key, custodians[key])
        except VaultError as error:
            return str(error)

    asked = [key for key in keys if key in custodians]
    with ThreadPoolExecutor(CUSTODIANS_MAX) as pool:
        answers = dict(zip(asked, pool.map(order, asked), strict=True))
    failures |= {key: answer for key, answer in answers.items() if isinstance(answer, str)}
    receipts = tuple(answer for answer in answers.values() if isinstance(answer, DestructionReceipt))
    return Shredded(receipts=receipts, failures=failures, needed=receipts_needed(charter))


def _ordered(
    manifest: Manifest, charter: Charter, owner: SigningKey, key: bytes, custodian: ShareDestroyer
) -> DestructionReceipt:
    nonce = custodian.challenge(*challenge_facts(manifest.cid(), owner.address))
    order = Destruction(
        manifest=manifest.cid(), owner=owner.address, custodian=key, nonce=nonce, signature=BLANK_SIGNATURE
    ).signed_by(owner, charter.domain(manifest.genesis))
    receipt = custodian.destroy_share(manifest, order)
    receipt.verify_for(manifest, charter, order)
    return receipt


def remove_blocks(manifest: Manifest, blobs: Blobs) -> int:
    """Delete a version's blocks from a place and return how many were there; the manifest's goes last.

    After a failure do it again: a manifest that is there still leads to what is left.
    """
    return remove_segments(manifest, blobs) + _removed(blobs, manifest.cid())


def remove_segments(manifest: Manifest, blobs: Blobs) -> int:
    """Do as `remove_blocks`, and keep the manifest."""
    return sum(_removed_file(blobs, segment.root) for segment in manifest.segments)


def remove_snapshots(manifests: frozenset[Cid], blobs: Blobs) -> int:
    """Delete all snapshots of the vectors of these versions that a place lists; return how many blocks that were."""
    removed = 0
    for cid in [cid for cid in blobs.cids() if cid.codec == DAG_CBOR]:
        snapshot = snapshot_at(blobs, cid)
        if snapshot is not None and snapshot.header.manifest in manifests:
            removed += sum(_removed(blobs, block) for block in snapshot.blocks) + _removed(blobs, cid)
    return removed


def _removed_file(blobs: Blobs, root: Cid) -> int:
    """Delete a file's leaves, then its root, so that an interrupted removal can still find what is left."""
    return sum(_removed(blobs, cid) for cid in reversed(dict.fromkeys([root, *_children(blobs, root)])))


def _children(blobs: Blobs, root: Cid) -> list[Cid]:
    """Return the leaves of a segment, which hang from its root directly; none where the root cannot be read."""
    if root.codec == RAW:
        return []
    try:
        return [link.cid for link in node_from(blobs.get(root)).links]
    except (BlockNotFound, BlockMismatch, MalformedDag):
        return []


def _removed(blobs: Blobs, cid: Cid) -> int:
    if not blobs.has(cid):
        return 0
    blobs.delete(cid)
    return 1
