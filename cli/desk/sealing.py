"""An owner's datasets in one home, sealed and published as the commands do it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli import dataset_copies, sealing, wiring
from cli.desk.party import PartyContext
from cli.keyring import read_keys
from cli.sealed_files import write_private
from rag.formats import PARSERS
from storage.cid import Cid
from tui.desk.sealing import Checked, Done, LeftOut, PaperShares, Published, Tell, Wish
from vault.delivery import Undoable, clear_staging, deliver, manifest_at
from vault.errors import MalformedObject, ServiceUnavailable, VaultError
from vault.manifest import Manifest
from vault.paper import paper_shares
from vault.publishing import Sealed, verify_stored

if TYPE_CHECKING:
    from vault.client import CustodyClient
    from vault.records.model import DatasetRow

MANY_IN_ONE: Final = frozenset({".jsonl", ".csv"})  # kinds of files that hold more than one document
FILES_COUNTED_MAX: Final = 100_000


class LocalSealing:
    """Seals into this home's staging, publishes to its storage and custodians."""

    def __init__(self, party: PartyContext) -> None:
        self._party = party

    def seal(self, wish: Wish, tell: Tell) -> Done:
        """Seal a folder; what fails or is stopped leaves no block, key or row behind."""
        settings, catalog, history = self._party.settings, self._party.catalog(), self._party.history()
        owner = self._party.key(wish.owner)
        tell("documents sealed", 0, None)
        total = documents_in(Path(wish.folder))
        draft = sealing.draft_of(
            settings,
            catalog,
            owner,
            genesis=history.genesis,
            title=wish.title,
            allow_simulated=wish.allow_simulated,
            replaces=Cid.parse(wish.replaces) if wish.replaces else None,
        )
        items = sealing.documents_of([wish.folder], "")
        row, corpus = sealing.seal(
            settings,
            catalog,
            items,
            draft,
            history.charter,
            owner,
            lambda done: tell("documents sealed", done, max(total, done) if total is not None else None),
        )
        return Done(
            manifest=str(row.manifest),
            title=row.title,
            version=row.version,
            documents=corpus.documents,
            passages=corpus.passages,
            sealed_bytes=row.sealed_bytes,
            left_out=tuple(LeftOut(name=item.name, reason=item.reason) for item in corpus.skipped),
        )

    def publish(self, manifest: str, tell: Tell) -> Published:
        """Store, fetch back, check, and hand each custodian its share; stopped before, nothing stays stored."""
        row, found = self._known(manifest)
        sealed = self._sealed(found)
        if not sealed.shares:
            raise MalformedObject("this key came back from paper, without the custodians' shares; seal it anew")
        settings, owner = self._party.settings, self._party.key(self.owner_wallet(manifest))
        charter = self._party.history().charter
        plan = dataset_copies.planned(settings, None, None, row.sealed_bytes)
        staging, storage = wiring.open_staging(settings), Undoable(wiring.open_storage(settings))
        with ExitStack() as undoing:
            undoing.callback(storage.undo)
            stored = deliver(
                sealed,
                charter,
                owner,
                staging=staging,
                storage=storage,
                custodians=self._custodians(),
                progress=lambda done: tell("bytes stored and checked", done, max(row.sealed_bytes, done)),
            )
            undoing.pop_all()
        copies = dataset_copies.stored(settings, self._party.records(), row.manifest, plan, wait_s=0)
        clear_staging(found, staging)
        return Published(
            stored_bytes=stored,
            place=storage.name,
            custodians=len(charter.custodians),
            verified_copies=copies.verified,
            wanted_copies=copies.wanted,
        )

    def verify(self, manifest: str, tell: Tell) -> Checked:
        """Fetch every block again and check it; where the owner's wallet is open, decrypt it too."""
        storage = wiring.open_storage(self._party.settings)
        found = manifest_at(Cid.parse(manifest), storage)
        key = self._sealed(found).key if self._is_open(manifest) else None
        total = found.sealed_bytes
        tell("bytes checked", 0, total)
        checked = verify_stored(found, storage, key, progress=lambda done: tell("bytes checked", done, total))
        return Checked(
            segments=len(found.segments), checked_bytes=checked, place=storage.name, is_opened=key is not None
        )

    def owner_wallet(self, manifest: str) -> str:
        """Return the name of the wallet that owns a dataset; raise `AccessDenied` where it is not in this home."""
        return self._party.wallet_of(self._known(manifest)[0].owner)

    def paper(self, manifest: str, *, shares: int, of: int) -> PaperShares:
        """Return a dataset's key as lists of words."""
        sealed = self._sealed(self._known(manifest)[1])
        return PaperShares(needed=shares, lists=tuple(paper_shares(sealed.key, shares=shares, of=of)))

    def confirm_paper(self, manifest: str) -> None:
        """Keep that the owner has the lists safe."""
        row, _ = self._known(manifest)
        write_private(self._party.place.paper_confirmed(row.dataset, row.version), b"confirmed\n")

    def _known(self, manifest: str) -> tuple[DatasetRow, Manifest]:
        cid = Cid.parse(manifest)
        row = self._party.catalog().get(cid)
        if row is None:
            raise MalformedObject(f"dataset {cid} was not sealed in this home")
        settings = self._party.settings
        return row, manifest_at(cid, wiring.open_staging(settings), wiring.open_storage(settings))

    def _sealed(self, manifest: Manifest) -> Sealed:
        owner = self._party.key(self._party.wallet_of(manifest.owner))
        return read_keys(self._party.place.data_key(manifest.dataset, manifest.version), manifest, owner)

    def _is_open(self, manifest: str) -> bool:
        try:
            return self.owner_wallet(manifest) in self._party.keys
        except VaultError:
            return False

    def _custodians(self) -> dict[bytes, CustodyClient]:
        """Return the custodians that answer, by key; `deliver` says which of the charter's are missing."""
        clients = {}
        for client in self._party.custodians().values():
            try:
                clients[client.custodian.key] = client
            except ServiceUnavailable:
                continue
        return clients


def documents_in(folder: Path) -> int | None:
    """Return how many documents a folder will give; None where only reading it would tell."""
    count = 0
    for path in _files(folder):
        suffix = path.suffix.lower()
        if suffix in MANY_IN_ONE or count >= FILES_COUNTED_MAX:
            return None
        count += suffix in PARSERS
    return count


def _files(folder: Path) -> Iterator[Path]:
    for inner, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(inner) / name for name in names if not name.startswith("."))
