"""The commands that the documents show, with what they are said to print, and a reader who runs them in order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import Result

from tests.cli.party import Party

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
GENERATED = re.compile(r"(?s)<!-- (demo|benchmarks|peers|crawl) -->.*?<!-- /\1 -->")
BLOCK = re.compile(r"(?ms)(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$")
COMMANDS = ("console", "sh")  # what a person types: alone, or behind `$ ` with what it prints
OTHERS = ("json", "mermaid", "python", "text", "toml", "yaml")
SHORTENED = re.compile(r"bafy[a-z2-7]*…|0x[0-9a-fA-F]{4}…[0-9a-fA-F]{4}|\b[0-9a-f]{12,16}…")
YES = "y"  # what is typed where a command asks
SOME = "bafyrei…"  # whichever CID stands there
NAMED = re.compile(r"bafy[a-z2-7]{55}|0x[0-9a-fA-F]{40}")
BYTES = re.compile(r"\b\d+(?= bytes)")


@dataclass(frozen=True)
class Step:
    """A command, and the lines that it is said to print."""

    command: str
    printed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A fenced block of commands."""

    document: str
    line: int
    steps: tuple[Step, ...]
    not_run: str | None  # why

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def fenced(document: Path) -> Iterator[tuple[int, str, str, str | None]]:
    """Yield line, language, text and excuse of every fenced block of a document that people wrote."""
    content = GENERATED.sub(lambda found: "\n" * found[0].count("\n"), document.read_text(encoding="utf-8"))
    for found in BLOCK.finditer(content):
        yield content.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["reason"]


def command_blocks(*names: str) -> list[Block]:
    """Return the blocks of commands of all documents, or of those named, in order."""
    wanted = [document for document in DOCUMENTS if not names or document.name in names]
    return [
        Block(document.name, line, tuple(_steps(language, text)), excuse)
        for document in wanted
        for line, language, text, excuse in fenced(document)
        if language in COMMANDS
    ]


def _steps(language: str, text: str) -> Iterator[Step]:
    lines = text.replace("\\\n", " ").splitlines()
    if language == "sh":
        yield from (Step(line) for line in lines if line)
        return
    for part in re.split(r"(?m)^\$ ", "\n".join(lines))[1:]:
        command, *printed = part.rstrip().splitlines()
        yield Step(command, tuple(line for line in printed if line))


@dataclass
class Reader:
    """Somebody who follows the documents: types what is shown, with own names in the places of the examples'."""

    party: Party
    words: dict[str, str | list[str]]  # what stands for what: whole words, shortened CIDs and addresses
    before: Mapping[str, Callable[[], object]] = field(default_factory=dict)  # by the command's beginning
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what tests add: there is no real TEE

    def follow(self, block: Block) -> None:
        """Run a block's commands and compare what they print; one that says why it is not run is passed over."""
        if block.not_run:
            return
        for step in block.steps:
            self.run(step)

    def run(self, step: Step) -> Result:
        """Run one command and compare what it prints."""
        environment, name = _parted(step.command)
        for beginning, act in self.before.items():
            if name.startswith(beginning):
                act()
        words = self.arguments(name)
        for beginning, more in self.more.items():
            words += more if name.startswith(beginning) else ()
        self.party.env |= environment
        result = self.party.run(*words, input=f"{YES}\n".encode())
        self._compare(step, [line for line in result.stdout.splitlines() if line.strip() != YES])
        return result

    def arguments(self, command: str) -> list[str]:
        """Return the words of a command, or fail where one of them still stands for something."""
        words: list[str] = []
        for word in shlex.split(command, comments=True):
            meant = self.words.get(word, word)
            words += meant if isinstance(meant, list) else [meant]
        assert not (open_ := [word for word in words if "…" in word]), f"{command}: what is {open_}?"
        return words

    def _compare(self, step: Step, printed: list[str]) -> None:
        """Each line is printed as it is shown; CIDs, addresses and sizes are this run's, the same ones throughout."""
        at, skips = 0, False
        for line in step.printed:
            if line.strip() == "…":
                skips = True
                continue
            found = None
            while at < len(printed) and found is None:
                found = self._matched(line, printed[at])
                assert found or skips, f"{step.command}: shown {line!r}, printed {printed[at]!r}"
                at += 1
            assert found, f"{step.command}: {line!r} is not printed; printed: {printed}"
            skips = False

    def _matched(self, shown: str, printed: str) -> re.Match[str] | None:
        """Match a line, taking each example's name for what stands there when it is first seen."""
        names: list[str] = []
        pattern, at = "", 0
        whole = re.compile(f"{SHORTENED.pattern}|{NAMED.pattern}|{BYTES.pattern}|/srv/[a-z/]+")
        for example in whole.finditer(shown):
            pattern += re.escape(shown[at : example.start()])
            at = example.end()
            name = example[0]
            known = self.words.get(name)
            if isinstance(known, str):
                pattern += re.escape(known)
            elif name == SOME:
                pattern += r"bafy[a-z2-7]{55}"
            elif name.isdigit():
                pattern += r"\d+"
            elif name.startswith("/"):
                pattern += r"/\S+"
            else:
                names.append(name)
                pattern += _like(name)
        rest, goes_on = (shown[at:-1], ".*") if shown.endswith(" …") else (shown[at:], "")
        found = re.fullmatch(pattern + re.escape(rest) + goes_on, printed.rstrip())
        if found:
            self.words |= dict(zip(names, found.groups(), strict=True))
        return found


def _like(example: str) -> str:
    """Return what an example's name stands for: a CID, an address, or hex that is shown in part."""
    if example.startswith("bafy"):
        return r"(bafy[a-z2-7]{55})"
    return r"(0x[0-9a-fA-F]{40})" if example.startswith("0x") else r"([0-9a-f]{12,64}…?)"


def _parted(command: str) -> tuple[dict[str, str], str]:
    """Return the environment that a command is given in its line, and what comes after `coffer`."""
    before, _, name = command.partition("coffer ")
    return dict(part.split("=", 1) for part in before.split()), name
