"""`coffer doctor`: what is here, what is missing, and what that means."""

from __future__ import annotations

import os
import platform
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import typer

from cli import wiring
from cli.console import FAILED, foreign, out, reported, show_json
from cli.home import Home, Settings, settings_from
from cli.options import HomeOption, JsonOption
from cli.records_check import is_migrated, place_of
from enclave.attestation.attesters.here import machines_here
from enclave.attestation.attesters.nvidia_nvml import NONCE_BYTES, NvidiaGpus
from enclave.hardening import memory_lock
from rag.errors import RagError
from storage.cid import RAW, Cid
from storage.errors import StorageError
from vault.errors import VaultError

State = Literal["ok", "absent", "broken"]
_MARKS: Final = {"ok": "[green]✓[/]", "absent": "[yellow]-[/]", "broken": "[bold red]✗[/]"}
_EXPECTED = (VaultError, StorageError, RagError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `meaning` says what its absence costs, and what to do."""

    what: str
    state: State
    found: str
    meaning: str = ""


def doctor(home: HomeOption = None, json: JsonOption = False) -> None:
    """Say what is installed and reachable, and what each absence means. Exit 1 where something needed is broken.

    It only looks: nothing is made, migrated or swept.
    """
    with reported():
        settings = settings_from(home=home)
        checks = []
        for check in checks_of(settings):
            checks.append(check)
            if not json:
                out.print(f"{_MARKS[check.state]} {check.what:10} {_reddened(check.found)}", soft_wrap=True)
                if check.meaning:
                    out.print(f"             {_reddened(check.meaning)}", soft_wrap=True)
        is_broken = any(check.state == "broken" for check in checks)
        if json:
            show_json({"ok": not is_broken, "checks": [asdict(check) for check in checks]})
        if is_broken:
            raise typer.Exit(FAILED)


def checks_of(settings: Settings) -> Iterator[Check]:
    """Look at one thing after another; what is broken is a check, never an error."""
    yield Check("python", "ok", f"{platform.python_version()} on {sys.platform}, {platform.machine()}")
    yield _home(settings)
    yield _gpu()
    yield tee_check()
    yield _confidential_gpus()
    yield Check("memory", "ok", f"locked against swapping: {memory_lock()}")
    yield _search()
    yield _guarded("model", lambda: _model(settings), "nothing can be sealed or searched without it")
    yield _guarded("database", lambda: _database(settings), "nothing can be recorded until it is mended")
    yield _guarded("storage", lambda: _storage(settings), "nothing can be published or opened until it is mended")
    yield from _services(settings)


def _reddened(text: str) -> str:
    return foreign(text).replace("SIMULATED", "[bold red]SIMULATED[/]")


def _guarded(what: str, look: Callable[[], Check], meaning: str) -> Check:
    try:
        return look()
    except _EXPECTED as error:
        return Check(what, "broken", str(error) or type(error).__name__, meaning)


def _home(settings: Settings) -> Check:
    if settings.home.is_dir():
        return Check("home", "ok", str(settings.home))
    return Check("home", "absent", f"{settings.home} does not exist", "make it with: coffer init")


def _gpu() -> Check:
    meaning = "embedding and search run on the processor: the same answers, more slowly"
    if find_spec("torch") is None:
        return Check("GPU", "absent", "torch is not installed", meaning)
    import torch

    if not torch.cuda.is_available():
        return Check("GPU", "absent", f"torch {torch.__version__} finds none", meaning)
    return Check("GPU", "ok", str(torch.cuda.get_device_name(0)))


def tee_check(here: Mapping[str, str] | None = None) -> Check:
    """Say which TEE this machine can prove itself by; without one only the simulated TEE runs."""
    found = machines_here() if here is None else here
    if found:
        return Check("TEE", "ok", ", ".join(f"{kind} through {place}" for kind, place in found.items()))
    meaning = "only a SIMULATED TEE runs here: it protects nothing from this machine's operator"
    return Check("TEE", "absent", "no dstack agent, configfs-tsm or Nitro device", meaning)


def _confidential_gpus() -> Check:
    meaning = "policies for this machine have to be for the CPU only"
    try:
        devices = NvidiaGpus().collect(secrets.token_bytes(NONCE_BYTES))
    except VaultError as error:
        return Check("GPU proof", "absent", str(error), meaning)
    return Check("GPU proof", "ok", f"{len(devices)} NVIDIA devices in confidential-compute mode")


def _search() -> Check:
    missing = [name for name in ("torch", "faiss", "sentence_transformers") if find_spec(name) is None]
    if not missing:
        return Check("search", "ok", "torch, faiss and sentence-transformers are installed")
    meaning = "this machine cannot run an enclave; install with: pip install 'coffer[cpu]'"
    return Check("search", "absent", f"missing {', '.join(missing)}", meaning)


def _model(settings: Settings) -> Check:
    path, digest = wiring.model_of(settings)
    return Check("model", "ok", f"{path.name}, SHA-256 {digest.hex()}")


def _database(settings: Settings) -> Check:
    url = settings.records or f"sqlite:///{Home(settings.home).records}"
    place, migrated = place_of(url), is_migrated(url)
    if migrated is None:
        return Check("database", "absent", f"no records in {place} yet", "make them with: coffer init")
    if not migrated:
        meaning = "the next command that uses them migrates them"
        return Check("database", "ok", f"{place}, of an older version", meaning)
    return Check("database", "ok", f"{place}, migrated")


def _storage(settings: Settings) -> Check:
    if wiring.names_a_node(settings.storage):
        blobs = wiring.open_storage(settings)
        blobs.has(Cid.of(RAW, b""))
        return Check("storage", "ok", blobs.name)
    folder = (Path(settings.storage) if settings.storage else Home(settings.home).blocks).absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is not a folder")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(f"folder {nearest} cannot be read and written by you")
    if nearest != folder:
        return Check("storage", "absent", f"folder {folder} is not there yet", "it is made with the first block")
    return Check("storage", "ok", f"directory {folder}")


def _services(settings: Settings) -> Iterator[Check]:
    from enclave.channel import EnclaveChannel
    from vault.client import CustodyClient

    for address in settings.custodians:

        def custodian(address: str = address) -> Check:
            with CustodyClient.connect(address) as client:
                return Check("custodian", "ok", f"{address}, key {client.custodian.key.hex()[:16]}…")

        yield _guarded("custodian", custodian, "enclaves renew their leases there; start it, or mend the settings")
    if settings.enclave:

        def enclave() -> Check:
            channel = EnclaveChannel(settings.enclave)
            try:
                status = channel.status()
            finally:
                channel.close()
            return Check(
                "enclave", "ok", f"{settings.enclave}, {status.state}, TEE {status.tee.upper()} {status.reason}"
            )

        yield _guarded("enclave", enclave, "no question is answered there; start it, or mend the settings")
