"""What the voting page shows of a DAO, taken from this home's board for every request anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cli import casting, wiring
from cli.dao_custody import caught_up, custody_of
from cli.dao_diff import changes_of
from cli.dao_hand import typed_data
from cli.dao_log import epoch_json, standings_json
from cli.dao_opened import Opened
from cli.dao_rolls import seen_in
from cli.dao_standing import bars_text, next_text, standing_json
from cli.home import Settings
from storage.cid import Cid
from vault.assembly import fetch_from, history_of, policy_of
from vault.ballot import Ballot, Support, Vote
from vault.board import Kind
from vault.charter import BASIS_POINTS
from vault.epochs import verified_epochs
from vault.errors import InvalidSignature, NotYet, VaultError
from vault.history import History
from vault.plain_text import counted, time_left_text
from vault.pulling import pull_proposals, pull_votes
from vault.records.board import Board
from vault.signing import address_text
from vault.standing import Standing, standing_of
from vault.utc import time_text

CHANGES_MAX: Final = 200  # lines shown of a proposal
BAR_WIDTH: Final = 1000  # in the units of the picture
COUNTED_WHILE: Final = ("open", "closing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a member means to say."""

    voter: bytes
    support: Support
    reason: str


class Page:
    """One DAO, as this home's records have it."""

    def __init__(self, settings: Settings, genesis: Cid) -> None:
        self.genesis = genesis
        self._settings = settings
        self.refreshed = "not asked the custodians yet"
        self._told: tuple[Cid, list[dict[str, Any]]] | None = None  # the epochs up to a head: they never change

    @contextmanager
    def _opened(self) -> Iterator[Opened]:
        with wiring.open_database(self._settings) as records:
            board = Board(records)
            yield Opened(self._settings, board, history_of(board, self.genesis, at=wiring.clock()))

    def overview(self) -> dict[str, Any]:
        """Return the DAO and its proposals, those that can be voted on first, then the newest."""
        with self._opened() as (_, board, history):
            standings, refused = standings_json(board, history)
            for one in standings:
                one |= {"next": next_of(one), "bar": bar_of(one)}
            newest_first = sorted(standings, key=lambda one: (one["state"] != "open", -one["opens_at"]))
            return self._named(history) | {"proposals": newest_first, "refused": refused}

    def proposal(self, cid: Cid) -> dict[str, Any]:
        """Return one proposal: what it would change in words, how it stands, and every answer with its reason."""
        with self._opened() as opened:
            _, board, history = opened
            standing = standing_of(board, history, cid, at=wiring.clock())
            shown = standing_json(board, standing)
            policy = policy_of(board, standing.proposal)
            return self._named(history) | {
                "proposal": shown,
                "changes": changes_of(*opened, standing.proposal, most=CHANGES_MAX),
                "accepts_simulated": policy is not None and policy.accepts_simulated(),
                "warning": seen_in(board, standing.proposal).warning,
                "bars": bars_text(shown),
                "bar": bar_of(shown),
                "next": next_of(shown),
                "takes_votes": shown["state"] in COUNTED_WHILE,
                "answers": [_answer_json(vote) for vote in latest(standing)],
            }

    def member(self, cid: Cid, voter: bytes) -> dict[str, Any]:
        """Return a member's weight and last answer; raise `AccessDenied` for a stranger."""
        with self._opened() as (_, board, history):
            weight = casting.verified_weight(board, history, voter)
            standing = standing_of(board, history, cid, at=wiring.clock())
            own = next((vote for vote in latest(standing) if vote.ballot.voter == voter), None)
            return {"weight": weight, "answer": None if own is None else _answer_json(own)}

    def epochs(self) -> dict[str, Any]:
        """Return everything the DAO ever decided, newest first; each link was verified here."""
        with self._opened() as (_, board, history):
            tip = history.head.cid()
            if self._told is None or self._told[0] != tip:
                chain = verified_epochs(fetch_from(board), self.genesis, tip, at=wiring.clock())
                told = [epoch_json(board, epoch, with_ballots=True) for epoch in chain]
                self._told = (tip, told[::-1])
            return self._named(history) | {"epochs": self._told[1]}

    def refresh(self) -> None:
        """Ask the custodians for proposals and votes that this board lacks, and remember how that went."""
        try:
            with self._opened() as (settings, board, history), custody_of(settings, history) as places:
                history = caught_up(board, history, places)
                clients = list(places.clients.values())
                pull_proposals(board, history, clients)
                for cid, _ in board.list(Kind.PROPOSAL, self.genesis):
                    if (standing := self._counted(board, history, cid)) is not None:
                        pull_votes(board, history, standing.proposal, clients)
                failed = "".join(f"; {address}: {why}" for address, why in sorted(places.failures.items()))
                self.refreshed = f"asked {counted(len(clients), 'custodian')} at {time_text(wiring.clock())}{failed}"
        except (VaultError, OSError) as error:
            self.refreshed = f"could not ask the custodians at {time_text(wiring.clock())}: {error}"

    def _counted(self, board: Board, history: History, cid: Cid) -> Standing | None:
        """Return how a proposal stands whose votes may still come in; None for others."""
        try:
            return self._open_for_votes(board, history, cid)
        except VaultError:
            return None

    def block(self, cid: Cid) -> bytes | None:
        """Return a block of the board: all of them are public."""
        with wiring.open_database(self._settings) as records:
            return Board(records).get(cid)

    def typed_data(self, cid: Cid, answer: Answer) -> dict[str, Any]:
        """Return what the member's wallet is asked to sign, and what the member has to know."""
        with self._opened() as (_, board, history):
            proposal = self._open_for_votes(board, history, cid).proposal
            casting.verified_weight(board, history, answer.voter)
            warning = casting.warning_of(board, proposal, answer.support)
            blank = casting.blank_for(board, history, proposal, answer.support, answer.voter, answer.reason)
            return {"typed_data": typed_data(blank, history.charter.domain(self.genesis)), "warning": warning}

    def cast(self, cid: Cid, answer: Answer, sequence: int, signature: bytes) -> dict[str, Any]:
        """Hand a signed ballot in. It is checked in full here before any custodian is asked."""
        with self._opened() as opened:
            settings, board, history = opened
            proposal = self._open_for_votes(board, history, cid).proposal
            casting.verified_weight(board, history, answer.voter)
            casting.warning_of(board, proposal, answer.support)
            made = Ballot(
                proposal=proposal.cid().digest,
                voter=answer.voter,
                support=answer.support,
                sequence=sequence,
                reason=answer.reason,
                signature=signature,
            )
            try:
                made.verify(history.charter.domain(self.genesis))
            except InvalidSignature as error:
                raise InvalidSignature(
                    f"{error}, or the wallet signed something else: it has to sign for {address_text(answer.voter)}"
                ) from error
            return casting.cast(settings, board, history, proposal, lambda _: made)

    def _open_for_votes(self, board: Board, history: History, cid: Cid) -> Standing:
        at = wiring.clock()
        standing = standing_of(board, history, cid, at=at)
        if (state := standing.words(at)) not in COUNTED_WHILE:
            raise NotYet(f"this proposal takes no votes: it is {state}")
        return standing

    def _named(self, history: History) -> dict[str, Any]:
        charter = history.charter
        return {
            "name": charter.name,
            "genesis": str(self.genesis),
            "head": str(history.head.cid()),
            "epoch": history.head.epoch,
            "chain_id": charter.chain_id,
            "members": counted(charter.members, "member"),
            "refreshed": self.refreshed,
        }


def latest(standing: Standing) -> list[Vote]:
    """Return each voter's answer that counts so far, those with most weight first."""
    by_voter: dict[bytes, Vote] = {}
    for vote in standing.votes:
        known = by_voter.get(vote.ballot.voter)
        if known is None or known.ballot.rank() < vote.ballot.rank():
            by_voter[vote.ballot.voter] = vote
    return sorted(by_voter.values(), key=lambda vote: (vote.weight, vote.ballot.voter), reverse=True)


def next_of(said: dict[str, Any]) -> str:
    """Return what comes next for a proposal; while voting is open, this page is where one answers."""
    return f"{time_left_text(said['seconds_left'])} left to answer" if said["state"] == "open" else next_text(said)


def bar_of(said: dict[str, Any]) -> dict[str, Any]:
    """Return where the parts of a tally's bar begin and how wide they are, and where its two marks stand."""
    parts, begin, weight = {}, 0, 0
    for name in ("for", "abstain", "against"):
        weight += said[name]
        end = weight * BAR_WIDTH // max(1, said["total"])
        parts[name] = (begin, end - begin)
        begin = end
    return parts | {
        "quorum": said["quorum_bps"] * BAR_WIDTH // BASIS_POINTS,
        "threshold": said["threshold_bps"] * BAR_WIDTH // BASIS_POINTS,
    }


def _answer_json(vote: Vote) -> dict[str, Any]:
    return {
        "voter": address_text(vote.ballot.voter),
        "support": vote.ballot.support.value,
        "weight": int.from_bytes(vote.weight, "big"),
        "reason": vote.ballot.reason,
    }
