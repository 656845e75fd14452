"""Destroying a data key: the owner's order to each custodian, their signed receipts, and the tombstone (rule S3).

t of n shares rebuild a key, so it is gone from the custodians once n-t+1 of them destroyed theirs, if these are honest.
A receipt is a custodian's word: whoever releases that share later is convicted by its own two signatures. Copies that
enclaves, paper or backups already hold are beyond this, and whoever deletes is told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from storage.cid import DAG_CBOR, Cid
from vault.charter import CUSTODIANS_MAX, Charter
from vault.codec import Address, Digest, Length, PublicKey, Record, record
from vault.errors import InvalidSignature, MalformedObject
from vault.lineage import lineage_id
from vault.machine import MachineSigned
from vault.manifest import Manifest
from vault.signing import PersonSigned
from vault.typed_data import Struct

ORDER_BYTES_MAX = 1024
RECEIPT_BYTES_MAX = 2048
VERSIONS_MAX = 128  # in one tombstone: with a receipt of every custodian for each, it still fits a block


@record
class Destruction(PersonSigned):
    """An owner's order: let this version's key be destroyed, at every custodian, and its shares never be taken again.

    Custodian and nonce say whom the owner asked itself, which is who signs a receipt. Others hear of it from that one.
    """

    TYPE: ClassVar[str] = "coffer/share-destruction/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "ShareDestruction", (("destruction", "bytes32"), ("manifest", "string"), ("custodian", "bytes32"))
    )

    manifest: Cid
    owner: Address
    custodian: PublicKey
    nonce: Digest  # the custodian's challenge, for `challenge_facts`

    def signer(self) -> bytes:
        """Return the owner."""
        return self.owner

    def message(self) -> Mapping[str, Any]:
        """Return what the owner's wallet shows."""
        return {"destruction": self.unsigned_digest(), "manifest": str(self.manifest), "custodian": self.custodian}


def challenge_facts(manifest: Cid, owner: bytes) -> tuple[bytes, bytes]:
    """Return what a challenge for a destruction is bound to: it is good for this manifest and this owner alone."""
    return manifest.digest, sha256(b"coffer/destroy-share/v1" + owner).digest()


@record
class DestructionReceipt(MachineSigned):
    """A custodian's word that it has destroyed its share, or never had one, and will not take it again."""

    TYPE: ClassVar[str] = "coffer/destruction-receipt/v1"

    custodian: PublicKey
    genesis: Cid
    manifest: Cid
    index: int  # the custodian's place in the charter
    commitment: Digest  # to the share, as in the manifest
    order: Digest  # of the owner's `Destruction`
    was_held: bool  # False: no share of it was ever deposited here
    destroyed_at: int  # UTC seconds, by the custodian's clock

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian

    def verify_under(self, charter: Charter, genesis: Cid) -> None:
        """Raise `InvalidSignature` unless the charter's custodian at its index signed it, under this DAO."""
        keys = [custodian.key for custodian in charter.custodians]
        if self.genesis != genesis or keys[self.index : self.index + 1] != [self.custodian]:
            raise InvalidSignature("the receipt is not of this DAO's custodian whose index it bears")
        self.verify()

    def verify_for(self, manifest: Manifest, charter: Charter, order: Destruction) -> None:
        """Raise `InvalidSignature` unless it answers this very order, for the share that the manifest commits to."""
        self.verify_under(charter, manifest.genesis)
        commitments = manifest.share_commitments[self.index : self.index + 1]
        expected = (manifest.cid(), commitments, order.cid().digest, order.custodian)
        if (self.manifest, (self.commitment,), self.order, self.custodian) != expected:
            raise InvalidSignature(
                f"custodian {self.custodian.hex()} signed a receipt for another share or another order; "
                "nothing says that it destroyed this one"
            )


def receipts_needed(charter: Charter) -> int:
    """Return how many custodians have to destroy their shares before too few are left: n-t+1."""
    return len(charter.custodians) - charter.shares + 1


@record
class DeletedVersion(Record):
    """One version in a tombstone, and who destroyed their share of its key."""

    manifest: Cid
    version: int
    receipts: Annotated[tuple[DestructionReceipt, ...], Length(0, CUSTODIANS_MAX)]

    def check(self) -> None:
        """Refuse a receipt for something else, and two of one custodian."""
        if any(receipt.manifest != self.manifest for receipt in self.receipts):
            raise MalformedObject("a receipt is for another version than the one it stands beside")
        if len({receipt.custodian for receipt in self.receipts}) != len(self.receipts):
            raise MalformedObject("a custodian counts once")
        if self.manifest.codec != DAG_CBOR:
            raise MalformedObject("a version is named by its manifest's CID, which is DAG-CBOR")

    def is_shredded(self, charter: Charter) -> bool:
        """Say whether so many custodians destroyed their shares that the others cannot rebuild the key."""
        return len(self.receipts) >= receipts_needed(charter)


@record
class Tombstone(PersonSigned):
    """What an owner leaves of a deleted dataset: public, and named by the head that revokes the dataset."""

    TYPE: ClassVar[str] = "coffer/tombstone/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Tombstone", (("tombstone", "bytes32"), ("dataset", "bytes32"), ("versions", "uint64"))
    )

    genesis: Cid
    owner: Address
    dataset: Digest
    versions: Annotated[tuple[DeletedVersion, ...], Length(1, VERSIONS_MAX)]  # by ascending version
    deleted_at: int  # UTC seconds, by the owner's clock

    def check(self) -> None:
        """Refuse versions twice or out of order."""
        numbers = [one.version for one in self.versions]
        if numbers != sorted(set(numbers)):
            raise MalformedObject("a tombstone lists each version once, in ascending order")

    def signer(self) -> bytes:
        """Return the owner."""
        return self.owner

    def message(self) -> Mapping[str, Any]:
        """Return what the owner's wallet shows."""
        return {"tombstone": self.unsigned_digest(), "dataset": self.dataset, "versions": len(self.versions)}

    def lineage(self) -> bytes:
        """Return the lineage that was deleted."""
        return lineage_id(self.genesis, self.owner, self.dataset)

    def subject(self) -> bytes:
        """Return what the DAO revokes, so that its head refers to this tombstone: the lineage, and its digest."""
        return self.lineage() + self.cid().digest


def verify_tombstone(tombstone: Tombstone, charter: Charter) -> tuple[DeletedVersion, ...]:
    """Return the versions whose keys the custodians can no longer rebuild, if their receipts are true.

    Args:
        charter: the one whose custodians the shares were dealt to.
    Raises: `InvalidSignature` where the owner or a custodian did not sign what is there.
    """
    tombstone.verify(charter.domain(tombstone.genesis))
    for receipt in (receipt for one in tombstone.versions for receipt in one.receipts):
        receipt.verify_under(charter, tombstone.genesis)
    return tuple(one for one in tombstone.versions if one.is_shredded(charter))


def deleted_version(manifest: Manifest, receipts: Iterable[DestructionReceipt]) -> DeletedVersion:
    """Return a manifest's entry in a tombstone, its receipts in the charter's order."""
    ordered = tuple(sorted(receipts, key=lambda receipt: receipt.index))
    return DeletedVersion(manifest=manifest.cid(), version=manifest.version, receipts=ordered)
