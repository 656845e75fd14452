"""A payee's statements in one home, as `coffer royalty statement`, `verify` and `export` handle them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Final

from cli.attested import enclave_address, proved
from cli.desk.party import PartyContext
from cli.sealed_files import write_private
from cli.statement_fetching import fetched
from cli.statement_files import known_names, read_statement, statements_table, unchained
from enclave.channel import EnclaveChannel
from tui.desk.asking import Link
from tui.desk.earning import Earned, StatementFacts, Statements
from tui.desk.sealing import Tell
from vault.earnings import EPOCHS_KEPT
from vault.errors import AccessDenied, InvalidReceipt, MalformedObject, VaultError
from vault.signing import address_text
from vault.statement import Statement
from vault.statement_file import StatementFile, verify_statement_file

SUFFIX: Final = ".statement"
SHOWN_MAX: Final = 1000  # statements
CID_CHARS: Final = 16
EXPORT_WORDS: Final = "statements verified"


class LocalEarning:
    """The statements of this home's wallets."""

    def __init__(self, party: PartyContext) -> None:
        self._party = party

    def statements(self) -> Statements:
        """Return the statements kept in this home."""
        paths = self._paths()
        titles = self._titles()
        kept, unread = [], []
        for path in paths[:SHOWN_MAX]:
            try:
                kept.append(_facts(path, titles))
            except (VaultError, OSError):
                unread.append(path.name)
        return Statements(kept=tuple(kept), unread=tuple(unread), left_out=max(0, len(paths) - SHOWN_MAX))

    def fetch(self, wallet: str, tell: Tell) -> int:
        """Fetch an open wallet's statements of all closed epochs that are not kept yet; return how many came.

        Raises: `NotYet` where no epoch has closed, `AccessDenied` where the wallet earns nothing.
        """
        key, folder = self._party.key(wallet), self._party.place.statements
        tell("royalty epochs fetched", 0, None)
        known = self._epochs_of(key.address)
        with closing(EnclaveChannel(enclave_address(self._party.settings))) as channel:
            found = proved(
                channel,
                self._party.genesis(),
                self._party.appraiser,
                allow_simulated=not self._party.settings.production,
            )
            latest = fetched(found, key, 0, folder)
            last = latest[0][1].statement.epoch if latest else 0
            came = 0 if last in known else len(latest)
            missing = [epoch for epoch in range(last - 1, max(0, last - EPOCHS_KEPT), -1) if epoch not in known]
            for done, epoch in enumerate(missing, 1):
                tell("royalty epochs fetched", done, len(missing) + 1)
                try:
                    came += len(fetched(found, key, epoch, folder, server_nonce=channel.server_nonce()))
                except AccessDenied:
                    continue  # the wallet had no account yet
        return came

    def verify(self, name: str) -> tuple[Link, ...]:
        """Check a kept statement link by link, offline, and against those kept of the epochs beside it."""
        path = self._party.place.statements / Path(name).name
        file = read_statement(path)
        links: list[Link] = []
        try:
            links.extend(Link(words=words, holds=True) for words in self._checking(file))
        except InvalidReceipt as error:
            return (*links, Link(words=str(error), holds=False))
        beside = self._beside(file)
        wrong = unchained([file, *beside])
        if wrong is not None:
            links.append(Link(words=wrong, holds=False))
        elif beside:
            epochs = " and ".join(str(one.statement.epoch) for one in beside)
            links.append(Link(words=f"its total follows from what is kept of epoch {epochs}", holds=True))
        return tuple(links)

    def export(self, path: str, tell: Tell) -> int:
        """Verify every kept statement and write them as one CSV table; return how many they are.

        Raises: `InvalidReceipt` naming the first statement that does not hold; then nothing is written.
        """
        target, paths = Path(path).expanduser(), self._paths()[::-1]
        if not paths:
            raise MalformedObject("no statement is kept here yet; fetch some first")
        if target.exists():
            raise MalformedObject(f"there is a file {target.name} already; name another one")
        for done, one in enumerate(paths):
            tell(EXPORT_WORDS, done, len(paths))
            try:
                for _ in self._checking(read_statement(one)):
                    pass
            except InvalidReceipt as error:
                raise InvalidReceipt(f"{one.name} does not hold, so nothing was written: {error}") from error
        write_private(target, statements_table(paths).encode())
        tell(EXPORT_WORDS, len(paths), len(paths))
        return len(paths)

    def _checking(self, file: StatementFile) -> Iterator[str]:
        return verify_statement_file(
            file,
            genesis=self._party.genesis(),
            appraiser=self._party.appraiser,
            allow_simulated=not self._party.settings.production,
        )

    def _beside(self, file: StatementFile) -> list[StatementFile]:
        """Return what is kept of the same account for the epochs before and after."""
        statement, found = file.statement, []
        for path in self._paths():
            if _epoch_in(path.name) in (statement.epoch - 1, statement.epoch + 1):
                try:
                    other = read_statement(path)
                except (VaultError, OSError):
                    continue
                if (other.statement.genesis, other.statement.account) == (statement.genesis, statement.account):
                    found.append(other)
        return sorted(found, key=lambda one: one.statement.epoch)

    def _epochs_of(self, address: bytes) -> set[int]:
        """Return the epochs of which statements of an address are kept."""
        return {one.epoch for one in self.statements().kept if one.address == address_text(address)}

    def _paths(self) -> list[Path]:
        folder = self._party.place.statements
        files = [path for path in folder.iterdir() if path.suffix == SUFFIX] if folder.is_dir() else []
        return sorted(files, key=lambda path: (-_epoch_in(path.name), path.name))

    def _titles(self) -> tuple[tuple[str, str], ...]:
        """Return the titles of datasets sealed here, by manifest."""
        if not self._party.place.path.is_dir():
            return ()
        return tuple((str(row.manifest), row.title) for row in self._party.catalog().list() if row.title)


def _epoch_in(name: str) -> int:
    number = name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0


def _facts(path: Path, titles: tuple[tuple[str, str], ...]) -> StatementFacts:
    marks = tuple(
        (told.st_mtime_ns, told.st_size) if beside.exists() and (told := beside.stat()) else (0, 0)
        for beside in (path, path.with_name(path.name + ".passages"))
    )
    return _facts_at(path, titles, marks)


@lru_cache(maxsize=2 * SHOWN_MAX)
def _facts_at(path: Path, titles: tuple[tuple[str, str], ...], _: object) -> StatementFacts:
    """Return what a file says; read again only where it, or what is kept beside it, has changed."""
    file = read_statement(path)
    one, settlement = file.statement, file.settlement
    return StatementFacts(
        name=path.name,
        epoch=one.epoch,
        began_at=settlement.began_at,
        at=settlement.at,
        account=one.account,
        kind=one.account.partition("/")[0],
        address=address_text(one.address),
        currency=one.currency,
        earned=one.earned,
        refunded=one.refunded,
        owed=one.owed,
        amount=one.amount,
        total=one.total,
        payments=sum(1 for _ in one.pairs()),
        datasets=_by_dataset(one, path, dict(titles)),
    )


def _by_dataset(one: Statement, path: Path, titles: dict[str, str]) -> tuple[Earned, ...]:
    names = known_names(path)
    amounts: Counter[str] = Counter()
    for line in one.lines:
        manifest = names.get(line.passage.hex(), ("", 0))[0]
        label = titles.get(manifest, f"{manifest[:CID_CHARS]}…") if manifest else ""
        amounts[label] += line.amount
    return tuple(Earned(dataset=label, amount=amount) for label, amount in amounts.most_common())
