"""Every snippet and command that developers are shown is run, as it stands, against real services."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
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


def commands() -> list[str]:
    lines = [line for _, block in blocks("") for line in block.splitlines()]
    return [line for line in lines if line.startswith("coffer ")]


@pytest.fixture
def place(served: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the documents name: a credential's file and a file of questions."""
    pay_in(served, 50_000)
    (credential,) = (served.home / "credentials").glob("*.credential")
    shutil.copy(credential, tmp_path / "app.credential")
    (tmp_path / "questions.txt").write_text("tides\nharbor\n")
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


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", commands())
def test_a_command_runs(served: Party, command: str) -> None:
    served.run(*shlex.split(command)[1:])


def test_three_lines_are_three() -> None:
    ((_, first),) = [(document, block) for document, block in blocks("python") if document == "README.md"]
    assert len([line for line in first.splitlines() if line]) == 3
