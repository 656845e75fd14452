"""Templates fill into policies, variables are settings, images are named by digest, and shell scripts parse."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from cli.enclave_files import enclaves_from
from cli.home import Settings
from cli.tees import tee_from_json
from tests.deploy.scripts import DAO, DEPLOY, ROOT
from vault.errors import MalformedObject
from vault.expectation import GPU, KINDS, NUMBER_BYTES, Form

PLACEHOLDER = re.compile(r"@(\w+)@")


def templates() -> list[str]:
    return sorted(path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("policy.json"))


def example(name: str, kind: str) -> str:
    """Return a value of the form that a field takes."""
    if name == "configuration":
        return DAO
    field = KINDS[kind].get(name) or GPU[name]
    if field.form is Form.TEXT:
        return "Milan" if name == "product" else "550.90.07"
    return "ab" * (field.size or NUMBER_BYTES)


@pytest.mark.parametrize("place", templates())
def test_a_filled_template_is_a_policy_entry(tmp_path: Path, place: str) -> None:
    template = (DEPLOY / place).read_text(encoding="utf-8")
    kind = json.loads(template)["kind"]
    text = PLACEHOLDER.sub(lambda found: example(found[1], kind), template)
    (tmp_path / "policy.json").write_text(text, encoding="utf-8")
    (tee,), configurations = enclaves_from([tmp_path / "policy.json"])
    tee.check()
    assert (tee.kind, [str(cid) for cid in configurations]) == (kind, [DAO])
    assert tee.measurements()


@pytest.mark.parametrize("place", templates())
def test_a_template_with_one_place_left_open_is_refused(place: str) -> None:
    template = (DEPLOY / place).read_text(encoding="utf-8")
    kind = json.loads(template)["kind"]
    measurements = [name for name in PLACEHOLDER.findall(template) if name in KINDS[kind] and name != "product"]
    assert measurements
    for left in measurements:
        text = PLACEHOLDER.sub(lambda found: found[0] if found[1] == left else example(found[1], kind), template)  # noqa: B023
        with pytest.raises(MalformedObject, match=left):
            tee_from_json(json.loads(text)).check()


def test_there_is_a_template_for_each_platform() -> None:
    assert {json.loads((DEPLOY / place).read_text(encoding="utf-8"))["kind"] for place in templates()} == {
        "dstack",
        "snp",
        "nitro",
    }


def files() -> list[Path]:
    kept = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "deploy", "docs/deploying.md"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    ).stdout.split()
    return [ROOT / name for name in kept] or [path for path in DEPLOY.rglob("*") if path.is_file()]


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"COFFER_{name.upper()}" for name in Settings.model_fields}
    for path in files():
        assert set(re.findall(r"COFFER_[A-Z0-9_]+", path.read_text(encoding="utf-8"))) <= known, path


@pytest.mark.parametrize("kind", ["dstack", "snp", "nitro"])
def test_the_tee_is_named_and_never_guessed(kind: str) -> None:
    place = {"dstack": "dstack/docker-compose.yaml", "snp": "snp/start", "nitro": "nitro/Dockerfile"}[kind]
    assert re.search(rf"COFFER_TEE[=:] ?{kind}\b", (DEPLOY / place).read_text(encoding="utf-8"))


def test_the_number_format_is_pinned_wherever_an_enclave_starts() -> None:
    for place in ("image/Dockerfile", "dstack/docker-compose.yaml", "snp/start"):
        assert re.search(r"COFFER_DTYPE[=:] ?float32", (DEPLOY / place).read_text(encoding="utf-8")), place


def test_images_are_named_by_digest() -> None:
    for path in DEPLOY.rglob("Dockerfile"):
        text = path.read_text(encoding="utf-8")
        bases = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)$", text))
        for base in re.findall(r"(?m)^FROM (\S+)", text):
            named = bases[base.strip("${}")] if base.startswith("$") else base
            assert named == "coffer-enclave" or re.search(r"@sha256:[0-9a-f]{64}$", named), (path, base)


def test_what_the_image_copies_is_there_or_is_made_by_the_steps_before() -> None:
    text = (DEPLOY / "image/Dockerfile").read_text(encoding="utf-8")
    made = {"deploy/image/wheels", "deploy/image/rims", "deploy/image/requirements.lock"}
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", text):
        for source in line.split()[:-1]:
            assert source in made or (ROOT / source).exists(), source


@pytest.mark.parametrize("place", ["snp/disk", "snp/run-qemu", "snp/start"])
def test_shell_scripts_parse(place: str) -> None:
    first = (DEPLOY / place).read_text(encoding="utf-8").splitlines()[0]
    shell = "bash" if "bash" in first else "sh"
    assert subprocess.run([shell, "-n", str(DEPLOY / place)], check=False, timeout=30).returncode == 0  # noqa: S603
    assert os.access(DEPLOY / place, os.X_OK)


@pytest.mark.parametrize(("place", "given"), [("snp/disk", 1), ("snp/disk", 3), ("snp/run-qemu", 5)])
def test_a_wrong_number_of_arguments_is_answered_with_the_usage_alone(place: str, given: int) -> None:
    command = ["bash", str(DEPLOY / place), *["x"] * given]
    done = subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 2 and re.fullmatch(rf"usage: deploy/{place} .*\n", done.stderr)


def test_a_disk_of_no_root_file_system_is_refused_and_none_is_made(tmp_path: Path) -> None:
    command = ["bash", str(DEPLOY / "snp/disk"), str(tmp_path / "none.tar"), str(tmp_path / "disk")]
    done = subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)  # noqa: S603
    assert (done.returncode, done.stderr) == (1, f"disk: {tmp_path}/none.tar is not a file\n")
    assert not (tmp_path / "disk").exists()
