"""The parties of a Coffer on one machine: each has a folder, settings and a wallet of its own."""

from __future__ import annotations

import secrets
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cli import wiring
from cli.home import Home, Settings, settings_from
from cli.sealed_files import write_private
from cli.wallets import new_wallet, open_wallet
from storage.model import Blobs
from vault.signing import SigningKey

LIGHT_SCRYPT_N = 1 << 14  # a keystore's standard 2^18 would cost a second and 256 MiB per wallet


@dataclass(slots=True)
class Parties:
    """Owners, members, custodians, enclave and apps, and all that ends with them."""

    root: Path
    storage: str = ""
    dtype: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    wallets: dict[str, SigningKey] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        before = signal.signal(signal.SIGTERM, _interrupt)  # so that being told to end also ends what we started
        self._stack.callback(signal.signal, signal.SIGTERM, before)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settings(self, party: str) -> Settings:
        """Return the settings of one party's folder."""
        storage = self.storage or str(self.root / "blocks")
        return settings_from(home=self.root / party, storage=storage, dtype=self.dtype, password=self.password)

    def configure(self, party: str, **numbers: int) -> None:
        """Write a party's settings file, before anything reads it."""
        place = Home(self.settings(party).home)
        place.path.mkdir(mode=0o700, exist_ok=True)
        write_private(place.config, "".join(f"{name} = {value}\n" for name, value in numbers.items()).encode())

    def wallet(self, name: str) -> SigningKey:
        """Return a party's key, from its keystore file; made on first use."""
        if name not in self.wallets:
            path = Home(self.root / name).wallet(name)
            new_wallet(path, self.password, rounds=LIGHT_SCRYPT_N)
            self.wallets[name] = open_wallet(path, self.password)
        return self.wallets[name]

    def blobs(self) -> Blobs:
        """Return the block store that owners publish to and the enclave reads from."""
        return wiring.open_storage(self.settings("owners"))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
