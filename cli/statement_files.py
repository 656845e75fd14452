"""Statement files as a payee keeps them, and beside each, for the payee alone, which passages it means."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from cli.sealed_files import read_bounded, write_private
from storage.cid import Cid
from storage.errors import InvalidCid
from vault.errors import ForkedHistory, InvalidReceipt, MalformedObject, VaultError
from vault.manifest import Manifest
from vault.statement import THE_REST, Settlement, Statement, blinded
from vault.statement_file import FILE_BYTES_MAX, StatementFile, verify_chain

NAMES_BYTES_MAX: Final = 8 << 20
COLUMNS: Final = (
    "epoch",
    "from",
    "until",
    "account",
    "currency",
    "what",
    "passage",
    "manifest",
    "index",
    "answers",
    "micro_units",
)
Names = dict[str, tuple[str, int]]  # a passage's blinded name → its manifest and index


def kept_statement(folder: Path, file: StatementFile, names: Names) -> tuple[Path, StatementFile, Names]:
    """Keep a statement in a folder, and beside it what its passages are; return where, with both.

    Raises: `ForkedHistory` where the one kept of this epoch, or of the one before or after, says something else. Then
        both are kept: together they prove it.
    """
    epoch = file.statement.epoch
    path = _path(folder, file, f"{epoch}")
    others = [(near, _told_before(_path(folder, file, f"{near}"), file)) for near in (epoch - 1, epoch, epoch + 1)]
    wrong = {near: why for near, other in others if other is not None and (why := unchained([other, file]))}
    if epoch in wrong:
        path = _path(folder, file, f"{epoch}-otherwise")
    write_private(path, file.encoded())
    write_private(_names_path(path), json.dumps(names, sort_keys=True).encode())
    for near, why in wrong.items():
        raise ForkedHistory(
            f"{why}. The enclave told it otherwise before: {_path(folder, file, f'{near}')} and {path} prove it; show "
            "both to the DAO"
        )
    return path, file, names


def _path(folder: Path, file: StatementFile, number: str) -> Path:
    return folder / f"{number}-{_suffix(file)}"


def _told_before(path: Path, file: StatementFile) -> StatementFile | None:
    """Return the statement of the same account that was kept there, if its signature holds."""
    with suppress(FileNotFoundError, VaultError):
        known = read_statement(path)
        if (known.statement.genesis, known.statement.account) == (file.statement.genesis, file.statement.account):
            known.vouched()
            return known
    return None


def _names_path(path: Path) -> Path:
    return path.with_name(path.name + ".passages")


def passage_names(statement: Statement, key: bytes, manifests: list[Manifest]) -> Names:
    """Return what a statement's passages are, as far as they are of datasets that are served now."""
    wanted = {line.passage for line in statement.lines} - {THE_REST}
    found: Names = {}
    for manifest in manifests:
        if manifest.owner != statement.address:
            continue
        cid = manifest.cid()
        for index in range(manifest.passages):
            if len(found) == len(wanted):
                return found
            name = blinded(key, cid, index)
            if name in wanted:
                found[name.hex()] = (str(cid), index)
    return found


def known_names(path: Path) -> Names:
    """Return what the passages of a statement's file are, where that was kept beside it."""
    try:
        known = json.loads(read_bounded(_names_path(path), NAMES_BYTES_MAX))
        return {str(name): (str(Cid.parse(manifest)), int(index)) for name, (manifest, index) in known.items()}
    except FileNotFoundError:
        return {}
    except (InvalidCid, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise MalformedObject(f"{_names_path(path)} is not what was kept beside the statement; move it away") from error


def read_statement(path: Path) -> StatementFile:
    """Return a statement file, or raise `MalformedObject` for one that is none."""
    try:
        return StatementFile.from_bytes(read_bounded(path, FILE_BYTES_MAX), bytes_max=FILE_BYTES_MAX)
    except VaultError as error:
        raise MalformedObject(f"{path} is not a whole statement file: {error}") from error


def table_rows(file: StatementFile, names: Names) -> Iterator[tuple[object, ...]]:
    """Yield a statement's rows under `COLUMNS`; they add up to what is due for its epoch."""
    one, settlement = file.statement, file.settlement
    head = (one.epoch, settlement.began_at, settlement.at, one.account, one.currency)
    for line in one.lines:
        manifest, index = names.get(line.passage.hex(), ("", ""))
        what = "rest" if line.passage == THE_REST else "passage"
        yield (*head, what, line.passage.hex() if what == "passage" else "", manifest, index, line.count, line.amount)
    for what, amount in (("refunded", -one.refunded), ("owed before", -one.owed_before), ("owed", one.owed)):
        if amount:
            yield (*head, what, "", "", "", "", amount)


def statements_table(paths: Iterable[Path]) -> str:
    """Return statement files as one CSV table."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for path in paths:
        writer.writerows(table_rows(read_statement(path), known_names(path)))
    return table.getvalue()


def unchained(held: Iterable[StatementFile]) -> str | None:
    """Return what does not fit between statements that follow one another, if anything."""
    settlements: dict[int, Settlement] = {}
    known: dict[tuple[str, int], StatementFile] = {}
    for file in held:
        account, epoch, settlement = file.statement.account, file.statement.epoch, file.settlement
        if settlements.setdefault(epoch, settlement) != settlement:
            return f"epoch {epoch}: two settlements of it were signed"
        if known.setdefault((account, epoch), file).statement != file.statement:
            return f"epoch {epoch}: two statements of {account} were made for it"
    for (_, one), (_, later) in pairwise(sorted(known.items())):
        if (one.statement.account, one.statement.epoch + 1) == (later.statement.account, later.statement.epoch):
            try:
                verify_chain(one.statement, later.statement)
            except InvalidReceipt as error:
                return f"epochs {one.statement.epoch} and {later.statement.epoch} of {one.statement.account}: {error}"
    return None


def earlier_statements(folder: Path, file: StatementFile) -> list[Statement]:
    """Return the statements of this account that are kept in a folder; what is no statement is passed over."""
    found = {file.statement.epoch: file.statement}
    for path in sorted(folder.glob(f"*-{_suffix(file)}")):
        try:
            kept = read_statement(path).statement
        except (OSError, VaultError):
            continue
        if (kept.genesis, kept.account) == (file.statement.genesis, file.statement.account):
            found[kept.epoch] = kept
    return [found[epoch] for epoch in sorted(found)]


def _suffix(file: StatementFile) -> str:
    """Return how the names of an account's statement files end."""
    kind, _, currency = file.statement.account.split("/")
    return f"{kind}-{file.statement.address.hex()[:12]}-{currency}.statement"
