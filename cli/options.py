"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storage.cid import Cid
from storage.errors import InvalidCid
from vault.errors import MalformedObject

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="This party's folder (COFFER_HOME; ~/.coffer by default).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
ListenOption = Annotated[str, typer.Option(help="host:port to listen on; port 0 takes any free one.")]
CustodianOption = Annotated[
    list[str] | None, typer.Option("--custodian", help="A custodian's host:port; give it once per custodian.")
]
EnclaveOption = Annotated[str | None, typer.Option("--enclave", help="The enclave's host:port (COFFER_ENCLAVE).")]
WalletOption = Annotated[
    str, typer.Option("--wallet", help="A wallet's name in the home folder, or a keystore file's path.")
]
GenesisOption = Annotated[
    str | None, typer.Option("--dao", help="The DAO: its genesis CID. The only one in the records by default.")
]
SimulatedOption = Annotated[
    bool, typer.Option("--allow-simulated", help="Accept a SIMULATED TEE, which protects nothing.")
]


def cid_option(text: str) -> Cid:
    """Return the CID a person typed, or fail with how to find it."""
    try:
        return Cid.parse(text)
    except InvalidCid as error:
        raise typer.BadParameter(f"{text!r} is not a CID; list commands print them in full") from error


def host_and_port(text: str) -> tuple[str, int]:
    """Return the host and port of `host:port`, or raise `MalformedObject`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port[:6]) > 65535:
        raise MalformedObject(f"{text!r} is not host:port; write 127.0.0.1:9464, for example")
    return host.strip("[]"), int(port)
