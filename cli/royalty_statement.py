"""`coffer royalty statement`, `verify` and `export`: what one payee earned, epoch by epoch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import FAILED, foreign, out, reported, say, say_held, say_wrong, show_json, warn_simulated
from cli.given_files import STATEMENT, given_files
from cli.home import settings_from
from cli.options import EnclaveOption, GenesisOption, HomeOption, JsonOption, SimulatedOption, WalletOption
from cli.royalty_chart import show_chart
from cli.sealed_files import require_folder_of, write_private
from cli.statement_files import Names, earlier_statements, read_statement, statements_table, unchained
from cli.vouchers import claim_json, listed_vouchers
from cli.workplace import genesis_meant, opened_home, wallet_key
from storage.cid import Cid
from vault.errors import InvalidReceipt, MalformedObject
from vault.evidence import Appraiser
from vault.plain_text import counted
from vault.policy import SIMULATED
from vault.statement import THE_REST, Statement
from vault.statement_file import StatementFile, verify_statement_file


def statement(
    wallet: WalletOption,
    epoch: Annotated[int, typer.Option(min=0, help="Which epoch, from 1; by default the last one that closed.")] = 0,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Where to keep it; the home's statements by default.")
    ] = None,
    enclave: EnclaveOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch this wallet's statements of one royalty epoch, by a signed inquiry, check them and keep them.

    Passages have other names in every epoch. Which they are is kept beside each statement, for you alone: hand on the
    statement, not the file that ends in .passages. Passages that were shown seldom appear together as the rest.
    """
    from cli.attested import attested
    from cli.statement_fetching import fetched

    with reported():
        settings, place = opened_home(home, enclave=enclave)
        genesis = genesis_meant(settings, dao)
        key = wallet_key(settings, wallet)
        with attested(settings, genesis) as found:
            told = fetched(found, key, epoch, out_folder or place.statements)
            takes_vouchers = any(policy.vouchers is not None for policy in found.grounds.policies.values())
            claims = listed_vouchers(found, genesis, key) if takes_vouchers else []
        if json:
            shown = [_json(path, file, names) for path, file, names in told]
            show_json({"statements": shown, "vouchers": [claim_json(one) for one in claims]})
            return
        for path, file, names in told:
            _say(path, file, names, earlier_statements(path.parent, file))
        if claims:
            promised, due = sum(one.voucher.amount for one in claims), sum(one.claimable for one in claims)
            say(f"[bold]vouchers[/] on {counted(len(claims), 'channel')}: {promised} promised, {due} of it to claim")
            say("  coffer royalty vouchers --out FILE writes what their contract takes")


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(help="Statement files, as coffer royalty statement keeps them; a folder for all in it."),
    ],
    dao: GenesisOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify statements link by link, from the DAO's genesis CID alone. Exit 1 at the first fact that is wrong, named.

    It needs no network. Statements of one account that follow one another are held against each other as well.
    """
    with reported():
        settings = settings_from(home=home)
        genesis, judge = genesis_meant(settings, dao), wiring.appraiser(settings)
        results: list[dict[str, Any]] = []
        held: list[StatementFile] = []
        for path in given_files(files, STATEMENT):
            if not json:
                out.print(foreign(str(path)), soft_wrap=True)
            results.append(_verified(path, genesis, judge, held, allow_simulated=allow_simulated, is_json=json))
            if results[-1]["wrong"] is not None:
                break
        wrong = results[-1]["wrong"] or unchained(held)
        if json:
            show_json({"verified": wrong is None, "wrong": wrong, "statements": results})
        if wrong is not None:
            if not json:
                say_wrong(wrong)
            raise typer.Exit(FAILED)


def export(
    files: Annotated[list[Path], typer.Argument(help="Statement files, or folders of them; those you have verified.")],
    csv: Annotated[str, typer.Option("--csv", help="The table's file; - for stdout.")] = "-",
) -> None:
    """Write statements as one table: a row for each passage, and one each for the rest, refunds and debts.

    What is due for an epoch is the sum of its rows. Passages bear their names where the .passages file is there.
    """
    with reported():
        if csv != "-":
            require_folder_of(Path(csv))
        given = given_files(files, STATEMENT)
        table = statements_table(given)
        if csv == "-":
            sys.stdout.write(table)
            return
        write_private(Path(csv), table.encode())
        say(f"{counted(len(given), 'statement')} in {foreign(csv)}")


def _verified(
    path: Path, genesis: Cid, judge: Appraiser, held: list[StatementFile], *, allow_simulated: bool, is_json: bool
) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(path), "links": [], "wrong": None}
    try:
        file = read_statement(path)
        for link in verify_statement_file(file, genesis=genesis, appraiser=judge, allow_simulated=allow_simulated):
            facts["links"].append(link)
            if not is_json:
                say_held(link, indent="  ")
    except (InvalidReceipt, MalformedObject) as error:
        return facts | {"wrong": str(error)}
    held.append(file)
    if file.vouching.evidence.kind == SIMULATED:
        warn_simulated()
    one = file.statement
    return facts | {"epoch": one.epoch, "account": one.account, "amount": one.amount, "total": one.total}


def _say(path: Path, file: StatementFile, names: Names, earlier: list[Statement]) -> None:
    one, settlement = file.statement, file.settlement
    unit = f"micro-{foreign(one.currency)}"
    say(f"[bold]epoch {one.epoch}[/] of {foreign(one.account)}")
    say(f"  due {one.amount} {unit}; {one.total} in all so far")
    if one.refunded or one.owed_before or one.owed:
        say(f"  earned {one.earned}, refunded {one.refunded}, owed before {one.owed_before}, owed now {one.owed}")
    settled = settlement.currency(one.currency)
    say(f"  {len(one.payments) // 64} payments; all licensees together were charged {settled.charged} {unit}")
    ordered = sorted(one.lines, key=lambda line: -line.amount)
    show_chart("by passage", unit, [(_label(line.passage, names), line.amount) for line in ordered])
    if len(earlier) > 1:
        show_chart("by epoch", unit, [(f"epoch {each.epoch}", each.amount) for each in earlier])
    say(f"  kept in {foreign(str(path))}")


def _label(passage: bytes, names: Names) -> str:
    if passage == THE_REST:
        return "the rest"
    manifest, index = names.get(passage.hex(), ("", 0))
    return f"passage {index} of {manifest[:16]}…" if manifest else f"{passage.hex()[:16]}…"


def _json(path: Path, file: StatementFile, names: Names) -> dict[str, Any]:
    one, settlement = file.statement, file.settlement
    settled = settlement.currency(one.currency)
    return {
        "file": str(path),
        "epoch": one.epoch,
        "from": settlement.began_at,
        "until": settlement.at,
        "account": one.account,
        "currency": one.currency,
        "earned": one.earned,
        "refunded": one.refunded,
        "owed": one.owed,
        "amount": one.amount,
        "total": one.total,
        "claim": one.claim,
        "claims_root": f"0x{settled.claims_root.hex()}",
        "claim_proof": [f"0x{node.hex()}" for node in file.proven.claim_proof],
        "charged": settled.charged,
        "payments": len(one.payments) // 64,
        "lines": [
            {
                "passage": line.passage.hex() if line.passage != THE_REST else None,
                "manifest": names.get(line.passage.hex(), (None, None))[0],
                "index": names.get(line.passage.hex(), (None, None))[1],
                "answers": line.count,
                "amount": line.amount,
            }
            for line in one.lines
        ],
    }
