"""What a custodian remembers of votes, over SQLite and PostgreSQL: rule G2."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage.cid import DAG_CBOR, Cid
from tests.at_once import at_once
from vault.errors import RecordsUnavailable
from vault.polls import ProposalRow, VoteRow
from vault.records.custody import CustodyRecords
from vault.records.database import Records

pytest_plugins = ["tests.records"]


def cid(name: str) -> Cid:
    return Cid.of(DAG_CBOR, name.encode())


GENESIS, OTHER = cid("genesis"), cid("another genesis")
ALICE, BOB = b"a" * 20, b"b" * 20
POLL = b"p" * 32


def proposed(
    name: str, *, genesis: Cid = GENESIS, proposer: bytes = ALICE, at: int = 1, direct: bool = True
) -> ProposalRow:
    return ProposalRow(
        genesis=genesis,
        proposal=cid(name).digest,
        proposer=proposer,
        body=name.encode(),
        acknowledgments=b"words",
        arrived_at=at,
        is_direct=direct,
    )


def cast(name: str, *, voter: bytes = ALICE, period: int = 0, direct: int = 1) -> VoteRow:
    return VoteRow(
        proposal=POLL,
        ballot=cid(name).digest,
        voter=voter,
        body=name.encode(),
        acknowledgments=b"words",
        period=period,
        direct=direct,
    )


@pytest.fixture
def store(records: Records) -> CustodyRecords:
    return CustodyRecords(records)


class TestProposals:
    def test_they_are_listed_in_the_order_of_their_changes(self, store: CustodyRecords) -> None:
        for name in "abc":
            store.keep_proposal(proposed(name))
        store.keep_proposal(proposed("elsewhere", genesis=OTHER))
        store.keep_proposal(replace(proposed("a"), acknowledgments=b"more words"))
        listed = store.kept_proposals(GENESIS, 0, most=10)
        assert [(row.body, row.acknowledgments) for row in listed] == [
            (b"b", b"words"),
            (b"c", b"words"),
            (b"a", b"more words"),
        ]
        assert store.kept_proposals(GENESIS, listed[0].position, most=1) == [listed[1]]
        assert store.kept_proposals(GENESIS, listed[-1].position, most=10) == []
        assert store.kept_proposal(cid("a").digest) == listed[-1]
        assert store.kept_proposal(cid("nobody's").digest) is None

    def test_those_of_one_member_that_came_here_first_are_counted_from_a_time_on(self, store: CustodyRecords) -> None:
        for name, at in (("a", 10), ("b", 20), ("c", 30)):
            store.keep_proposal(proposed(name, at=at))
        store.keep_proposal(proposed("bob's", proposer=BOB, at=30))
        store.keep_proposal(proposed("handed on", at=30, direct=False))
        store.keep_proposal(proposed("elsewhere", genesis=OTHER, at=30))
        since = {at: store.proposed_since(GENESIS, ALICE, at) for at in (0, 10, 29, 30)}
        assert [sum(row.is_direct for row in rows) for rows in since.values()] == [3, 2, 1, 0]
        assert [len(rows) for rows in since.values()] == [4, 3, 2, 0]


class TestVotes:
    def test_news_comes_last_and_the_rest_stays_where_it_was(self, store: CustodyRecords) -> None:
        rows = [cast(name) for name in "abc"]
        store.keep_votes(POLL, rows, news={row.ballot for row in rows}, dropped=())
        before = store.kept_votes(POLL, 0, most=10)
        store.keep_votes(
            POLL, [replace(rows[0], period=1), replace(rows[1], period=2)], news={rows[0].ballot}, dropped=()
        )
        after = store.kept_votes(POLL, 0, most=10)
        assert [(row.body, row.period) for row in after] == [(b"b", 2), (b"c", 0), (b"a", 1)]
        assert after[0].position == before[1].position
        assert store.last_change(POLL) == after[-1].position > before[-1].position
        assert store.kept_votes(POLL, after[0].position, most=1) == [after[1]]
        assert store.last_change(bytes(32)) == 0

    def test_a_dropped_ballot_is_gone_and_its_position_is_not_given_again(self, store: CustodyRecords) -> None:
        first, second = cast("first"), cast("second")
        store.keep_votes(POLL, [first], news={first.ballot}, dropped=())
        seen = store.last_change(POLL)
        store.keep_votes(POLL, [second], news={second.ballot}, dropped=[first.ballot])
        assert [row.body for row in store.kept_votes(POLL, 0, most=10)] == [b"second"]
        assert store.last_change(POLL) > seen

    def test_those_of_some_voters_are_found(self, store: CustodyRecords) -> None:
        rows = [cast("alice's"), cast("alice's other"), cast("bob's", voter=BOB)]
        store.keep_votes(POLL, rows, news=(), dropped=())
        assert {row.body for row in store.votes_of(POLL, [ALICE])} == {b"alice's", b"alice's other"}
        assert {row.body for row in store.votes_of(POLL, [BOB, b"c" * 20])} == {b"bob's"}
        assert store.votes_of(bytes(32), [ALICE]) == []

    def test_all_of_a_message_are_kept_or_none(self, store: CustodyRecords) -> None:
        with pytest.raises(ValueError, match="outside what its column takes"):
            store.keep_votes(POLL, [cast("good"), cast("bad", period=3)], news=(), dropped=())
        assert store.kept_votes(POLL, -1, most=10) == []


class TestOutcomes:
    def test_of_many_closings_at_once_one_is_kept_for_ever(self, store: CustodyRecords) -> None:
        kept = at_once(*(partial(store.keep_closing, GENESIS, POLL, b"set %d" % n) for n in range(4)))
        assert len(set(kept)) == 1
        assert store.kept_closing(POLL) == kept[0]
        assert store.kept_closing(bytes(32)) is None

    def test_the_first_decision_is_kept(self, store: CustodyRecords) -> None:
        assert store.kept_decision(POLL) is None
        assert store.keep_decision(GENESIS, POLL, cid("first"), 10) == cid("first")
        assert store.kept_decision(POLL) == cid("first")
        assert store.keep_decision(GENESIS, POLL, cid("second"), 20) == cid("first")
        store.keep_decision(GENESIS, b"q" * 32, cid("later"), 30)
        store.keep_decision(OTHER, b"r" * 32, cid("elsewhere"), 30)
        assert store.kept_decisions(GENESIS) == [(b"q" * 32, cid("later"), 30), (POLL, cid("first"), 10)]

    @pytest.mark.parametrize("table", ["custody_closing", "custody_queued"])
    @pytest.mark.parametrize("change", ["UPDATE {} SET genesis = genesis", "DELETE FROM {}"])
    def test_the_database_itself_refuses_to_forget(
        self, store: CustodyRecords, records: Records, table: str, change: str
    ) -> None:
        store.keep_closing(GENESIS, POLL, b"set")
        store.keep_decision(GENESIS, POLL, cid("first"), 10)
        with pytest.raises(IntegrityError, match="only grows"), records.engine.begin() as connection:
            connection.execute(text(change.format(table)))


class TestActs:
    def test_they_are_kept_until_carried_out_or_old(self, store: CustodyRecords) -> None:
        for name, epoch in (("a", 1), ("b", 2), ("c", 3)):
            store.keep_act(GENESIS, cid(name).digest, epoch, name.encode())
        store.keep_act(GENESIS, cid("b").digest, 2, b"b, with one signature more")
        store.keep_act(OTHER, cid("elsewhere").digest, 1, b"elsewhere")
        assert set(store.kept_acts(GENESIS)) == {b"a", b"b, with one signature more", b"c"}
        store.drop_acts(GENESIS, [cid("c").digest], before_epoch=2)
        assert store.kept_acts(GENESIS) == [b"b, with one signature more"]
        assert store.kept_act(cid("a").digest) is None
        assert store.kept_acts(OTHER) == [b"elsewhere"]

    def test_there_are_so_many_and_no_more(self, store: CustodyRecords, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vault.records.polls.ACTS_MAX", 2)
        for name in "ab":
            store.keep_act(GENESIS, cid(name).digest, 1, b"act")
        with pytest.raises(RecordsUnavailable, match="its limit"):
            store.keep_act(GENESIS, cid("c").digest, 1, b"act")
        store.keep_act(GENESIS, cid("a").digest, 1, b"act, signed by more")

    def test_when_delegations_were_taken_last(self, store: CustodyRecords) -> None:
        assert store.delegated_at(GENESIS) is None
        for at in (10, 20):
            store.keep_delegated(GENESIS, at)
        assert store.delegated_at(GENESIS) == 20
