"""`coffer custodian backup` and `restore`: one sealed file, whole or refused, and a custodian that knows it is old."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cli import custodian_backup, wiring
from cli.home import Home, settings_from
from cli.sealed_files import write_sealed
from cli.sealed_stream import CHUNK_BYTES, SealedReader, SealedWriter
from enclave.keys import InstanceKeys
from storage.errors import StorageFull
from tests import builders
from tests.attacks.release.asking import Asking, log_root
from tests.builders import Scope, seeded
from tests.cli.conftest import PASSWORD, Party
from tests.enclaves import Clock, Custodians, LocalCustodian, World, opening, world
from tests.peers import others, visit
from tests.postgres import Cluster
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.errors import ForkedHistory, MalformedObject, NotYet, Revoked, WrongKey
from vault.window import Anchor

pytest_plugins = ["tests.records"]

SEED = seeded("custodian 0") + seeded("hpke 0", 128)  # of the charter's first custodian
BEFORE, LATER = (Anchor(sequence=n, mac=seeded(f"entry {n}")) for n in (5, 9))


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> World:
    made = replace(world(custodians=3), clock=Clock())
    monkeypatch.setattr(wiring, "clock", made.clock)
    return made


@pytest.fixture
def custodians(setting: World, tmp_path: Path) -> Iterator[Custodians]:
    """The others, and a stand-in at index 0 for the one that is at the terminal."""
    with Custodians(setting, tmp_path) as made:
        yield made


@contextmanager
def at_work(party: Party, records: str = "") -> Iterator[Custody]:
    """Open the custodian of a home as `coffer custodian serve` does."""
    settings = settings_from(home=party.home, records=records)
    with wiring.open_database(settings) as opened:
        yield wiring.make_custody(settings, wiring.open_custodian_keys(Home(party.home), PASSWORD), opened)


@pytest.fixture
def party(tmp_path: Path) -> Party:
    made = Party(tmp_path / "custodian")
    write_sealed(made.home / "custodian.key", SEED, password=PASSWORD, purpose="custodian keys")
    return made


class Served:
    """The custodian of a home beside two others, with an instance that serves."""

    def __init__(self, party: Party, custodians: Custodians, setting: World) -> None:
        self.party, self.custodians, self.setting = party, custodians, setting
        self.instance = InstanceKeys.fresh()
        with at_work(party) as custody:
            self.custodians.all[0] = custody
            self.custodians.submit(setting.history)
            custody.deposit_share(setting.dataset.manifest, setting.dataset.deposits[0])
            self.on_all(custody, lambda asking: (asking.release(), asking.renew(BEFORE)))

    def on_all(self, custody: Custody, ask: object) -> None:
        self.custodians.all[0] = custody
        for index in range(3):
            ask(Asking(self.setting, self.custodians, index=index, keys=self.instance))  # type: ignore[operator]

    def asking(self, custody: Custody, keys: InstanceKeys | None = None) -> Asking:
        asking = Asking(self.setting, self.custodians, keys=keys)
        asking.custody = custody
        return asking


@pytest.fixture
def served(party: Party, custodians: Custodians, setting: World) -> Served:
    return Served(party, custodians, setting)


@pytest.fixture
def file(served: Served, tmp_path: Path) -> Path:
    served.party.run("custodian", "backup", tmp_path / "backup")
    return tmp_path / "backup"


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith((".", "new")))


def refused(file: Path, home: Path, **env: str) -> str:
    told = Party(home, env=env).refused("custodian", "restore", file)
    assert left_behind(home.parent) == []
    return told


def test_a_backup_says_what_it_holds_and_shows_nothing(served: Served, tmp_path: Path) -> None:
    shown = served.party.json("custodian", "backup", tmp_path / "backup")
    assert shown["custodian"] == served.setting.dao.custodians[0].signing.public.hex()
    assert shown["records"] >= 5 and shown["blocks"] >= 5
    content = (tmp_path / "backup").read_bytes()
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    for secret in (SEED, SEED[:32], served.setting.genesis.binary, served.setting.dataset.deposits[0].sealed):
        assert secret not in content


def test_restored_alone_it_signs_nothing(served: Served, file: Path, tmp_path: Path) -> None:
    shown = Party(tmp_path / "new").json("custodian", "restore", file)
    assert (shown["custodian"], shown["taken_at"]) == (
        served.setting.dao.custodians[0].signing.public.hex(),
        served.setting.clock(),
    )
    served.setting.clock.advance(10_000)
    with at_work(Party(tmp_path / "new")) as custody, pytest.raises(NotYet, match="2 other custodians"):
        served.asking(custody).challenge()


def test_restored_among_the_others_it_catches_up_and_agrees_with_them(
    served: Served, file: Path, tmp_path: Path
) -> None:
    setting = served.setting
    with at_work(served.party) as custody:  # what comes after the backup
        served.on_all(custody, lambda asking: asking.renew(LATER))
        second = builders.sealed_dataset(setting.dao, version=2, previous=setting.dataset.manifest.cid())
        served.custodians.deposit(second)
    Party(tmp_path / "new").run("custodian", "restore", file)
    setting.clock.advance(NONCE_LIFETIME_S)
    with at_work(Party(tmp_path / "new")) as custody:
        visit(custody, others(served.custodians))
        with pytest.raises(NotYet, match="another instance"):
            served.asking(custody).release(anchor=LATER)
        with pytest.raises(ForkedHistory, match="anchored"):
            served.asking(custody, served.instance).renew(BEFORE)
        three = [custody, *served.custodians.all[1:]]
        asked = opening(setting, [LocalCustodian(one) for one in three], keys=served.instance)
        assert len(asked.renew(LATER, log_root(LATER), setting.history).leases) == 3
        custody.deposit_share(second.manifest, second.deposits[0])


def test_a_revocation_since_the_backup_holds(served: Served, file: Path, tmp_path: Path) -> None:
    setting = served.setting
    after = setting.decided(builders.carried(setting.history, builders.revoking(Scope.DAO)))
    for custody in served.custodians.all[1:]:
        custody.submit_head(after.head.cid(), setting.blocks().items())
    Party(tmp_path / "new").run("custodian", "restore", file)
    setting.clock.advance(NONCE_LIFETIME_S)
    with at_work(Party(tmp_path / "new")) as custody:
        visit(custody, others(served.custodians))
        with pytest.raises(Revoked):
            served.asking(custody, served.instance).renew(BEFORE)


def test_it_moves_from_sqlite_to_postgresql_and_back(
    served: Served, file: Path, tmp_path: Path, postgres_cluster: Cluster
) -> None:
    url = postgres_cluster.create_database()
    there = Party(tmp_path / "there", env={"COFFER_RECORDS": url})
    moved = there.json("custodian", "restore", file)
    again = there.json("custodian", "backup", tmp_path / "again")
    assert (again["records"], again["blocks"]) == (moved["records"] + 1, moved["blocks"])  # and that it was restored
    back = Party(tmp_path / "back")
    assert back.json("custodian", "restore", tmp_path / "again")["records"] == again["records"]
    with at_work(back) as custody, pytest.raises(NotYet, match="2 other custodians"):
        served.asking(custody).challenge()
    other = Party(tmp_path / "other", env={"COFFER_RECORDS": url})
    assert "holds a custodian already" in other.refused("custodian", "restore", file)
    assert not other.home.exists()


def test_a_wrong_password_opens_nothing(file: Path, tmp_path: Path) -> None:
    told = refused(file, tmp_path / "new", COFFER_PASSWORD=PASSWORD + "!")
    assert "the password does not open it, or it was changed" in told


@pytest.mark.parametrize("kept", [0, 3, 60, 200, -1, -17])
def test_a_file_cut_short_is_refused(file: Path, tmp_path: Path, kept: int) -> None:
    (tmp_path / "cut").write_bytes(file.read_bytes()[:kept])
    assert "cannot be restored" in refused(tmp_path / "cut", tmp_path / "new")


@pytest.mark.parametrize("place", [3, 40, 90, 5000, -1])
def test_a_changed_file_is_refused(file: Path, tmp_path: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    (tmp_path / "changed").write_bytes(content)
    assert "cannot be restored" in refused(tmp_path / "changed", tmp_path / "new")


def test_a_longer_file_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(file.read_bytes() + b"\0")
    assert "cannot be restored" in refused(tmp_path / "longer", tmp_path / "new")


def test_other_files_and_other_versions_are_refused(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(served.party.home / "custodian.key", tmp_path / "new")
    assert "this is no custodian backup of this version" in told
    monkeypatch.setattr(custodian_backup.BackupHead, "TYPE", "coffer/custodian-backup/v2")
    served.party.run("custodian", "backup", tmp_path / "later")
    monkeypatch.undo()
    assert "cannot be restored" in refused(tmp_path / "later", tmp_path / "new")


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"table": "journal", "row": {}}, "another version"),
        ({"table": "custody_head", "row": {"genesis": bytes(36), "epoch": 0}}, "another version"),
        ({"table": "custody_head", "row": {"genesis": bytes(36), "epoch": "0", "head": bytes(36)}}, "another kind"),
        ({"table": "custody_head", "row": {"genesis": bytes(3), "epoch": 0, "head": bytes(36)}}, "outside what"),
        ({"unknown": 1}, "belongs in no backup"),
        ({"rows": 7, "blocks": 0}, "belongs in no backup"),
    ],
)
def test_strange_entries_are_refused(party: Party, tmp_path: Path, item: dict[str, object], told: str) -> None:
    """Only who knows the password could have written them: another version of this software."""
    with (tmp_path / "strange").open("wb") as target:
        sealed = SealedWriter(target, password=PASSWORD, purpose=custodian_backup.PURPOSE)
        head = custodian_backup.BackupHead(seed=SEED, taken_at=1)
        for value in (head.value(), item):
            custodian_backup._put(sealed, value)  # type: ignore[arg-type]
        sealed.finish()
    assert told in refused(tmp_path / "strange", tmp_path / "new")


def test_a_home_that_holds_something_is_left_alone(served: Served, file: Path) -> None:
    before = sorted(path.name for path in served.party.home.iterdir())
    assert "is not empty" in served.party.refused("custodian", "restore", file)
    assert sorted(path.name for path in served.party.home.iterdir()) == before


def test_an_empty_home_will_do(file: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    Party(tmp_path / "new").run("custodian", "restore", file)
    assert (tmp_path / "new" / "custodian.key").exists()


def test_a_full_disk_leaves_nothing(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageFull("no room left on the disk")

    monkeypatch.setattr("storage.directory.DirectoryBlobs.put", full)
    assert "no room" in refused(file, tmp_path / "new")


def test_a_file_that_is_there_is_not_overwritten(served: Served, file: Path) -> None:
    before = file.read_bytes()
    assert "already" in served.party.refused("custodian", "backup", file)
    assert file.read_bytes() == before


def test_a_home_without_a_custodian_has_nothing_to_back_up(tmp_path: Path) -> None:
    told = Party(tmp_path / "none").refused("custodian", "backup", tmp_path / "backup")
    assert "no custodian" in told and not (tmp_path / "backup").exists()


class TestSealedStream:
    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
    def test_any_size_comes_back(self, tmp_path: Path, size: int) -> None:
        path = self.written(tmp_path, seeded("data", 1000) * (size // 1000) + bytes(size % 1000))
        with path.open("rb") as file:
            reader = SealedReader(file, password=PASSWORD, purpose="test")
            assert len(reader.read(size)) == size
            reader.end()

    def test_chunks_keep_their_places(self, tmp_path: Path) -> None:
        path = self.written(tmp_path, bytes(4 * CHUNK_BYTES))
        content, chunk = path.read_bytes(), CHUNK_BYTES + 16
        start = len(content) - 4 * chunk
        parts = [content[start + n * chunk : start + (n + 1) * chunk] for n in range(4)]
        for order in ([1, 0, 2, 3], [0, 2, 3], [0, 1, 2], [0, 1, 2, 3, 3], [0, 1, 3]):
            path.write_bytes(content[:start] + b"".join(parts[n] for n in order))
            with path.open("rb") as file, pytest.raises(WrongKey):
                SealedReader(file, password=PASSWORD, purpose="test").read(4 * CHUNK_BYTES)

    def test_more_than_was_read_is_noticed(self, tmp_path: Path) -> None:
        with self.written(tmp_path, bytes(10)).open("rb") as file:
            reader = SealedReader(file, password=PASSWORD, purpose="test")
            reader.read(9)
            with pytest.raises(MalformedObject):
                reader.end()
            with pytest.raises(MalformedObject):
                reader.read(2)

    def test_a_file_for_another_purpose_is_named(self, tmp_path: Path) -> None:
        with (
            self.written(tmp_path, b"").open("rb") as file,
            pytest.raises(MalformedObject, match="this is a test, not a backup"),
        ):
            SealedReader(file, password=PASSWORD, purpose="backup")

    def written(self, folder: Path, data: bytes) -> Path:
        with (folder / "sealed").open("wb") as file:
            writer = SealedWriter(file, password=PASSWORD, purpose="test")
            writer.write(data)
            writer.finish()
        return folder / "sealed"


def test_a_backup_into_no_folder_names_the_folder(served: Served, tmp_path: Path) -> None:
    told = served.party.refused("custodian", "backup", tmp_path / "none" / "backup")
    assert f"folder {tmp_path / 'none'} does not exist" in told
    assert not (tmp_path / "none").exists()


def test_a_file_that_cannot_be_made_is_named_as_it_was_meant(served: Served, tmp_path: Path) -> None:
    name = "x" * 250  # the temporary file's own name is longer than any
    assert f"{tmp_path / name}: File name too long" in served.party.refused("custodian", "backup", tmp_path / name)


def test_a_pipe_is_no_backup(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(tmp_path / "pipe", tmp_path / "new")
