"""The manifest: what one version of a dataset is, signed by its owner, and who may ever hold its key (rule B1).

It names the genesis charter, so that no other DAO with the same custodians can collect the key; it commits to the data
key and to every share, so that a lying custodian is named; and it says whether the owner allows a simulated TEE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from storage.cid import Cid
from vault.charter import CUSTODIANS_MAX
from vault.codec import Address, Digest, Label, Length, PublicKey, Record, record
from vault.envelope import passage_commitment, passage_salts
from vault.errors import InvalidSignature, MalformedObject, TamperedManifest
from vault.keys import SecretKey
from vault.merkle import Tree
from vault.signing import PersonSigned
from vault.typed_data import Domain, Struct

SEGMENTS_MAX = 8192
PASSAGES_MAX = 1 << 32


@record
class SegmentReference(Record):
    """Where a segment lies and how large it shows itself."""

    root: Cid  # of the sealed segment, as a UnixFS file
    sealed_bytes: int
    passages: int


@record
class Manifest(PersonSigned):
    """One version of one dataset."""

    TYPE: ClassVar[str] = "coffer/manifest/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Manifest",
        (
            ("manifest", "bytes32"),
            ("dataset", "bytes32"),
            ("version", "uint64"),
            ("title", "string"),
            ("allowSimulated", "bool"),
        ),
    )

    genesis: Cid
    dataset: Digest
    title: Label  # public; empty unless the owner wants it seen
    version: int
    previous: Cid | None
    owner: Address
    allow_simulated: bool
    key_version: int
    key_commitment: Digest
    share_commitments: Annotated[tuple[Digest, ...], Length(1, CUSTODIANS_MAX)]  # in the charter's order
    segments: Annotated[tuple[SegmentReference, ...], Length(1, SEGMENTS_MAX)]
    corpus_root: Digest  # Merkle root over salted passage commitments
    passages: int
    model: Digest  # SHA-256 of the embedding model's weights

    def check(self) -> None:
        """Refuse counts that do not add up."""
        if self.version < 1 or (self.version == 1) != (self.previous is None):
            raise MalformedObject("versions count from 1, and each later one names the one before")
        if self.passages != sum(segment.passages for segment in self.segments) or self.passages > PASSAGES_MAX:
            raise MalformedObject("the segments' passages do not add up")

    @property
    def sealed_bytes(self) -> int:
        """Return how many bytes its segments have."""
        return sum(segment.sealed_bytes for segment in self.segments)

    def signer(self) -> bytes:
        """Return the owner."""
        return self.owner

    def message(self) -> Mapping[str, Any]:
        """Return what the owner's wallet shows."""
        return {
            "manifest": self.unsigned_digest(),
            "dataset": self.dataset,
            "version": self.version,
            "title": self.title,
            "allowSimulated": self.allow_simulated,
        }

    def verify_owner(self, domain: Domain) -> None:
        """Raise `TamperedManifest` unless its owner signed it as it stands, for this DAO."""
        if domain.dao_id != self.genesis.digest:
            raise TamperedManifest("the manifest is under another DAO's charter")
        try:
            self.verify(domain)
        except InvalidSignature as error:
            raise TamperedManifest(f"the manifest is not as its owner signed it: {error}") from error


def corpus_tree(data_key: SecretKey, encoded: Sequence[bytes]) -> Tree:
    """Return the Merkle tree over all passages' commitments, in order."""
    salts = passage_salts(data_key)
    return Tree([passage_commitment(next(salts), passage) for passage in encoded])


@record
class ShareDeposit(PersonSigned):
    """A share of a data key on its way to one custodian: sealed to it, and signed by the owner (rule B2)."""

    TYPE: ClassVar[str] = "coffer/share-deposit/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "ShareDeposit", (("deposit", "bytes32"), ("manifest", "string"), ("custodian", "bytes32"))
    )

    manifest: Cid
    owner: Address
    custodian: PublicKey
    index: int
    suite: Label
    sealed: Annotated[bytes, Length(64, 4096)]

    def signer(self) -> bytes:
        """Return the owner."""
        return self.owner

    def message(self) -> Mapping[str, Any]:
        """Return what the owner's wallet shows."""
        return {"deposit": self.unsigned_digest(), "manifest": str(self.manifest), "custodian": self.custodian}


def dataset_id(owner: bytes, nonce: bytes) -> bytes:
    """Return a dataset's lasting id: one owner's, and unlike any other."""
    return sha256(b"coffer/dataset/v1" + owner + nonce).digest()
