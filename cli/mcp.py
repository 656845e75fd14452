"""`coffer mcp`: an MCP server, so that an assistant searches licensed documents with a spend cap."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import wiring
from cli.console import MISUSED, err, fail, foreign, reported, warn_simulated
from cli.licensed import CredentialOption
from cli.options import EnclaveOption, HomeOption, SimulatedOption, host_and_port
from cli.workplace import opened_home
from vault.errors import MalformedObject
from vault.policy import SIMULATED

if TYPE_CHECKING:
    from enclave.adapters.mcp_server import KeptReceipts
    from enclave.async_client import AsyncEnclaveClient
    from enclave.dialing import Dialing

TOKEN_VARIABLE = "COFFER_MCP_TOKEN"  # noqa: S105  # the variable's name
TOKEN_CHARS_MIN = 16


def mcp(
    max_spend: Annotated[
        int,
        typer.Option(min=0, help="Micro-units that this server may spend; what may cost more is refused."),
    ],
    http: Annotated[
        str | None, typer.Option(help="Serve streamable HTTP at this loopback host:port; by default stdio.")
    ] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="The folder receipts are kept in; by default the home's.")
    ] = None,
    credential: CredentialOption = None,
    enclave: EnclaveOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
) -> None:
    """Serve the tools search, quote, datasets and receipts to an assistant, by the Model Context Protocol.

    An assistant starts it and speaks to it on stdin and stdout. With --http, requests need a bearer token:
    COFFER_MCP_TOKEN, or one that is made and printed.
    """
    if find_spec("mcp") is None:
        fail("the MCP SDK is not installed; install it with: pip install 'coffer[mcp]'", MISUSED)
    from cli.attested import enclave_address
    from cli.credentials import read_credential
    from enclave.adapters.mcp_server import KeptReceipts
    from enclave.dialing import Dialing

    with reported():
        place = _loopback(http) if http is not None else None
        settings, party = opened_home(home, enclave=enclave)
        dialing = Dialing(
            address=enclave_address(settings),
            credential=read_credential(settings, credential),
            appraiser=wiring.appraiser(settings),
            allow_simulated=allow_simulated,
        )
        kept = KeptReceipts(party.receipts if receipts is None else receipts)
        asyncio.run(_serve(dialing, kept, max_spend, place))


async def _serve(dialing: Dialing, kept: KeptReceipts, max_spend: int, place: tuple[str, int] | None) -> None:
    from enclave.adapters.mcp_server import mcp_server
    from enclave.async_client import AsyncEnclaveClient

    async with await AsyncEnclaveClient.dial(dialing, max_spend=max_spend, keep=kept.keep) as client:
        if client.appraisal.kind == SIMULATED:
            warn_simulated()
        server = mcp_server(client, kept, version=version("coffer"))
        if place is None:
            await server.run_stdio_async()
        else:
            await _serve_http(server, client, *place)


async def _serve_http(server: Any, _: AsyncEnclaveClient, host: str, port: int) -> None:
    import uvicorn

    from enclave.adapters.mcp_server import http_app

    token = os.environ.get(TOKEN_VARIABLE, "")
    is_given = bool(token)
    if is_given and len(token) < TOKEN_CHARS_MIN:
        raise MalformedObject(f"{TOKEN_VARIABLE} is a secret of {TOKEN_CHARS_MIN} characters or more")
    token = token or secrets.token_urlsafe(32)
    config = uvicorn.Config(http_app(server, token, host=host), host=host, port=port, log_level="warning")
    listener = config.bind_socket()
    listener.listen()  # whoever is told the address can connect at once
    shown, bound = listener.getsockname()[:2]
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{bound}/mcp"
    err.print(f"serving {foreign(url)}" + ("" if is_given else f"; bearer token {foreign(token)}"), soft_wrap=True)
    sys.stderr.flush()
    await uvicorn.Server(config).serve(sockets=[listener])


def _loopback(listen: str) -> tuple[str, int]:
    host, port = host_and_port(listen)
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise MalformedObject(f"{host} is not a loopback address; plain HTTP stays on this machine: --http 127.0.0.1:0")
    return host, port
