"""Whose desk it is: settings, open keys, and the connections that its parts share, made anew when they were lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli import wiring
from cli.home import Home, Settings
from cli.wallets import wallet_address
from cli.workplace import dao_meant
from enclave.channel import EnclaveChannel
from storage.cid import Cid
from vault.client import CustodyClient
from vault.errors import AccessDenied, ServiceUnavailable
from vault.evidence import Appraiser
from vault.signing import SigningKey, address_text

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board
    from vault.records.catalog import Catalog
    from vault.records.database import Records


class PartyContext:
    """One home with what is open of it. Safe to share among threads; keys leave it only to sign."""

    def __init__(self, settings: Settings, *, appraiser: Appraiser | None = None, dao: str | None = None) -> None:
        self.settings = settings
        self.place = Home(settings.home)
        self.appraiser = appraiser or wiring.appraiser(settings)
        self._dao = dao
        self._lock = threading.RLock()
        self._records: Records | None = None
        self._channel: EnclaveChannel | None = None
        self._custodians: dict[str, CustodyClient] = {}
        self._history: History | None = None
        self.keys: dict[str, SigningKey] = {}

    def records(self) -> Records:
        """Return the open records."""
        with self._lock:
            if self._records is None:
                if not self.place.path.is_dir():
                    raise FileNotFoundError(f"there is no Coffer home at {self.place.path}; make one with: coffer init")
                self._records = wiring.open_database(self.settings)
            return self._records

    def board(self) -> Board:
        """Return the board."""
        from vault.records.board import Board

        return Board(self.records())

    def catalog(self) -> Catalog:
        """Return the catalog of what was sealed here."""
        from vault.records.catalog import Catalog

        return Catalog(self.records())

    def has_dao(self) -> bool:
        """Say whether the board knows a DAO."""
        return self.place.path.is_dir() and bool(self.board().geneses())

    def genesis(self) -> Cid:
        """Return the DAO that was named, or the only one of this home."""
        return dao_meant(self.board(), self._dao)

    def history(self) -> History:
        """Return the DAO's history, verified from its charter; again only when the board's tip has moved."""
        from vault.assembly import history_of

        board, genesis = self.board(), self.genesis()
        with self._lock:
            known = self._history
            if known is None or known.genesis != genesis or known.head.cid() != board.tip(genesis):
                self._history = known = history_of(board, genesis, at=wiring.clock())
            return known

    @contextmanager
    def enclave(self) -> Iterator[EnclaveChannel]:
        """Yield the pinned channel to the enclave; one that was lost is made anew the next time."""
        if not self.settings.enclave:
            raise ServiceUnavailable("no enclave is configured; name it with --enclave HOST:PORT or in the settings")
        with self._lock:
            if self._channel is None:
                self._channel = EnclaveChannel(self.settings.enclave)
            channel = self._channel
        try:
            yield channel
        except ServiceUnavailable:
            with self._lock:
                if self._channel is channel:
                    self._channel = None
            channel.close()
            raise

    def custodians(self) -> dict[str, CustodyClient]:
        """Return a client for each configured custodian, by address; each connects when it is first asked."""
        with self._lock:
            for address in self.settings.custodians:
                if address not in self._custodians:
                    self._custodians[address] = CustodyClient(address)
            return dict(self._custodians)

    def key(self, wallet: str) -> SigningKey:
        """Return an open wallet's key."""
        if wallet not in self.keys:
            raise AccessDenied(f"the wallet {wallet} is not open; give its password first")
        return self.keys[wallet]

    def wallet_of(self, address: bytes) -> str:
        """Return the name of this home's wallet with an address, or raise `AccessDenied`."""
        for path in sorted((self.place.path / "wallets").glob("*.json")):
            if not path.name.startswith(".") and wallet_address(path) == address:
                return path.stem
        raise AccessDenied(f"the wallet of {address_text(address)} is not in this home")

    def close(self) -> None:
        """Close connections, and forget the keys."""
        with self._lock:
            closing: list[Callable[[], None]] = [client.close for client in self._custodians.values()]
            closing += [part.close for part in (self._channel, self._records) if part is not None]
            for close in closing:
                close()
            self._custodians.clear()
            self._channel = self._records = self._history = None
            self.keys.clear()
