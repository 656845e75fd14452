"""`coffer dataset export` and `import`: one file and words on paper are all it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from storage.directory import DirectoryBlobs
from tests.cli.carrying import OWNER, TEXT, elsewhere, exported, published
from tests.cli.conftest import LIGHT, Clock, Founded, LocalCustodian, Party, founded
from tests.cli.dao_steps import carried as decided
from vault.keys import SecretKey
from vault.snapshot import store_snapshot


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.txt").write_text("Tide tables are printed in May.")
    return folder


class TestAway:
    def test_the_file_and_the_words_are_all_it_takes(
        self, dao: Founded, documents: Path, tmp_path: Path, custodians: dict[str, LocalCustodian]
    ) -> None:
        manifest = published(dao, documents)
        dao.party.run("dataset", "backup", manifest, *OWNER, "--out", tmp_path / "key.words")
        dao.party.run("wallet", "backup", "owner", "--out", tmp_path / "wallet.words")
        shown = exported(dao, manifest, tmp_path / "one.car")
        assert TEXT.encode() not in (tmp_path / "one.car").read_bytes()
        address = dao.addresses["owner"]
        new = elsewhere(tmp_path, dao)
        new.env["COFFER_PASSWORD"] = "another password"  # noqa: S105
        assert new.json("dataset", "import", tmp_path / "one.car")["manifest"] == manifest
        wallet = ("--address", address, "--from", tmp_path / "wallet.words", "--rounds", LIGHT)
        assert new.json("wallet", "restore", "owner", *wallet)["address"] == address
        assert "keyring" in new.run("dataset", "restore", manifest, *OWNER, "--from", tmp_path / "key.words").stdout
        assert new.json("dataset", "verify", manifest, *OWNER)["decrypted"]
        assert new.json("dataset", "publish", manifest, *OWNER)["state"] == "published"
        assert custodians["one:1"].deposits == 2
        assert new.json("dataset", "export", manifest, "--car", tmp_path / "two.car")["root"] == shown["root"]
        assert (tmp_path / "one.car").read_bytes() == (tmp_path / "two.car").read_bytes()
        assert new.json("dao", "verify")["verified"]

    def test_the_same_state_is_written_as_the_same_bytes_and_another_as_others(
        self, dao: Founded, documents: Path, tmp_path: Path, clock: Clock
    ) -> None:
        manifest = published(dao, documents)
        for name in ("one.car", "two.car"):
            exported(dao, manifest, tmp_path / name)
        assert (tmp_path / "one.car").read_bytes() == (tmp_path / "two.car").read_bytes()
        revoking = ("--wallet", "alice", "--revoke", "licensee", dao.addresses["licensee"])
        decided(dao, clock, dao.party.json("dao", "propose", *revoking)["proposal"])
        later = exported(dao, manifest, tmp_path / "three.car")
        new = elsewhere(tmp_path, dao)
        new.run("dataset", "import", tmp_path / "one.car")
        again = new.json("dataset", "import", tmp_path / "three.car")
        assert again["head"] == dao.party.json("dao", "show")["head"]
        assert later["manifest"] == manifest
        new.run("dataset", "import", tmp_path / "one.car")  # an older one takes nothing back
        assert new.json("dao", "show")["epoch"] == 1

    def test_it_is_stored_at_once_for_enclaves_whose_custodians_keep_their_shares(
        self, dao: Founded, documents: Path, tmp_path: Path
    ) -> None:
        manifest = published(dao, documents)
        exported(dao, manifest, tmp_path / "one.car")
        new = elsewhere(tmp_path, dao)
        shown = new.json("dataset", "import", tmp_path / "one.car", "--store")
        assert shown["stored"] > 0
        with DirectoryBlobs(new.home / "blocks") as blobs:
            assert blobs.has(Cid.parse(manifest))

    def test_several_custodians_get_new_shares_of_a_new_key(
        self,
        party: Party,
        custodians: dict[str, LocalCustodian],
        people: dict[str, str],
        documents: Path,
        tmp_path: Path,
    ) -> None:
        dao = founded(party, people, "one:1,two:1,three:1", "--member", people["alice"])
        manifest = published(dao, documents)
        dao.party.run("dataset", "backup", manifest, *OWNER, "--out", tmp_path / "key.words")
        exported(dao, manifest, tmp_path / "one.car")
        new = elsewhere(tmp_path, dao)
        new.run("dataset", "import", tmp_path / "one.car")
        (new.home / "wallets").mkdir()
        (new.home / "wallets" / "owner.json").write_bytes((party.home / "wallets" / "owner.json").read_bytes())
        new.run("dataset", "restore", manifest, *OWNER, "--from", tmp_path / "key.words")
        assert "coffer dataset reseal" in new.refused("dataset", "publish", manifest, *OWNER)
        made = new.json("dataset", "reseal", manifest, *OWNER)
        assert (made["version"], made["previous"], made["removed_passages"]) == (2, manifest, 0)
        assert new.json("dataset", "publish", made["manifest"], *OWNER)["custodians"] == 3

    def test_sealed_vectors_come_along_where_they_are_asked_for(
        self, dao: Founded, documents: Path, tmp_path: Path
    ) -> None:
        manifest = published(dao, documents)
        with DirectoryBlobs(dao.party.home / "blocks") as stored:
            keys = (SecretKey(bytes(32)), SecretKey(bytes(32)))
            facts: dict[str, Any] = {"model": bytes(32), "settings": bytes(32), "dtype": "float32", "dimension": 4}
            root = store_snapshot(stored, memoryview(bytes(32)), manifest=Cid.parse(manifest), keys=keys, **facts)
            store_snapshot(stored, memoryview(bytes(32)), manifest=Cid.parse(dao.genesis), keys=keys, **facts)
        assert exported(dao, manifest, tmp_path / "bare.car")["snapshots"] == 0
        assert exported(dao, manifest, tmp_path / "one.car", "--snapshots")["snapshots"] == 1
        new = elsewhere(tmp_path, dao)
        assert new.json("dataset", "import", tmp_path / "one.car")["snapshots"] == 1
        with DirectoryBlobs(new.home / "blocks") as blobs:
            assert blobs.has(root)

    def test_a_file_that_is_there_is_not_replaced_and_a_full_disk_leaves_none(
        self, dao: Founded, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = published(dao, documents)
        exported(dao, manifest, tmp_path / "one.car")
        assert "already" in dao.party.refused("dataset", "export", manifest, "--car", tmp_path / "one.car")
        assert "does not exist" in dao.party.refused("dataset", "export", manifest, "--car", tmp_path / "no" / "x.car")
        from cli import dataset_export

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(dataset_export, "write_car", full)
        assert "free some room" in dao.party.refused("dataset", "export", manifest, "--car", tmp_path / "two.car")
        assert sorted(path.name for path in tmp_path.glob("*two.car*")) == []
        assert list(dao.party.home.glob(".exporting*")) == []
