"""`coffer receipt`: check offline what was asked, answered and charged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import FAILED, err, foreign, out, reported, show_json, warn_simulated
from cli.home import settings_from
from cli.options import GenesisOption, HomeOption, JsonOption, SimulatedOption
from cli.sealed_files import read_bounded
from cli.workplace import genesis_meant
from vault.errors import InvalidReceipt, VaultError
from vault.evidence import Appraiser
from vault.policy import SIMULATED
from vault.receipt import FILE_BYTES_MAX, ReceiptFile, verified_receipt, verify_receipt_file

app = typer.Typer(help="Check receipts, offline and trusting nobody.")


@app.callback()
def group() -> None:
    """Check receipts, offline and trusting nobody."""


@app.command("verify")
def verify(
    files: Annotated[list[Path], typer.Argument(help="Receipt files, as coffer query saves them.")],
    dao: GenesisOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify receipts link by link, from the DAO's genesis CID alone. Exit 1 at the first fact that is wrong, named.

    It needs no network. A receipt of a SIMULATED TEE is refused unless you say that you expect one.
    """
    with reported():
        settings = settings_from(home=home)
        genesis, judge = genesis_meant(settings, dao), wiring.appraiser(settings)
        results: list[dict[str, Any]] = []
        for path in files:
            if not json:
                out.print(foreign(str(path)), soft_wrap=True)
            results.append(_verified(path, genesis, judge, allow_simulated=allow_simulated, is_json=json))
            if results[-1]["wrong"] is not None:
                break
        if json:
            show_json({"verified": all(result["wrong"] is None for result in results), "receipts": results})
        if results[-1]["wrong"] is not None:
            if not json:
                err.print(f"[bold red]✗[/] {foreign(results[-1]['wrong'])}", soft_wrap=True)
            raise typer.Exit(FAILED)


def _verified(path: Path, genesis: Any, judge: Appraiser, *, allow_simulated: bool, is_json: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(path), "links": [], "wrong": None}
    try:
        file = ReceiptFile.from_bytes(read_bounded(path, FILE_BYTES_MAX), bytes_max=FILE_BYTES_MAX)
        for link in verify_receipt_file(file, genesis=genesis, appraiser=judge, allow_simulated=allow_simulated):
            facts["links"].append(link)
            if not is_json:
                out.print(f"  [green]✓[/] {foreign(link)}", soft_wrap=True)
        receipt = verified_receipt(file.message, file.binding.receipt_key)
    except InvalidReceipt as error:
        return facts | {"wrong": str(error)}
    except VaultError as error:
        return facts | {"wrong": f"{path} is not a whole receipt file: {error}"}
    if receipt.tee == SIMULATED:
        warn_simulated()
    return facts | {
        "sequence": receipt.sequence,
        "price": receipt.price,
        "currency": receipt.currency,
        "passages": len(receipt.passages),
        "tee": receipt.tee,
        "at": receipt.at,
    }
