"""`coffer tui`: the terminal for owners and members."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from cli import wiring
from cli.console import MISUSED, fail, reported
from cli.home import settings_from
from cli.options import EnclaveOption, HomeOption, cid_option


def tui(
    dao: Annotated[str, typer.Argument(help="The DAO's genesis CID; everything shown is checked against it.")],
    enclave: EnclaveOption = None,
    home: HomeOption = None,
) -> None:
    """Watch an enclave: what it proves, which policies are in force and which datasets it serves."""
    if find_spec("textual") is None:
        fail("the terminal needs textual; install it with: pip install 'coffer[tui]'", MISUSED)
    with reported():
        settings = settings_from(home=home, enclave=enclave)
        if not settings.enclave:
            fail("no enclave is configured; name one with --enclave HOST:PORT", MISUSED)
        from tui.app import CofferApp

        CofferApp(settings.enclave, cid_option(dao), wiring.appraiser(settings)).run()
