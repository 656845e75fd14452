"""`coffer attest`: whole indexes checked, single files explained, and nothing hostile believed."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from enclave.attestation.simulated import UnsafeSimulatedAttester
from tests.cli.conftest import Party
from tests.shared_data import shared
from vault.machine import MachineKey

GARBAGE = b"\x84nothing that anybody signed"
AT = "2025-07-04T10:16:31Z"


@pytest.fixture
def visitor(tmp_path: Path) -> Party:
    """Somebody without a home of their own: looking at evidence needs none."""
    return Party(tmp_path / "none")


def garbage(id: str = "garbage", **changed: Any) -> dict[str, Any]:
    return {
        "id": id,
        "tee": "nitro",
        "files": [{"path": "document", "role": "cose_sign1", "sha256": sha256(GARBAGE).hexdigest()}],
        "verification_time": AT,
        "expected": {"strict_verdict": "reject", "reason_class": "parse_error"},
        **changed,
    }


def index_of(folder: Path, *cases: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "document").write_bytes(GARBAGE)
    index = folder / "index.json"
    index.write_text(json.dumps({"cases": cases}))
    return index


def copied(folder: Path, id: str) -> dict[str, Any]:
    """Copy the files of a captured case, and return the case."""
    cases = json.loads(shared("evidence/index.json").read_text())["cases"]
    (case,) = [case for case in cases if case["id"] == id]
    for file in case["files"]:
        (folder / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared(f"evidence/{file['path']}"), folder / file["path"])
    found: dict[str, Any] = case
    return found


def test_all_captured_cases_are_as_expected(visitor: Party) -> None:
    shown = visitor.json("attest", "check", shared("evidence/index.json"))
    assert shown["agrees"] and len(shown["cases"]) >= 62
    assert {"id", "tee", "verdict", "reason", "claims", "agrees", "differences"} <= set(shown["cases"][0])
    text = visitor.run("attest", "check", shared("evidence/index.json")).stdout
    assert "tdx-v4-b0c06f-uptodate" in text and "0 not, 0 not run" in text


def test_checking_needs_no_home_and_makes_none(visitor: Party, tmp_path: Path) -> None:
    assert "1 as expected" in visitor.run("attest", "check", index_of(tmp_path / "i", garbage())).stdout
    assert not visitor.home.exists()


def test_one_disagreement_is_named_and_exits_1(visitor: Party, tmp_path: Path) -> None:
    wrong = garbage("wrong", expected={"strict_verdict": "accept"})
    result = visitor.run("attest", "check", index_of(tmp_path / "i", garbage(), wrong), code=1)
    assert "wrong: verdict: found reject" in result.stdout
    assert "2 cases: 1 as expected, 1 not, 0 not run" in result.stdout
    shown = json.loads(visitor.run("attest", "check", tmp_path / "i" / "index.json", "--json", code=1).stdout)
    assert [case["agrees"] for case in shown["cases"]] == [True, False] and not shown["agrees"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../secret", "outside"),
        ("/etc/hostname", "outside"),
        ("link", "outside"),
        ("gone", "no such file"),
        ("folder", "no such file"),
        ("pipe", "no such file"),
        ("circle", ""),
        ("nul\0byte", "cannot be read"),
        ("x" * 4000, "cannot be read"),
        ("huge", "has more than"),
        ("changed", "SHA-256"),
    ],
)
def test_a_case_whose_files_cannot_be_had_is_an_error_and_others_still_run(
    visitor: Party, tmp_path: Path, path: str, told: str
) -> None:
    folder = tmp_path / "i"
    broken = garbage("broken", files=[{**garbage()["files"][0], "path": path}])
    index = index_of(folder, broken, garbage())
    (tmp_path / "secret").write_bytes(GARBAGE)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "huge").write_bytes(bytes((1 << 20) + 1))
    (folder / "changed").write_bytes(GARBAGE + b"!")
    first, second = json.loads(visitor.run("attest", "check", index, "--json", code=1).stdout)["cases"]
    assert first["verdict"] == "error" and told in first["told"]
    assert second["agrees"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"cases":[]}', b"[" * 10_000])
def test_what_is_no_index_is_one_sentence_and_exit_2(visitor: Party, tmp_path: Path, content: bytes) -> None:
    index = tmp_path / "index.json"
    index.write_bytes(content)
    assert "the index" in visitor.refused("attest", "check", index, code=2)
    assert "does not exist" in visitor.refused("attest", "check", tmp_path / "none.json", code=2)


def test_a_case_cannot_paint_the_terminal(visitor: Party, tmp_path: Path) -> None:
    index = index_of(tmp_path / "i", garbage("\x1b[31mred[bold]", expected={"strict_verdict": "accept"}))
    text = visitor.run("attest", "check", index, code=1).stdout
    assert "\x1b" not in text and "\\x1b[31mred[bold]" in text


def test_a_long_id_is_cut_for_people_and_whole_for_programs(visitor: Party, tmp_path: Path) -> None:
    id = "x\n\x9b" + "y" * 4000
    index = index_of(tmp_path / "i", garbage(id, expected={"strict_verdict": "accept"}))
    lines = visitor.run("attest", "check", index, code=1).stdout.splitlines()
    assert max(map(len, lines)) < 600 and len(lines) == 4
    raw = visitor.run("attest", "check", index, "--json", code=1).stdout
    assert "\x9b" not in raw and json.loads(raw)["cases"][0]["id"] == id


def test_half_a_surrogate_pair_is_printed_as_an_escape(visitor: Party, tmp_path: Path) -> None:
    index = index_of(tmp_path / "i", garbage("\ud800"))
    assert "\\ud800" in visitor.run("attest", "check", index).stdout
    assert visitor.json("attest", "check", index)["cases"][0]["id"] == "\ud800"


def test_a_file_is_explained_with_what_verifies_it(visitor: Party, tmp_path: Path) -> None:
    case = copied(tmp_path, "tdx-v4-b0c06f-uptodate")
    quote, collateral = (tmp_path / file["path"] for file in case["files"][:2])
    told = visitor.run("attest", "show", quote, "--collateral", collateral, "--at", AT).stdout
    assert (
        "Intel TDX quote" in told
        and "FMSPC B0C06F000000" in told
        and "platform up to date; not known to be fresh" in told
    )
    claims = case["expected_claims"]
    assert claims["mr_td"][:64] in told and claims["mr_td"][64:] in told
    shown = visitor.json("attest", "show", quote, collateral, "--at", AT)
    assert shown["accepted"] and shown["files"][0]["claims"]["mr_td"] == claims["mr_td"]
    assert visitor.json("attest", "show", quote.parent, "--at", AT)["accepted"]


def test_without_collateral_nothing_is_guessed(visitor: Party, tmp_path: Path) -> None:
    case = copied(tmp_path, "tdx-v4-b0c06f-uptodate")
    told = visitor.run("attest", "show", tmp_path / case["files"][0]["path"], code=1).stdout
    assert "collateral is missing" in told and "--collateral" in told and "nobody vouches" in told


def test_stale_collateral_is_refused_by_default_with_what_to_do(visitor: Party, tmp_path: Path) -> None:
    case = copied(tmp_path, "tdx-v4-b0c06f-uptodate")
    folder = (tmp_path / case["files"][0]["path"]).parent
    told = visitor.run("attest", "show", folder, code=1).stdout
    assert "refused (collateral_expired)" in told and "fetch fresh collateral" in told


def test_folders_of_several_gpus_keep_their_certificates_apart(visitor: Party, tmp_path: Path) -> None:
    cases = [copied(tmp_path, f"nvgpu-h100-590-multi-{number}") for number in range(2)]
    folders = [(tmp_path / case["files"][0]["path"]).parent for case in cases]
    asked = ("--at", cases[0]["verification_time"], "--nonce", cases[0]["params"]["nonce"])
    shown = json.loads(visitor.run("attest", "show", *folders, *asked, "--json", code=1).stdout)
    assert [file["verified"] for file in shown["files"]] == [True, True]
    assert not shown["accepted"]  # for want of NVIDIA's manifests
    assert "firmware not compared" in visitor.run("attest", "show", *folders, *asked, code=1).stdout
    told = visitor.run("attest", "show", *folders, "--at", cases[0]["verification_time"], "--nonce", "00", code=1)
    assert "nonce_mismatch" in told.stdout


def test_simulated_evidence_is_red_and_not_accepted(visitor: Party, tmp_path: Path) -> None:
    file = tmp_path / "evidence"
    file.write_bytes(UnsafeSimulatedAttester(MachineKey(bytes(32)), bytes(48)).evidence(bytes(64)).encoded())
    result = visitor.run("attest", "show", file, code=1)
    assert "SIMULATED" in result.stdout and "nothing here is protected" in result.stderr


@pytest.mark.parametrize("content", [b"", b"\0" * 1184, os.urandom(5000), b"{}", b"<x/>", b"\xd2\x84"])
def test_a_hostile_file_is_one_sentence(visitor: Party, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert len(visitor.refused("attest", "show", file).splitlines()) == 1


def test_what_is_not_there_or_no_file_is_said(visitor: Party, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes((16 << 20) + 1))
    for command in ("show", "check"):
        for name, told in (("pipe", "is not a file"), ("none", "does not exist"), ("large", "has more than")):
            sentence = visitor.refused("attest", command, tmp_path / name, code=2)
            assert told in sentence and sentence.count(str(tmp_path / name)) == 1
    (tmp_path / "empty").mkdir()
    assert "no evidence" in visitor.refused("attest", "show", tmp_path / "empty")


@pytest.mark.parametrize(
    "options", [("--at", "yesterday"), ("--at", "9" * 30), ("--nonce", "xyz"), ("--nonce", ""), ("--at", "")]
)
def test_options_that_mean_nothing_are_misuse(visitor: Party, tmp_path: Path, options: tuple[str, str]) -> None:
    (tmp_path / "file").write_bytes(GARBAGE)
    assert options[0] in visitor.refused("attest", "show", tmp_path / "file", *options, code=2)
