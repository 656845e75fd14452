"""`python -m fuzz NAME CORPUS [libFuzzer options]`: fill the corpus folder with seeds, then fuzz one parser."""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import atheris

from fuzz.targets import MEMORY_MIB_MAX, NAMES, SECONDS_MAX

INSTRUMENTED = ["enclave", "vault", "cbor2", "json"]


def seeded(folder: Path, target: Any) -> None:
    """Write a target's seeds into its corpus folder, each under its hash."""
    from fuzz.seeds import seeds

    folder.mkdir(parents=True, exist_ok=True)
    found = [data for role in target.ROLES for data in seeds(role)] + list(getattr(target, "MADE_UP", ()))
    for data in found:
        (folder / sha256(data).hexdigest()).write_bytes(data)


def guarded(fuzz: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a target in which our own errors are what they are meant to be: answers."""
    from vault.errors import VaultError

    def once(data: bytes) -> None:
        try:
            fuzz(data)
        except VaultError:
            return

    return once


def main() -> None:
    """Fuzz until an option says to stop, or something other than our own errors escapes."""
    name, corpus, *options = sys.argv[1:]
    if name not in NAMES:
        sys.exit(f"there is no target {name!r}; there are: {', '.join(NAMES)}")
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = import_module(f"fuzz.targets.{name}")
    seeded(Path(corpus), target)
    limits = [f"-timeout={SECONDS_MAX}", f"-rss_limit_mb={MEMORY_MIB_MAX}", "-max_len=131072"]
    atheris.Setup([sys.argv[0], *limits, *options, corpus], guarded(target.fuzz))
    atheris.Fuzz()


main()
