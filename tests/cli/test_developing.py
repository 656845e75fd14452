"""Every snippet that developers are shown is run, as it stands, against real services."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.party import PASSWORD, Party
from tests.cli.services import pay_in

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/developing.md")
ADDRESS = "127.0.0.1:7001"
FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


def blocks(language: str) -> list[tuple[str, str]]:
    """Return document and text of every block of a language; of the README, only what asks an enclave."""
    found = []
    for document in DOCUMENTS:
        for match in FENCE.finditer((ROOT / document).read_text(encoding="utf-8")):
            if match[1] == language and (document != "README.md" or "enclave.client" in match[2]):
                found.append((document, match[2]))
    return found


@pytest.fixture
def place(served: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the documents name: a credential's file."""
    pay_in(served, 50_000)
    (credential,) = (served.home / "credentials").glob("*.credential")
    shutil.copy(credential, tmp_path / "app.credential")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COFFER_PASSWORD", PASSWORD)
    monkeypatch.setenv("COFFER_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("document", "block"), blocks("python"))
def test_a_snippet_runs(served: Party, document: str, block: str) -> None:
    program = block.replace(ADDRESS, served.env["COFFER_ENCLAVE"])
    code = compile(program, document, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(code, {})  # noqa: S307  # our own documents
    if inspect.iscoroutine(made):
        asyncio.run(made)


def test_three_lines_are_three() -> None:
    ((_, first),) = [(document, block) for document, block in blocks("python") if document == "README.md"]
    assert len([line for line in first.splitlines() if line]) == 3
