"""One person at a terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import typer.testing
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from cli.main import app

PASSWORD = "correct horse"  # noqa: S105
LIGHT = "4096"  # scrypt's n: a standard keystore would cost a second and 256 MiB

# Typer builds the whole tree of commands for each one that is run: longer than most take, and the same every time.
command_of = typer.testing._get_command = cache(get_command)


@dataclass
class Party:
    """One person at a terminal."""

    home: Path
    runner: CliRunner = field(default_factory=CliRunner)
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *args: object, code: int = 0, input: bytes | None = None) -> Result:
        """Run a command and check its exit code; a bug's traceback fails the test."""
        env = {"COFFER_HOME": str(self.home), "COFFER_PASSWORD": PASSWORD, "COLUMNS": "200"} | self.env
        result = self.runner.invoke(app, [str(arg) for arg in args], env=env, input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def succeeds(self, *args: object) -> bool:
        """Run a command and say whether it succeeded."""
        env = {"COFFER_HOME": str(self.home), "COFFER_PASSWORD": PASSWORD, "COLUMNS": "200"} | self.env
        return self.runner.invoke(app, [str(arg) for arg in args], env=env).exit_code == 0

    def json(self, *args: object, input: bytes | None = None) -> dict[str, Any]:
        """Run a command with --json and return what it printed."""
        shown: dict[str, Any] = json.loads(self.run(*args, "--json", input=input).stdout.splitlines()[-1])
        return shown

    def refused(self, *args: object, code: int = 1, input: bytes | None = None) -> str:
        """Run a command that fails and return its one sentence."""
        result = self.run(*args, code=code, input=input)
        assert "Traceback" not in result.output
        return " ".join(result.stderr.split())

    def wallet(self, name: str) -> str:
        """Make a wallet and return its address."""
        return str(self.json("wallet", "new", name, "--rounds", LIGHT)["address"])
