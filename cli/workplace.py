"""What most commands begin with: settings, home, wallet, the DAO that is meant, the custodians that answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from cli import wiring
from cli.console import err, is_quiet, password_for
from cli.home import Home, Settings, settings_from
from cli.options import cid_option
from cli.wallets import open_wallet
from storage.cid import Cid
from vault.errors import AccessDenied, MalformedObject, ServiceUnavailable, VaultError

if TYPE_CHECKING:
    from vault.client import CustodyClient
    from vault.history import History
    from vault.manifest import Manifest
    from vault.records.board import Board
    from vault.records.database import Records
    from vault.signing import SigningKey


def opened_home(home: Path | None, **flags: Any) -> tuple[Settings, Home]:
    """Return settings and home; raise `FileNotFoundError` where nobody ran `coffer init`."""
    settings = settings_from(home=home, **flags)
    place = Home(settings.home)
    if not place.path.is_dir():
        raise FileNotFoundError(f"there is no Coffer home at {place.path}; make one with: coffer init")
    return settings, place


def wallet_key(settings: Settings, name: str) -> SigningKey:
    """Open a wallet by name or path, with the password from settings or a prompt."""
    path = Home(settings.home).wallet(name)
    if not path.exists():
        raise FileNotFoundError(f"there is no wallet at {path}; make one with: coffer wallet new")
    return open_wallet(path, password_for(f"the wallet {name}", settings.password))


def owner_key(settings: Settings, name: str, manifest: Manifest) -> SigningKey:
    """Open the wallet of a dataset's owner; raise `AccessDenied` for another's."""
    from vault.signing import address_text

    key = wallet_key(settings, name)
    if key.address != manifest.owner:
        raise AccessDenied(f"the dataset's owner is {address_text(manifest.owner)}; use that wallet")
    return key


def dao_meant(board: Board, given: str | None) -> Cid:
    """Return the DAO a person named, or the only one on the board."""
    if given is not None:
        return cid_option(given)
    known = board.geneses()
    if len(known) == 1:
        return known[0]
    if known:
        raise MalformedObject(f"{len(known)} DAOs are on the board; say which one with --dao GENESIS")
    raise MalformedObject("no DAO is on the board; found one with: coffer dao init, or name one with --dao GENESIS")


def history_meant(records: Records, given: str | None) -> tuple[Board, History]:
    """Return the board, and the verified history of the DAO that is meant."""
    from vault.assembly import history_of
    from vault.records.board import Board

    board = Board(records)
    return board, history_of(board, dao_meant(board, given), at=wiring.clock())


@dataclass(slots=True)
class Reached:
    """The custodians that answered, by signing key, and why the others did not, by address."""

    clients: dict[bytes, CustodyClient]
    failures: dict[str, VaultError]


@contextmanager
def custodians_reached(settings: Settings) -> Iterator[Reached]:
    """Connect to every custodian of the settings and close them afterwards; raise where none is configured."""
    from vault.client import CustodyClient

    if not settings.custodians:
        raise ServiceUnavailable("no custodian is configured; name each with --custodian HOST:PORT or in the settings")
    reached = Reached({}, {})
    try:
        for address in settings.custodians:
            try:
                client = CustodyClient.connect(address)
            except ServiceUnavailable as error:
                reached.failures[address] = error
            else:
                reached.clients[client.custodian.key] = client
        yield reached
    finally:
        for client in reached.clients.values():
            client.close()


class PaceColumn(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        """Return it; nothing where nobody knows yet."""
        pace = task.finished_speed or task.speed
        return Text("" if not pace else f"{pace:.{0 if pace >= 10 else 1}f}/s", style="progress.data.speed")


@contextmanager
def progress_bar(what: str, *, total: int | None, is_json: bool) -> Iterator[Any]:
    """Yield a function that takes how much is done, and of how much where that was not known before.

    A bar is drawn where a person looks at stderr; of passages and bytes it says how many a second, and the time left.
    """
    if is_json or is_quiet():
        yield lambda done, of=None: None
        return
    how_far: tuple[ProgressColumn, ...] = (MofNCompleteColumn(), TimeElapsedColumn())
    if what.startswith("passages"):
        how_far = (MofNCompleteColumn(), PaceColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    if what.startswith("bytes"):
        how_far = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    columns = (TextColumn("{task.description}"), BarColumn(), *how_far)
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, of=total: progress.update(task, completed=done, total=of)


def genesis_meant(settings: Settings, given: str | None) -> Cid:
    """Return the DAO a person named, or the only one in the records; these are opened only if they are needed."""
    from vault.records.board import Board

    if given is not None:
        return cid_option(given)
    with wiring.open_database(settings) as records:
        return dao_meant(Board(records), None)
