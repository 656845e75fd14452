"""`coffer receipt log` and `audit`: whether every query was paid for, once and as it was charged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cli import wiring
from cli.console import FAILED, err, foreign, out, reported, say, say_held, say_wrong, show_json
from cli.given_files import LOG, RECEIPT, STATEMENT, given_files
from cli.home import settings_from
from cli.options import EnclaveOption, GenesisOption, HomeOption, JsonOption, SimulatedOption
from cli.sealed_files import read_bounded, require_folder_of, write_private
from cli.workplace import genesis_meant, opened_home
from storage.cid import Cid
from vault import log_file, receipt, statement_file
from vault.audit import audited
from vault.codec import parse
from vault.errors import InvalidReceipt, MalformedObject, VaultError
from vault.evidence import Appraiser
from vault.finding import Audited, held_receipt
from vault.log_file import LogFile, verify_log_file
from vault.plain_text import counted
from vault.receipt import ReceiptFile
from vault.receipt_check import ReceiptCheck
from vault.receipt_reading import ReceiptReader
from vault.statement_file import StatementFile, verify_statement_file

F = TypeVar("F")
T = TypeVar("T")
_KINDS: dict[str, tuple[type[ReceiptFile | StatementFile | LogFile], int]] = {
    ReceiptFile.TYPE: (ReceiptFile, receipt.FILE_BYTES_MAX),
    StatementFile.TYPE: (StatementFile, statement_file.FILE_BYTES_MAX),
    LogFile.TYPE: (LogFile, log_file.FILE_BYTES_MAX),
}
_BYTES_MAX = max(most for _, most in _KINDS.values())
FilesArgument = Annotated[
    list[Path], typer.Argument(help="Receipts, statements and logs, in any order; a folder for all in it.")
]


@dataclass(slots=True)
class Given:
    """What files hold, by kind, each with its file's name."""

    receipts: list[tuple[str, ReceiptFile]] = field(default_factory=list)
    statements: list[tuple[str, StatementFile]] = field(default_factory=list)
    logs: list[tuple[str, LogFile]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # why others hold nothing


def log(
    files: FilesArgument,
    out_file: Annotated[Path, typer.Option("--out", help="Where to keep the log.")] = Path("coffer.log"),
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch the public log's signed head, and the proofs that an audit of these receipts, statements and logs needs.

    The head is first held against the last one that this home saw. Nothing is sent but numbers and hashes. Logs among
    the files are of earlier days, or somebody else's: an audit of both says whether the one begins the other.
    """
    from cli.attested import attested
    from cli.log_heads import follow_log
    from cli.vouching import vouching_of
    from enclave.public_client import LogClient, log_proofs

    with reported():
        require_folder_of(out_file)
        settings, place = opened_home(home, enclave=enclave)
        genesis = genesis_meant(settings, dao)
        given = _given(files)
        receipts = list(_signed(given, given.receipts, held_receipt))
        settlements = list(_signed(given, given.statements, lambda file: file.settlement))
        with attested(settings, genesis) as found:
            client = LogClient(found.channel, found.grounds.terms)
            head = follow_log(client, place)
            leaves, refunds, earlier = log_proofs(
                client, head, receipts, settlements, [file.head.size for _, file in given.logs]
            )
            vouching = vouching_of(found.grounds)
        made = LogFile(head=head, leaves=leaves, refunds=refunds, earlier=earlier, vouching=vouching)
        usual: Any = {"genesis": genesis, "appraiser": wiring.appraiser(settings)}
        list(verify_log_file(made, **usual, allow_simulated=not settings.production))  # never keep what no audit takes
        write_private(out_file, made.encoded())
        if json:
            facts = {"size": head.size, "root": head.root.hex(), "at": head.at, "file": str(out_file)}
            facts |= {"witnessed": client.witnessed, "witnesses": made.witnesses()}
            facts |= {"leaves": len(leaves), "refunds": len(refunds), "settlements": len(earlier)}
            show_json(facts | {"passed_over": [*given.broken.values()]})
            return
        for why in given.broken.values():
            err.print(f"[yellow]passed over:[/] {foreign(why)}", soft_wrap=True)
        say(f"log of {head.size} entries, root {head.root.hex()}")
        custodians = len(vouching.charter.custodians)
        say(f"  the first {client.witnessed} signed by {made.witnesses()} of {custodians} custodians")
        proven = (counted(len(leaves), "receipt"), counted(len(refunds), "refund"), counted(len(earlier), "settlement"))
        say(f"  {', '.join(proven)} proven")
        say(f"  kept in {foreign(str(out_file))}")


def audit(
    files: FilesArgument,
    dao: GenesisOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Hold receipts, statements and the log against one another, offline. Exit 1 where anything does not fit.

    It takes any licensees' receipts, any payees' statements and logs (coffer receipt log), and says which query was not
    paid for, was paid twice, was paid another amount, is missing or was changed; and what it could not judge.
    """
    with reported():
        settings = settings_from(home=home)
        genesis, judge = genesis_meant(settings, dao), wiring.appraiser(settings)
        given = _given(files)
        wrong = given.broken | _wrong(given, genesis, judge, allow_simulated=allow_simulated)
        sound = {name for name in _names(given)} - wrong.keys()
        found = audited(
            [held_receipt(file) for name, file in given.receipts if name in sound],
            [file for name, file in given.statements if name in sound],
            [file for name, file in given.logs if name in sound],
        )
        if json:
            show_json(_json(given, found, wrong))
        else:
            _say(found, wrong)
        if wrong or found.findings:
            raise typer.Exit(FAILED)


def _given(paths: Sequence[Path]) -> Given:
    """Return what files and folders hold. One that is none of ours, or damaged, keeps no other from being read."""
    given, reader = Given(), ReceiptReader()
    for path in given_files(paths, RECEIPT, STATEMENT, LOG):
        try:
            made = _made(path, reader)
        except MalformedObject as error:
            given.broken[str(path)] = str(error)
            continue
        match made:
            case ReceiptFile():
                given.receipts.append((str(path), made))
            case StatementFile():
                given.statements.append((str(path), made))
            case LogFile():
                given.logs.append((str(path), made))
    return given


def _made(path: Path, reader: ReceiptReader) -> ReceiptFile | StatementFile | LogFile:
    data = read_bounded(path, _BYTES_MAX)
    try:
        kind, most = _KINDS[parse(data, bytes_max=_BYTES_MAX)["type"]]
    except (KeyError, TypeError, MalformedObject) as error:
        raise MalformedObject(f"{path} is no receipt, statement or log, or is cut short") from error
    try:
        return reader.read(data) if kind is ReceiptFile else kind.from_bytes(data, bytes_max=most)
    except VaultError as error:
        raise MalformedObject(f"{path} is not a whole receipt, statement or log: {error}") from error


def _signed(given: Given, named: Iterable[tuple[str, F]], read: Callable[[F], T]) -> Iterator[T]:
    """Yield what files hold whose signatures hold; note the others as broken."""
    for name, file in named:
        try:
            yield read(file)
        except VaultError as error:
            given.broken[name] = f"{name} was changed: {error}"


def _names(given: Given) -> Iterable[str]:
    return (name for name, _ in (*given.receipts, *given.statements, *given.logs))


def _wrong(given: Given, genesis: Cid, judge: Appraiser, *, allow_simulated: bool) -> dict[str, str]:
    """Return why files do not verify by themselves, by name; those take no part in the audit."""
    wrong: dict[str, str] = {}
    usual: Any = {"genesis": genesis, "appraiser": judge, "allow_simulated": allow_simulated}
    receipts = ReceiptCheck(genesis, judge, allow_simulated=allow_simulated)
    checks = [
        *((name, receipts.links(receipt)) for name, receipt in given.receipts),
        *((name, verify_statement_file(statement, **usual)) for name, statement in given.statements),
        *((name, verify_log_file(log, **usual)) for name, log in given.logs),
    ]
    for name, links in checks:
        try:
            list(links)
        except InvalidReceipt as error:
            wrong[name] = f"{name} was changed: {error}"
    return wrong


def _say(found: Audited, wrong: dict[str, str]) -> None:
    for line in found.held:
        say_held(line)
    for line in found.open:
        out.print(f"[yellow]?[/] {foreign(line)}", soft_wrap=True)
    for why in wrong.values():
        say_wrong(why)
    for finding in found.findings:
        err.print(f"[bold red]✗ {finding.lie}:[/] {foreign(finding.about)}", soft_wrap=True)
    if not wrong and not found.findings:
        say("nothing was found that does not fit")


def _json(given: Given, found: Audited, wrong: dict[str, str]) -> dict[str, Any]:
    return {
        "fits": not wrong and not found.findings,
        "receipts": len(given.receipts),
        "statements": len(given.statements),
        "wrong": [{"file": name, "why": why} for name, why in wrong.items()],
        "findings": [{"lie": str(finding.lie), "about": finding.about} for finding in found.findings],
        "held": found.held,
        "open": found.open,
    }
