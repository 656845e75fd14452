"""`coffer dataset tombstone`: check what the owner of a deleted dataset says of it, and custodians signed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import FAILED, reported, say, show_json
from cli.options import HomeOption, JsonOption
from cli.sealed_files import read_bounded
from cli.workplace import history_meant, opened_home
from vault.codec import OBJECT_BYTES_MAX
from vault.destruction import Tombstone, verify_tombstone
from vault.errors import MalformedObject
from vault.plain_text import counted
from vault.signing import address_text
from vault.utc import time_text


def tombstone(
    file: Annotated[Path, typer.Argument(help="A tombstone, as coffer dataset delete writes it.")],
    dao: Annotated[str | None, typer.Option("--dao", help="The DAO: its genesis CID.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify a deleted dataset's tombstone offline: who signed that their share is gone, and whether the head says so.

    Exit 1 where a signature does not hold, or where the custodians that signed are too few.
    """
    with reported():
        settings, _ = opened_home(home)
        found = _tombstone_from(file)
        with wiring.open_database(settings) as records:
            _, history = history_meant(records, dao or str(found.genesis))
        gone = verify_tombstone(found, history.charter)
        is_revoked = any(found.subject() == one.subject for one in history.head.revocations)
        shown = tombstone_json(found) | {
            "shredded": [str(one.manifest) for one in gone],
            "epoch": history.head.epoch,
            "in_head": is_revoked,
        }
        if json:
            show_json(shown)
        else:
            _say_tombstone(found, shown)
        if len(gone) < len(found.versions):
            raise typer.Exit(FAILED)


def _say_tombstone(found: Tombstone, shown: dict[str, Any]) -> None:
    say(f"tombstone [bold]{found.cid()}[/] of {address_text(found.owner)}, {time_text(found.deleted_at)}")
    for one in found.versions:
        is_gone = str(one.manifest) in shown["shredded"]
        mark = "[green]✓[/] the key is gone" if is_gone else "[red]✗[/] the key can still be rebuilt"
        say(f"version {one.version} {one.manifest}: {counted(len(one.receipts), 'receipt')}; {mark}")
    where = "names it" if shown["in_head"] else "does not name it yet"
    say(f"the head at epoch {shown['epoch']} {where}")


def _tombstone_from(file: Path) -> Tombstone:
    try:
        return Tombstone.from_bytes(read_bounded(file, OBJECT_BYTES_MAX))
    except MalformedObject as error:
        raise MalformedObject(f"{file} is no tombstone: {error}") from error


def tombstone_json(found: Tombstone) -> dict[str, Any]:
    """Return a tombstone, for programs."""
    return {
        "tombstone": str(found.cid()),
        "genesis": str(found.genesis),
        "owner": address_text(found.owner),
        "dataset": found.dataset.hex(),
        "deleted_at": found.deleted_at,
    }
