"""A dataset's archive, verified by itself; hostile or damaged ones, and kills, leave nothing or all."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from cli import wiring
from storage import directory
from storage.car import HEADER_BYTES_MAX
from storage.cid import DAG_CBOR, RAW, Cid
from tests.cli.carrying import NOTHING, Blocks, exported, parts, published, state, written
from tests.cli.conftest import PASSWORD, Clock, Founded, Party, founded, four_custodians
from vault.carrying import Carried


@pytest.fixture(scope="module")
def valid(
    first_home: Path, wallets: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Founded, Path]]:
    """A home with one published dataset of 200 documents, and the archive of it."""
    folder = tmp_path_factory.mktemp("valid")
    shutil.copytree(first_home, folder / "home")
    shutil.copytree(wallets[0], folder / "home" / "wallets")
    (folder / "docs").mkdir()
    for number in range(200):
        (folder / "docs" / f"{number}.txt").write_text(f"Berth {number}. " + "The tide turns at noon. " * 80)
    with four_custodians(folder, first_home, Clock()):
        dao = founded(Party(folder / "home"), wallets[1], "one:1", "--member", wallets[1]["alice"])
        exported(dao, published(dao, folder / "docs"), folder / "valid.car")
        yield dao, folder / "valid.car"


@pytest.fixture
def archive(valid: tuple[Founded, Path]) -> Path:
    return valid[1]


@pytest.fixture
def new(party: Party) -> Party:
    """A new machine's home."""
    return party


def rerooted(roots: list[Cid], blocks: Blocks, **fields: Any) -> tuple[list[Cid], Blocks]:
    root = replace(Carried.from_bytes(blocks[0][1]), **fields)
    return [root.cid()], [(root.cid(), root.encoded()), *blocks[1:]]


def with_forged_manifest(archive: Path) -> tuple[list[Cid], Blocks]:
    """Return an archive's parts with a manifest that its owner did not sign, named by the root."""
    from vault.manifest import Manifest

    roots, blocks = parts(archive)
    carried = Carried.from_bytes(blocks[0][1])
    forged = replace(Manifest.from_bytes(dict(blocks)[carried.manifest]), title="Forged")
    roots, blocks = rerooted(roots, blocks, manifest=forged.cid())
    return roots, [
        (forged.cid(), forged.encoded()) if cid == carried.manifest else (cid, block) for cid, block in blocks
    ]


STRANGER = (Cid.of(RAW, b"stranger"), b"stranger")


class TestVerifiedByItself:
    """`coffer dao verify` takes an archive for what it says of its DAO."""

    def test_every_link_of_its_dao_is_printed(self, valid: tuple[Founded, Path], new: Party, archive: Path) -> None:
        told = new.json("dao", "verify", archive)
        assert (told["verified"], told["genesis"]) == (True, valid[0].genesis)
        board = valid[0].party.json("dao", "verify")["links"]
        assert told["links"][:-1] == board
        assert "signed by its owner" in told["links"][-1]
        assert state(new) == NOTHING

    def test_it_is_read_only_up_to_its_manifest(self, new: Party, archive: Path, tmp_path: Path) -> None:
        roots, blocks = parts(archive)
        carried = Carried.from_bytes(blocks[0][1])
        end = [cid for cid, _ in blocks].index(carried.manifest)
        assert new.succeeds("dao", "verify", written(tmp_path / "short.car", roots, blocks[: end + 1]))
        said = new.refused("dao", "verify", written(tmp_path / "shorter.car", roots, blocks[:end]))
        assert "ends before its manifest" in said

    def test_another_dao_than_the_one_meant_is_refused(self, new: Party, archive: Path) -> None:
        said = new.refused("dao", "verify", archive, "--dao", STRANGER_CBOR)
        assert "is of DAO" in said

    def test_what_is_missing_from_its_affairs_is_found(self, new: Party, archive: Path, tmp_path: Path) -> None:
        roots, blocks = parts(archive)
        carried = Carried.from_bytes(blocks[0][1])
        end = [cid for cid, _ in blocks].index(carried.manifest)
        for number in range(1, end):
            left = [*blocks[:number], *blocks[number + 1 : end + 1]]
            (tmp_path / "hole.car").unlink(missing_ok=True)
            new.run("dao", "verify", written(tmp_path / "hole.car", roots, left), code=1)

    def test_a_manifest_that_its_owner_did_not_sign_is_found(self, new: Party, archive: Path, tmp_path: Path) -> None:
        said = new.run("dao", "verify", written(tmp_path / "hostile.car", *with_forged_manifest(archive)), code=1)
        assert "not as its owner signed it" in " ".join(said.stderr.split())


class TestHostile:
    """Each begins with a valid archive and breaks one fact; nothing of it may be left."""

    @pytest.mark.parametrize(
        "break_one",
        [
            lambda roots, blocks: ([], blocks),
            lambda roots, blocks: ([*roots, blocks[1][0]], blocks),
            lambda roots, blocks: ([blocks[1][0]], blocks),
            lambda roots, blocks: ([blocks[1][0]], blocks[1:]),
            lambda roots, blocks: (roots, []),
            lambda roots, blocks: (roots, blocks[:1]),
            lambda roots, blocks: (roots, blocks[:-1]),
            lambda roots, blocks: (roots, [*blocks[:3], *blocks[4:]]),
            lambda roots, blocks: (roots, [*blocks, STRANGER]),
            lambda roots, blocks: (roots, [*blocks[:2], STRANGER, *blocks[2:]]),
            lambda roots, blocks: (roots, [*blocks, blocks[-1]]),
            lambda roots, blocks: (roots, [*blocks[:2], blocks[1], *blocks[2:]]),
            lambda roots, blocks: (roots, [blocks[0], *reversed(blocks[1:])]),
            lambda roots, blocks: (roots, [*blocks[:-1], (blocks[-1][0], blocks[-1][1][:-1] + b"?")]),
            lambda roots, blocks: rerooted(roots, blocks, genesis=STRANGER_CBOR),
            lambda roots, blocks: rerooted(roots, blocks, head=STRANGER_CBOR),
            lambda roots, blocks: rerooted(roots, blocks, affairs=blocks[-1][0]),
            lambda roots, blocks: rerooted(roots, blocks, manifest=STRANGER_CBOR),
            lambda roots, blocks: rerooted(roots, blocks, snapshots=(STRANGER_CBOR,)),
            lambda roots, blocks: rerooted(roots, blocks, receipts=(STRANGER[0],)),
        ],
        ids=[
            *("no root", "two roots", "another root", "the root is missing", "no block", "only the root"),
            *("the last is missing", "one is missing", "one more", "one more in between", "the last twice"),
            *("one twice", "another order", "not its CID", "another DAO", "another head", "no affairs"),
            *("another manifest", "a snapshot that is not there", "a receipt that is not there"),
        ],
    )
    def test_an_archive_with_one_wrong_fact_leaves_nothing(
        self,
        new: Party,
        archive: Path,
        tmp_path: Path,
        break_one: Callable[[list[Cid], Blocks], tuple[list[Cid], Blocks]],
    ) -> None:
        hostile = written(tmp_path / "hostile.car", *break_one(*parts(archive)))
        new.refused("dataset", "import", hostile)
        assert state(new) == NOTHING

    def test_a_manifest_that_its_owner_did_not_sign_is_refused(self, new: Party, archive: Path, tmp_path: Path) -> None:
        said = new.refused("dataset", "import", written(tmp_path / "hostile.car", *with_forged_manifest(archive)))
        assert "not as its owner signed it" in said
        assert state(new) == NOTHING

    def test_a_cut_file_is_refused_wherever_it_was_cut(self, new: Party, archive: Path, tmp_path: Path) -> None:
        whole = archive.read_bytes()
        for size in (0, 1, 10, 60, len(whole) // 2, len(whole) - 1):
            (tmp_path / "cut.car").write_bytes(whole[:size])
            said = new.refused("dataset", "import", tmp_path / "cut.car")
            assert "allow more" not in said  # which nobody can
        assert state(new) == NOTHING

    @pytest.mark.parametrize(
        "data",
        [
            b"junk",
            b"\xff" * 10 + b"\x01",
            (1 << 40).to_bytes(9, "little"),
            b"\x80\x80\x80\x80\x10" + bytes(100),
            HEADER_BYTES_MAX.to_bytes(2, "little") + bytes(100),
        ],
    )
    def test_a_file_that_is_no_archive_is_one_sentence(self, new: Party, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "junk.car").write_bytes(data)
        assert "cannot be imported, and nothing of it was" in new.refused("dataset", "import", tmp_path / "junk.car")
        os.mkfifo(tmp_path / "pipe")
        assert "is not a file" in new.refused("dataset", "import", tmp_path / "pipe")
        assert state(new) == NOTHING

    def test_a_full_disk_leaves_nothing_and_the_import_is_done_again(
        self, new: Party, archive: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            left, real = [2], directory._write_flushed

            def full(path: Path, block: bytes) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                real(path, block)

            patch.setattr(directory, "_write_flushed", full)
            assert "no room left" in new.refused("dataset", "import", archive)
        assert left[0] < 0 and state(new) == NOTHING
        new.run("dataset", "import", archive)

    def test_another_manifest_for_a_version_that_is_here_is_refused(self, new: Party, archive: Path) -> None:
        from vault.records.catalog import Catalog

        manifest = Cid.parse(new.json("dataset", "import", archive)["manifest"])
        with wiring.open_database(wiring.Settings(home=new.home)) as records:
            catalog = Catalog(records)
            row = catalog.get(manifest)
            assert row is not None
            catalog.remove(row.manifest)
            catalog.add(replace(row, manifest=STRANGER_CBOR))
        assert "with another manifest" in new.refused("dataset", "import", archive)

    def test_two_imports_at_once_do_not_sweep_each_other(self, new: Party, archive: Path) -> None:
        import fcntl

        (new.home / "importing").mkdir()
        with (new.home / "importing" / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert "under way" in new.refused("dataset", "import", archive)
        new.run("dataset", "import", archive)


STRANGER_CBOR = Cid.of(DAG_CBOR, b"stranger")


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.slow)], ids=["twice", "a hundred times"])
def test_an_import_that_is_killed_leaves_nothing_or_all_and_is_done_again(
    valid: tuple[Founded, Path], new: Party, kills: int
) -> None:
    dao, many = valid
    seed = SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # to play it again
    env = os.environ | {"COFFER_HOME": str(new.home), "COFFER_PASSWORD": PASSWORD}
    command = [sys.executable, "-m", "cli.entry", "dataset", "import", str(many)]
    started = time.monotonic()
    subprocess.run(command, env=env | {"COFFER_HOME": str(dao.party.home)}, check=True, capture_output=True)  # noqa: S603
    whole_s = time.monotonic() - started
    draw = Random(seed)  # noqa: S311  # a test's choices
    for _ in range(kills):
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
            time.sleep(draw.uniform(0.3, 1.0) * whole_s)
            process.send_signal(signal.SIGKILL)
        rows = new.json("dataset", "list")["datasets"]
        assert all(new.json("dataset", "verify", row["manifest"])["bytes"] == row["sealed_bytes"] for row in rows)
    new.run("dataset", "import", many)
    (row,) = new.json("dataset", "list")["datasets"]
    assert new.json("dataset", "verify", row["manifest"])["bytes"] == row["sealed_bytes"]
    assert [path.name for path in (new.home / "importing").iterdir()] == [".lock"]
