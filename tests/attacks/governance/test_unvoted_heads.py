"""Attacks with heads that follow from what caused them and that no custodian voted for: members can make such alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from tests.boards import GUARDED, GUARDIANS, affairs, delegation, own_board, put_chain, put_head_votes, put_open, served
from tests.builders import NOW, adopted, adopting, carried, policy, voters
from tests.governing import act, batch, guardians_act
from tests.voting import Electorate, carried_out, proposal, voting_dao
from vault.assembly import found, put, put_decision
from vault.board import Board, Kind
from vault.board_follower import BoardFollower
from vault.board_sync import synced
from vault.custody import Custody
from vault.errors import ForkedHistory, NotYet, StaleState
from vault.folder_board import FolderBoard
from vault.following import followed
from vault.head_vote import HeadVote
from vault.history import History, advanced
from vault.links import next_links
from vault.pinboard import Pinboard
from vault.records.board import Board as OwnBoard

LIARS = {"custodians": 4, "signatures": 3, "shares": 3, "liars": 1}
MADE = affairs(**LIARS)
GENESIS = MADE.genesis


def own_head(history: History, *, links: int = 1) -> list[History]:
    """Return what one member makes of its own choices, each after the one before."""
    made = [history]
    for n in range(links):
        member = voters(history)[0]
        one = delegation(history, member, voters(history)[1].address, sequence=n + 1)
        made.append(advanced(made[-1], batch(history, one), {}.__getitem__, at=NOW))
    return made[1:]


def poisoned(board: OwnBoard, links: int = 1) -> list[History]:
    """Have a board stand at heads that a member made alone, as boards did before they went by votes."""
    made = own_head(MADE.history, links=links)
    for n, one in enumerate(made):
        choice = delegation(MADE.history, voters(MADE.history)[0], voters(MADE.history)[1].address, sequence=n + 1)
        put(board, Kind.BLOCK, GENESIS, batch(MADE.history, choice))
        put(board, Kind.HEAD, GENESIS, one.head, parent=one.head.cause)
        board.set_tip(GENESIS, one.head.cid(), one.head.epoch)
    return made


def put_true(board: Board, history: History, title: str) -> History:
    """Put a decision on a board, with the head that it leads to."""
    decided = policy(GENESIS, title=title)
    bundle = carried(history, adopting(decided), decided)
    after = adopted(history, decided)
    put(board, Kind.POLICY, GENESIS, decided)
    put(board, Kind.PROPOSAL, GENESIS, bundle.decision.proposal)
    put_decision(board, history, bundle.decision, bundle.blocks)
    put(board, Kind.HEAD, GENESIS, after.head, parent=bundle.decision.cid())
    return after


class TestServices:
    def test_a_members_own_head_is_not_taken(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board, served(board) as client:
            put_chain(board, MADE)
            (evil,) = own_head(MADE.history)
            choice = delegation(MADE.history, voters(MADE.history)[0], voters(MADE.history)[1].address)
            put(client, Kind.BLOCK, GENESIS, batch(MADE.history, choice))
            with pytest.raises(NotYet, match="no custodian has voted"):
                put(client, Kind.HEAD, GENESIS, evil.head, parent=evil.head.cause)
            assert client.tip(GENESIS) == MADE.history.head.cid()

    def test_a_liars_vote_does_not_make_it_the_tip(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board, served(board) as client:
            put_chain(board, MADE)
            (evil,) = own_head(MADE.history)
            choice = delegation(MADE.history, voters(MADE.history)[0], voters(MADE.history)[1].address)
            put_head_votes(client, evil, "0")
            put(client, Kind.BLOCK, GENESIS, batch(MADE.history, choice))
            put(client, Kind.HEAD, GENESIS, evil.head, parent=evil.head.cause)
            assert client.tip(GENESIS) == MADE.history.head.cid()
            true = put_true(client, MADE.history, "True")
            put_head_votes(client, true, "1", "2")
            assert client.tip(GENESIS) == MADE.history.head.cid()
            put_head_votes(client, true, "3")
            assert client.tip(GENESIS) == true.head.cid()

    @pytest.mark.parametrize("links", [1, 3])
    def test_a_board_that_stands_at_one_comes_back(self, tmp_path: Path, links: int) -> None:
        with own_board(tmp_path) as board:
            put_chain(board, MADE)
            poisoned(board, links)
            with served(board) as client:
                true = put_true_after_votes(client)
                assert client.tip(GENESIS) == true.head.cid()
                put_open(client, MADE)

    def test_what_is_settled_is_not_replaced_by_another(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board:
            put_chain(board, MADE)
            pinboard = Pinboard(board, clock=lambda: NOW)
            fork = adopted(MADE.founded, policy(GENESIS, title="Fork"))
            put_head_votes_of(pinboard, fork)
            with pytest.raises(ForkedHistory):
                pinboard.post(Kind.HEAD, GENESIS, fork.head.encoded())
            assert board.tip(GENESIS) == MADE.history.head.cid()

    def test_one_that_is_behind_is_brought_up_by_the_votes_for_the_last_head_alone(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board, own_board(tmp_path) as own, served(board) as client:
            put_chain(board, MADE)
            put_chain(own, MADE)
            history = MADE.history
            for n in range(3):
                history = put_true(own, history, f"Policy {n}")
                own.set_tip(GENESIS, history.head.cid(), history.head.epoch)
            put_head_votes(own, history, "0", "1", "3")
            counts = synced(own, client, GENESIS, at=NOW)
            assert client.tip(GENESIS) == history.head.cid(), counts
            assert counts.not_taken == 0, counts

    def test_votes_for_ever_later_epochs_fill_nothing(self, tmp_path: Path) -> None:
        with own_board(tmp_path) as board:
            put_chain(board, MADE)
            pinboard = Pinboard(board, clock=lambda: NOW)
            key = next(iter_keys("0"))
            taken = 0
            for n in range(400):
                lie = HeadVote.made(key, GENESIS, 2 + n * 20, Cid.of(0x71, str(n).encode()))
                try:
                    pinboard.post_head_votes(GENESIS, [lie.encoded()])
                    taken += 1
                except Exception:  # noqa: BLE001, S112  # which of its own errors is no matter
                    continue
            assert taken <= 4 + 16
            lies = [HeadVote.made(key, GENESIS, 3, Cid.of(0x71, str(n).encode())) for n in range(50)]
            pinboard.post_head_votes(GENESIS, [lie.encoded() for lie in lies])
            assert board.count(Kind.HEAD_VOTE, GENESIS) <= 1 + 20 + 2 + 4


def put_true_after_votes(client: Board) -> History:
    true = adopted(MADE.history, policy(GENESIS, title="True"))
    put_head_votes(client, true, "0", "1", "2")
    decided = policy(GENESIS, title="True")
    bundle = carried(MADE.history, adopting(decided), decided)
    put(client, Kind.DECISION, GENESIS, bundle.decision, parent=bundle.decision.proposal.cid())
    put(client, Kind.HEAD, GENESIS, true.head, parent=bundle.decision.cid())
    for cid, body in bundle.blocks.items():
        if cid != bundle.decision.cid():
            client.put(Kind.BLOCK, GENESIS, cid, bundle.decision.cid(), body)
    put(client, Kind.POLICY, GENESIS, decided)
    return true


def put_head_votes_of(pinboard: Pinboard, history: History) -> None:
    from tests.boards import head_votes

    pinboard.post_head_votes(GENESIS, [one.encoded() for one in head_votes(history)])


def iter_keys(*names: str) -> Any:
    from tests.people import custodian

    return (custodian(name).signing for name in names)


class TestFolders:
    def test_a_member_does_not_follow_a_folders_own_head(self, tmp_path: Path) -> None:
        hostile = FolderBoard(tmp_path / "hostile")
        put_chain(hostile, MADE)
        (evil,) = own_head(MADE.history)
        choice = delegation(MADE.history, voters(MADE.history)[0], voters(MADE.history)[1].address)
        put(hostile, Kind.BLOCK, GENESIS, batch(MADE.history, choice))
        put(hostile, Kind.HEAD, GENESIS, evil.head, parent=evil.head.cause)
        hostile.set_tip(GENESIS, evil.head.cid(), evil.head.epoch)
        with own_board(tmp_path) as own:
            counts = synced(own, hostile, GENESIS, at=NOW)
            assert own.tip(GENESIS) == MADE.history.head.cid()
            assert any("too few custodians' votes" in reason for reason in counts.reasons)
        assert hostile.tip(GENESIS) == MADE.history.head.cid()  # what is settled was given to it

    def test_a_poisoned_member_comes_back_with_a_folder_that_has_the_votes(self, tmp_path: Path) -> None:
        good = FolderBoard(tmp_path / "good")
        put_chain(good, MADE)
        true = put_true(good, MADE.history, "True")
        good.set_tip(GENESIS, true.head.cid(), true.head.epoch)
        put_head_votes(good, true, "1", "2", "3")
        with own_board(tmp_path) as own:
            put_chain(own, MADE)
            poisoned(own, 2)
            assert synced(own, good, GENESIS, at=NOW).epoch == true.head.epoch
            assert own.tip(GENESIS) == true.head.cid()


class Keeper:
    """A custodian in this process, as members see it."""

    def __init__(self, custody: Custody) -> None:
        self.custody = custody

    def chain(self, genesis: Cid, known: Cid | None) -> Any:
        return next_links(lambda known, skip: self.custody.catching_up.piece(genesis, known, skip), known)

    def head_votes(self, genesis: Cid) -> Any:
        return self.custody.head_votes(genesis)


@pytest.mark.parametrize("custodians", [1, 4])
def test_a_poisoned_member_comes_back_with_its_custodians_and_tells_boards(tmp_path: Path, custodians: int) -> None:
    made = voting_dao(custodians, **GUARDED)
    with Electorate(tmp_path, made) as e, own_board(tmp_path) as own, own_board(tmp_path) as far:
        for board in (own, far):
            found(board, made.charter, made.roll)
        (evil,) = own_head(made.history)
        choice = delegation(made.history, voters(made.history)[0], voters(made.history)[1].address)
        for board in (own, far):
            put(board, Kind.BLOCK, made.genesis, batch(made.history, choice))
            put(board, Kind.HEAD, made.genesis, evil.head, parent=evil.head.cause)
            board.set_tip(made.genesis, evil.head.cid(), 1)
        for custody in e.custodies:  # a lone one signs heads only of a DAO that has entrusted it with something
            custody.voting.balloting.submit_proposal(proposal(made.history), {})
        signed = guardians_act(made.history, act(made.history), *GUARDIANS[:2])
        true = advanced(made.history, signed, {}.__getitem__, at=e.clock())
        assert carried_out(e.custodies, true, {signed.cid(): signed.encoded()}) == {1}
        keepers: Any = {custody.public.key: Keeper(custody) for custody in e.custodies}
        history = followed(own, evil, keepers, clock=e.clock).history
        assert history.head == true.head
        assert own.tip(made.genesis) == true.head.cid()
        with served(far) as client:
            synced(own, client, made.genesis, at=NOW)
            assert client.tip(made.genesis) == true.head.cid()


@pytest.mark.parametrize("custodians", [1, 4])
def test_a_poisoned_member_comes_back_where_nothing_else_has_happened(tmp_path: Path, custodians: int) -> None:
    made = voting_dao(custodians, **GUARDED)
    with Electorate(tmp_path, made) as e, own_board(tmp_path) as own:
        found(own, made.charter, made.roll)
        (evil,) = own_head(made.history)
        choice = delegation(made.history, voters(made.history)[0], voters(made.history)[1].address)
        put(own, Kind.BLOCK, made.genesis, batch(made.history, choice))
        put(own, Kind.HEAD, made.genesis, evil.head, parent=evil.head.cause)
        own.set_tip(made.genesis, evil.head.cid(), 1)
        keepers: Any = {custody.public.key: Keeper(custody) for custody in e.custodies}
        assert followed(own, evil, keepers, clock=e.clock).history.head == made.history.head
        assert own.tip(made.genesis) == made.history.head.cid()


class Stubborn:
    """A custodian that knows one head after the first, and no other."""

    def __init__(self, history: History, nonce: bytes) -> None:
        signed = guardians_act(history, act(history, nonce=nonce), *GUARDIANS[:2])
        after = advanced(history, signed, {}.__getitem__, at=NOW)
        self.heads = after.heads
        self.blocks = {after.heads[-1]: after.head.encoded(), signed.cid(): signed.encoded()}
        self.asked = 0

    def chain(self, genesis: Cid, known: Cid | None) -> Any:
        self.asked += 1
        if known not in self.heads or self.asked > 100:
            raise StaleState("it knows neither that head nor what follows it")
        return self.heads[-1], self.blocks if known == self.heads[0] else {}

    def head_votes(self, genesis: Cid) -> Any:
        return [], []

    def submit_head(self, *_: Any) -> int:
        raise ForkedHistory("another head won")


def test_a_member_does_not_go_to_and_fro_between_custodians_that_disagree(tmp_path: Path) -> None:
    made = voting_dao(3, liars=0, **GUARDED)
    with own_board(tmp_path) as own:
        found(own, made.charter, made.roll)
        keepers: Any = {bytes([n]) * 32: Stubborn(made.history, bytes([n]) * 32) for n in (1, 2)}
        after = followed(own, made.history, keepers, clock=lambda: NOW).history
        assert after.head.epoch == 1
        assert followed(own, after, keepers, clock=lambda: NOW).history.heads == after.heads
        assert all(keeper.asked < 20 for keeper in keepers.values())


@pytest.mark.parametrize("custodians", [1, 4])
def test_a_custodian_brings_its_board_back(tmp_path: Path, custodians: int) -> None:
    made = voting_dao(custodians, **GUARDED)
    with Electorate(tmp_path, made) as e, own_board(tmp_path) as board:
        found(board, made.charter, made.roll)
        (evil,) = own_head(made.history)
        choice = delegation(made.history, voters(made.history)[0], voters(made.history)[1].address)
        put(board, Kind.BLOCK, made.genesis, batch(made.history, choice))
        put(board, Kind.HEAD, made.genesis, evil.head, parent=evil.head.cause)
        board.set_tip(made.genesis, evil.head.cid(), 1)
        for custody in e.custodies:  # a lone one signs heads only of a DAO that has entrusted it with something
            custody.voting.balloting.submit_proposal(proposal(made.history), {})
        signed = guardians_act(made.history, act(made.history), *GUARDIANS[:2])
        true = advanced(made.history, signed, {}.__getitem__, at=e.clock())
        carried_out(e.custodies, true, {signed.cid(): signed.encoded()})
        with served(board) as client:
            follower = BoardFollower(e.custodies[0], ["board"], connect=lambda _: client)
            with suppress(StaleState, ForkedHistory, NotYet):  # of what it heard there; it tells all the same
                asyncio.run(follower.visit("board"))
            assert client.tip(made.genesis) == true.head.cid()
