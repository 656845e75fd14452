"""`coffer dataset delete` and `tombstone`: keys and blocks are gone, what is not is said, and the head refers to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.errors import StorageUnavailable
from tests.cli.conftest import Clock, Founded, LocalCustodian, founded
from tests.cli.dao_steps import carried
from vault.keys import SecretKey
from vault.snapshot import store_snapshot

OWNER = ("--owner", "owner")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("The harbor closes at noon on Sundays.")
    (folder / "b.txt").write_text("Tide tables are printed in May.")
    return folder


@pytest.fixture
def harbor(party: Any, custodians: dict[str, LocalCustodian], people: dict[str, str]) -> Founded:
    """A DAO of three custodians, any two of which rebuild a key."""
    members = ("--member", f"{people['alice']}=2", "--member", people["bob"])
    return founded(party, people, "one:1,two:1,three:1", *members)


def published(dao: Founded, documents: Path, *more: object) -> str:
    manifest = str(dao.party.json("dataset", "seal", documents, *OWNER, "--allow-simulated", *more)["manifest"])
    dao.party.run("dataset", "publish", manifest, *OWNER)
    return manifest


def blocks(dao: Founded) -> set[Cid]:
    with DirectoryBlobs(dao.party.home / "blocks") as stored, DirectoryBlobs(dao.party.home / "staging") as staged:
        return {*stored.cids(), *staged.cids()}


def keys(dao: Founded) -> list[Path]:
    return list((dao.party.home / "keys").glob("*"))


def test_a_dataset_is_deleted_everywhere_and_the_head_refers_to_its_tombstone(
    harbor: Founded, documents: Path, clock: Clock
) -> None:
    first = published(harbor, documents)
    (documents / "c.txt").write_text("New moorings open in June.")
    second = published(harbor, documents, "--replaces", first)
    with DirectoryBlobs(harbor.party.home / "blocks") as stored:
        facts: dict[str, Any] = {"model": bytes(32), "settings": bytes(32), "dtype": "float32", "dimension": 4}
        secrets = (SecretKey(bytes(32)), SecretKey(bytes(32)))
        store_snapshot(stored, memoryview(bytes(32)), manifest=Cid.parse(second), keys=secrets, **facts)
    shown = harbor.party.json("dataset", "delete", first, *OWNER, "--yes")
    assert [(one["manifest"], one["receipts"], one["needed"]) for one in shown["versions"]] == [
        (first, 3, 2),
        (second, 3, 2),
    ]
    assert blocks(harbor) == {Cid.parse(shown["tombstone"])}
    assert (keys(harbor), harbor.party.json("dataset", "list")["datasets"]) == ([], [])
    assert any("paper" in sentence for sentence in shown["remains"])
    before = harbor.party.json("dataset", "tombstone", shown["file"])
    assert (before["shredded"], before["in_head"]) == ([first, second], False)
    proposed = harbor.party.json("dao", "propose", "--wallet", "alice", "--revoke", "dataset", shown["subject"])
    assert shown["tombstone"] in proposed["action"]
    carried(harbor, clock, proposed["proposal"])
    after = harbor.party.run("dataset", "tombstone", shown["file"]).stdout
    assert "the head at epoch 1 names it" in after and after.count("the key is gone") == 2
    assert shown["tombstone"] in harbor.party.run("dao", "show").stdout


def test_too_few_custodians_keep_everything_as_it_is_until_they_answer(
    harbor: Founded, documents: Path, custodians: dict[str, LocalCustodian]
) -> None:
    manifest = published(harbor, documents)
    held = blocks(harbor)
    custodians["two:1"].is_down = custodians["three:1"].is_down = True
    said = harbor.party.refused("dataset", "delete", manifest, *OWNER, "--yes")
    assert "1 of the 2 receipts needed" in said and "can still rebuild the key" in said
    assert (blocks(harbor), len(keys(harbor))) == (held, 1)
    assert harbor.party.json("dataset", "list")["datasets"][0]["state"] == "published"
    custodians["three:1"].is_down = False
    shown = harbor.party.run("dataset", "delete", manifest, *OWNER, "--yes").stdout
    assert "its key is gone (2 receipts, 2 needed)" in shown and "cannot be reached" in shown
    assert "paper shares" in shown and "backups of custodians" in shown and "leases end, " in shown


def test_anyway_says_that_the_key_is_not_gone(
    harbor: Founded, documents: Path, custodians: dict[str, LocalCustodian]
) -> None:
    manifest = published(harbor, documents)
    custodians["two:1"].is_down = custodians["three:1"].is_down = True
    shown = harbor.party.json("dataset", "delete", manifest, *OWNER, "--yes", "--anyway")
    assert not shown["versions"][0]["shredded"]
    assert keys(harbor) == []
    assert "can still be rebuilt" in harbor.party.run("dataset", "tombstone", shown["file"], code=1).stdout


def test_one_version_is_deleted_and_the_others_stay(harbor: Founded, documents: Path) -> None:
    first = published(harbor, documents)
    second = published(harbor, documents, "--replaces", first)
    shown = harbor.party.json("dataset", "delete", first, *OWNER, "--yes", "--this-version")
    assert (len(shown["versions"]), shown["subject"]) == (1, None)
    assert harbor.party.json("dataset", "verify", second, *OWNER)["decrypted"]
    harbor.party.refused("dataset", "verify", first)
    assert [one["manifest"] for one in harbor.party.json("dataset", "list")["datasets"]] == [second]


def test_nothing_is_deleted_without_a_yes_the_owner_or_a_dataset(dao: Founded, documents: Path) -> None:
    manifest = published(dao, documents)
    held = blocks(dao)
    dao.party.run("dataset", "delete", manifest, *OWNER, code=1, input=b"n\n")
    assert "owner is" in dao.party.refused("dataset", "delete", manifest, "--owner", "alice", "--yes")
    assert "not known in this home" in dao.party.refused("dataset", "delete", dao.genesis, *OWNER, "--yes")
    assert blocks(dao) == held
    dao.party.run("dataset", "delete", manifest, *OWNER, input=b"y\n")
    assert len(blocks(dao)) == 1


def test_a_place_that_fails_keeps_no_other_waiting_and_is_done_again(
    dao: Founded, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, real = published(dao, documents), DirectoryBlobs.delete
    places = ("--storage", tmp_path / "attic", "--storage", dao.party.home / "blocks")
    with DirectoryBlobs(tmp_path / "attic") as attic, DirectoryBlobs(dao.party.home / "blocks") as stored:
        for cid in stored.cids():
            attic.put(cid, stored.get(cid))

    def fails(self: DirectoryBlobs, cid: Cid) -> None:
        if self.name.endswith("attic"):
            raise StorageUnavailable(f"{self.name} does not answer")
        real(self, cid)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryBlobs, "delete", fails)
        said = dao.party.refused("dataset", "delete", manifest, *OWNER, "--yes", *places)
        assert "attic does not answer" in said and "Run it again" in said
        assert not list((dao.party.home / "blocks").rglob("bafk*")) and len(keys(dao)) == 1
    shown = dao.party.json("dataset", "delete", manifest, *OWNER, "--yes", *places)
    assert shown["deleted"] and not list((tmp_path / "attic").rglob("bafk*")) and keys(dao) == []


def test_an_interrupted_deletion_is_run_again(dao: Founded, documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, real = published(dao, documents), DirectoryBlobs.delete
    left = [0]

    def dies(self: DirectoryBlobs, cid: Cid) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(self, cid)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryBlobs, "delete", dies)
        for calls in (1, 2):
            left[0] = calls
            assert "interrupted" in dao.party.refused("dataset", "delete", manifest, *OWNER, "--yes")
            assert len(keys(dao)) == 1
    shown = dao.party.json("dataset", "delete", manifest, *OWNER, "--yes")
    assert (keys(dao), blocks(dao)) == ([], {Cid.parse(shown["tombstone"])})


def test_a_file_that_is_no_tombstone_is_one_sentence(dao: Founded, tmp_path: Path) -> None:
    file = tmp_path / "junk"
    file.write_bytes(b"junk")
    assert "is no tombstone" in dao.party.refused("dataset", "tombstone", file)
