"""The scripts of deploy/, as modules and as a person runs them; and what several of their tests name."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DAO = "bafyreibnoie2g6o3aps43z6t3be7z4662wxh456midopusqamdrc3awuvu"


def script(place: str) -> Any:
    """Return a script of deploy/ as a module."""
    name = "deploy_" + re.sub(r"\W", "_", place)
    loader = SourceFileLoader(name, str(DEPLOY / place))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    sys.modules[name] = module = module_from_spec(spec)
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = was
    return module


def ran(place: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of deploy/ as a person would."""
    command = [sys.executable, str(DEPLOY / place), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
