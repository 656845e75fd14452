"""Copies of a published dataset: places named in the settings, publishing to them, and how each copy stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Founded
from tests.storage.warm_node import CHAIN_ID, CONTRACT, PAYEE

FILECOIN = {"kind": "filecoin", "payee": PAYEE, "contract": CONTRACT, "chain_id": CHAIN_ID, "wallet": "owner"}


def configured(dao: Founded, **places: dict[str, Any]) -> None:
    """Name places in the settings."""
    lines = []
    for name, facts in places.items():
        lines += [f"[places.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in facts.items())]
    with (dao.party.home / "coffer.toml").open("a") as file:
        file.write("\n".join(lines) + "\n")


def attic(tmp_path: Path) -> dict[str, Any]:
    return {"kind": "directory", "at": str(tmp_path / "attic")}


def publish(dao: Founded, manifest: str, *more: object, code: int = 0) -> dict[str, Any]:
    args = ("dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", "--json", *more)
    said: dict[str, Any] = json.loads(dao.party.run(*args, code=code).stdout.splitlines()[-1])
    return said


def status(dao: Founded, *, code: int = 0) -> dict[str, Any]:
    said = json.loads(dao.party.run("dataset", "status", "--json", code=code).stdout)
    (one,) = said["datasets"]
    return {copy["place"]: copy for copy in one.pop("copies")} | one


def damage(folder: Path, name: str = "bafk*") -> Path:
    """Flip a bit of a block: of the segment's, or of the one of that name."""
    (path,) = folder.rglob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path
