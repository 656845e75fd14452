"""Attacks that leave no room for others: DAOs, proposals and choices without end, by strangers, members and liars."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from enclave.attestation.appraise import EvidenceAppraiser
from storage.cid import Cid
from storage.memory import MemoryBlobs
from tests.boards import NOW, affairs, own_board, put_all
from tests.governing import batch, carried_out, choice
from tests.loops import Loop
from tests.migrated import opened_records
from tests.people import Dao, dao
from tests.voting import DELAY_S, VOTING, Electorate, pages, proposal, vote, voting_dao
from vault.acknowledgment import Acknowledgment
from vault.assembly import found, put
from vault.ballot import Proposal
from vault.board import Kind
from vault.board_sync import synced
from vault.client import CustodyClient
from vault.custodian import CustodianKeys
from vault.custody import Custody
from vault.custody_server import custody_server
from vault.errors import AccessDenied, NotYet, RateExceeded
from vault.following import followed
from vault.gathering import next_batch, waiting
from vault.history import History, advanced
from vault.pinboard import Pinboard
from vault.proposals import OPEN_MAX
from vault.rate import PeerLimit, names_of
from vault.records.custody import CustodyRecords
from vault.tls import TlsIdentity
from vault.vote_delegation import CHOICES_MAX
from vault.vote_sync import VoteSync

DAY_S = 86_400


def strangers_dao(n: int) -> Dao:
    """Return a DAO of one stranger that names the tests' first custodian."""
    return dao(1, name=f"stranger's {n}", custodians=1, **(VOTING | {"signatures": 1, "shares": 1, "liars": 0}))


def founding(made: Dao) -> dict[Cid, bytes]:
    head = made.history.head
    return {made.genesis: made.charter.encoded(), head.cid(): head.encoded()}


class TestDaos:
    def test_a_custodian_that_is_for_certain_daos_takes_no_other(self, tmp_path: Path) -> None:
        made = voting_dao(1)
        keys = made.custodians[0]
        with opened_records(tmp_path / "custodian.db") as records:

            def started(only: frozenset[Cid] | None) -> Custody:
                return Custody(
                    CustodianKeys(signing=keys.signing, hpke=keys.hpke),
                    CustodyRecords(records),
                    blobs,
                    EvidenceAppraiser(production=False),
                    clock=lambda: NOW,
                    production=False,
                    only=only,
                )

            blobs = MemoryBlobs()
            custody = started(frozenset([made.genesis]))
            other = strangers_dao(0)
            with pytest.raises(AccessDenied, match="other DAOs"):
                custody.submit_head(other.history.heads[-1], founding(other).items())
            custody.submit_head(made.history.heads[-1], founding(made).items())
            crowded = started(None)
            crowded.submit_head(other.history.heads[-1], founding(other).items())
            crowded.voting.balloting.submit_proposal(proposal(other.history, None, opens_at=NOW + DELAY_S), {})
            assert [genesis for genesis, _, _ in started(None).catching_up.tips(keys.signing.public)] == [other.genesis]
            assert started(frozenset([made.genesis])).is_new(other.genesis)  # what strangers left there is let go

    def test_an_address_brings_so_many_new_daos_a_day(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(1)) as made:
            loop = Loop()
            founding_limit = PeerLimit(per_s=3 / DAY_S, burst=3)
            server, port = loop.call(
                custody_server(made.custodies[0], TlsIdentity.fresh(), "127.0.0.1:0", founding=founding_limit)
            )
            try:
                with CustodyClient.connect(f"127.0.0.1:{port}") as client:
                    taken = 0
                    for n in range(6):
                        other = strangers_dao(n)
                        try:
                            client.submit_blocks(other.history.heads[-1], founding(other))
                            taken += 1
                        except RateExceeded:
                            continue
                    assert taken == 3
                    head = made.history.heads[-1]
                    assert client.submit_blocks(head, founding(made.dao)) == 0  # it is known, and costs nothing
            finally:
                loop.call(server.stop(0))
                loop.close()

    def test_the_other_custodians_are_exempt(self, tmp_path: Path) -> None:
        assert names_of(["127.0.0.1:1", "nowhere.invalid:2"]) == {"127.0.0.1"}
        with Electorate(tmp_path, voting_dao(1)) as made:
            loop = Loop()
            server, port = loop.call(
                custody_server(
                    made.custodies[0],
                    TlsIdentity.fresh(),
                    "127.0.0.1:0",
                    limit=PeerLimit(per_s=0.001, burst=3),
                    founding=PeerLimit(per_s=0.001, burst=1),
                    friends=names_of(["127.0.0.1:1"]),
                )
            )
            try:
                with CustodyClient.connect(f"127.0.0.1:{port}") as client:
                    for n in range(6):
                        client.submit_blocks(strangers_dao(n).history.heads[-1], founding(strangers_dao(n)))
            finally:
                loop.call(server.stop(0))
                loop.close()

    def test_a_custodian_that_forgot_a_fresh_dao_is_handed_it_again(self, tmp_path: Path) -> None:
        """Nothing of a DAO that entrusted it with nothing is on disk; a start later, it knew none."""
        made = voting_dao(1)
        keys = made.custodians[0]
        with opened_records(tmp_path / "custodian.db") as records, own_board(tmp_path) as own:
            custody = Custody(
                CustodianKeys(signing=keys.signing, hpke=keys.hpke),
                CustodyRecords(records),
                MemoryBlobs(),
                EvidenceAppraiser(production=False),
                clock=lambda: NOW,
                production=False,
            )
            found(own, made.charter, made.roll)
            loop = Loop()
            server, port = loop.call(custody_server(custody, TlsIdentity.fresh(), "127.0.0.1:0"))
            try:
                with CustodyClient.connect(f"127.0.0.1:{port}") as client:
                    asked = proposal(made.history, None, opens_at=NOW + DELAY_S)
                    with pytest.raises(AccessDenied, match="knows no DAO"):
                        client.submit_proposal(asked, {})
                    after = followed(own, made.history, {keys.signing.public: client}, clock=lambda: NOW)
                    assert not after.failures
                    client.submit_proposal(asked, {})
            finally:
                loop.call(server.stop(0))
                loop.close()


class TestProposals:
    def offered(self, made: Electorate, *, ahead_s: int = 0) -> tuple[Proposal, Acknowledgment]:
        """Return a member's proposal, with a liar's word that it has it."""
        opens_at = made.clock() + DELAY_S + ahead_s
        one = proposal(made.history, None, opens_at=opens_at, nonce=secrets.token_bytes(32))
        liar = made.dao.custodians[3].signing
        return one, Acknowledgment.made(liar, made.genesis, one.cid().digest, at=made.clock())

    def test_a_liar_vouches_for_so_many_of_a_member(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(4, proposals_per_day=2)) as made:
            balloting, taken = made.custodies[0].voting.balloting, 0
            for _ in range(40):
                one, word = self.offered(made)
                try:
                    balloting.submit_proposal(one, {}, [word])
                    taken += 1
                except AccessDenied:
                    continue
            assert taken == 8  # 2 a day, as often as there are custodians
            own = proposal(made.history, None, opens_at=made.clock() + DELAY_S, proposer=made.dao.wallets[1])
            balloting.submit_proposal(own, {})  # another member is not in the way
            by_honest, _ = self.offered(made)
            words = [
                Acknowledgment.made(key.signing, made.genesis, by_honest.cid().digest, at=made.clock())
                for key in made.dao.custodians[1:3]
            ]
            balloting.submit_proposal(by_honest, {}, words)  # f+1 say so: an honest one took it

    def test_none_opens_in_years_whoever_vouches(self, tmp_path: Path) -> None:
        with Electorate(tmp_path, voting_dao(4)) as made:
            one, word = self.offered(made, ahead_s=10**9)
            with pytest.raises(NotYet, match="too far ahead"):
                made.custodies[0].voting.balloting.submit_proposal(one, {}, [word])

    def test_a_member_has_so_many_open_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert OPEN_MAX <= 100
        monkeypatch.setattr("vault.proposals.OPEN_MAX", 3)
        with Electorate(tmp_path, voting_dao(1, proposals_per_day=10)) as made:
            for _ in range(3):
                one = proposal(made.history, None, opens_at=made.clock() + DELAY_S, nonce=secrets.token_bytes(32))
                made.custodies[0].voting.balloting.submit_proposal(one, {})
            with pytest.raises(AccessDenied, match="open at once"):
                made.custodies[0].voting.balloting.submit_proposal(self_made(made), {})


def self_made(made: Electorate) -> Proposal:
    return proposal(made.history, None, opens_at=made.clock() + DELAY_S, nonce=secrets.token_bytes(32))


class Counting:
    """A peer in this process that counts what it is asked."""

    def __init__(self, custody: Custody) -> None:
        self._custody, self.calls, self.custodian = custody, list[str](), custody.public

    def close(self) -> None:
        pass

    def acts(self, genesis: Cid) -> Any:
        return []

    def __getattr__(self, name: str) -> Any:
        balloting = self._custody.voting.balloting
        methods: dict[str, Any] = {
            "proposals": balloting.proposals.page,
            "votes": balloting.votes,
            "polls": lambda genesis: dict(balloting.proposals.changes(genesis)),
            "submit_votes": balloting.submit_votes,
            "submit_proposal": balloting.submit_proposal,
        }

        def call(*args: Any) -> Any:
            self.calls.append(name)
            return methods[name](*args)

        return call


def test_many_open_proposals_do_not_end_the_exchange_of_votes(tmp_path: Path) -> None:
    with Electorate(tmp_path, voting_dao(3, liars=0, proposals_per_day=100)) as made:
        first, second = made.custodies[:2]
        asked = [self_made(made) for _ in range(40)]
        for one in asked:
            for custody in (first, second):
                custody.voting.balloting.submit_proposal(one, {})
        made.clock.seconds = asked[0].opens_at
        peer = Counting(second)
        sync = VoteSync(first, ["peer"], connect=lambda _: peer)

        async def visited() -> None:
            await sync._visits.once("peer")

        for _ in range(4):  # until both have all that the other said of the proposals
            asyncio.run(visited())
        peer.calls.clear()
        second.voting.balloting.submit_vote(made.genesis, vote(made.history, asked[-1], 0))
        asyncio.run(visited())
        assert list(pages(first, asked[-1]))
        assert peer.calls.count("votes") <= 2
        assert len(peer.calls) < 10


class TestDelegations:
    def chosen(self, history: History, made: Dao, times: int) -> History:
        evil, _, third = made.wallets[:3]
        for n in range(times):
            history = carried_out(history, batch(history, choice(history, evil, third, sequence=n)))
        return history

    def test_a_member_that_used_up_its_choices_stops_nobody_else(self, tmp_path: Path) -> None:
        made = dao(3)
        evil, honest, third = made.wallets[:3]
        history = self.chosen(made.history, made, CHOICES_MAX)
        history = carried_out(history, batch(history, choice(history, third, honest)))
        with own_board(tmp_path) as board:
            put(board, Kind.DELEGATION, made.genesis, choice(history, evil, third, sequence=1000))
            assert not waiting(board, history)
            just_chosen = choice(history, third, evil, sequence=1)
            put(board, Kind.DELEGATION, made.genesis, just_chosen)
            together = next_batch(board, history, choice(history, honest, third, sequence=0))
            assert len(together.delegations) == 1
            assert advanced(history, together, {}.__getitem__, at=NOW).head.epoch == CHOICES_MAX + 2

    def test_who_chose_in_the_last_batch_leaves_the_next_period_to_others(self, tmp_path: Path) -> None:
        made = voting_dao(1, delegations_every_s=1000)
        evil, honest, third = made.wallets[:3]
        with Electorate(tmp_path, made) as e:
            acting = e.custodies[0].voting.acting
            history = made.history
            acting.submit_delegations(batch(history, choice(history, evil, third, sequence=0)))
            history = e.custodies[0].succession.contest(made.genesis).followed
            e.clock.seconds += 1000
            with pytest.raises(NotYet):
                acting.submit_delegations(batch(history, choice(history, evil, honest, sequence=1)))
            assert acting.submit_delegations(batch(history, choice(history, honest, third, sequence=0))) == 2
            e.clock.seconds += 1000
            assert acting.submit_delegations(batch(history, choice(history, evil, honest, sequence=1))) == 3


def test_a_damaged_board_of_ones_own_is_mended_from_another(tmp_path: Path) -> None:
    made = affairs()
    with own_board(tmp_path) as own, own_board(tmp_path) as other:
        for board in (own, other):
            put_all(board, made)
        with own._records.writing(b"test") as session:
            session.execute(text("UPDATE board_object SET body = x'00' WHERE kind = 'decision'"))
        with pytest.raises(Exception, match="was changed"):
            Pinboard(own, clock=lambda: NOW).history(made.genesis)
        counts = synced(own, other, made.genesis, at=NOW)
        assert counts.epoch == 1
        assert Pinboard(own, clock=lambda: NOW).history(made.genesis).head == made.history.head
