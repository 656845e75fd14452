"""A DAO that has adopted a policy, made once: tests copy its home, since deciding takes seconds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import wiring
from tests.cli.conftest import Clock, Founded, Party, described, founded, four_custodians
from tests.cli.dao_steps import carried, proposed


@dataclass(frozen=True)
class Settled:
    """The home, who is who, and what was decided."""

    home: Path
    genesis: str
    addresses: dict[str, str]
    proposal: str
    at: int


@pytest.fixture(scope="session")
def settled_home(
    first_home: Path, wallets: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Settled:
    """Found a DAO and carry a proposal out."""
    folder, clock = tmp_path_factory.mktemp("settled"), Clock()
    shutil.copytree(first_home, folder / "home")
    keystores, addresses = wallets
    shutil.copytree(keystores, folder / "home" / "wallets")
    members = ("--member", f"{addresses['alice']}=2", "--member", addresses["bob"])
    with pytest.MonkeyPatch.context() as patch, four_custodians(folder, first_home, clock):
        patch.setattr(wiring, "clock", clock)
        dao = founded(Party(folder / "home"), addresses, "one:1", *members)
        proposal = proposed(dao, described(dao, folder))
        carried(dao, clock, proposal, "alice", "bob")
    return Settled(folder / "home", dao.genesis, addresses, proposal, clock.now)


@pytest.fixture
def settled(settled_home: Settled, tmp_path: Path, clock: Clock) -> Founded:
    """The same DAO in a home of one's own, later; its custodians are away."""
    shutil.copytree(settled_home.home, tmp_path / "home")
    clock.now = settled_home.at
    return Founded(Party(tmp_path / "home"), settled_home.genesis, settled_home.addresses)


@pytest.fixture
def decided(settled_home: Settled) -> str:
    """Return the proposal that was carried out."""
    return settled_home.proposal
