"""`coffer enclave`: serve sealed datasets from a TEE."""

from __future__ import annotations

import asyncio
import json as json_format
from typing import Annotated

import typer

from cli import wiring
from cli.console import foreign, out, reported, say, show_json, tee_text, warn_simulated
from cli.home import Settings, settings_from
from cli.machine import own_tee
from cli.opening import show_opening
from cli.options import (
    CustodianOption,
    EnclaveOption,
    HomeOption,
    JsonOption,
    ListenOption,
    cid_option,
    host_and_port,
)
from cli.serving import STOP_GRACE_S, collect_seldom, run_service, until_stopped
from cli.tees import tee_json
from storage.cid import Cid
from tui.words import opened_words

app = typer.Typer(help="Open sealed datasets in a TEE and answer licensed questions.")
StorageOption = Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")]


@app.command("describe")
def describe(
    dao: Annotated[str, typer.Argument(help="The DAO's genesis CID.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print what a policy has to name to accept an enclave with these settings: TEE, measurement, configuration.

    A simulated TEE's key is made in the home folder on first use, since the enclave that is described will use it.
    """
    with reported():
        settings = settings_from(home=home)
        described = tee_json(own_tee(settings))
        configuration = wiring.enclave_configuration(settings, cid_option(dao)).cid()
        if json:
            show_json({**described, "configuration": str(configuration)})
            return
        out.print(f"TEE            {tee_text(described['kind'])}")
        for name, value in described["expectations"].items():
            out.print(f"{name:14} {value if isinstance(value, str) else json_format.dumps(value)}", soft_wrap=True)
        out.print(f"{'gpu':14} {described['gpu']}", soft_wrap=True)
        out.print(f"configuration  {configuration}", soft_wrap=True)


@app.command("serve")
def serve(
    dao: Annotated[str, typer.Argument(help="The DAO's genesis CID; it is baked into the evidence.")],
    custodian: CustodianOption = None,
    home: HomeOption = None,
    listen: ListenOption = "127.0.0.1:0",
    storage: StorageOption = None,
    records: Annotated[str | None, typer.Option(help="Database URL; SQLite in the home folder by default.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="host:port to answer Prometheus on, e.g. 127.0.0.1:9464; none by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Prove what this machine runs, get the keys, open the datasets and answer until stopped.

    Metrics count and time questions, and say nothing of licenses, datasets, owners or words; spans go to OpenTelemetry
    where its SDK is configured.
    """
    with reported():
        settings = settings_from(home=home, custodians=tuple(custodian or ()), storage=storage, records=records)
        warn_simulated()
        run_service(_serve(settings, cid_option(dao), listen, metrics, json=json))


@app.command("status")
def status(enclave: EnclaveOption = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """Ask an enclave how far it has come, and why it does not serve. It is the enclave's word, not evidence."""
    from cli.attested import enclave_address
    from enclave.channel import EnclaveChannel

    with reported():
        channel = EnclaveChannel(enclave_address(settings_from(home=home, enclave=enclave)))
        try:
            now = channel.status()
        finally:
            channel.close()
        if json:
            show_json(
                {
                    "state": now.state,
                    "tee": now.tee,
                    "passages_done": now.passages_done,
                    "passages_total": now.passages_total,
                    "epoch": now.epoch,
                    "reason": now.reason,
                    "passages_per_second": round(now.passages_per_second, 2),
                    "seconds_left": round(now.seconds_left),
                }
            )
            return
        say(f"{now.state}, TEE {tee_text(now.tee)}, epoch {now.epoch}")
        if now.passages_done < now.passages_total:
            say(f"opening {opened_words(now)}")
        elif now.passages_total:
            say(f"{now.passages_total:,} passages open")
        if now.reason:
            say(foreign(now.reason))


async def _serve(settings: Settings, genesis: Cid, listen: str, metrics: str | None, *, json: bool) -> None:
    from enclave.hardening import harden
    from enclave.metrics import Metrics
    from enclave.server import drained, enclave_server
    from enclave.service import EnclaveService

    harden()
    with wiring.open_database(settings) as records:
        instance = wiring.make_instance(settings, genesis, records)
        counters = Metrics()
        service = EnclaveService(instance, counters)
        scraped = counters.serve(*host_and_port(metrics)) if metrics is not None else None
        server, port = await enclave_server(service, instance.keys.tls, listen)
        address = f"{listen.rpartition(':')[0]}:{port}"
        if json:
            show_json({"listening": address, "tee": instance.attester.kind, "metrics": scraped})
        else:
            say(f"enclave, TEE {tee_text(instance.attester.kind)}, listening on {address}")
            if scraped is not None:
                say(f"metrics on http://{scraped}/metrics")
        collect_seldom()
        showing = asyncio.ensure_future(show_opening(lambda: instance.status, is_json=json))
        try:
            await until_stopped(instance.run)
        finally:
            showing.cancel()
            await drained(server, service, grace_s=STOP_GRACE_S)
