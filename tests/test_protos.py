"""The .proto files are what other languages start from: buf's lint, and a comment on every service and call."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUF = ROOT / "examples" / "node" / "node_modules" / ".bin" / "buf"


@pytest.mark.skipif(not BUF.exists(), reason="buf comes with the Node example's packages: make node")
def test_buf_finds_nothing_to_say() -> None:
    done = subprocess.run([BUF, "lint", "proto"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
