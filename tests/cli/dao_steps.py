"""The steps by which the tests' members decide, each the command that a person would run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.conftest import Clock, Founded
from tests.cli.policies import policy_file
from tests.people import DAY_S


def proposed(dao: Founded, enclave_file: Path, *more: object, wallet: str = "alice", **changed: Any) -> str:
    """Propose a policy, whose lines at the top `changed` replaces, and return the proposal's CID."""
    file = policy_file(dao, enclave_file, **changed)
    return str(dao.party.json("dao", "propose", "--wallet", wallet, "--policy", file, *more)["proposal"])


def voted(dao: Founded, proposal: str, wallet: str = "alice", support: str = "for", *more: object) -> dict[str, Any]:
    """Vote, and return what the command said."""
    return dao.party.json("dao", "vote", proposal, support, "--wallet", wallet, *more)


def closed(dao: Founded, clock: Clock, proposal: str, *, days: int = 4) -> dict[str, Any]:
    """Let the time to vote pass, and have the custodians close the vote."""
    clock.now += days * DAY_S
    return dao.party.json("dao", "queue", proposal)


def carried(dao: Founded, clock: Clock, proposal: str, *voters: str) -> dict[str, Any]:
    """Carry a proposal out: with the votes of `voters`, of alice by default."""
    for voter in voters or ("alice",):
        voted(dao, proposal, voter)
    closed(dao, clock, proposal)
    return dao.party.json("dao", "execute", proposal)
