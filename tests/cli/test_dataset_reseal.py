"""`coffer dataset remove` and `reseal`: the survivors under a new key, and what was removed nowhere once v1 is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.keyring import read_keys
from cli.wallets import open_wallet
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.model import Blobs
from storage.unixfs import read_file
from tests.cli.conftest import PASSWORD, Founded
from vault.delivery import manifest_at
from vault.envelope import SEALED_BYTES_MAX, decoded_passage, open_segment

OWNER = ("--owner", "owner")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(f"Notice {name}: the harbor closes at noon.")
    return folder


def published(dao: Founded, documents: Path) -> str:
    manifest = str(dao.party.json("dataset", "seal", documents, *OWNER, "--title", "Notices")["manifest"])
    dao.party.run("dataset", "publish", manifest, *OWNER)
    return manifest


def documents_in(dao: Founded, manifest: str) -> list[str]:
    """Open a version as an enclave would, and return the documents of its passages."""
    places: tuple[Blobs, ...] = tuple(DirectoryBlobs(dao.party.home / name) for name in ("staging", "blocks"))
    found = manifest_at(Cid.parse(manifest), *places)
    owner = open_wallet(dao.party.home / "wallets" / "owner.json", PASSWORD)
    key = read_keys(dao.party.home / "keys" / f"{found.dataset.hex()}-v{found.version}.key", found, owner).key
    blobs = next(place for place in places if place.has(found.cid()))
    facts: dict[str, Any] = {"genesis": found.genesis, "dataset": found.dataset, "version": found.version}
    return [
        decoded_passage(body).document
        for index, segment in enumerate(found.segments)
        for body in open_segment(key, read_file(blobs, segment.root, bytes_max=SEALED_BYTES_MAX), index=index, **facts)
    ]


def test_a_document_is_removed_and_gone_once_the_version_before_is_deleted(dao: Founded, documents: Path) -> None:
    first = published(dao, documents)
    before = documents_in(dao, first)
    made = dao.party.json("dataset", "remove", first, "docs/b.txt", *OWNER)
    assert (made["version"], made["documents"], made["removed_passages"]) == (2, 2, 1)
    assert documents_in(dao, made["manifest"]) == [name for name in before if name != "docs/b.txt"]
    shown = dao.party.json("dataset", "show", made["manifest"])
    assert (shown["previous"], shown["title"], shown["key_version"]) == (first, "Notices", 2)
    dao.party.run("dataset", "publish", made["manifest"], *OWNER)
    gone = dao.party.json("dataset", "delete", first, *OWNER, "--yes", "--this-version")
    assert gone["versions"][0]["shredded"]
    assert dao.party.json("dataset", "verify", made["manifest"], *OWNER)["decrypted"]
    dao.party.refused("dataset", "verify", first, *OWNER)


def test_all_of_it_is_sealed_anew_under_another_key(dao: Founded, documents: Path) -> None:
    first = published(dao, documents)
    said = dao.party.run("dataset", "reseal", first, *OWNER).stdout
    assert "under a new key" in said and f"delete {first} --this-version" in said
    second = dao.party.json("dataset", "list")["datasets"][-1]["manifest"]
    assert documents_in(dao, second) == documents_in(dao, first)
    roots = [dao.party.json("dataset", "show", manifest)["corpus_root"] for manifest in (first, second)]
    assert roots[0] != roots[1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["b.txt"], "there is no document b.txt in it"),
        (["docs/b.txt", "nonsense"], "there is no document nonsense"),
        (["docs/a.txt", "docs/b.txt", "docs/c.txt"], "would leave nothing in it"),
    ],
)
def test_what_cannot_be_removed_seals_nothing(dao: Founded, documents: Path, names: list[str], said: str) -> None:
    first = published(dao, documents)
    assert said in dao.party.refused("dataset", "remove", first, *names, *OWNER)
    assert len(dao.party.json("dataset", "list")["datasets"]) == 1
    assert list((dao.party.home / "staging").rglob("baf*")) == []
    assert len(list((dao.party.home / "keys").iterdir())) == 1


def test_only_the_latest_version_is_sealed_anew_and_only_by_its_owner(dao: Founded, documents: Path) -> None:
    first = published(dao, documents)
    assert "owner is" in dao.party.refused("dataset", "reseal", first, "--owner", "alice")
    dao.party.run("dataset", "reseal", first, *OWNER)
    assert "version 2 of this dataset is sealed already" in dao.party.refused("dataset", "reseal", first, *OWNER)
    assert "not known in this home" in dao.party.refused("dataset", "reseal", dao.genesis, *OWNER)
