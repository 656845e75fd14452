"""`coffer records`: a look at the database that a custodian or an enclave keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import FAILED, MISUSED, fail, reported, say, say_wrong, show_json
from cli.home import Home, settings_from
from cli.options import HomeOption, JsonOption
from cli.records_check import is_migrated, place_of, reading
from vault.plain_text import counted

if TYPE_CHECKING:
    from vault.records.journal_check import LedgerRows
    from vault.window import Anchor

_ANCHOR = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")

app = typer.Typer(help="Look at the database of a custodian or an enclave.")


@app.callback()
def group() -> None:
    """Look at the database of a custodian or an enclave."""


@app.command("check")
def check(
    records: Annotated[str | None, typer.Option(help="Database URL; SQLite in the home folder by default.")] = None,
    anchor: Annotated[
        str | None, typer.Option(help="SEQUENCE:MAC of a ledger's entry, as an earlier check printed it.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check the ledgers' rows without their key, changing nothing. Exit 1 where something is wrong.

    No row may be missing, the triggers that refuse changes must be there, and an anchored entry must be the same
    still. The sums are sealed: the enclave re-adds every balance, and the chain of MACs, whenever it starts, and
    when `coffer credit check` asks it to.
    """
    remembered = _anchor_from(anchor)
    with reported():
        settings = settings_from(home=home, records=records)
        url = settings.records or f"sqlite:///{Home(settings.home).records}"
        place = place_of(url)
        if not is_migrated(url):
            fail(f"there are no records in {place}, or of an older version; nothing was checked")
        whole, ledgers = _checked(url, remembered)
    wrong = [*whole, *(one for ledger in ledgers for one in ledger.wrong)]
    if remembered is not None and not any(ledger.is_anchored for ledger in ledgers):
        entry = f"entry {remembered.sequence} with this MAC"
        wrong.append(f"{entry} is in no ledger: the database is an older one, or was changed")
    if json:
        show_json({"place": place, "wrong": wrong, "ledgers": [_json(ledger) for ledger in ledgers]})
    else:
        _say(place, ledgers, wrong)
    if wrong:
        raise typer.Exit(FAILED)


def _checked(url: str, remembered: Anchor | None) -> tuple[list[str], list[LedgerRows]]:
    from sqlalchemy import make_url

    from vault.records.journal_check import checked_ledgers, damage, missing_guards

    with reading(make_url(url)) as connection:
        broken = [f"the file is damaged: {line}" for line in damage(connection)]
        if broken:
            return broken, []
        missing = [f"trigger {name} is missing: rows can be changed" for name in missing_guards(connection)]
        return missing, list(checked_ledgers(connection, remembered))


def _anchor_from(written: str | None) -> Anchor | None:
    from vault.window import Anchor

    if written is None:
        return None
    found = _ANCHOR.fullmatch(written)
    if found is None:
        fail("an anchor is SEQUENCE:MAC, a number and 64 hexadecimal digits", MISUSED)
    return Anchor(sequence=int(found[1]), mac=bytes.fromhex(found[2]))


def _say(place: str, ledgers: list[LedgerRows], wrong: list[str]) -> None:
    say(f"{place}: {counted(len(ledgers), 'ledger')}")
    for ledger in ledgers:
        say(f"  ledger {ledger.ledger.hex()[:16]}…: {ledger.entries} entries in {ledger.rows} rows")
        say(f"    last {ledger.last.sequence}:{ledger.last.mac.hex()}")
    for one in wrong:
        say_wrong(one)
    if not wrong:
        say("no row is missing and none can be changed; balances are re-added by the enclave: coffer credit check")


def _json(ledger: LedgerRows) -> dict[str, Any]:
    return {
        "ledger": ledger.ledger.hex(),
        "rows": ledger.rows,
        "entries": ledger.entries,
        "last": f"{ledger.last.sequence}:{ledger.last.mac.hex()}",
        "wrong": list(ledger.wrong),
    }
