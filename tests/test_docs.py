"""The documents are true of the tree: links lead somewhere, commands and targets exist, and so do files and names."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks import crawl_page, peers_page, scale_page, table
from benchmarks.harness import RESULTS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
PACKAGES = ("cli", "tui", "enclave", "vault", "rag", "storage")
GENERATED = re.compile(r"(?s)<!-- (demo|benchmarks|peers) -->.*?<!-- /\1 -->")
FENCE = re.compile(r"(?ms)^```.*?^```$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
CLASS = re.compile(r"`([A-Z][a-z]\w*)`")
HEADING = re.compile(r"(?m)^#+ (.+)$")
FILE = re.compile(r"[\w./-]+/[\w.-]+\.(?:py|sh|toml|proto)")
PLACED = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)`,? (?:in |\()`([\w/]+\.py)`")
FOREIGN = {"pg_ctl"}  # names that look like ours
NAME = re.compile(r"_?[A-Za-z]\w*(?:\.\w+)*")
FILE_NAME = re.compile(r".*\.(?:csv|db|js|json|lock|md|py|sh|toml|txt)")

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def prose(document: Path) -> str:
    """Return a document without what programs write into it."""
    return GENERATED.sub("", document.read_text(encoding="utf-8"))


def spans(document: Path) -> Iterator[str]:
    """Yield what stands in backticks in a line."""
    yield from CODE.findall(FENCE.sub("", prose(document)))


def invocations(document: Path, command: str) -> Iterator[list[str]]:
    """Yield the words after `command` wherever it begins a code span or a line of a code block."""
    lines = [line for block in FENCE.findall(prose(document)) for line in block.splitlines()]
    for line in [*spans(document), *lines]:
        if line.split(" ")[0] == command:
            yield line.split("#")[0].split()[1:]


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    headings = HEADING.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def sources() -> dict[str, str]:
    """Return our source by module."""
    files = {path.relative_to(ROOT): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return {
        ".".join(name.with_suffix("").parts).removesuffix(".__init__"): path.read_text(encoding="utf-8")
        for name, path in files.items()
    }


@cache
def vocabulary() -> frozenset[str]:
    """Return every word of our source, to look names up in."""
    return frozenset(word for text in sources().values() for word in re.findall(r"\w+", text))


@cache
def members() -> dict[str, frozenset[str]]:
    """Return what may follow the dot after the name of a class of ours: its own, and what its bases of ours have."""
    own, bases = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    classes = (node for text in sources().values() for node in ast.walk(ast.parse(text)))
    for node in classes:
        if isinstance(node, ast.ClassDef):
            own[node.name] |= names_in(node)
            bases[node.name] |= {name for base in node.bases for name in re.findall(r"\w+", ast.unparse(base))}

    def having(name: str, above: frozenset[str]) -> set[str]:
        inherited = (having(base, above | {name}) for base in bases[name] & own.keys() - above)
        return own[name].union(*inherited)

    return {name: frozenset(having(name, frozenset({name}))) for name in list(own)}


def names_in(body: ast.ClassDef | ast.Module) -> set[str]:
    """Return what is defined right in a class or a module."""
    found: set[str] = set()
    for node in body.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Assign():
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def is_ours(span: str) -> bool:
    """Say whether a span is a name of ours; one in lower case without a dot or an underscore may be anything."""
    if not NAME.fullmatch(span) or FILE_NAME.fullmatch(span) or span in FOREIGN or span.isupper():
        return False
    return "_" in span.strip("_") or "." in span or re.match(r"[A-Z][a-z]", span) is not None


def is_there(name: str) -> bool:
    """Say whether a name leads somewhere: along modules and classes of ours, or else by words that all are ours."""
    first, *rest = name.split(".")
    if first in members() and rest:
        return rest[0] in members()[first] and vocabulary().issuperset(rest)
    if first not in PACKAGES:
        return vocabulary().issuperset([first, *rest])
    module = first
    while rest and f"{module}.{rest[0]}" in sources():
        module += f".{rest.pop(0)}"
    return not rest or (
        rest[0] in names_in(ast.parse(sources()[module])) and (len(rest) == 1 or is_there(".".join(rest)))
    )


@cache
def root_command() -> Any:
    """Return `coffer` with everything under it."""
    from typer.main import get_command

    from cli.main import app

    return get_command(app)


@documents
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@documents
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for words in invocations(document, "make"):
        assert not words or words[0] in targets, words


@documents
def test_commands_exist(document: Path) -> None:
    for words in invocations(document, "coffer"):
        command: Any = root_command()
        for word in words:
            if not hasattr(command, "commands") or not re.fullmatch(r"[a-z][a-z-]*", word):
                break
            assert word in command.commands, words
            command = command.commands[word]


@documents
def test_options_of_commands_exist(document: Path) -> None:
    for words in invocations(document, "coffer"):
        command: Any = root_command()
        while words and hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, words


@documents
def test_files_named_in_code_exist(document: Path) -> None:
    for span in spans(document):
        if FILE.fullmatch(span) or re.fullmatch(r"(?:tests|docs|proto|scripts)/[\w/.-]*", span):
            assert (ROOT / span).exists(), span


@documents
def test_names_in_code_exist(document: Path) -> None:
    for span in spans(document):
        if is_ours(span):
            assert is_there(span), span


@documents
def test_names_are_defined_in_the_files_beside_them(document: Path) -> None:
    """In prose, as in ``name` in `file``, and in tables with a cell of classes and next to it one of files."""
    placed = [([name], [file]) for name, file in PLACED.findall(prose(document))]
    rows = [line.split("|")[1:3] for line in prose(document).splitlines() if line.count("|") > 2]
    placed += [(CLASS.findall(names), FILE.findall(files)) for names, files in rows if FILE.search(files)]
    for names, files in placed:
        defined = {name for file in files for name in defined_in(ast.parse((ROOT / file).read_text(encoding="utf-8")))}
        for name in filter(is_ours, names):
            assert name.rpartition(".")[2] in defined, f"{name} is not defined in {', '.join(files)}"


def defined_in(tree: ast.Module) -> set[str]:
    """Return what is defined anywhere in a file."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return names_in(tree).union(*(names_in(one) for one in classes))


def test_a_name_is_looked_up_whole() -> None:
    assert is_there("Policy.admit")
    assert is_there("vault.policy.Policy.admit")
    assert is_there("EnclaveClient.session")  # of a base class
    assert not is_there("Policy.advertised")
    assert not is_there("Shares.admit")  # another class has it
    assert not is_there("vault.politics.Policy")
    assert not is_there("vault.policy.admit")
    assert not is_there("polity.admit")


def test_the_readme_has_places_for_what_programs_write() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for mark in ("demo", "benchmarks"):
        assert text.count(f"<!-- {mark} -->") == text.count(f"<!-- /{mark} -->") == 1


def test_figures_are_those_of_the_committed_results() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    measured = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}
    assert between(ROOT.joinpath("README.md").read_text(encoding="utf-8"), "benchmarks") == table.table(goals_only=True)
    assert between(page, "benchmarks") == table.table(goals_only=False)
    assert between(page, "peers") == peers_page.section(measured["peers"])
    assert between(page, "scale") == scale_page.section(measured["retrieve"])
    assert between(page, "crawl") == crawl_page.section(measured["crawl"])
    crawled = measured["crawl"]
    assert crawl_page.PLOT.read_text(encoding="utf-8") == crawl_page.plot(crawled["curves"], crawled["passages"])
    assert peers_page.PLOT.read_text(encoding="utf-8") == peers_page.plot(measured["peers"]["points"])


def between(text: str, mark: str) -> str:
    """Return what a program wrote into a page."""
    return text.partition(f"<!-- {mark} -->\n")[2].partition(f"\n<!-- /{mark} -->")[0]
