"""Small trees of files, and tars of them."""

from __future__ import annotations

import tarfile
from pathlib import Path


def tree(root: Path) -> Path:
    """Make a small tree of every plain kind."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/name").write_bytes(b"coffer\n")
    (root / "etc/name").chmod(0o644)
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("etc/name")
    return root


def tarred(root: Path, target: Path, *, mtime: int = 0, backwards: bool = False) -> Path:
    """Pack a tree, entries in either order."""
    with tarfile.open(target, "w") as archive:
        for path in sorted(root.rglob("*"), reverse=backwards):
            member = archive.gettarinfo(str(path), path.relative_to(root).as_posix())
            member.uid = member.gid = 0
            member.mtime = mtime
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    return target
