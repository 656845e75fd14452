"""Datasets and policy files for the tests' DAOs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.wallets import open_wallet
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.unixfs import file_cid
from tests.cli.conftest import PASSWORD, Founded
from tests.people import DAY_S, NOW, seeded
from vault.assembly import history_of
from vault.manifest import Manifest, SegmentReference, dataset_id
from vault.records.board import Board
from vault.records.database import open_records
from vault.signing import BLANK_SIGNATURE


def manifest_of(dao: Founded, name: str = "tides", *, version: int = 1, previous: Cid | None = None) -> Manifest:
    """Return a manifest that the owner signed, and keep it in the home's store."""
    key = open_wallet(dao.party.home / "wallets" / "owner.json", PASSWORD)
    records = open_records(f"sqlite:///{dao.party.home}/records.db")
    try:
        history = history_of(Board(records), Cid.parse(dao.genesis), at=NOW + 1000 * DAY_S)
    finally:
        records.close()
    blank = Manifest(
        genesis=history.genesis,
        dataset=dataset_id(key.address, seeded(name)),
        title=name,
        version=version,
        previous=previous,
        owner=key.address,
        allow_simulated=True,
        key_version=version,
        key_commitment=seeded("key commitment"),
        share_commitments=tuple(seeded(f"share {n}") for n in range(len(history.charter.custodians))),
        segments=(SegmentReference(root=file_cid(seeded(name)), sealed_bytes=32, passages=3),),
        corpus_root=seeded("corpus"),
        passages=3,
        model=seeded("model"),
        signature=BLANK_SIGNATURE,
    )
    manifest = blank.signed_by(key, history.charter.domain(history.genesis))
    DirectoryBlobs(dao.party.home / "blocks").put(manifest.cid(), manifest.encoded())
    return manifest


def policy_file(dao: Founded, enclave_file: Path, manifest: Cid | None = None, **changed: Any) -> Path:
    """Return a policy in YAML; `changed` are lines that replace those of its keys at the top."""
    named = manifest if manifest is not None else manifest_of(dao).cid()
    lines = {
        "title": "title: Tides",
        "datasets": f"datasets: [{named}]",
        "licensees": f"licensees:\n  issuer: {dao.addresses['issuer']}",
        "price": "price:\n  per_query: 250",
        "limits": "limits:\n  passages: 2",
        "enclaves": f"enclaves: [{enclave_file}]",
        "split": f"split:\n  operator: {dao.addresses['operator']}",
        "expires": "expires: 300d",
    } | changed
    file = enclave_file.with_name(f"policy-{len(list(enclave_file.parent.glob('policy-*')))}.yaml")
    file.write_text("\n".join(lines.values()) + "\n")
    return file
