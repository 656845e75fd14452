"""Wallets and what is sealed under passwords: opened once, kept in memory until the terminal ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A person's wallet in this home."""

    name: str
    address: str  # 0x…
    is_open: bool


class WalletDesk(Protocol):
    """Opens wallets. No key ever leaves it."""

    def wallets(self) -> tuple[Wallet, ...]:
        """Return the wallets of this home, by name."""
        ...

    def open(self, name: str, password: str) -> Wallet:
        """Open a wallet and keep it open; raise `WrongKey` for a wrong password.

        Without a password, the one of the settings is tried; a wallet that is open stays so.
        """
        ...

    def new(self, name: str, password: str) -> Wallet:
        """Make a wallet, and leave it open."""
        ...
