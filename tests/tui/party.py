"""A home beside a running deployment: its board, wallets, credential and settings, as one person would have them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import eth_account

from cli.credentials import write_credential
from cli.desk.local import LocalDesk
from cli.home import Home, Settings, settings_from
from cli.sealed_files import write_private
from tests.builders import adopting
from tests.deployment import Deployment
from tests.people import seeded, wallet
from tui.desk.sealing import Done, Wish
from vault.acts import blank_ballot, propose, vote_of
from vault.assembly import found
from vault.ballot import Proposal, Support
from vault.collecting import handed_in_proposal, handed_in_vote
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


def proposed(deployment: Deployment, *votes: tuple[str, Support]) -> Proposal:
    """Have member 1 put a dearer policy to the vote, and others answer it, all at the custodians."""
    at, history = deployment.world.clock(), deployment.world.history
    dearer = replace(deployment.world.policy, title="Tides at a price", price_per_query=500)
    roll = deployment.world.dao.roll
    proposal = propose(history, roll, adopting(dearer, deployment.world.policy), wallet("member 1"), at=at)
    clients = {client.custodian.key: client for client in deployment.services()}
    handed_in_proposal(clients, history.charter, proposal, {dearer.cid(): dearer.encoded()})
    for name, support in votes:
        ballot = blank_ballot(proposal, wallet(name).address, support, sequence=0, reason="so it be")
        signed = ballot.signed_by(wallet(name), history.charter.domain(history.genesis))
        handed_in_vote(clients, history.charter, history.genesis, vote_of(roll, signed))
    return proposal


def sealed(desk: LocalDesk, folder: Path, title: str, *, is_published: bool = True) -> Done:
    """Have the home's owner seal a folder, and publish it."""
    desk.wallets.open("owner", PASSWORD)
    wish = Wish(folder=str(folder), title=title, owner="owner", allow_simulated=True)
    done = desk.sealing.seal(wish, lambda *_: None)
    if is_published:
        desk.sealing.publish(done.manifest, lambda *_: None)
    return done
