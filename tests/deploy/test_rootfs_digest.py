"""The digest of a root file system is that of what counts, and of nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.deploy.scripts import script
from tests.deploy.trees import tarred, tree

rootfs = script("image/rootfs-digest")


def digest_of(place: Path) -> str:
    found: str = rootfs.digest(rootfs.measured(place, owners=False)[0])
    return found


def test_a_folder_and_its_tar_have_one_digest_whatever_times_and_order(tmp_path: Path) -> None:
    root = tree(tmp_path / "root")
    expected = digest_of(root)
    os.utime(root / "run", (1, 1))
    assert digest_of(root) == expected
    assert digest_of(tarred(root, tmp_path / "a.tar")) == expected
    assert digest_of(tarred(root, tmp_path / "b.tar", mtime=7, backwards=True)) == expected


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "etc/name").write_bytes(b"coffee\n"),
    "mode": lambda root: (root / "etc/name").chmod(0o600),
    "setuid": lambda root: (root / "run").chmod(0o4755),
    "name": lambda root: (root / "run").rename(root / "ran"),
    "link": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("etc/names")),
    "more": lambda root: (root / "etc/empty").mkdir(),
    "less": lambda root: (root / "link").unlink(),
    "kind": lambda root: ((root / "link").unlink(), (root / "link").write_bytes(b"etc/name")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_change_in_a_tree_changes_the_digest(tmp_path: Path, change: str) -> None:
    root = tree(tmp_path / "root")
    before = digest_of(root)
    CHANGES[change](root)
    assert digest_of(root) != before


def test_names_cannot_be_told_as_other_entries() -> None:
    def link(says: str) -> Any:
        return rootfs.Entry("link", 0o777, 0, 0, says)

    assert rootfs.digest({"a\tb": link("c")}) != rootfs.digest({"a": link("b\tc")})
    assert rootfs.digest({"a\nlink\t0777\t0:0\tb": link("c")}) != rootfs.digest({"a": link("c"), "b": link("c")})
    assert rootfs.digest({"a\\tb": link("c")}) != rootfs.digest({"a\tb": link("c")})


def layer(*members: tuple[str, bytes | None]) -> bytes:
    """Return a layer's tar: files by name, folders without content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = (tarfile.DIRTYPE, 0o755) if content is None else (tarfile.REGTYPE, 0o644)
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return packed.getvalue()


def layout(root: Path, *layers: bytes) -> Path:
    """Write an OCI image layout."""
    blobs = root / "blobs/sha256"
    blobs.mkdir(parents=True)

    def stored(content: bytes, kind: str) -> dict[str, object]:
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{name}", "size": len(content)}

    told = [stored(one, "layer.v1.tar+gzip") for one in layers]
    manifest = json.dumps({"schemaVersion": 2, "config": stored(b"{}", "config.v1+json"), "layers": told}).encode()
    (root / "index.json").write_text(json.dumps({"manifests": [stored(manifest, "manifest.v1+json")]}))
    return root


def test_layers_of_an_image_are_laid_over_one_another(tmp_path: Path) -> None:
    first = layer(
        ("a", None), ("a/gone", b"1"), ("a/kept", b"2"), ("b", None), ("b/old", b"3"), ("c", None), ("c/d", b"4")
    )
    second = layer(("a/.wh.gone", b""), ("b/.wh..wh..opq", b""), ("b/new", b"5"), ("c", b"now a file"))
    found, image = rootfs.measured(layout(tmp_path / "image", first, second), owners=False)
    assert sorted(found) == ["a", "a/kept", "b", "b/new", "c"]
    assert found["c"].says == hashlib.sha256(b"now a file").hexdigest()
    assert image.startswith("sha256:")
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(tmp_path / "image", ".")
        archive.add(tmp_path / "image", "")
    assert digest_of(tmp_path / "image.tar") == rootfs.digest(found)


def test_a_layer_that_is_not_its_digest_is_refused(tmp_path: Path) -> None:
    image = layout(tmp_path / "image", layer(("a", b"1")))
    for blob in (image / "blobs/sha256").iterdir():
        content = blob.read_bytes()
        if content[:2] == b"\x1f\x8b":
            blob.write_bytes(layer(("a", b"2")))
    with pytest.raises(rootfs.Refused, match="its content is another"):
        rootfs.measured(image, owners=False)


@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_a_damaged_tar_is_refused_or_measured(noise: bytes, cut: int) -> None:
    whole = layer(("a", b"1"), ("b", None))
    with tempfile.NamedTemporaryFile() as file:
        file.write(noise if cut % 2 else whole[: cut % len(whole)] + noise)
        file.flush()
        with contextlib.suppress(rootfs.Refused):
            rootfs.measured(Path(file.name), owners=False)
