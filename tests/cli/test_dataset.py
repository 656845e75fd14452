"""`coffer dataset`: sealing real files, publishing so that it can be done again, and what goes wrong on the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import wiring
from cli.keyring import read_keys
from cli.wallets import open_wallet
from storage import directory
from storage.cid import Cid
from tests.cli.conftest import PASSWORD, Founded, LocalCustodian
from tests.faults import FlippedBit, Full, Unavailable
from vault.delivery import manifest_at
from vault.errors import MalformedObject, WrongKey

TEXT = "The harbor closes at noon on Sundays."


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    (folder / "b.md").write_text("# Tides\n\nTide tables are printed in May.")
    return folder


def sealed(dao: Founded, documents: Path, *more: str) -> dict[str, Any]:
    return dao.party.json("dataset", "seal", documents, "--owner", "owner", "--title", "Tides", *more)


def staged(dao: Founded) -> list[Path]:
    return [path for path in (dao.party.home / "staging").rglob("bafy*")] + [
        path for path in (dao.party.home / "staging").rglob("bafk*")
    ]


def keys(dao: Founded) -> list[Path]:
    return list((dao.party.home / "keys").glob("*"))


def publish(dao: Founded, manifest: str, *more: str) -> dict[str, Any]:
    return dao.party.json("dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", *more)


def test_sealing_publishing_and_verifying(dao: Founded, documents: Path, custodians: dict[str, LocalCustodian]) -> None:
    made = sealed(dao, documents, "--allow-simulated")
    assert (made["state"], made["documents"], made["passages"], made["skipped"]) == ("sealed", 2, 2, [])
    assert publish(dao, made["manifest"])["custodians"] == 1
    assert (custodians["one:1"].deposits, staged(dao)) == (1, [])
    shown = dao.party.json("dataset", "show", made["manifest"])
    assert (shown["owner"], shown["allow_simulated"], shown["version"]) == (dao.addresses["owner"], True, 1)
    assert not dao.party.json("dataset", "verify", made["manifest"])["decrypted"]
    assert dao.party.json("dataset", "verify", made["manifest"], "--owner", "owner")["decrypted"]
    assert dao.party.json("dataset", "list")["datasets"][0]["state"] == "published"
    assert made["manifest"] in dao.party.run("dataset", "list").stdout


def test_no_plaintext_and_no_key_is_on_disk(dao: Founded, documents: Path) -> None:
    made = sealed(dao, documents)
    publish(dao, made["manifest"])
    owner = open_wallet(dao.party.home / "wallets" / "owner.json", PASSWORD)
    manifest = manifest_at(Cid.parse(made["manifest"]), directory.DirectoryBlobs(dao.party.home / "blocks"))
    secret = read_keys(keys(dao)[0], manifest, owner).key.reveal()
    for path in dao.party.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert TEXT.encode() not in content and secret not in content and secret.hex().encode() not in content
    assert keys(dao)[0].stat().st_mode & 0o777 == 0o600


def test_the_keyring_opens_for_its_owner_and_unchanged_alone(dao: Founded, documents: Path) -> None:
    made = sealed(dao, documents)
    manifest = manifest_at(Cid.parse(made["manifest"]), directory.DirectoryBlobs(dao.party.home / "staging"))
    owner, other = (open_wallet(dao.party.home / "wallets" / f"{who}.json", PASSWORD) for who in ("owner", "alice"))
    path = keys(dao)[0]
    with pytest.raises(WrongKey):
        read_keys(path, manifest, other)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes((content[place] ^ 1,)) + content[place + 1 :])
        with pytest.raises((WrongKey, MalformedObject)):
            read_keys(path, manifest, owner)


@pytest.mark.parametrize(
    "command",
    [
        ("publish", "--custodian", "one:1"),
        ("verify",),
        ("reseal",),
        ("delete", "--yes", "--custodian", "one:1"),
        ("receipts",),
        ("backup", "--shares", "2", "--of", "3"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.usefixtures("custodians")
def test_anothers_wallet_is_told_whose_it_takes(dao: Founded, documents: Path, command: tuple[str, ...]) -> None:
    manifest = sealed(dao, documents)["manifest"]
    name, *more = command
    said = dao.party.refused("dataset", name, manifest, "--owner", "alice", *more)
    assert f"the dataset's owner is {dao.addresses['owner']}; use that wallet" in said
    assert len(keys(dao)) == 1


def test_whatever_is_not_read_is_reported_with_why(dao: Founded, documents: Path) -> None:
    (documents / "bad.pdf").write_bytes(b"%PDF-1.4 junk")
    (documents / "binary.txt").write_bytes(bytes(range(256)) * 4)
    (documents / "latin.txt").write_bytes(b"caf\xe9")
    (documents / "photo.jpg").write_bytes(b"\xff\xd8")
    (documents / "blank.txt").write_text(" \n ")
    (documents / "none").mkdir()
    made = sealed(dao, documents)
    assert made["documents"] == 2
    assert {skipped["name"].removeprefix("docs/") for skipped in made["skipped"]} == {
        *("bad.pdf", "binary.txt", "latin.txt", "photo.jpg", "blank.txt")
    }
    assert all(len(skipped["reason"]) > 10 for skipped in made["skipped"])
    said = dao.party.run("dataset", "seal", documents, "--owner", "owner").stdout
    assert said.count("skipped docs/") == 5 and "2 documents, 2 passages" in said


@pytest.mark.parametrize("content", [None, b"", b"\x00\x01", b"   "])
def test_where_nothing_can_be_read_nothing_is_sealed(dao: Founded, tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    if content is not None:
        (folder / "a.txt").write_bytes(content)
    said = dao.party.refused("dataset", "seal", folder, "--owner", "owner")
    assert "nothing was sealed" in said
    assert (staged(dao), keys(dao), dao.party.json("dataset", "list")["datasets"]) == ([], [], [])


def test_stdin_is_read_by_the_suffix_of_its_name(dao: Founded) -> None:
    rows = b'{"text": "one"}\n{"text": "two"}\n'
    made = dao.party.json("dataset", "seal", "-", "--name", "rows.jsonl", "--owner", "owner", input=rows)
    assert made["documents"] == 2
    assert "does not exist" in dao.party.refused("dataset", "seal", "-", "x", "--owner", "owner", input=b"text")
    assert "read alone" in dao.party.refused("dataset", "seal", "-", "-", "--owner", "owner", input=b"text")


def test_a_path_that_is_not_there_is_one_sentence(dao: Founded, tmp_path: Path) -> None:
    assert "does not exist" in dao.party.refused("dataset", "seal", tmp_path / "gone", "--owner", "owner")


def test_a_wrong_password_seals_nothing(dao: Founded, documents: Path) -> None:
    dao.party.env["COFFER_PASSWORD"] = "wrong one"  # noqa: S105
    assert "password" in dao.party.refused("dataset", "seal", documents, "--owner", "owner")
    assert staged(dao) == []


def test_a_full_disk_while_sealing_leaves_nothing_behind(
    dao: Founded, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = directory._write_flushed, iter(range(100))

    def full(path: Path, block: bytes) -> None:
        if next(calls) == 1:  # the second block
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, block)

    monkeypatch.setattr(directory, "_write_flushed", full)
    said = dao.party.refused("dataset", "seal", documents, "--owner", "owner")
    assert "no room left" in said
    assert (staged(dao), keys(dao), dao.party.json("dataset", "list")["datasets"]) == ([], [], [])


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put a fault around the storage, until called with None."""
    real = wiring.open_storage

    def put(fault: Any) -> None:
        monkeypatch.setattr(wiring, "open_storage", lambda settings: fault(real(settings)) if fault else real(settings))

    yield put
    put(None)


@pytest.mark.parametrize("fault", [Full, FlippedBit, Unavailable], ids=lambda fault: fault.__name__)
def test_publishing_goes_on_after_the_storage_is_mended(
    dao: Founded, documents: Path, broken: Any, custodians: dict[str, LocalCustodian], fault: type
) -> None:
    made = sealed(dao, documents)
    broken(fault)
    dao.party.refused("dataset", "publish", made["manifest"], "--owner", "owner", "--custodian", "one:1")
    assert custodians["one:1"].deposits == 0
    assert dao.party.json("dataset", "list")["datasets"][0]["state"] == "sealed"
    broken(None)
    assert publish(dao, made["manifest"])["state"] == "published"


def test_publishing_goes_on_after_a_custodian_was_down(
    dao: Founded, documents: Path, custodians: dict[str, LocalCustodian]
) -> None:
    made = sealed(dao, documents)
    custodians["one:1"].is_down = True
    said = dao.party.refused("dataset", "publish", made["manifest"], "--owner", "owner", "--custodian", "one:1")
    assert "cannot be reached" in said and "publish again" in said
    custodians["one:1"].is_down = False
    publish(dao, made["manifest"])
    assert publish(dao, made["manifest"])["state"] == "published"  # again is fine
    assert custodians["one:1"].deposits == 2


def test_another_wallet_cannot_publish(dao: Founded, documents: Path) -> None:
    made = sealed(dao, documents)
    said = dao.party.refused("dataset", "publish", made["manifest"], "--owner", "alice", "--custodian", "one:1")
    assert dao.addresses["owner"] in said


def test_verify_finds_a_flipped_bit(dao: Founded, documents: Path, broken: Any) -> None:
    made = sealed(dao, documents)
    publish(dao, made["manifest"])
    broken(FlippedBit)
    dao.party.refused("dataset", "verify", made["manifest"])


def test_the_next_version_follows_the_one_it_replaces(dao: Founded, documents: Path) -> None:
    first = sealed(dao, documents)
    publish(dao, first["manifest"])
    (documents / "c.txt").write_text("New moorings open in June.")
    second = dao.party.json("dataset", "seal", documents, "--owner", "owner", "--replaces", first["manifest"])
    assert (second["version"], second["dataset"], second["title"]) == (2, first["dataset"], "Tides")
    assert dao.party.json("dataset", "show", second["manifest"])["previous"] == first["manifest"]
    publish(dao, second["manifest"])
    again = ("dataset", "seal", documents, "--owner", "owner", "--replaces", first["manifest"])
    assert "version 2 of this dataset is sealed already" in dao.party.refused(*again)
    assert "0x" in dao.party.refused("dataset", "seal", documents, "--owner", "alice", "--replaces", first["manifest"])
    assert len(keys(dao)) == 2


@pytest.mark.parametrize("command", ["publish", "show", "verify"])
def test_what_is_no_dataset_is_refused(dao: Founded, command: str) -> None:
    owner = ("--owner", "owner") if command == "publish" else ()
    assert "is not a CID" in dao.party.refused("dataset", command, "nonsense", *owner, code=2)
    dao.party.refused("dataset", command, dao.genesis, *owner)


def test_an_unknown_model_hash_seals_nothing(dao: Founded, documents: Path) -> None:
    dao.party.env["COFFER_MODEL_SHA256"] = "00" * 32
    assert "expected 0000" in dao.party.refused("dataset", "seal", documents, "--owner", "owner")
    assert staged(dao) == []
