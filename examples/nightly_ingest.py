"""What an owner's timer runs each night: where a folder changed, seal it as the next version and publish that.

    COFFER_PASSWORD=… python examples/nightly_ingest.py documents --owner alice --title "Tides" --custodian HOST:PORT

It remembers what it published last in `ingest.json` beside the folder. What failed half-way is gone on with the next
time: a sealed version that was not published yet is published, and not sealed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any


def main() -> None:
    """Seal and publish what is new; print one JSON object."""
    parser = argparse.ArgumentParser(description="Publish a folder's next version, if it changed.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--owner", required=True)
    parser.add_argument("--title", default="")
    parser.add_argument("--custodian", action="append", default=[])
    parser.add_argument("--allow-simulated", action="store_true")
    given = parser.parse_args()
    noted = given.folder.parent / "ingest.json"
    state: dict[str, str] = json.loads(noted.read_text()) if noted.exists() else {}
    now = fingerprint(given.folder)
    if state.get("published") == now:
        print(json.dumps({"state": "unchanged", "manifest": state["manifest"]}))
        return
    if state.get("sealed") != now:
        before = ["--replaces", state["manifest"]] if "published" in state else []
        simulated = ["--allow-simulated"] if given.allow_simulated else []
        owner = ["--owner", given.owner, "--title", given.title]
        made = coffer("dataset", "seal", given.folder, *owner, *before, *simulated)
        state |= {"sealed": now, "next": made["manifest"]}
        write(noted, state)
    to = [word for custodian in given.custodian for word in ("--custodian", custodian)]
    coffer("dataset", "publish", state["next"], "--owner", given.owner, *to)
    state = {"published": now, "manifest": state["next"]}
    write(noted, state)
    print(json.dumps({"state": "published", "manifest": state["manifest"]}))


def fingerprint(folder: Path) -> str:
    """Return a digest of every file's name and content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder).as_posix()} {sha256(path.read_bytes()).hexdigest()}" for path in files]
    return sha256("\n".join(lines).encode()).hexdigest()


def coffer(*words: object) -> dict[str, Any]:
    """Run a command with --json; where it fails, its sentence is on stderr already."""
    command = [sys.executable, "-m", "cli.entry", *map(str, words), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(done.returncode)
    shown: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return shown


def write(path: Path, state: dict[str, str]) -> None:
    """Write the state whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(state))
    temporary.replace(path)


if __name__ == "__main__":
    main()
