"""What the payees are told: each fetches its statement from the enclave, and has it checked offline."""

from __future__ import annotations

import time
from typing import Final

from cli import wiring
from cli.attested import proved
from cli.home import Home
from cli.stage import Stage
from cli.statement_fetching import fetched
from enclave.channel import EnclaveChannel
from vault.errors import VaultError
from vault.statement_file import StatementFile, verify_statement_file

EPOCH_S: Final = 2  # how long a royalty epoch is, so that one closes while somebody watches
PAYEES: Final = ("owner-1", "owner-2", "treasury", "operator")


def statements_of(stage: Stage) -> list[StatementFile]:
    """Wait until the epoch of the last charge is over, and have every payee fetch its statement of it."""
    time.sleep(EPOCH_S)
    return [file for payee in PAYEES for file in _fetched(stage, payee)]


def _fetched(stage: Stage, payee: str) -> list[StatementFile]:
    settings = stage.settings(payee)
    channel = EnclaveChannel(stage.enclave_address())
    try:
        found = proved(channel, stage.genesis, wiring.appraiser(settings), allow_simulated=True)
        kept = fetched(found, stage.wallet(payee), 0, Home(settings.home).statements)
    finally:
        channel.close()
    return [file for _, file, _ in kept]


def verified_totals(stage: Stage, files: list[StatementFile]) -> dict[str, int]:
    """Return what statements say is due to each account in all; raise `VaultError` where one does not verify."""
    judge = wiring.appraiser(stage.settings("auditor"))
    for file in files:
        list(verify_statement_file(file, genesis=stage.genesis, appraiser=judge, allow_simulated=True))
    if len({file.settlement.cid() for file in files}) != 1:
        raise VaultError("the payees were told of different settlements")
    return {file.statement.account: file.statement.total for file in files}
