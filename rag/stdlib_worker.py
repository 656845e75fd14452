"""A script, never imported for its work: the standard library's documentation as JSON lines on standard output.

Importing hundreds of modules has side effects, so this is a process of its own. Run by path, it imports nothing of
ours. With arguments, only modules of these names are read.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import pydoc
import re
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

MODULES_MAX = 2000
# Left out with all below them: what opens a browser or a window or prints a poem, what setuptools puts in the place
# of a removed module, and what documents nothing.
EXCLUDED = frozenset(
    {
        "antigravity",
        "distutils",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "test",
        "tests",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
    }
)
# Values of this process, not documentation: paths of this machine, its environment, addresses.
VOLATILE_SECTIONS = ("DATA", "FILE")
PLAIN = pydoc._PlainTextDoc()  # type: ignore[attr-defined]  # what `pydoc.render_doc` offers as `plaintext`
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def names(wanted: frozenset[str]) -> list[str]:
    """Return the dotted names of public modules in alphabetical order, all of them where none is wanted."""
    found: set[str] = set()
    for top in sorted(sys.stdlib_module_names):
        if is_public(top):
            found.add(top)
            found.update(submodules(top))
    return sorted(name for name in found if not wanted or name in wanted)[:MODULES_MAX]


def is_public(name: str) -> bool:
    """Tell whether no part of a dotted name is private or excluded."""
    return not any(part.startswith("_") or part in EXCLUDED for part in name.split("."))


def submodules(package: str) -> Iterator[str]:
    """Yield the public modules below a package, importing only packages."""
    module = imported(package)
    for entry in pkgutil.iter_modules(getattr(module, "__path__", None) or [], f"{package}."):
        if is_public(entry.name):
            yield entry.name
            if entry.ispkg:
                yield from submodules(entry.name)


def imported(name: str) -> ModuleType | None:
    """Return the module, or None where this platform or this build lacks it."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):  # noqa: BLE001 -- other people's modules may raise anything when imported
        return None


def documentation(module: ModuleType) -> str:
    """Return pydoc's plain text without the sections that describe this process."""
    text = ADDRESS.sub("", PLAIN.document(module))
    for path, name in ((sys.executable, "sys.executable"), (os.path.dirname(os.__file__), "sys.path")):
        text = text.replace(path, f"<{name}>")  # defaults of arguments
    sections = re.split(r"^(?=[A-Z][A-Z ]*$)", text, flags=re.MULTILINE)
    return "".join(part for part in sections if part.partition("\n")[0] not in VOLATILE_SECTIONS).strip()


def main() -> int:
    """Write one line a module: its name, and its text or null where it cannot be imported or documented."""
    # What modules print when imported must not mix with the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdin = io.StringIO()
    warnings.simplefilter("ignore")
    for name in names(frozenset(sys.argv[1:])):
        module = imported(name)
        try:
            text = None if module is None else documentation(module)
        except Exception:  # noqa: BLE001 -- pydoc reads attributes of other people's objects
            text = None
        answer.write(json.dumps({"name": name, "text": text}) + "\n")
    answer.flush()
    os._exit(0)  # without running what hundreds of modules registered for the end


if __name__ == "__main__":
    main()
