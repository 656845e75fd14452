"""The wallets of a home, opened for as long as the terminal runs."""

from __future__ import annotations

from cli.desk.party import PartyContext
from cli.wallets import new_wallet, open_wallet, wallet_address
from tui.desk.wallets import Wallet
from vault.errors import WrongKey
from vault.signing import SigningKey, address_text


class LocalWallets:
    """Wallets as keystore files."""

    def __init__(self, party: PartyContext, *, rounds: int | None = None) -> None:
        self._party = party
        self._rounds = rounds

    def wallets(self) -> tuple[Wallet, ...]:
        """Return the wallets of this home, by name."""
        folder = self._party.place.path / "wallets"
        files = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
        return tuple(
            Wallet(name=path.stem, address=address_text(wallet_address(path)), is_open=path.stem in self._party.keys)
            for path in files
        )

    def open(self, name: str, password: str) -> Wallet:
        """Open a wallet and keep it open; raise `WrongKey` for a wrong password.

        Without a password, the one of the settings is tried; a wallet that is open stays so.
        """
        if name in self._party.keys and not password:
            return self._kept(name, self._party.keys[name])
        given = password or self._party.settings.password
        if not given:
            raise WrongKey(f"the wallet {name} needs its password")
        return self._kept(name, open_wallet(self._party.place.wallet(name), given))

    def new(self, name: str, password: str) -> Wallet:
        """Make a wallet, and leave it open."""
        return self._kept(name, new_wallet(self._party.place.wallet(name), password, rounds=self._rounds))

    def _kept(self, name: str, key: SigningKey) -> Wallet:
        self._party.keys[name] = key
        return Wallet(name=name, address=address_text(key.address), is_open=True)
