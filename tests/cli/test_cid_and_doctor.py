"""`coffer cid` against the shared vectors, and `coffer doctor`."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from cli.doctor import tee_check
from enclave.attestation.attesters.here import machines_here
from storage.unixfs import directory_cid, file_tree
from tests.cli.conftest import Party
from tests.shared_data import shared


def test_small_files_have_the_cids_of_the_vectors(party: Party, tmp_path: Path) -> None:
    vectors = json.loads(shared("vectors/cid.json").read_text())["vectors"]
    small = [vector for vector in vectors if vector["kind"] == "file" and "utf8" in vector["data"]]
    assert small
    for vector in small:
        file = tmp_path / vector["id"]
        file.write_text(vector["data"]["utf8"])
        assert party.run("cid", file, "--profile", vector["profile"]).stdout.strip() == vector["cid"]
        assert party.json("cid", file, "--profile", vector["profile"])["cid"] == vector["cid"]


def test_a_folder_has_a_cid_that_depends_on_all_in_it(party: Party, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a").write_text("x")
    first = party.run("cid", folder).stdout
    assert first == party.run("cid", folder).stdout
    (folder / "inner" / "a").write_text("y")
    assert party.run("cid", folder).stdout != first


def test_a_folder_so_large_that_it_is_sharded_has_a_cid_too(party: Party, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(3500):
        (folder / f"{number:040}").touch()
    empty = file_tree(b"")
    cid = directory_cid({f"{number:040}": empty for number in range(3500)})
    assert party.run("cid", folder).stdout.strip() == str(cid)


@pytest.mark.parametrize("kind", ["link", "pipe", "gone"])
def test_what_is_neither_file_nor_folder_is_refused(party: Party, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if kind == "link":
        (folder / "a").symlink_to("/etc/hostname")
    if kind == "pipe":
        os.mkfifo(folder / "a")
    party.refused("cid", folder if kind != "gone" else folder / "gone")
    party.refused("cid", folder, "--profile", "nonsense", code=2)


def test_doctor_says_what_is_here_and_what_absence_means(party: Party) -> None:
    shown = party.json("doctor")
    checks = {check["what"]: check for check in shown["checks"]}
    assert shown["ok"] and {"GPU", "TEE", "model", "database", "storage"} <= set(checks)
    assert all(check["meaning"] for check in checks.values() if check["state"] != "ok")
    assert checks["database"]["found"].endswith("migrated")


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("COFFER_MODEL_SHA256", "00" * 32, "model"),
        ("COFFER_MODEL_SHA256", "zz", "model"),
        ("COFFER_MODEL", "no-such-model", "model"),
        ("COFFER_RECORDS", "nonsense", "database"),
        ("COFFER_RECORDS", "postgresql://user:hunter2@127.0.0.1:1/coffer", "database"),
        ("COFFER_STORAGE", "/dev/null/x", "storage"),
        ("COFFER_STORAGE", "/ip4/127.0.0.1/tcp/1", "storage"),
        ("COFFER_ENCLAVE", "127.0.0.1:1", "enclave"),
        ("COFFER_CUSTODIANS", '["127.0.0.1:1"]', "custodian"),
    ],
)
def test_doctor_names_what_is_broken_and_exits_1(party: Party, name: str, value: str, what: str) -> None:
    party.env[name] = value
    result = party.run("doctor", "--json", code=1)
    broken = [check["what"] for check in json.loads(result.stdout)["checks"] if check["state"] == "broken"]
    assert broken == [what]
    assert "hunter2" not in result.output


def test_doctor_before_init_makes_nothing(tmp_path: Path) -> None:
    party = Party(tmp_path / "none")
    assert "coffer init" in party.run("doctor").stdout
    assert not party.home.exists()


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_doctor_only_looks(party: Party) -> None:
    before = contents(party.home)
    assert party.json("doctor")["ok"]
    assert contents(party.home) == before


@pytest.mark.parametrize("setting", ["COFFER_RECORDS", "COFFER_STORAGE"])
def test_doctor_makes_no_records_and_no_storage_elsewhere(party: Party, tmp_path: Path, setting: str) -> None:
    place = tmp_path / "elsewhere" / "place"
    party.env[setting] = f"sqlite:///{place}" if setting == "COFFER_RECORDS" else str(place)
    checks = {check["what"]: check for check in party.json("doctor")["checks"]}
    assert checks["database" if setting == "COFFER_RECORDS" else "storage"]["state"] == "absent"
    assert not place.parent.exists()


def test_doctor_finds_records_that_are_none(party: Party, tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"no database at all" * 100)
    party.env["COFFER_RECORDS"] = f"sqlite:///{tmp_path}/records.db"
    result = party.run("doctor", "--json", code=1)
    (broken,) = [check for check in json.loads(result.stdout)["checks"] if check["state"] == "broken"]
    assert broken["what"] == "database"


def test_a_machine_that_can_prove_itself_is_found(tmp_path: Path) -> None:
    nothing = {"tsm": tmp_path / "report", "nsm": tmp_path / "nsm", "dstack": tmp_path / "dstack.sock"}
    assert tee_check(machines_here(**nothing)).state == "absent"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(nothing["dstack"]))
        found = tee_check(machines_here(**nothing))
    assert found.state == "ok" and found.found == f"dstack through {nothing['dstack']}"


def test_every_command_teaches(party: Party) -> None:
    for command in ("init", "query", "cid", "doctor", "dao init", "dao propose", "dataset seal", "license accept"):
        assert "Usage" in party.run(*command.split(), "--help").stdout
