"""`coffer tui`: the terminal for owners and members. It imports nothing heavy before its first screen is painted."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import CustodianOption, EnclaveOption, GenesisOption, HomeOption

if TYPE_CHECKING:
    from tui.desk import Desk

MISUSED = 2


def tui(
    dao: GenesisOption = None,
    enclave: EnclaveOption = None,
    custodian: CustodianOption = None,
    metrics: Annotated[
        str | None, typer.Option(help="host:port of the enclave's metrics, for the screen Live (COFFER_METRICS).")
    ] = None,
    home: HomeOption = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Everything on services of this machine, made for it and ended with it.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="In a browser: prints an address with a key; whoever has it acts as you.")
    ] = False,
    listen: Annotated[str, typer.Option(help="With --serve: the host:port to listen on.")] = "127.0.0.1:8700",
) -> None:
    """See and do everything in one place: seal, vote, earn, ask, and check what the enclave proves.

    Keys: 1 to 7 for the screens, ? for help, ctrl+p for every command. With nothing configured it leads through the
    first steps.
    """
    if find_spec("textual") is None:
        sys.stderr.write("error: the terminal needs textual; install it with: pip install 'coffer[tui]'\n")
        raise typer.Exit(MISUSED)
    if serve:
        _serve(home, enclave, custodian, dao, metrics, listen, is_demo=demo)
        return
    if demo:
        from cli.desk.demo import run_demo

        run_demo()
        return
    from tui.app import CofferApp

    CofferApp(lambda job: _desk(home, enclave, custodian, dao, metrics)).run()


def _serve(
    home: Path | None,
    enclave: str | None,
    custodians: list[str] | None,
    dao: str | None,
    metrics: str | None,
    listen: str,
    *,
    is_demo: bool,
) -> None:
    if find_spec("textual_serve") is None:
        sys.stderr.write("error: --serve needs textual-serve; install it with: pip install 'coffer[tui]'\n")
        raise typer.Exit(MISUSED)
    from cli.options import host_and_port
    from cli.terminal_web import GuardedServer

    given = {"--home": home, "--enclave": enclave, "--dao": dao, "--metrics": metrics}
    parts = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    parts += [part for address in custodians or () for part in ("--custodian", address)]
    command = [sys.executable, "-m", "cli.entry", "tui", *parts, *(["--demo"] if is_demo else [])]
    try:
        host, port = host_and_port(listen)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    GuardedServer(shlex.join(command), host, port).serve()


def _desk(
    home: Path | None, enclave: str | None, custodians: list[str] | None, dao: str | None, metrics: str | None
) -> Desk:
    from cli.desk.local import LocalDesk
    from cli.home import settings_from

    settings = settings_from(home=home, enclave=enclave, custodians=tuple(custodians or ()), metrics=metrics)
    return LocalDesk(settings, dao=dao)


def run() -> None:
    """Run `coffer tui …` without the other commands: importing them takes longer than painting the first screen."""
    app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode="rich")
    app.command()(tui)
    sys.argv = [f"{Path(sys.argv[0]).name} tui", *sys.argv[2:]]
    app()
