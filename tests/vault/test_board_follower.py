"""A custodian that looks at boards: what reaches a board reaches it, and a lying board brings nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests import builders
from tests.boards import GUARDED, GUARDIANS, act, own_board, served
from tests.builders import policy, seeded
from tests.voting import Electorate, pages, proposal, vote, voting_dao
from vault.action import adoption
from vault.assembly import found, put
from vault.ballot import Proposal, Support, Vote
from vault.board import Entry, Kind
from vault.board_follower import BoardFollower
from vault.closing import BallotPage
from vault.decision import assembled
from vault.errors import MalformedObject, ServiceUnavailable
from vault.history import advanced
from vault.records.board import Board


class Followed:
    """A board in this process, as a custodian follows it; subclasses lie."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.board, name)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Electorate]:
    with Electorate(tmp_path, voting_dao(1, **GUARDED)) as made:
        yield made


@pytest.fixture
def board(made: Electorate, tmp_path: Path) -> Iterator[Board]:
    with own_board(tmp_path) as board:
        found(board, made.dao.charter, made.dao.roll)
        yield board


def visit(made: Electorate, *boards: Any) -> None:
    follower = BoardFollower(
        made.custodies[0], [str(n) for n in range(len(boards))], connect=lambda name: boards[int(name)]
    )

    async def all_of_them() -> None:
        for n in range(len(boards)):
            await follower.visit(str(n))

    asyncio.run(all_of_them())


def held(made: Electorate, on: Proposal) -> set[Cid]:
    return {one.vote.cid() for one in pages(made.custodies[0], on)}


def proposals(made: Electorate) -> list[Proposal]:
    return [one.proposal for one in made.custodies[0].voting.balloting.proposals.page(made.genesis, 0)]


def epoch(made: Electorate) -> int:
    return made.custodies[0].catching_up.tips(made.custodies[0].public.key)[0][2]


def put_proposal(board: Board, made: Electorate) -> Proposal:
    adopted = policy(made.genesis)
    asked = proposal(made.history, adoption(adopted.cid()))
    put(board, Kind.POLICY, made.genesis, adopted)
    put(board, Kind.PROPOSAL, made.genesis, asked)
    return asked


def put_votes(board: Board, made: Electorate, asked: Proposal, supports: Sequence[Support]) -> list[Vote]:
    votes = [vote(made.history, asked, n, support) for n, support in enumerate(supports)]
    for one in votes:
        put(board, Kind.VOTE, made.genesis, one, parent=asked.cid())
    return votes


def test_proposals_and_votes_reach_the_custodian_who_says_when_they_came(made: Electorate, board: Board) -> None:
    asked = put_proposal(board, made)
    visit(made, Followed(board))
    assert proposals(made) == [asked]
    made.clock.seconds = asked.opens_at + 5
    votes = put_votes(board, made, asked, [Support.FOR, Support.AGAINST])
    visit(made, Followed(board))
    assert held(made, asked) == {one.cid() for one in votes}
    (word,) = {word.arrived_at for one in pages(made.custodies[0], asked) for word in one.acknowledgments}
    assert word == made.clock()


def test_votes_that_stand_there_before_voting_opens_are_taken_once_it_does(made: Electorate, board: Board) -> None:
    asked = put_proposal(board, made)
    votes = put_votes(board, made, asked, [Support.FOR])
    follower = BoardFollower(made.custodies[0], ["board"], connect=lambda _: Followed(board))

    async def twice() -> None:
        await follower.visit("board")
        assert held(made, asked) == set()
        made.clock.seconds = asked.opens_at
        await follower.visit("board")

    asyncio.run(twice())
    assert held(made, asked) == {votes[0].cid()}


def test_guardians_signatures_from_two_boards_make_a_revocation(made: Electorate, board: Board, tmp_path: Path) -> None:
    """Either board alone would hold the revocation back."""
    with own_board(tmp_path) as other:
        put(board, Kind.ACT, made.genesis, act(made.history, GUARDIANS[0]))
        put(other, Kind.ACT, made.genesis, act(made.history, GUARDIANS[1]))
        visit(made, Followed(board))
        assert epoch(made) == 0
        visit(made, Followed(board), Followed(other))
    assert epoch(made) == 1


def test_a_head_is_followed_with_its_blocks(made: Electorate, board: Board) -> None:
    whole = act(made.history, *GUARDIANS)
    after = advanced(made.history, whole, lambda _: b"", at=made.clock())
    put(board, Kind.ACT, made.genesis, whole)
    put(board, Kind.HEAD, made.genesis, after.head, parent=whole.cid())
    board.set_tip(made.genesis, after.head.cid(), 1)

    class WithoutActs(Followed):
        def since(self, *_: Any, **__: Any) -> list[Entry]:
            return []

    visit(made, WithoutActs(board))
    assert epoch(made) == 1


def test_a_decision_is_queued(made: Electorate, board: Board) -> None:
    asked = put_proposal(board, made)
    visit(made, Followed(board))
    made.clock.seconds = asked.opens_at
    put_votes(board, made, asked, [Support.FOR] * 5)
    visit(made, Followed(board))
    made.end(asked)
    custody = made.custodies[0]
    closing = custody.voting.outcomes.close(made.genesis, asked.cid().digest)
    found_pages = custody.voting.outcomes.blocks(made.genesis, list(closing.pages))
    found_ballots = [BallotPage.from_bytes(found_pages[cid]) for cid in closing.pages]
    bundle = assembled(asked, [closing], found_ballots, made.dao.roll.tree())
    for cid, body in bundle.blocks.items():
        if cid != bundle.decision.cid():
            board.put(Kind.BLOCK, made.genesis, cid, bundle.decision.cid(), body)
    put(board, Kind.DECISION, made.genesis, bundle.decision, parent=asked.cid())
    visit(made, Followed(board))
    assert [one.decision for one in custody.voting.outcomes.queued(made.genesis)] == [bundle.decision.cid()]


def test_it_works_over_a_real_service(made: Electorate, board: Board, tmp_path: Path) -> None:
    asked = put_proposal(board, made)
    with served(board, at=made.clock()) as client:
        visit(made, client)
    assert proposals(made) == [asked]


class Garbage(Followed):
    """Objects of every kind that are junk."""

    def since(self, genesis: Cid, after: int, **_: Any) -> list[Entry]:
        kinds = list(Kind)
        return [] if after else [Entry(n + 1, kinds[n % 10], self.junk(n)[0], None) for n in range(100)]

    def junk(self, n: int) -> tuple[Cid, bytes]:
        body = seeded(str(n), 80)
        return Cid.of(DAG_CBOR, body), body

    def bodies(self, cids: Sequence[Cid]) -> Mapping[Cid, bytes]:
        return dict(self.junk(n) for n in range(100))


class Endless(Followed):
    pages = 0

    def since(self, genesis: Cid, after: int, **_: Any) -> list[Entry]:
        self.pages += 1
        return [Entry(after + 1, "vote", Cid.of(DAG_CBOR, str(after).encode()), None)]


class OddTip(Followed):
    def tip(self, genesis: Cid) -> Cid:
        return genesis


class EndlessHeads(Followed):
    """Heads that each name one before them, of one epoch."""

    def tip(self, genesis: Cid) -> Cid:
        return Cid.of(DAG_CBOR, b"a head")

    def get(self, cid: Cid) -> bytes | None:
        return b"a head" if cid == self.tip(cid) else self.board.get(cid)


@pytest.mark.parametrize("kind", [Garbage, Endless, OddTip, EndlessHeads])
def test_a_lying_board_brings_nothing_and_costs_little(made: Electorate, board: Board, kind: type[Followed]) -> None:
    lying = kind(board)
    try:
        visit(made, lying)
    except MalformedObject:
        assert kind in (OddTip, EndlessHeads)
    assert (epoch(made), proposals(made)) == (0, [])
    assert getattr(lying, "pages", 0) <= 11  # one of them of heads
    asked = put_proposal(board, made)
    visit(made, Followed(board))
    assert proposals(made) == [asked]


def test_a_lie_about_heads_does_not_keep_the_rest_from_being_heard(made: Electorate, board: Board) -> None:
    asked = put_proposal(board, made)
    with pytest.raises(MalformedObject):
        visit(made, EndlessHeads(board))
    assert proposals(made) == [asked]


def test_another_daos_objects_are_passed_over(made: Electorate, board: Board) -> None:
    foreign = voting_dao(1, name="Haven")
    asked = proposal(foreign.history)
    put(board, Kind.PROPOSAL, made.genesis, asked)
    put(board, Kind.ACT, made.genesis, act(builders.dao(5, name="Haven", **GUARDED).history, *GUARDIANS))
    visit(made, Followed(board))
    assert (epoch(made), proposals(made)) == (0, [])


def test_two_boards_at_most() -> None:
    with pytest.raises(MalformedObject, match="at most 2"):
        BoardFollower(None, ["a:1", "b:1", "c:1"])  # type: ignore[arg-type]


def test_a_board_that_is_down_is_named_once_and_tried_again(made: Electorate, caplog: pytest.LogCaptureFixture) -> None:
    class Down:
        tries = 0

        def tip(self, genesis: Cid) -> Cid:
            self.tries += 1
            raise ServiceUnavailable("nothing answers there")

        def close(self) -> None:
            pass

    down = Down()

    async def follow() -> None:
        follower = BoardFollower(made.custodies[0], ["down"], connect=lambda _: down)
        await follower.start()
        running = asyncio.ensure_future(follower.run())
        while down.tries < 2:
            await asyncio.sleep(0.01)
        assert not running.done()
        await follower.close()
        with pytest.raises(asyncio.CancelledError):
            await running

    with caplog.at_level(logging.WARNING):
        asyncio.run(follow())
    assert [record.message for record in caplog.records] == ["board down: nothing answers there"]
