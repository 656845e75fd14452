"""`coffer dataset backup` and `restore`: a data key on paper and back, and nothing but the right words does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from shamir_mnemonic import combine_mnemonics

from cli.keyring import read_keys
from cli.wallets import open_wallet
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from tests.cli.conftest import PASSWORD, Founded, LocalCustodian
from vault.delivery import manifest_at
from vault.publishing import Sealed


@pytest.fixture
def dataset(dao: Founded, tmp_path: Path) -> str:
    (tmp_path / "a.txt").write_text("The harbor closes at noon on Sundays.")
    return str(dao.party.json("dataset", "seal", tmp_path / "a.txt", "--owner", "owner")["manifest"])


def key_file(dao: Founded) -> Path:
    (path,) = (dao.party.home / "keys").glob("*")
    return path


def kept(dao: Founded, dataset: str) -> Sealed:
    manifest = manifest_at(Cid.parse(dataset), DirectoryBlobs(dao.party.home / "staging"))
    wallet = open_wallet(dao.party.home / "wallets" / "owner.json", PASSWORD)
    return read_keys(key_file(dao), manifest, wallet)


def backup(dao: Founded, dataset: str, *more: object) -> dict[str, Any]:
    return dao.party.json("dataset", "backup", dataset, "--owner", "owner", *more)


def restore(dao: Founded, dataset: str, lists: Sequence[str], *more: object) -> dict[str, Any]:
    words = "\n".join(lists).encode()
    return dao.party.json("dataset", "restore", dataset, "--owner", "owner", *more, input=words)


def refused(dao: Founded, dataset: str, lists: Sequence[str], *more: object) -> str:
    words = "\n".join(lists).encode()
    sentence = dao.party.refused("dataset", "restore", dataset, "--owner", "owner", *more, input=words)
    assert not any(" ".join(pair) in sentence for one in lists for pair in pairwise(one.split()))
    return sentence


def test_there_and_back(dao: Founded, dataset: str) -> None:
    before = kept(dao, dataset)
    made = backup(dao, dataset)
    assert (made["shares"], made["of"], len(made["lists"]), made["manifest"]) == (2, 3, 3, dataset)
    assert (made["genesis"], made["key_version"]) == (dao.genesis, 1)
    assert combine_mnemonics(made["lists"][1:]) == before.key.reveal()
    key_file(dao).unlink()
    assert restore(dao, dataset, made["lists"][1:])["dataset"] == made["dataset"]
    assert kept(dao, dataset) == before  # with one custodian the share is the key, so publishing goes on
    assert key_file(dao).stat().st_mode & 0o777 == 0o600
    dao.party.run("dataset", "publish", dataset, "--owner", "owner", "--custodian", "one:1")


def test_what_is_printed_can_be_read_again(dao: Founded, dataset: str, tmp_path: Path) -> None:
    shown = dao.party.run("dataset", "backup", dataset, "--owner", "owner", "--shares", "3", "--of", "5")
    assert "these words are the key" in shown.stderr
    assert dataset in shown.stdout and dao.genesis in shown.stdout
    (tmp_path / "typed").write_text(shown.stdout)
    key_file(dao).unlink()
    dao.party.run("dataset", "restore", dataset, "--owner", "owner", "--from", tmp_path / "typed")
    assert kept(dao, dataset).key


def test_a_file_is_written_only_where_one_is_asked_for(dao: Founded, dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "words"
    shown = dao.party.run("dataset", "backup", dataset, "--owner", "owner", "--out", out)
    lists = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    assert len(lists) == 3 and out.stat().st_mode & 0o777 == 0o600
    assert not any(one in shown.output for one in lists) and "destroy the file" in shown.stderr
    assert "already" in dao.party.refused("dataset", "backup", dataset, "--owner", "owner", "--out", out)
    backup(dao, dataset)
    for path in dao.party.home.rglob("*"):
        assert not path.is_file() or lists[0].split()[0].encode() + b" " not in path.read_bytes()


def test_where_several_custodians_hold_shares_only_the_key_comes_back(
    dao: Founded, custodians: dict[str, LocalCustodian], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The harbor closes at noon on Sundays.")
    people = ("--treasury", dao.addresses["treasury"], "--member", dao.addresses["alice"])
    at = [option for name in ("one:1", "two:1", "three:1") for option in ("--custodian", name)]
    genesis = dao.party.json("dao", "init", "Several", *people, *at)["genesis"]
    sealed = ("dataset", "seal", tmp_path / "a.txt", "--owner", "owner", "--dao", genesis)
    dataset = dao.party.json(*sealed)["manifest"]
    lists = backup(dao, dataset)["lists"]
    key_file(dao).unlink()
    assert restore(dao, dataset, lists)["custodian_shares"] == 0
    assert kept(dao, dataset).shares == ()
    told = dao.party.refused("dataset", "publish", dataset, "--owner", "owner", *at)
    assert "came back from paper, without the custodians' shares" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lists, other: lists[:1], "2 different lists of this backup are needed, and 1 came"),
        (lambda lists, other: [lists[0], lists[0]], "2 different lists of this backup are needed, and 1 came"),
        (lambda lists, other: [lists[0], other[1]], "list 2 is of another backup"),
        (lambda lists, other: [], "lists of words are needed, not 0"),
        (lambda lists, other: [lists[0], lists[1].rpartition(" ")[0]], "list 2 has another number of words"),
        (lambda lists, other: [lists[0], lists[1].replace(" ", " bitcoin ", 1).rpartition(" ")[0]], "word 2 of list 2"),
        (lambda lists, other: ["é" * 5], "plain ASCII"),
        (lambda lists, other: ["x" * (1 << 17)], "more than 65536 bytes"),
    ],
    ids=["too few", "twice", "mixed", "none", "cut", "stranger", "not ASCII", "too long"],
)
def test_wrong_words_are_refused_and_nothing_is_kept(dao: Founded, dataset: str, change: Any, told: str) -> None:
    lists, other = backup(dao, dataset)["lists"], backup(dao, dataset)["lists"]
    key_file(dao).unlink()
    assert told in refused(dao, dataset, change(lists, other))
    assert list((dao.party.home / "keys").glob("*")) == []


def test_another_datasets_words_are_refused(dao: Founded, dataset: str, tmp_path: Path) -> None:
    lists = backup(dao, dataset)["lists"]
    key_file(dao).unlink()
    (tmp_path / "b.txt").write_text("Tide tables are printed in May.")
    other = dao.party.json("dataset", "seal", tmp_path / "b.txt", "--owner", "owner")["manifest"]
    key_file(dao).unlink()
    assert "another key than this dataset's" in refused(dao, other, lists)


def test_a_key_that_is_there_is_not_replaced(dao: Founded, dataset: str) -> None:
    lists = backup(dao, dataset)["lists"]
    before = key_file(dao).read_bytes()
    assert "in the keyring already" in refused(dao, dataset, lists)
    assert key_file(dao).read_bytes() == before


def test_only_its_owner_backs_a_key_up_or_restores_it(dao: Founded, dataset: str) -> None:
    assert "owner is" in dao.party.refused("dataset", "backup", dataset, "--owner", "alice")
    lists = backup(dao, dataset)["lists"]
    key_file(dao).unlink()
    told = dao.party.refused("dataset", "restore", dataset, "--owner", "alice", input="\n".join(lists).encode())
    assert "owner is" in told


def test_a_manifest_in_a_file_will_do(dao: Founded, dataset: str, tmp_path: Path) -> None:
    cid = Cid.parse(dataset)
    (tmp_path / "manifest").write_bytes(DirectoryBlobs(dao.party.home / "staging").get(cid))
    before, lists = kept(dao, dataset), backup(dao, dataset)["lists"]
    key_file(dao).unlink()
    DirectoryBlobs(dao.party.home / "staging").delete(cid)
    assert "no manifest" in refused(dao, dataset, lists)
    other = str(Cid.of(cid.codec, b"other"))
    assert "not " + other in refused(dao, other, lists, "--manifest-file", tmp_path / "manifest")
    restore(dao, dataset, lists, "--manifest-file", tmp_path / "manifest")
    wallet = open_wallet(dao.party.home / "wallets" / "owner.json", PASSWORD)
    assert read_keys(key_file(dao), before.manifest, wallet) == before


def test_one_of_several_is_refused(dao: Founded, dataset: str) -> None:
    told = dao.party.refused("dataset", "backup", dataset, "--owner", "owner", "--shares", "1", "--of", "2")
    assert "one of several lists would be the key itself" in told
    assert len(backup(dao, dataset, "--shares", "1", "--of", "1")["lists"]) == 1


def test_what_is_no_manifest_is_said_to_be_none(dao: Founded, dataset: str, tmp_path: Path) -> None:
    lists = backup(dao, dataset)["lists"]
    key_file(dao).unlink()
    for content in (b"", b"anything", b"\xa0"):
        (tmp_path / "manifest").write_bytes(content)
        told = refused(dao, dataset, lists, "--manifest-file", tmp_path / "manifest")
        assert f"{tmp_path}/manifest is not a dataset's manifest" in told
    os.mkfifo(tmp_path / "pipe")
    for option in ("--manifest-file", "--from"):
        assert "pipe is not a file" in refused(dao, dataset, lists, option, tmp_path / "pipe")
    assert list((dao.party.home / "keys").glob("*")) == []


def test_a_key_in_the_clear_makes_no_folders(dao: Founded, dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "none" / "dir" / "lists"
    told = dao.party.refused("dataset", "backup", dataset, "--owner", "owner", "--out", out)
    assert f"folder {out.parent} does not exist" in told
    assert not (tmp_path / "none").exists()
