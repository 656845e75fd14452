"""The light client stays light: an AI app that imports it pays neither for models nor for databases and wallets."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "faiss", "textual", "sqlmodel", "sqlalchemy", "eth_account", "numpy", "transformers"),
    *("langchain_core", "llama_index", "mcp", "pydantic", "starlette"),
)


def loaded_by(statement: str) -> set[str]:
    """Return which heavy modules a fresh interpreter has loaded after `statement`."""
    program = f"{statement}\nimport sys\nprint(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)  # noqa: S603
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import vault, storage, enclave",
        "import enclave.client",
        "import vault.client",
        "import cli.entry",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_by("import numpy") == {"numpy"}
