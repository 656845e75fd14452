"""Datasets as their owners seal and publish them, but for the salts of their segments the same on every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.unixfs import file_cid
from tests.people import Dao, seeded, signed, wallet
from vault.envelope import Passage, seal_segment
from vault.hpke import seal, strongest
from vault.keys import SecretKey, key_commitment, share_commitment, split
from vault.manifest import Manifest, SegmentReference, ShareDeposit, corpus_tree, dataset_id
from vault.release import deposit_context
from vault.signing import BLANK_SIGNATURE, SigningKey

TEXTS = ("The tide table for May.", "Rain fell on the coast.", "The harbor closed at noon.")


@dataclass(frozen=True, kw_only=True)
class SealedDataset:
    """A dataset as its owner publishes it, with all that only the owner knows."""

    manifest: Manifest
    segments: tuple[bytes, ...]
    data_key: SecretKey
    encoded: tuple[bytes, ...]  # every passage, in order
    shares: tuple[bytes, ...]  # by custodian
    deposits: tuple[ShareDeposit, ...]


def sealed_dataset(
    dao: Dao,
    texts: Sequence[str | Passage] = TEXTS,
    *,
    owner: SigningKey | None = None,
    per_segment: int = 2,
    **manifest_fields: Any,
) -> SealedDataset:
    """Return passages, of texts one each, sealed under the DAO's charter; `manifest_fields` replace the manifest's."""
    owner = owner or wallet("owner")
    encoded = tuple(
        (text if isinstance(text, Passage) else Passage(f"{n}.txt", 0, len(text), text)).encoded()
        for n, text in enumerate(texts)
    )
    groups = [encoded[start : start + per_segment] for start in range(0, len(encoded), per_segment)]
    version = manifest_fields.get("version", 1)
    data_key = SecretKey(seeded(f"data key {version}"))
    place: dict[str, Any] = {"genesis": dao.genesis, "dataset": dataset_id(owner.address, seeded("dataset nonce"))}
    segments = tuple(
        seal_segment(data_key, group, version=version, index=index, **place) for index, group in enumerate(groups)
    )
    shares = tuple(split(data_key, shares=dao.charter.shares, of=len(dao.custodians), identifier=7))
    subject = place["dataset"]
    valid: dict[str, Any] = place | {
        "title": "Tides",
        "version": version,
        "previous": None,
        "owner": owner.address,
        "allow_simulated": True,
        "key_version": version,
        "key_commitment": key_commitment(dao.genesis, subject, version, data_key.reveal()),
        "share_commitments": tuple(
            share_commitment(dao.genesis, subject, version, index, share) for index, share in enumerate(shares)
        ),
        "segments": tuple(
            SegmentReference(root=file_cid(segment), sealed_bytes=len(segment), passages=len(group))
            for segment, group in zip(segments, groups, strict=True)
        ),
        "corpus_root": corpus_tree(data_key, encoded).root(),
        "passages": len(encoded),
        "model": seeded("model"),
        "signature": BLANK_SIGNATURE,
    }
    manifest: Manifest = signed(dao.history, owner, Manifest(**(valid | manifest_fields)))
    return SealedDataset(
        manifest=manifest,
        segments=segments,
        data_key=data_key,
        encoded=encoded,
        shares=shares,
        deposits=deposits(dao, manifest, shares, owner),
    )


def deposits(dao: Dao, manifest: Manifest, shares: Sequence[bytes], owner: SigningKey) -> tuple[ShareDeposit, ...]:
    """Return every custodian's share, sealed to it and signed by the owner."""
    return tuple(_deposit(dao, manifest, index, share, owner) for index, share in enumerate(shares))


def _deposit(dao: Dao, manifest: Manifest, index: int, share: bytes, owner: SigningKey) -> ShareDeposit:
    entry = dao.charter.custodians[index]
    recipient = strongest(entry.hpke, floor=dao.charter.suite_floor)
    info = deposit_context(
        genesis=dao.genesis,
        subject=manifest.dataset,
        key_version=manifest.key_version,
        custodian=entry.key,
        index=index,
        suite=recipient.suite,
    )
    blank = ShareDeposit(
        manifest=manifest.cid(),
        owner=owner.address,
        custodian=entry.key,
        index=index,
        suite=recipient.suite,
        sealed=seal(recipient, share, info=info),
        signature=BLANK_SIGNATURE,
    )
    made: ShareDeposit = signed(dao.history, owner, blank)
    return made
