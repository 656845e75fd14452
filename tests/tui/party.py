"""A home beside a running deployment: its board, wallets, credential and settings, as one person would have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import eth_account

from cli.credentials import write_credential
from cli.desk.local import LocalDesk
from cli.home import Home, Settings, settings_from
from cli.sealed_files import write_private
from tests.deployment import Deployment
from tests.people import seeded
from vault.assembly import found
from vault.records.board import Board
from vault.records.database import open_records

PASSWORD = "correct horse"  # noqa: S105
LIGHT = 4096  # scrypt's n: a standard keystore would cost a second and 256 MiB
CREDIT = 1_000_000


def home_beside(deployment: Deployment, folder: Path, *, wallets: tuple[str, ...] = ("member 0", "owner")) -> Settings:
    """Make a home in `folder` whose settings name the deployment's services, and which knows its DAO."""
    place = Home(folder / "you")
    place.path.mkdir()
    services = {
        "enclave": deployment.enclave.address,
        "custodians": [custodian.address for custodian in deployment.custodians],
        "storage": str(folder / "blocks"),
    }
    write_private(place.config, "".join(f"{key} = {json.dumps(value)}\n" for key, value in services.items()).encode())
    with open_records(f"sqlite:///{place.records}") as records:
        found(Board(records), deployment.world.dao.charter, deployment.world.dao.roll)
    for name in wallets:
        keystore = eth_account.Account.encrypt(seeded(f"wallet {name}"), PASSWORD, kdf="scrypt", iterations=LIGHT)
        write_private(place.wallet(name), json.dumps(keystore).encode())
    return settings_from(home=place.path)


def with_credential(deployment: Deployment, settings: Settings) -> None:
    """Put the licensee's credential into the home, and credit it."""
    credential = deployment.credential()
    write_credential(Home(settings.home).credential("harbor"), credential, PASSWORD)
    deployment.add_credit(CREDIT)


def desk_of(deployment: Deployment, settings: Settings, **options: Any) -> LocalDesk:
    """Return the desk of a home."""
    return LocalDesk(settings, appraiser=deployment.appraiser, rounds=LIGHT, **options)
