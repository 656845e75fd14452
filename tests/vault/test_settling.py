"""Epochs and statements: exact at every level, the same bytes every time, and never a negative amount (L4, R2)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import dao, dataset, policy, seeded, wallet
from vault.attribution import rank_weight
from vault.booking import booking_of
from vault.charge import charge
from vault.earnings import CHARGES_MAX, EPOCHS_KEPT, ClosedEpoch, Earnings, close_entry, credits_of
from vault.entry import Entry, Kind, PassageId, QueryDetail, packed_scores
from vault.errors import LedgerTampered, MalformedObject
from vault.keys import SecretKey
from vault.lease import ledger_id
from vault.ledger import Books
from vault.ledger_seal import LedgerSeal
from vault.license import Deposit
from vault.made_entries import deposit_entry, void_entry
from vault.policy import Policy
from vault.receipt_message import payload_digest
from vault.royalty import owner_account
from vault.settling import Settled, settled
from vault.signing import BLANK_SIGNATURE
from vault.statement import (
    SHOWN_MIN,
    THE_REST,
    Line,
    Settlement,
    Statement,
    amount_seal,
    blinded,
    claim_leaf,
    passage_key,
    payment_id,
)
from vault.weights import root_from_proof

GENESIS = dao(1).genesis
LEDGER = ledger_id(GENESIS)
SEAL = LedgerSeal(SecretKey(seeded("state key")), LEDGER)
OWNERS = [wallet(f"owner {number}").address for number in range(3)]
POLICY = policy(GENESIS, datasets=(dataset(),), price_per_query=103)
LICENSEE = wallet("licensee").address
MANIFEST = dataset().manifest


class Ledger:
    """Books, and what follows from the entries for royalties: as an enclave has both."""

    def __init__(self) -> None:
        self.books = Books()
        self.earnings = Earnings()
        self.entries: list[Entry] = []
        deposit = Deposit(
            genesis=GENESIS,
            ledger=LEDGER,
            id=seeded("deposit"),
            treasury=POLICY.treasury,
            licensee=LICENSEE,
            amount=10**9,
            currency="USDC",
            signature=BLANK_SIGNATURE,
        )
        self.book(deposit_entry(self.books, deposit, at=0))

    def book(self, entry: Entry) -> Entry:
        refunded = self.books.charge(entry.licensee, entry.reference) if entry.kind is Kind.VOID else None
        self.books.book(entry)
        self.earnings.note(booking_of(entry), refunded)
        self.entries.append(entry)
        return entry

    def ask(self, owners: list[int], *, at: int = 0, places: list[int] | None = None, by: Policy = POLICY) -> Entry:
        """Book an answer whose passages are these owners', best first."""
        name = f"request {len(self.entries)}"
        weights = [rank_weight(rank) for rank in range(len(owners))]
        passages = tuple(
            PassageId(
                manifest=MANIFEST, index=(places or owners)[rank], lineage=seeded("lineage"),
                identity=seeded(f"passage {owner}"), owner=OWNERS[owner], weight=weights[rank],
            )
            for rank, owner in enumerate(owners)
        )  # fmt: skip
        detail = QueryDetail(
            body=seeded(f"{name} body"),
            policy=POLICY.cid(),
            delegation=seeded("delegation"),
            instance=bytes(32),
            vector=b"",
            passages=passages,
            scores=packed_scores([0.5] * len(owners)),
            shares_budget=False,
            is_partial=False,
            receipt=seeded(name, 64),
        )
        return self.book(
            Entry(
                sequence=self.books.last_sequence + 1,
                kind=Kind.QUERY,
                at=at,
                licensee=LICENSEE,
                reference=seeded(name),
                query=detail,
                transfers=charge(LICENSEE, by, [OWNERS[owner] for owner in owners], weights),
            )
        )

    def void(self, entry: Entry, *, at: int = 0) -> None:
        self.book(void_entry(self.books, entry, at=at))

    def close(self, *, at: int = 0) -> ClosedEpoch:
        number = self.earnings.number
        self.book(close_entry(self.books, number, at=at))
        return self.earnings.closed[number]

    def settled(self, number: int) -> Settled:
        closed = self.earnings.closed[number]
        return settled(
            self.entries[closed.first - 1 : closed.last],
            closed,
            genesis=GENESIS,
            ledger=LEDGER,
            secret=SEAL.epoch_secret(number),
            log_root=seeded("log root"),
        )


def account(owner: int) -> str:
    return owner_account(OWNERS[owner], "USDC")


def test_what_was_charged_is_due_to_the_unit() -> None:
    ledger = Ledger()
    asked = [ledger.ask([0, 1, 0]), ledger.ask([2]), ledger.ask([])]
    ledger.close(at=60)
    made = ledger.settled(1)
    (usdc,) = made.settlement.currencies
    assert (usdc.charged, usdc.refunded, usdc.owed_before, usdc.owed) == (309, 0, 0, 0)
    assert usdc.total == 309 == sum(one.amount for one in made.statements.values())
    for name, statement in made.statements.items():
        assert statement.amount == ledger.books.balance(name) == sum(credits_of(one).get(name, 0) for one in asked)


def test_every_statement_is_in_the_sum_tree_and_under_the_root_of_claims() -> None:
    ledger = Ledger()
    ledger.ask([0, 1])
    ledger.close()
    ledger.ask([1, 2])
    ledger.close()
    made = ledger.settled(2)
    (usdc,) = made.settlement.currencies
    assert usdc.accounts == len(made.statements) == 5
    for name, statement in made.statements.items():
        root = made.sum_proofs[name].root(statement.leaf())
        assert (root.hash, root.sum) == (usdc.sum_root, usdc.total)
        leaf = claim_leaf(statement.address, statement.claim)
        assert root_from_proof(leaf, made.claim_proofs[name]) == usdc.claims_root
        assert statement.claim == statement.total == ledger.books.balance(name)
    assert made.statements[account(0)].amount == 0  # who earned nothing keeps its claim


def test_one_address_with_several_accounts_has_one_claim() -> None:
    ledger = Ledger()
    ledger.ask([0], by=replace(POLICY, operator=OWNERS[0]))
    ledger.close()
    made = ledger.settled(1)
    own = [one for one in made.statements.values() if one.address == OWNERS[0]]
    assert len(own) == 2 and {one.claim for one in own} == {sum(one.amount for one in own)}


class TestRefunds:
    def test_one_before_the_close_never_was_charged(self) -> None:
        ledger = Ledger()
        ledger.ask([0])
        ledger.void(ledger.ask([1]))
        ledger.close()
        made = ledger.settled(1)
        assert made.settlement.currency("USDC").charged == 103
        assert made.statements[account(1)].amount == 0 and not made.statements[account(1)].payments

    def test_one_after_the_close_is_taken_off_and_what_is_left_is_owed(self) -> None:
        ledger = Ledger()
        charged = ledger.ask([0])
        ledger.close()
        ledger.void(charged)
        ledger.close()
        ledger.ask([0])
        ledger.close()
        own = [ledger.settled(epoch).statements[account(0)] for epoch in (1, 2, 3)]
        assert [(one.earned, one.refunded, one.owed_before, one.owed, one.amount) for one in own] == [
            (88, 0, 0, 0, 88),
            (0, 88, 0, 88, 0),
            (88, 0, 88, 0, 0),
        ]
        assert [one.total for one in own] == [88, 88, 88]
        assert own[1].refunds == own[0].payments[:32]
        assert [ledger.settled(epoch).settlement.currency("USDC").total for epoch in (1, 2, 3)] == [103, 0, 0]


class TestWhatAStatementShows:
    def test_who_holds_the_receipt_finds_its_payment_and_nobody_else(self) -> None:
        ledger = Ledger()
        entry = ledger.ask([0, 1])
        ledger.close()
        made = ledger.settled(1)
        assert entry.query is not None
        request, digest = entry.query.body, payload_digest(entry.query.receipt)
        for name, amount in credits_of(entry).items():
            (pair,) = made.statements[name].pairs()
            assert pair == (payment_id(request, digest, name), amount_seal(request, digest, name, amount))
            encoded = made.statements[name].encoded()
            assert LICENSEE not in encoded and request not in encoded and digest not in encoded

    def test_passages_that_are_shown_seldom_are_told_of_together(self) -> None:
        ledger = Ledger()
        for _ in range(SHOWN_MIN):
            ledger.ask([0, 0], places=[7, 7])
        for place in range(SHOWN_MIN - 1):
            ledger.ask([0], places=[place])
        ledger.close()
        statement = ledger.settled(1).statements[account(0)]
        key = passage_key(SEAL.epoch_secret(1), account(0))
        assert MANIFEST is not None
        by_name = {line.passage: line for line in statement.lines}
        assert by_name.keys() == {THE_REST, blinded(key, MANIFEST, 7)}
        assert by_name[THE_REST].count == SHOWN_MIN - 1
        assert sum(line.amount for line in statement.lines) == statement.earned

    def test_a_passage_has_another_name_in_every_epoch_and_for_every_owner(self) -> None:
        assert MANIFEST is not None
        names = {
            blinded(passage_key(SEAL.epoch_secret(epoch), account(owner)), MANIFEST, index)
            for epoch in (1, 2)
            for owner in (0, 1)
            for index in (0, 1)
        }
        assert len(names) == 8


class TestTheSameBytes:
    def test_from_the_same_entries_by_whoever_reads_them_again(self) -> None:
        ledger, again = Ledger(), Earnings()
        for owners in ([0, 1], [2, 2, 0], []):
            ledger.ask(owners)
        ledger.close()
        for entry in ledger.entries:
            again.note(booking_of(entry), None)
        first, second = ledger.settled(1), Ledger()
        second.entries, second.earnings = ledger.entries, again
        assert second.settled(1).settlement.encoded() == first.settlement.encoded()
        for name, statement in second.settled(1).statements.items():
            assert statement.encoded() == first.statements[name].encoded()

    def test_other_entries_than_it_was_closed_with_are_refused(self) -> None:
        ledger = Ledger()
        ledger.ask([0])
        ledger.ask([1])
        closed = ledger.close()
        for wrong in (ledger.entries[:-2], [*ledger.entries, ledger.entries[1]]):
            with pytest.raises(LedgerTampered, match="not those that it was closed with"):
                settled(wrong, closed, genesis=GENESIS, ledger=LEDGER, secret=bytes(32), log_root=bytes(32))


class TestWhenAnEpochCloses:
    @pytest.mark.parametrize(("at", "is_due"), [(59, False), (60, True), (61, True), (10**9, True)])
    def test_at_the_next_multiple_of_its_period(self, at: int, is_due: bool) -> None:
        ledger = Ledger()
        ledger.ask([0], at=1)
        assert ledger.earnings.is_due(at, period_s=60) is is_due

    def test_never_where_nothing_was_charged(self) -> None:
        ledger = Ledger()
        assert not ledger.earnings.is_due(10**9, period_s=60)
        with pytest.raises(LedgerTampered, match="closes an epoch that does not run"):
            ledger.close()

    def test_the_next_one_begins_with_what_follows(self) -> None:
        ledger = Ledger()
        ledger.ask([0], at=1)
        first = ledger.close(at=60)
        ledger.ask([0], at=59)  # by a clock that was set back
        assert not ledger.earnings.is_due(59, period_s=60)
        second = ledger.close(at=120)
        assert (first.first, first.last, second.first, second.last) == (1, 3, 4, 5)

    @pytest.mark.parametrize("number", [0, 2])
    def test_only_under_its_own_number(self, number: int) -> None:
        ledger = Ledger()
        ledger.ask([0])
        with pytest.raises(LedgerTampered, match="closes an epoch that does not run"):
            ledger.book(close_entry(ledger.books, number, at=60))

    def test_when_it_is_full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert CHARGES_MAX == 1 << 17
        monkeypatch.setattr("vault.earnings.CHARGES_MAX", 2)
        ledger = Ledger()
        ledger.ask([0])
        assert not ledger.earnings.is_full
        ledger.ask([0])
        assert ledger.earnings.is_full

    def test_the_oldest_make_room(self) -> None:
        ledger = Ledger()
        for _ in range(EPOCHS_KEPT + 1):
            ledger.ask([0])
            ledger.close()
        assert min(ledger.earnings.closed) == 2
        assert ledger.settled(EPOCHS_KEPT + 1).statements[account(0)].total == 88 * (EPOCHS_KEPT + 1)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.lists(st.integers(0, 2), max_size=6)),
        st.tuples(st.just("void"), st.integers(0, 9)),
        st.tuples(st.just("close"), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_what_is_due_is_what_was_charged_and_not_given_back(steps: list[tuple[str, Any]]) -> None:
    ledger, asked = Ledger(), []
    for kind, value in steps:
        if kind == "ask":
            asked.append(ledger.ask(value))
        elif kind == "void" and asked:
            ledger.void(asked.pop(value % len(asked)))
        elif kind == "close" and ledger.entries[-1].kind in (Kind.QUERY, Kind.VOID):
            ledger.close()
    owed: dict[str, int] = defaultdict(int)
    totals: dict[str, int] = defaultdict(int)
    for number in ledger.earnings.closed:
        made = ledger.settled(number)
        assert Settlement.from_bytes(made.settlement.encoded()) == made.settlement
        for name, one in made.statements.items():
            assert Statement.from_bytes(one.encoded()) == one
            assert one.owed_before == owed[name] and one.total == totals[name] + one.amount
            owed[name], totals[name] = one.owed, one.total
    if ledger.entries[-1].kind is Kind.EPOCH:
        for name, total in totals.items():
            assert total - owed[name] == ledger.books.balance(name)


def valid() -> Statement:
    ledger = Ledger()
    first = ledger.ask([0, 1])
    ledger.close()
    for _ in range(SHOWN_MIN):
        ledger.ask([0, 0], places=[3, 4])
    ledger.void(first)
    ledger.close()
    return ledger.settled(2).statements[account(0)]


@pytest.mark.parametrize("field", ["earned", "refunded", "owed_before", "owed", "amount", "total", "claim"])
def test_a_statement_whose_amounts_do_not_add_up_cannot_be_made(field: str) -> None:
    statement = valid()
    wrong = 0 if field in ("total", "claim") else getattr(statement, field) + 1
    with pytest.raises(MalformedObject, match="statement's"):
        replace(statement, **{field: wrong})


@pytest.mark.parametrize(
    "changed",
    [
        lambda one: {"payments": one.payments[:-1]},
        lambda one: {"payments": one.payments + one.payments[-64:]},
        lambda one: {"payments": one.payments[64:] + one.payments[:64]},
        lambda one: {"refunds": one.refunds * 2},
        lambda one: {"refunds": one.refunds[1:]},
        lambda one: {"lines": one.lines[1:]},
        lambda one: {"lines": one.lines[::-1]},
        lambda one: {"lines": (*one.lines, Line(passage=one.lines[-1].passage, count=0, amount=0))},
        lambda one: {"account": "owner"},
        lambda one: {"account": "owner/0x12/USDC"},
        lambda one: {"account": one.account.replace("owner", "=owner")},
    ],
)
def test_a_statement_with_a_list_that_cannot_be_one_cannot_be_made(changed: Any) -> None:
    statement = valid()
    with pytest.raises(MalformedObject):
        replace(statement, **changed(statement))
