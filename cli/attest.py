"""`coffer attest`: what evidence says, whether it holds, and whether this build judges known cases as it should."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cli import wiring
from cli.attest_text import show_explanation
from cli.console import FAILED, MISUSED, fail, inputs_reported, one_line, out, reported, show_json
from cli.options import JsonOption
from cli.sealed_files import UnreadableInput, read_bounded
from enclave.attestation.cases import ERROR, Outcome, outcome, unusable
from enclave.attestation.evidence_parts import Material
from enclave.attestation.explain import Explanation, explained
from enclave.attestation.index import (
    FILE_BYTES_MAX,
    INDEX_BYTES_MAX,
    Case,
    File,
    Unreadable,
    UnusableCase,
    index_from,
    time_from,
)
from enclave.attestation.recognize import Form, Found, Unrecognized, recognized
from vault.errors import MalformedObject
from vault.receipt import FILE_BYTES_MAX as SHOWN_BYTES_MAX

FOLDER_FILES_MAX = 256
ID_CHARS_MAX = 80  # shown; --json has them whole
TOLD_CHARS_MAX = 400

app = typer.Typer(help="Look at evidence, and check how it is judged.")
WithOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--with",
        "--collateral",
        "--cert",
        "--event-log",
        "--rim",
        help="What verifies it: collateral, certificates, event log or reference manifest, or a folder of them. "
        "Each is recognized by what it holds, whichever of these names you use.",
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(help="Judge it as of this time, like 2025-07-04T10:16:31Z or Unix seconds; now by default."),
]
NonceOption = Annotated[
    str | None, typer.Option(help="What it was asked with, in hex: a GPU's or Nitro's nonce, the others' report data.")
]


@app.callback()
def group() -> None:
    """Look at evidence, and check how it is judged."""


@app.command("check")
def check(
    index: Annotated[Path, typer.Argument(help="An index of cases; its files lie in the same folder.")],
    json: JsonOption = False,
) -> None:
    """Judge every case of an index by the strict default. Exit 1 where one is not judged as the index expects.

    Exit 2 where the index cannot be read, or is none.

    Nothing is fetched, and each case is judged at its own time. A root that an index brings along is trusted only if
    it is one of those pinned here.
    """
    with reported(), inputs_reported():
        try:
            cases = index_from(read_bounded(index, INDEX_BYTES_MAX))
        except UnreadableInput:
            raise
        except MalformedObject as error:
            fail(f"{index}: {error}", MISUSED)
        root = index.resolve().parent
        outcomes = [(case, _outcome(case, root)) for case in cases]
    if json:
        show_json(
            {
                "agrees": all(found.agrees for _, found in outcomes),
                "cases": [_outcome_json(case, found) for case, found in outcomes],
            }
        )
    else:
        _show_outcomes(outcomes)
    if not all(found.agrees for _, found in outcomes):
        raise typer.Exit(FAILED)


@app.command("show")
def show(
    files: Annotated[list[Path], typer.Argument(help="Evidence of any kind, or folders that hold it.")],
    material: WithOption = None,
    at: AtOption = None,
    nonce: NonceOption = None,
    json: JsonOption = False,
) -> None:
    """Say what evidence is, who signed it, what it claims, and whether the strict default accepts it. Else exit 1.

    What cannot be judged for want of certificates, collateral or reference manifests is not accepted. Whether evidence
    is fresh is said, and known only with --nonce. Exit 2 where a file cannot be read.
    """
    moment, asked = _moment(at), _nonce(nonce)
    with reported(), inputs_reported():
        helping = [item for _, item in _recognized(material or [])]
        folders = [path for path in files if path.is_dir()]
        groups = [[path] for path in folders] + [[path for path in files if path not in folders]]
        explanations = [
            explanation
            for group in groups
            for explanation in _explained(_recognized(group), helping, at=moment, nonce=asked)
        ]
    if json:
        show_json(
            {
                "accepted": all(explanation.is_accepted for _, explanation in explanations),
                "files": [{"file": str(path), **explanation.shown()} for path, explanation in explanations],
            }
        )
    else:
        for path, explanation in explanations:
            show_explanation(path, explanation)
    if not all(explanation.is_accepted for _, explanation in explanations):
        raise typer.Exit(FAILED)


def _explained(
    found: Sequence[tuple[Path, Found]], helping: Sequence[Found], *, at: int, nonce: bytes | None
) -> Iterator[tuple[Path, Explanation]]:
    """Yield an explanation of each piece of evidence among files that were given together, or of all if none is one."""
    try:
        material = Material.of([*helping, *(item for _, item in found)])
    except MalformedObject as error:
        fail(str(error), MISUSED)
    evidence = [(path, item) for path, item in found if item.form.is_evidence]
    if any(item.form is Form.NVIDIA for _, item in evidence):  # a manifest beside a report is there to judge it
        evidence = [(path, item) for path, item in evidence if item.form is not Form.RIM]
    for path, item in evidence or found:
        for explanation in explained(item, material, at=at, nonce=nonce):
            yield path, explanation


def _outcome(case: Case | Unreadable, root: Path) -> Outcome:
    if isinstance(case, Unreadable):
        return unusable(case.problem)
    try:
        files = {file.path: _read(root, file) for file in case.files}
    except UnusableCase as error:
        return unusable(str(error))
    return outcome(case, files)


def _read(root: Path, file: File) -> bytes:
    """Return the bytes of a case's file, which lies below the index's folder, or raise `UnusableCase`."""
    try:
        path = (root / file.path).resolve()
        if not path.is_relative_to(root):
            raise UnusableCase(f"{file.path}: lies outside the index's folder")
        if not path.is_file():
            raise UnusableCase(f"{file.path}: there is no such file beside the index")
        return read_bounded(path, FILE_BYTES_MAX)
    except MalformedObject as error:
        raise UnusableCase(str(error)) from error
    except (OSError, ValueError, RuntimeError) as error:  # names that no file can have, links in a circle
        raise UnusableCase(f"{file.path[:200]}: cannot be read") from error


def _outcome_json(case: Case | Unreadable, found: Outcome) -> dict[str, Any]:
    return {
        "id": case.id,
        "tee": case.tee,
        "verdict": found.verdict,
        "reason": found.reason,
        "told": found.told,
        "claims": found.claims,
        "agrees": found.agrees,
        "differences": list(found.differences),
    }


def _show_outcomes(outcomes: Sequence[tuple[Case | Unreadable, Outcome]]) -> None:
    table = Table("case", "verdict", "reason", "as expected", box=None)
    for case, found in outcomes:
        colors = {"accept": "green", ERROR: "red"}
        verdict = f"[{colors.get(found.verdict, 'yellow')}]{found.verdict}[/]"
        agreement = "[green]✓[/]" if found.agrees else "[bold red]✗[/]"
        table.add_row(escape(one_line(case.id, ID_CHARS_MAX)), verdict, found.reason or "", agreement)
    out.print(table)
    for case, found in outcomes:
        for difference in found.differences:
            told = f"{one_line(case.id, ID_CHARS_MAX)}: {one_line(difference, TOLD_CHARS_MAX)}"
            out.print(f"[bold red]✗[/] {escape(told)}", soft_wrap=True)
    agreeing = sum(found.agrees for _, found in outcomes)
    errors = sum(found.verdict == ERROR for _, found in outcomes)
    told = f"{len(outcomes)} cases: {agreeing} as expected, {len(outcomes) - agreeing - errors} not, {errors} not run"
    out.print(told, soft_wrap=True)


def _recognized(paths: Sequence[Path]) -> list[tuple[Path, Found]]:
    """Return what files hold. What cannot be recognized is an error for a file, and passed over in a folder."""
    found = []
    for path in paths:
        if not path.is_dir():
            found.append((path, recognized(read_bounded(path, SHOWN_BYTES_MAX), name=str(path))))
            continue
        inside = sorted(item for item in path.iterdir() if item.is_file())
        if len(inside) > FOLDER_FILES_MAX:
            fail(f"{path} holds over {FOLDER_FILES_MAX} files; name the ones you mean", MISUSED)
        for item in inside:
            try:
                found.append((item, recognized(read_bounded(item, SHOWN_BYTES_MAX), name=str(item))))
            except (Unrecognized, MalformedObject):
                continue
        if not any(item.parent == path for item, _ in found):
            raise Unrecognized(f"{path} holds no evidence that this build knows")
    return found


def _moment(at: str | None) -> int:
    if at is None:
        return wiring.clock()
    moment = time_from(int(at) if at.isascii() and at.isdigit() and len(at) < 13 else at)
    if moment is None:
        fail(f"--at {at!r} is not a time; write it like 2025-07-04T10:16:31Z", MISUSED)
    return moment


def _nonce(nonce: str | None) -> bytes | None:
    if nonce is None:
        return None
    try:
        asked = bytes.fromhex(nonce)
    except ValueError:
        fail("--nonce is not hex", MISUSED)
    return asked or fail("--nonce is empty; leave it out, or give what was asked with", MISUSED)
