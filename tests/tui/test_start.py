"""The first screen is there before anything heavy is imported, and whatever home there is or is not."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    "torch",
    "faiss",
    "sqlmodel",
    "sqlalchemy",
    "eth_account",
    "grpc",
    "numpy",
    "pydantic",
    "transformers",
    "cryptography",
    "vault.policy",
)
PROGRAM = """
import json, sys
import cli.entry, cli.terminal
from tui.app import CofferApp

def open_desk(job):
    shown = [strip.text for strip in app.screen._compositor.render_strips()]
    print(json.dumps({"modules": sorted(sys.modules), "screen": shown}), flush=True)
    app.call_from_thread(app.exit)
    raise OSError("no desk here")

app = CofferApp(open_desk)
app.run(headless=True, size=(80, 24))
"""


def test_the_first_screen_is_painted_before_anything_heavy_is_imported() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    told = json.loads(done.stdout.splitlines()[-1])
    assert "Overview" in told["screen"][0]
    assert "Needs attention" in "\n".join(told["screen"])
    assert not (loaded := sorted(set(HEAVY) & set(told["modules"]))), loaded
