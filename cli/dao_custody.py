"""The custodians of one DAO, as its commands speak to them, and what is said of their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cli import wiring
from cli.console import foreign, say
from cli.dao_text import does
from cli.home import Settings
from cli.workplace import Reached, custodians_reached
from storage.cid import Cid
from vault.assembly import proposal_on, submit_chain
from vault.collecting import Collected
from vault.errors import NotYet, ServiceUnavailable, VaultError
from vault.following import HandedOn, followed, handed_on
from vault.plain_text import counted
from vault.pulling import pull_proposals, pull_votes

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.client import CustodyClient
    from vault.history import Cause, History
    from vault.records.board import Board


@dataclass(slots=True)
class Places:
    """The custodians of one DAO that answered, by signing key, and why others did not, by address."""

    clients: dict[bytes, CustodyClient]
    failures: dict[str, str]

    def address(self, key: bytes) -> str:
        """Return where the custodian with that key was reached."""
        return self.clients[key].address

    def noted(self, failures: Mapping[bytes, VaultError]) -> dict[str, str]:
        """Return why custodians did not do something: those that were not reached, and those that refused."""
        return self.failures | {self.address(key): str(error) for key, error in failures.items()}


@contextmanager
def custody_of(settings: Settings, history: History) -> Iterator[Places]:
    """Connect to the DAO's custodians, and close them afterwards; raise where none of those named is one of its."""
    with custodians_reached(settings) as reached:
        places = _places(reached, history)
        if not places.clients:
            why = "; ".join(f"{address}: {reason}" for address, reason in sorted(places.failures.items()))
            raise ServiceUnavailable(f"no custodian of this DAO answers ({why})")
        yield places


def _places(reached: Reached, history: History) -> Places:
    failures = {address: str(error) for address, error in reached.failures.items()}
    clients = {}
    for key, client in reached.clients.items():
        if history.charter.custodian(key) is None:
            failures[client.address] = "no custodian of this DAO; its charter names others"
        else:
            clients[key] = client
    return Places(clients, failures)


def caught_up(board: Board, history: History, places: Places) -> History:
    """Return the history as far as enough custodians follow it; all of it is verified, and on the board."""
    return followed(board, history, places.clients, clock=wiring.clock).history


def brought(
    settings: Settings, board: Board, history: History, cid: Cid, *, is_fresh: bool = False
) -> tuple[Proposal, History]:
    """Return a proposal of this board, and the history as it is followed by then.

    Where the proposal is not there, or its votes are wanted fresh, the custodians are asked.
    """
    if is_fresh or (board.get(cid) is None and settings.custodians):
        with custody_of(settings, history) as places:
            history = caught_up(board, history, places)
            pull_proposals(board, history, places.clients.values())
            proposal = proposal_on(board, history, cid)
            pull_votes(board, history, proposal, places.clients.values())
    return proposal_on(board, history, cid), history


def carried_over(
    board: Board,
    history: History,
    cause: Cause,
    blocks: Mapping[Cid, bytes],
    places: Places,
) -> HandedOn:
    """Have the custodians carry something out, and follow them; raise where none of them took it."""
    done = handed_on(board, history, cause, blocks, places.clients, clock=wiring.clock)
    if done.is_in_effect:
        return _with_gossip(done, places)
    if not done.accepted:
        waiting = [error for error in done.failures.values() if isinstance(error, NotYet)]
        if waiting:
            raise waiting[0]
        told = "; ".join(f"{address}: {why}" for address, why in sorted(places.noted(done.failures).items()))
        raise ServiceUnavailable(f"no custodian took it, so nothing has changed ({told}); run the same command again")
    return done


def _with_gossip(done: HandedOn, places: Places) -> HandedOn:
    """Count those as having taken it that refused it for having it from others already."""
    answered = [key for key, error in done.failures.items() if not isinstance(error, ServiceUnavailable)]
    followers = [key for key in answered if _follows(places.clients[key], done.history)]
    failures = {key: error for key, error in done.failures.items() if key not in followers}
    accepted = tuple(key for key in places.clients if key in done.accepted or key in followers)
    return replace(done, accepted=accepted, failures=failures)


def _follows(client: CustodyClient, history: History) -> bool:
    """Say whether a custodian follows the head of a history, or one that grew from it."""
    try:
        client.chain(history.genesis, history.head.cid())
    except VaultError:
        return False
    return True


def handed_in(board: Board, history: History, places: Places) -> tuple[list[str], dict[str, str]]:
    """Hand the chain to every custodian; return who took it, and why others did not; raise where none did."""
    handed = submit_chain(board, history, places.clients)
    accepted = sorted(map(places.address, (*handed.followed_by, *handed.waiting)))
    return accepted, places.noted(handed.failures)


def collected_json(collected: Collected, places: Places, of: int) -> dict[str, Any]:
    """Return what custodians answered, for programs."""
    return {
        "acknowledged": len(collected.acknowledgments),
        "custodians": of,
        "enough": collected.enough,
        "is_enough": collected.is_enough,
        "failed": places.noted(collected.failures),
    }


def say_collected(said: Mapping[str, Any], what: str) -> None:
    """Print how many custodians hold something, and whether that is enough."""
    held, enough = said["acknowledged"], said["enough"]
    has = f"{held} of {counted(said['custodians'], 'custodian')} {does(held, 'hold')} it"
    if said["is_enough"]:
        say(f"{has}; {enough} {does(enough, 'guarantee')} that {what}")
    else:
        say(f"[yellow]{has}; it takes {enough} to guarantee that {what}: run the same command again later[/]")
    say_failures(said["failed"])


def say_failures(failures: Mapping[str, str]) -> None:
    """Print why custodians did not answer, a line for each."""
    for address, reason in sorted(failures.items()):
        say(f"[yellow]{foreign(address)}: {foreign(reason)}[/]")


def carried_json(done: HandedOn, places: Places) -> dict[str, Any]:
    """Return what became of something handed to the custodians, for programs."""
    return {
        "is_in_effect": done.is_in_effect,
        "epoch": done.history.head.epoch,
        "head": str(done.history.head.cid()),
        "custodians": sorted(places.address(key) for key in done.accepted),
        "failed": places.noted(done.failures),
        "lost_to": [str(head) for head in done.lost_to],
    }


def say_carried(said: Mapping[str, Any], what: str) -> None:
    """Print whether something is in effect, and at which epoch."""
    took = counted(len(said["custodians"]), "custodian")
    for head in said.get("lost_to", ()):
        say(f"head {head} won the epoch this was made for; it was handed in again, to come after that one")
    if said["is_in_effect"]:
        say(f"{what}: epoch {said['epoch']}, head {said['head']}; {took} took it")
    else:
        say(f"[yellow]{took} took it; they have not settled yet on what comes next: run the same command again[/]")
    say_failures(said["failed"])
