"""Boards brought to the same state, and boards that lie while that is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.boards import affairs, open_proposal, own_board, put_all, put_chain, put_voted_head
from tests.builders import NOW, adopted, adopting, ballot, carried, policy, seeded, vote, voters
from vault import board_giving, board_sync
from vault.assembly import history_of, put, roll_of
from vault.board import ENTRIES_MAX, Entry, Kind
from vault.board_sync import synced
from vault.errors import AccessDenied, MalformedObject, ServiceUnavailable
from vault.folder_board import FolderBoard
from vault.pinboard import Pinboard
from vault.records.board import Board

MADE = affairs()
GENESIS = MADE.genesis


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Board]:
    with own_board(tmp_path) as board:
        yield board


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Board]:
    with own_board(tmp_path) as board:
        put_all(board, MADE)
        yield board


def cids(board: Any) -> set[Cid]:
    return {entry.cid for entry in board.since(GENESIS, 0)}


def test_a_new_board_takes_everything_and_can_go_on_by_itself(here: Board, there: Board) -> None:
    counts = synced(here, there, GENESIS, at=NOW)
    assert cids(here) == cids(there)
    assert (counts.epoch, counts.refused, counts.not_taken, not counts.given) == (1, 0, 0, True)
    assert sum(counts.taken.values()) == len(cids(here))
    history = history_of(here, GENESIS, at=NOW)
    assert history.head == MADE.history.head
    assert roll_of(here, history.charter) == MADE.roll


def test_both_sides_have_everything_afterwards_and_again_is_nothing(here: Board, there: Board) -> None:
    synced(here, there, GENESIS, at=NOW)
    mine = vote(MADE.history, ballot(MADE.history, MADE.proposal, voters(MADE.history)[3]))
    theirs = vote(MADE.history, ballot(MADE.history, MADE.proposal, voters(MADE.history)[4]))
    put(here, Kind.VOTE, GENESIS, mine, parent=MADE.proposal.cid())
    put(there, Kind.VOTE, GENESIS, theirs, parent=MADE.proposal.cid())
    counts = synced(here, there, GENESIS, at=NOW)
    assert (dict(counts.taken), dict(counts.given)) == ({"vote": 1}, {"vote": 1})
    assert cids(here) == cids(there)
    again = synced(here, there, GENESIS, at=NOW)
    assert (again.taken.total(), again.given.total()) == (0, 0)


def test_an_interrupted_run_goes_on_where_it_ended(here: Board, there: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_sync, "EXAMINED_MAX", 11)
    first = synced(here, there, GENESIS, at=NOW)
    assert "rest is left for the next run" in first.given_up
    assert len(cids(here)) < len(cids(there))
    for _ in range(3):
        synced(here, there, GENESIS, at=NOW)
    assert cids(here) == cids(there)


def test_a_chain_of_many_links_is_followed_over_charters_and_given_on(here: Board, tmp_path: Path) -> None:
    history = MADE.history
    with own_board(tmp_path) as there:
        put_chain(there, MADE)
        pinboard = Pinboard(there, clock=lambda: NOW)
        for n in range(3):
            one = policy(GENESIS, title=f"Policy {n}")
            bundle = carried(history, adopting(one), one)
            blocks = [body for cid, body in bundle.blocks.items() if cid != bundle.decision.cid()]
            pinboard.post(Kind.DECISION, GENESIS, bundle.decision.encoded(), blocks)
            history = adopted(history, one)
            put_voted_head(pinboard, history)
        assert synced(here, there, GENESIS, at=NOW).epoch == 4
    folder = FolderBoard(tmp_path / "folder")
    synced(here, folder, GENESIS, at=NOW)
    assert history_of(folder, GENESIS, at=NOW).head == history.head
    kinds = {entry.cid: entry.kind for entry in here.since(GENESIS, 0)}
    assert {kinds[cid] for cid in cids(here) - cids(folder)} == {Kind.HEAD_VOTE}  # of heads that others grew from


def test_votes_on_what_was_decided_are_not_fetched_again_and_again(here: Board, there: Board) -> None:
    late = NOW + 30 * 86_400
    counts = synced(here, there, GENESIS, at=late)
    assert counts.epoch == 1
    assert counts.taken["vote"] == 0


class Lying:
    """Another board, over a good one; subclasses lie."""

    def __init__(self, good: Board) -> None:
        self.good = good
        self.put_count = 0

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        self.put_count += 1

    def get(self, cid: Cid) -> bytes | None:
        return self.good.get(cid)

    def bodies(self, cids: Sequence[Cid]) -> Mapping[Cid, bytes]:
        return self.good.bodies(cids)

    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        pass

    def tip(self, genesis: Cid) -> Cid | None:
        return self.good.tip(genesis)

    def geneses(self) -> list[Cid]:
        return self.good.geneses()

    def list(self, kind: str, genesis: Cid, parent: Cid | None = None) -> Any:
        raise AssertionError("a foreign board's list, which has no end, is not asked for")

    def since(self, genesis: Cid, after: int, *, kind: str | None = None, parent: Cid | None = None) -> Any:
        return self.good.since(genesis, after, kind=kind, parent=parent)


class Garbage(Lying):
    """Every object is junk under a CID that names it."""

    calls = 0

    def since(self, genesis: Cid, after: int, **_: Any) -> Any:
        if after > 5000:
            return []
        self.calls += 1
        return [Entry(after + n + 1, "act", self.junk(after + n)[0], None) for n in range(ENTRIES_MAX)]

    def junk(self, n: int) -> tuple[Cid, bytes]:
        body = seeded(str(n), 60)
        return Cid.of(DAG_CBOR, body), body

    def bodies(self, cids: Sequence[Cid]) -> Mapping[Cid, bytes]:
        known = dict(self.junk(n) for n in range(7000))
        return {cid: known[cid] for cid in cids if cid in known}


class Endless(Lying):
    """Its list never ends."""

    pages = 0

    def since(self, genesis: Cid, after: int, **_: Any) -> Any:
        self.pages += 1
        cid = Cid.of(DAG_CBOR, str(after).encode())
        return [Entry(after + n + 1, "vote", cid, None) for n in range(ENTRIES_MAX)]


class Circular(Lying):
    """Its list leads back to its beginning."""

    def since(self, genesis: Cid, after: int, **_: Any) -> Any:
        return self.good.since(genesis, 0)


class WrongBodies(Lying):
    """It hands out one object under another's name."""

    def bodies(self, cids: Sequence[Cid]) -> Mapping[Cid, bytes]:
        return dict.fromkeys(cids, MADE.votes[0].encoded())

    def get(self, cid: Cid) -> bytes | None:
        return self.good.get(cid) if cid == GENESIS else MADE.votes[0].encoded()


class OtherTip(Lying):
    """Its tip is something else than a head."""

    def tip(self, genesis: Cid) -> Cid | None:
        return MADE.policy.cid()


class NoEnd(Lying):
    """Its tip is a chain of heads that leads nowhere."""

    got = 0

    def tip(self, genesis: Cid) -> Cid | None:
        return self.head(9_999).cid()

    def head(self, epoch: int) -> Any:
        below = Cid.of(DAG_CBOR, str(epoch).encode())
        return replace(MADE.history.head, epoch=epoch, previous=below, policies=())

    def get(self, cid: Cid) -> bytes | None:
        self.got += 1
        return self.head(9_999).encoded() if cid == self.tip(GENESIS) else self.good.get(cid)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Garbage, "do not verify"),
        (Endless, "lists more than"),
        (Circular, "listed before"),
        (OtherTip, "too few custodians' votes"),
        (NoEnd, "too few custodians' votes"),
    ],
)
def test_a_hostile_board_costs_a_bounded_effort_and_changes_nothing(
    here: Board, there: Board, kind: type[Lying], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_sync, "LISTED_MAX", 20_000)
    monkeypatch.setattr(board_sync, "OPEN_KINDS", (Kind.ACT,))
    synced(here, there, GENESIS, at=NOW, is_giving=False)
    before = here.since(GENESIS, 0)
    lying = kind(there)
    counts = synced(here, lying, GENESIS, at=NOW, is_giving=False)
    assert any(words in reason for reason in (counts.given_up, *counts.reasons))
    assert here.since(GENESIS, 0) == before
    assert here.tip(GENESIS) == MADE.history.head.cid()
    assert getattr(lying, "pages", 0) <= 21
    assert counts.refused <= board_sync.REFUSED_MAX + 1


def test_wrong_bodies_are_not_taken_for_what_was_asked(here: Board, there: Board) -> None:
    synced(here, WrongBodies(there), GENESIS, at=NOW)
    assert {entry.kind for entry in here.since(GENESIS, 0)} == {"charter", "head"}


def test_a_board_that_holds_the_tip_back_holds_back_no_more_than_that(here: Board, there: Board) -> None:
    class Old(Lying):
        def tip(self, genesis: Cid) -> Cid | None:
            return MADE.founded.head.cid()

        def since(self, genesis: Cid, after: int, **asked: Any) -> Any:
            return [one for one in self.good.since(genesis, after, **asked) if one.kind != Kind.HEAD_VOTE]

    counts = synced(here, Old(there), GENESIS, at=NOW)
    assert counts.epoch == 0
    assert synced(here, there, GENESIS, at=NOW).epoch == 1
    assert synced(here, Old(there), GENESIS, at=NOW).epoch == 1


def test_another_daos_objects_among_this_ones_are_left(here: Board, there: Board) -> None:
    other = affairs(name="Haven")
    put_all(there, other)

    class Mixed(Lying):
        def since(self, genesis: Cid, after: int, **_: Any) -> Any:
            return self.good.since(other.genesis, after)

    counts = synced(here, Mixed(there), GENESIS, at=NOW)
    assert counts.refused > 0
    assert not cids(here) & {one.cid() for one in other.votes}


def test_a_dao_that_neither_board_has_is_said_to_be_missing(here: Board, there: Board) -> None:
    with pytest.raises(MalformedObject, match="neither board has"):
        synced(here, there, affairs(name="Haven").genesis, at=NOW)
    assert here.geneses() == []


def test_a_board_that_is_another_charters_is_refused(here: Board, there: Board) -> None:
    class Foreign(Lying):
        def get(self, cid: Cid) -> bytes | None:
            return affairs(name="Haven").founded.charter.encoded()

    with pytest.raises(MalformedObject, match="neither board has"):
        synced(here, Foreign(there), GENESIS, at=NOW)


def test_a_board_that_takes_nothing_is_given_up(here: Board, there: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Lying):
        def put(self, *args: Any) -> None:
            self.put_count += 1
            raise AccessDenied("no")

        def since(self, genesis: Cid, after: int, **_: Any) -> Any:
            return []

    monkeypatch.setattr(board_giving, "NOT_TAKEN_MAX", 3)
    synced(here, there, GENESIS, at=NOW)
    full = Full(there)
    counts = synced(here, full, GENESIS, at=NOW)
    assert counts.not_taken == 4
    assert full.put_count <= 6
    assert "not taken there" in counts.given_up


def test_a_board_that_goes_away_is_reported_and_what_was_taken_stays(here: Board, there: Board) -> None:
    class Gone(Lying):
        def since(self, genesis: Cid, after: int, **asked: Any) -> Any:
            if asked.get("kind") is None:
                raise ServiceUnavailable("gone")
            return self.good.since(genesis, after, **asked)

    with pytest.raises(ServiceUnavailable):
        synced(here, Gone(there), GENESIS, at=NOW)
    assert here.tip(GENESIS) == MADE.history.head.cid()


def test_a_proposal_comes_with_its_policy_or_not_at_all(here: Board, there: Board) -> None:
    alone = open_proposal(MADE.history, policy(GENESIS, title="Nowhere"), nonce=seeded("alone"))
    put(there, Kind.PROPOSAL, GENESIS, alone)
    counts = synced(here, there, GENESIS, at=NOW)
    assert here.get(alone.cid()) is None
    assert here.get(MADE.proposal.cid()) is not None
    assert counts.refused == 1
