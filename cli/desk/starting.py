"""The first steps of a home from the terminal, done as `coffer init`, `dao init` and `dao sync` do them."""

from __future__ import annotations

import json
from functools import partial

from cli.dao_charter import voting_from
from cli.dao_init import founded_at_custodians
from cli.dao_sync import synced_with
from cli.desk.party import PartyContext
from cli.home import settings_from
from cli.init import made_home
from cli.sealed_files import read_bounded, write_private
from storage.cid import Cid
from tui.desk.starting import Steps
from vault.errors import MalformedObject, ServiceUnavailable
from vault.founding import WINDOW, charter_of, numbers_for
from vault.roll import Roll

CONFIG_BYTES_MAX = 64 << 10
LEASE_S = 300
CHAIN_ID = 1
VOTING = {  # as `coffer dao init` has them
    "voting-delay": "1h",
    "voting-period": "3d",
    "extension": None,
    "round": "1m",
    "timelock": "2d",
    "quorum": "50%",
    "threshold": "50.01%",
    "proposal-weight": "1",
    "proposals-per-day": "10",
    "delegations-every": "1d",
}


class LocalStarting:
    """Makes a home and gives it a DAO."""

    def __init__(self, party: PartyContext) -> None:
        self._party = party

    def steps(self) -> Steps:
        """Return which steps are done."""
        place = self._party.place
        has_home = place.config.exists()
        wallets = [path for path in (place.path / "wallets").glob("*.json") if not path.name.startswith(".")]
        return Steps(
            has_home=has_home,
            has_wallet=bool(wallets),
            has_dao=has_home and self._party.has_dao(),
            has_datasets=has_home and bool(self._party.catalog().list()),
        )

    def begin(self) -> None:
        """Make the home folder; again is fine."""
        made_home(self._party.settings)

    def found(self, name: str, wallet: str, *, custodians: tuple[str, ...], enclave: str) -> str:
        """Found a DAO of which the wallet is the first member and the treasury; return its genesis CID."""
        if not name.strip():
            raise MalformedObject("a DAO has a name; type one")
        if not custodians:
            raise ServiceUnavailable(
                "a DAO needs a custodian; run one with: coffer custodian serve, and name its address"
            )
        owner = self._party.key(wallet).address
        settings = self._party.settings.model_copy(update={"custodians": custodians})
        roll = Roll.of({owner: 1})
        chartered = partial(
            charter_of,
            name.strip(),
            roll,
            chain_id=CHAIN_ID,
            voting=voting_from(VOTING),
            lease_s=LEASE_S,
            treasury=owner,
            window=WINDOW,
        )
        history = founded_at_custodians(settings, roll, lambda found: chartered(found, numbers_for(len(found))))
        self._configure(custodians, enclave)
        return str(history.genesis)

    def join(self, genesis: str, board: str, *, custodians: tuple[str, ...], enclave: str) -> str:
        """Take a DAO over from a board, verified from its charter on; return its name."""
        if not board:
            raise MalformedObject("name the board that others of this DAO use: HOST:PORT, or a folder")
        meant = str(Cid.parse(genesis)) if genesis else None
        said = synced_with(self._party.settings, [board], meant, is_published=False)
        for name, why in said["failures"].items():
            raise ServiceUnavailable(f"{name}: {why}")
        self._configure(custodians, enclave)
        return self._party.history().charter.name

    def _configure(self, custodians: tuple[str, ...], enclave: str) -> None:
        """Write where the services are into the home's settings, and take them over."""
        place = self._party.place
        lines = [f"custodians = {json.dumps(custodians)}"] if custodians and not self._party.settings.custodians else []
        lines += [f"enclave = {json.dumps(enclave)}"] if enclave and not self._party.settings.enclave else []
        if lines:
            before = read_bounded(place.config, CONFIG_BYTES_MAX).decode()
            write_private(place.config, "\n".join([before.rstrip(), *lines, ""]).encode())
        self._party.settings = settings_from(home=place.path, password=self._party.settings.password)
