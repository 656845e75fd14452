"""Asking as a licensee from the terminal: one open session a credential, receipts kept in the home."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from cli import wiring
from cli.asking import asked
from cli.attested import enclave_address
from cli.credentials import credential_paths
from cli.desk.party import PartyContext
from cli.sealed_files import read_bounded
from enclave.client import Answer, EnclaveClient
from enclave.credential import Credential as OpenCredential
from enclave.payer import Payer
from enclave.tallies import TallyFolder
from storage.cid import Cid
from tui.desk.asking import Asked, Credential, Found, Link, ReceiptFacts, Terms
from vault.errors import AccessDenied, InvalidReceipt, InvalidSignature, ServiceUnavailable, StaleState, VaultError
from vault.policy_diff import volume_words
from vault.question import PLAIN, Mode
from vault.receipt import FILE_BYTES_MAX, ReceiptFile, verified_receipt
from vault.receipt_check import verify_receipt_file

RECENT_MAX: Final = 2000  # receipts looked into for the last hours
SUFFIX: Final = ".receipt"
_BROKEN: Final = (ServiceUnavailable, InvalidSignature, StaleState, InvalidReceipt)


class LocalAsking:
    """A licensee's questions."""

    def __init__(self, party: PartyContext) -> None:
        self._party = party
        self._lock = threading.Lock()
        self._open: dict[str, OpenCredential] = {}
        self._clients: dict[str, EnclaveClient] = {}

    def credentials(self) -> tuple[Credential, ...]:
        """Return the credentials of this home; one that the configured password opens is opened on the way."""
        names = [path.name for path in credential_paths(self._party.place)]
        password = self._party.settings.password
        for name in names:
            if password and name not in self._open:
                try:
                    self.open(name, password)
                except VaultError:
                    continue  # it has another password, which is asked for
        return tuple(Credential(name=name, is_open=name in self._open) for name in names)

    def open(self, name: str, password: str) -> None:
        """Open a credential and keep it open; raise `WrongKey` for a wrong password."""
        path = next(path for path in credential_paths(self._party.place) if path.name == name)
        self._open[name] = OpenCredential.read(path, password=password)

    def license(self, name: str) -> str:
        """Return the license of an open credential: its CID."""
        return str(self._open[name].license.cid())

    def terms(self, name: str) -> Terms:
        """Connect to the enclave with an open credential; it has to prove itself first."""
        with self.session(name) as client:
            told, account, policy = client.describe(), client.account(), client.policy
            return Terms(
                policy=policy.title,
                datasets=tuple(dataset.title for dataset in told.datasets),
                k_max=told.k_max,
                price_per_query=told.price_per_query,
                price_per_passage=told.price_per_passage,
                by_volume=tuple(volume_words(policy.free_queries, policy.tiers, policy.currency)),
                currency=told.currency,
                credit=account.credit,
                passages_seen=account.passages_seen,
                passages_max=account.passages_max,
                tee=client.appraisal.kind,
            )

    def ask(self, name: str, question: str, *, k: int, mode: str) -> Asked:
        """Ask, keep the receipt, and return the answer."""
        with self.session(name) as client:
            titles = {dataset.manifest: dataset.title for dataset in client.describe().datasets}
            begun = time.perf_counter()
            answer, saved = asked(
                client, self._party.place, self._open[name], question, k, options=replace(PLAIN, mode=Mode(mode))
            )
            return _asked(answer, saved, titles, time.perf_counter() - begun)

    @contextmanager
    def session(self, name: str) -> Iterator[EnclaveClient]:
        """Yield the credential's session, one question at a time; a broken one is opened anew the next time."""
        if name not in self._open:
            raise AccessDenied(f"the credential {name} is not open; give its password first")
        with self._lock:
            client = self._clients.get(name)
            if client is None:
                settings = self._party.settings
                tallies = TallyFolder(self._party.place.vouchers)
                self._clients[name] = client = EnclaveClient.connect(
                    enclave_address(settings),
                    self._open[name],
                    self._party.appraiser,
                    allow_simulated=not settings.production,
                    clock=lambda: float(wiring.clock()),
                    payer=Payer(self._open[name], tallies=tallies),
                )
            try:
                yield client
            except _BROKEN:
                self._clients.pop(name).close()
                raise

    def receipts(self) -> tuple[str, ...]:
        """Return the names of the receipts kept here, the newest first."""
        return tuple(sorted((path.name for path in self._files()), key=_order, reverse=True))

    def receipts_since(self, at: int) -> Iterator[ReceiptFacts]:
        """Yield the receipts kept since then, at most `RECENT_MAX`; one that cannot be read is left out."""
        newest = sorted(self._files(), key=lambda path: _order(path.name))[-RECENT_MAX:]
        for path in newest:
            try:
                facts = self.receipt(path.name)
            except (VaultError, OSError):
                continue
            if facts.at >= at:
                yield facts

    def _files(self) -> list[Path]:
        folder = self._party.place.receipts
        return [path for path in folder.iterdir() if path.suffix == SUFFIX] if folder.is_dir() else []

    def receipt(self, name: str) -> ReceiptFacts:
        """Return what a kept receipt says."""
        return _facts_at(self._path(name))

    def verify(self, name: str) -> tuple[Link, ...]:
        """Check a kept receipt link by link, offline; a simulated TEE is shown as one rather than refused."""
        file = _file_at(self._path(name))
        links: list[Link] = []
        checking = verify_receipt_file(
            file,
            genesis=self._genesis(file),
            appraiser=self._party.appraiser,
            allow_simulated=not self._party.settings.production,
        )
        try:
            links.extend(Link(words=words, holds=True) for words in checking)
        except InvalidReceipt as error:
            links.append(Link(words=str(error), holds=False))
        return tuple(links)

    def _genesis(self, file: ReceiptFile) -> Cid:
        """Return the DAO that this home means: its board's, or else the open credential's that asked."""
        if self._party.has_dao():
            return self._party.genesis()
        for credential in self._open.values():
            if credential.license == file.license:
                return credential.genesis
        raise AccessDenied("no DAO is known here to check this receipt against; open the credential it was asked with")

    def _path(self, name: str) -> Path:
        return self._party.place.receipts / Path(name).name

    def close(self) -> None:
        """Close the sessions, and forget the credentials."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._open.clear()


def _asked(answer: Answer, saved: Path, titles: dict[Cid, str], total_s: float) -> Asked:
    receipt = answer.receipt
    return Asked(
        passages=tuple(
            Found(
                text=result.passage.text,
                source=result.passage.document,
                start=result.passage.start,
                end=result.passage.end,
                score=result.score,
                dataset=titles.get(result.manifest, str(result.manifest)),
                index=result.index,
                is_redacted=result.is_redacted,
            )
            for result in answer.results
        ),
        price=receipt.price,
        currency=receipt.currency,
        sequence=receipt.sequence,
        budget_left=receipt.budget_left,
        is_partial=answer.is_partial,
        is_repeat=answer.is_repeat,
        embed_s=answer.embed_s,
        search_s=answer.search_s,
        total_s=total_s,
        receipt=saved.name,
    )


def _order(name: str) -> tuple[int, str]:
    sequence = name.partition("-")[0]
    return (int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) < 20 else 0, name)


def _file_at(path: Path) -> ReceiptFile:
    return ReceiptFile.from_bytes(read_bounded(path, FILE_BYTES_MAX), bytes_max=FILE_BYTES_MAX)


@lru_cache(maxsize=4096)
def _facts_at(path: Path) -> ReceiptFacts:
    file = _file_at(path)
    receipt = verified_receipt(file.message, file.binding.receipt_key)
    return ReceiptFacts(
        at=receipt.at,
        license=str(receipt.license),
        sequence=receipt.sequence,
        price=receipt.price,
        currency=receipt.currency,
        passages=len(receipt.passages),
        budget_left=receipt.budget_left,
        tee=receipt.tee,
    )
