"""Two installations are the same tree, from locked files alone."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from tests.deploy.scripts import ran, script

rootfs = script("image/rootfs-digest")
lock = script("image/lock")


def digest_of(place: Path) -> str:
    found: str = rootfs.digest(rootfs.measured(place, owners=False)[0])
    return found


def wheel(folder: Path, name: str, version: str) -> Path:
    """Make a wheel of one module."""
    info = f"{name}-{version}.dist-info"
    target = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "KINDS = frozenset({'a', 'b', 'c', 'd'})\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD", f"{name}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return target


def test_the_lock_names_each_file_by_its_hash_and_no_address(tmp_path: Path) -> None:
    one = wheel(tmp_path, "some_thing", "1.2")
    lines = lock.locked([one], lock.pins_from(["# a comment", "Some.Thing==1.2"]))
    assert lines == [f"some-thing==1.2 --hash=sha256:{hashlib.sha256(one.read_bytes()).hexdigest()}"]


@pytest.mark.parametrize(
    ("constraints", "why"),
    [("other==1.2", "do not pin some-thing"), ("some-thing==1.3", "pin some-thing at 1.3")],
)
def test_a_file_that_the_constraints_do_not_pin_is_refused(tmp_path: Path, constraints: str, why: str) -> None:
    with pytest.raises(lock.Refused, match=why):
        lock.locked([wheel(tmp_path, "some_thing", "1.2")], lock.pins_from([constraints]))


def test_two_files_of_one_project_are_refused(tmp_path: Path) -> None:
    files = [wheel(tmp_path, "some_thing", "1.2"), wheel(tmp_path, "Some_Thing", "1.2")]
    with pytest.raises(lock.Refused, match="another file"):
        lock.locked(files, {"some-thing": "1.2"})


def source(folder: Path) -> Path:
    """Make a small checkout with packages of our names."""
    folder.mkdir()
    packages = ["cli", "tui", "enclave", "vault", "rag", "storage"]
    for name in packages:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"NAMES = {{'x', 'y', 'z', {name!r}}}\n")
    listed = json.dumps(packages)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "coffer"\nversion = "1"\n[project.scripts]\ncoffer = "cli:main"\n'
        f"[tool.setuptools]\npackages = {listed}\n"
    )
    for name in ("README.md", "LICENSE"):
        (folder / name).write_text("-\n")
    return folder


def test_two_installations_of_the_same_wheels_are_the_same_tree(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    made = wheel(wheels, "some_thing", "1.2")
    (tmp_path / "lock").write_text("\n".join(lock.locked([made], {"some-thing": "1.2"})))
    digests = []
    for name in ("one", "two"):
        checkout = source(tmp_path / f"source-{name}")
        given_ = ("--wheels", wheels, "--lock", tmp_path / "lock", "--source", checkout, "--into", tmp_path / name)
        done = ran("image/install", *given_)
        assert done.returncode == 0, done.stderr
        digests.append(digest_of(tmp_path / name))
    assert digests[0] == digests[1]
    assert list((tmp_path / "one").glob("vault/__pycache__/*.pyc"))
    assert not list((tmp_path / "one").glob("*.dist-info/direct_url.json"))
    assert not (tmp_path / "one/bin").exists()


@pytest.mark.parametrize(
    "line", [f"some-thing==1.2 --hash=sha256:{'0' * 64}", "some-thing==1.2"], ids=["other", "none"]
)
def test_a_wheel_that_is_not_the_locked_one_is_not_installed(tmp_path: Path, line: str) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "some_thing", "1.2")
    (tmp_path / "lock").write_text(f"{line}\n")
    done = ran(
        "image/install", "--wheels", wheels, "--lock", tmp_path / "lock",
        "--source", source(tmp_path / "source"), "--into", tmp_path / "into",
    )  # fmt: skip
    assert done.returncode != 0
    assert not (tmp_path / "into/some_thing").exists()


def test_a_lock_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "constraints").write_bytes(b"\xff")
    for wheels, constraints, told in (
        ("none", "constraints", "none: No such file or directory"),
        ("constraints", "constraints", "constraints: Not a directory"),
        ("wheels", "constraints", "holds 0 files"),
    ):
        done = ran("image/lock", tmp_path / wheels, tmp_path / constraints)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1) and told in done.stderr
    wheel(tmp_path / "wheels", "some_thing", "1.2")
    for constraints, told in (("none", "none: No such file"), ("constraints", "not text in UTF-8")):
        done = ran("image/lock", tmp_path / "wheels", tmp_path / constraints)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1) and told in done.stderr
