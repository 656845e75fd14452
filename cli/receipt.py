"""`coffer receipt`: check offline what was asked, answered and charged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import receipt_audit, wiring
from cli.console import FAILED, foreign, out, reported, say, say_held, say_wrong, show_json, warn_simulated
from cli.given_files import RECEIPT, given_files
from cli.home import settings_from
from cli.options import GenesisOption, HomeOption, JsonOption, SimulatedOption
from cli.receipt_replay import replay
from cli.sealed_files import read_bounded
from cli.workplace import genesis_meant
from storage.cid import Cid
from vault.errors import InvalidReceipt, MalformedObject, VaultError
from vault.history import History, verified_history
from vault.plain_text import counted
from vault.policy import SIMULATED
from vault.receipt import FILE_BYTES_MAX, verified_receipt
from vault.receipt_check import Chain, ReceiptCheck
from vault.receipt_reading import ReceiptReader

app = typer.Typer(help="Check receipts, offline and trusting nobody.")
app.command("replay")(replay)
ChainOption = Annotated[
    str | None,
    typer.Option(
        "--chain",
        help="A bundle that coffer dao export wrote, or a folder of blocks: every vote that led to a receipt's head is "
        "counted again. Without it, the head is the word of the custodians that leased the enclave.",
    ),
]


app.command("log")(receipt_audit.log)
app.command("audit")(receipt_audit.audit)


@app.callback()
def group() -> None:
    """Check receipts, offline and trusting nobody."""


@app.command("verify")
def verify(
    files: Annotated[
        list[Path], typer.Argument(help="Receipt files, as coffer query saves them; a folder for all in it.")
    ],
    dao: GenesisOption = None,
    chain: ChainOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify receipts link by link, from the DAO's genesis CID alone: up to vendor, charter, owners and policy.

    It needs no network. Every file is checked, and the first fact of each that is wrong is named; exit 1 if any is. A
    receipt of a SIMULATED TEE is refused unless you say that you expect one.
    """
    with reported():
        settings = settings_from(home=home)
        genesis, judge = genesis_meant(settings, dao), wiring.appraiser(settings)
        counting = None if chain is None else _chain(chain, genesis)
        check = ReceiptCheck(genesis, judge, allow_simulated=allow_simulated, chain=counting)
        reader = ReceiptReader()
        results: list[dict[str, Any]] = []
        for path in given_files(files, RECEIPT):
            if not json:
                out.print(foreign(str(path)), soft_wrap=True)
            results.append(_verified(path, check, reader, is_json=json))
        _close(results, is_json=json)


def _close(results: list[dict[str, Any]], *, is_json: bool) -> None:
    wrong = [result for result in results if result["wrong"] is not None]
    if is_json:
        show_json({"verified": not wrong, "receipts": results})
    elif len(results) > 1:
        said = f"{counted(len(results), 'receipt')}: {len(results) - len(wrong)} hold, {len(wrong)} do not"
        say(f"[bold red]{said}[/]" if wrong else said)
    if any(result.get("tee") == SIMULATED for result in results):
        warn_simulated()
    if wrong:
        raise typer.Exit(FAILED)


def _verified(path: Path, check: ReceiptCheck, reader: ReceiptReader, *, is_json: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(path), "links": [], "wrong": None}
    try:
        file = reader.read(read_bounded(path, FILE_BYTES_MAX))
        for link in check.links(file):
            facts["links"].append(link)
            if not is_json:
                say_held(link, indent="  ")
        receipt = verified_receipt(file.message, file.binding.receipt_key)
    except (VaultError, OSError) as error:
        facts["wrong"] = _why(path, error)
        if not is_json:
            say_wrong(facts["wrong"], indent="  ")
        return facts
    return facts | {
        "sequence": receipt.sequence,
        "price": receipt.price,
        "currency": receipt.currency,
        "passages": len(receipt.passages),
        "tee": receipt.tee,
        "at": receipt.at,
    }


def _why(path: Path, error: VaultError | OSError) -> str:
    """Return what is wrong with a receipt's file, the fact first."""
    match error:
        case InvalidReceipt():
            return str(error)
        case FileNotFoundError():
            return f"file: {path} does not exist"
        case OSError():
            return f"file: {path} cannot be read: {error.strerror}"
    return f"file: {path} is not a whole receipt file: {error}"


def _chain(place: str, genesis: Cid) -> Chain:
    """Return what verifies a head from blocks that somebody handed over; each once, for the earliest time asked."""
    from cli.dao_bundle import bundle_from

    bundle = bundle_from(place)
    if bundle is None:
        raise MalformedObject(f"there is no bundle at {place}; write one with: coffer dao export")
    known: dict[Cid, tuple[int, History]] = {}

    def history_at(head: Cid, at: int) -> History:
        if head not in known or at < known[head][0]:
            known[head] = at, verified_history(genesis, head, bundle.fetch, at=at)
        return known[head][1]

    return history_at
