"""A licensee's client, as commands use it: the configured enclave, a credential of the home, TEE shown in red."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import warn_simulated
from cli.home import Home
from cli.workplace import opened_home
from vault.policy import SIMULATED

if TYPE_CHECKING:
    from enclave.client import EnclaveClient
    from enclave.credential import Credential

CredentialOption = Annotated[
    str | None, typer.Option(help="A credential's file or license CID; the only one in the home by default.")
]


@dataclass(frozen=True, slots=True)
class Licensed:
    """A connected client, and what it was made of."""

    client: EnclaveClient
    place: Home
    credential: Credential

    @property
    def tee(self) -> str:
        """Return what kind of TEE the enclave proved to be."""
        return self.client.appraisal.kind


@contextmanager
def licensed(
    home: Path | None, enclave: str | None, credential: str | None, *, allow_simulated: bool, **options: Any
) -> Iterator[Licensed]:
    """Connect as the licensee of a credential; `options` go to the client."""
    from cli.attested import enclave_address
    from cli.credentials import read_credential
    from enclave.client import EnclaveClient
    from enclave.payer import Payer
    from enclave.tallies import TallyFolder

    settings, place = opened_home(home, enclave=enclave)
    held = read_credential(settings, credential)
    address, judge = enclave_address(settings), wiring.appraiser(settings)
    payer = Payer(held, tallies=TallyFolder(place.vouchers), max_spend=options.get("max_spend"))
    options |= {"allow_simulated": allow_simulated, "payer": payer}
    with EnclaveClient.connect(address, held, judge, **options) as client:
        if client.appraisal.kind == SIMULATED:
            warn_simulated()
        yield Licensed(client, place, held)
