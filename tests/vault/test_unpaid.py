"""Channels in the books: what they lend, what vouchers add, and that an account never owes more than it may."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import seeded, wallet
from tests.channels import LIMIT, RULES, UNPAID, channel_of, voucher_on, voucher_world
from tests.enclaves import credential, deposit
from tests.people import NOW
from tests.vault.test_ledger import query
from vault.channel import Channel, Promised, Voucher
from vault.entry import Entry, Kind
from vault.errors import AccessDenied, CreditExhausted, LedgerTampered, RequestConflict, VoucherDue
from vault.holds import require_credit
from vault.ledger import Books
from vault.losses import SUSPENSE_S
from vault.made_entries import deposit_entry, void_entry
from vault.promises import promised_account
from vault.royalty import Transfer, licensee_account
from vault.unpaid import channel_entry, debt_of, redeemable, require_promised, voucher_entry
from vault.window import OpenWindow

WORLD = voucher_world()
ASKING = credential(WORLD)
LICENSEE = ASKING.license.licensee
ACCOUNT = licensee_account(LICENSEE, "USDC")
CHANNEL = channel_of(WORLD, ASKING)
PRICE = 100


def channel(**fields: Any) -> Channel:
    return channel_of(WORLD, ASKING, **fields)


def voucher(amount: int, on: Channel = CHANNEL) -> Voucher:
    return voucher_on(on, amount, ASKING)


def opened(one: Channel = CHANNEL, books: Books | None = None) -> Books:
    books = books or Books()
    books.book(channel_entry(books, one, RULES, at=NOW))
    return books


def paid(books: Books, amount: int, on: Channel = CHANNEL) -> None:
    entry = voucher_entry(books, ACCOUNT, voucher(amount, on), RULES, at=NOW)
    assert entry is not None
    books.book(entry)


def ask(books: Books, name: str, price: int = PRICE, *, held: int = 0, racing: int = 0, at: int = NOW) -> None:
    """Judge and book an answer, as an enclave does."""
    require_promised(books, ACCOUNT, RULES, price=price, held=held, racing=racing, at=at)
    require_credit(books, ACCOUNT, bytes(32), price=price + held, spend_cap=10**9)
    moved = (Transfer(debit=ACCOUNT, credit=f"owner/0x{'11' * 20}/USDC", amount=price),) if price else ()
    books.book(replace(query(books, name), transfers=moved))


class TestOpening:
    def test_a_channel_lends_what_may_be_unpaid(self) -> None:
        books = opened()
        assert books.balances() == {ACCOUNT: UNPAID, promised_account(LICENSEE, "USDC"): -UNPAID}
        debt = debt_of(books, ACCOUNT)
        assert debt is not None
        assert (debt.unpaid, debt.queries, debt.due) == (0, 0, 0)

    def test_a_small_one_lends_no_more_than_it_holds(self) -> None:
        assert opened(channel(limit=300)).balance(ACCOUNT) == 300

    def test_one_that_has_ended_is_refused(self) -> None:
        with pytest.raises(AccessDenied, match="ended"):
            channel_entry(Books(), CHANNEL, RULES, at=CHANNEL.expires_at)

    def test_the_same_one_counts_once(self) -> None:
        with pytest.raises(RequestConflict, match="once"):
            opened(books=opened())

    @pytest.mark.parametrize("change", [{"limit": LIMIT - 1}, {"expires_at": CHANNEL.expires_at - 1}])
    def test_its_terms_only_rise(self, change: dict[str, int]) -> None:
        with pytest.raises(RequestConflict, match="only rise"):
            opened(channel(**change), opened())

    def test_raised_terms_lend_no_second_time(self) -> None:
        books = opened(channel(limit=LIMIT + 1), opened())
        assert books.balance(ACCOUNT) == UNPAID
        assert opened(channel(limit=LIMIT), opened(channel(limit=300))).balance(ACCOUNT) == UNPAID

    def test_another_channel_carries_the_debt_of_the_one_before(self) -> None:
        books = opened()
        for number in range(10):
            ask(books, f"question {number}")
        opened(following := channel(number=1), books)
        with pytest.raises(VoucherDue):
            ask(books, "one more")
        paid(books, 1_000, following)
        ask(books, "one more")

    def test_no_account_goes_back_to_an_earlier_channel(self) -> None:
        books = opened(channel(number=1))
        with pytest.raises(RequestConflict, match="number the next"):
            opened(books=books)
        with pytest.raises(LedgerTampered):
            books.book(replace(channel_entry(Books(), CHANNEL, RULES, at=NOW), sequence=2))


class TestVouchers:
    def test_one_adds_what_it_rises_by(self) -> None:
        books = opened()
        paid(books, 400)
        paid(books, 700)
        assert books.balance(ACCOUNT) == UNPAID + 700
        assert sum(books.balances().values()) == 0

    def test_the_same_one_again_changes_nothing(self) -> None:
        books = opened()
        paid(books, 400)
        assert voucher_entry(books, ACCOUNT, voucher(400), RULES, at=NOW) is None

    def test_near_the_limit_less_is_lent(self) -> None:
        books = opened()
        paid(books, LIMIT - 300)
        assert books.balance(ACCOUNT) == LIMIT
        paid(books, LIMIT)
        assert books.balance(ACCOUNT) == LIMIT
        for number in range(LIMIT // PRICE):
            ask(books, f"question {number}")
        with pytest.raises(CreditExhausted, match="raise its limit") as refused:
            ask(books, "one too many")
        assert not isinstance(refused.value, VoucherDue)

    @pytest.mark.parametrize(
        ("wrong", "error", "match"),
        [
            (lambda: voucher(399), RequestConflict, "only rise"),
            (lambda: voucher(LIMIT + 1), CreditExhausted, "channel holds"),
            (lambda: voucher(500, channel(number=1)), AccessDenied, "another channel"),
            (lambda: voucher(500, channel(expires_at=NOW + 1)), None, ""),  # the same channel: its id bears no end
        ],
    )
    def test_one_wrong_fact_is_enough(self, wrong: Any, error: type[Exception] | None, match: str) -> None:
        books = opened()
        paid(books, 400)
        if error is None:
            assert voucher_entry(books, ACCOUNT, wrong(), RULES, at=NOW) is not None
            return
        with pytest.raises(error, match=match):
            voucher_entry(books, ACCOUNT, wrong(), RULES, at=NOW)

    def test_none_is_taken_once_the_channel_has_ended(self) -> None:
        with pytest.raises(AccessDenied, match="ended"):
            voucher_entry(opened(), ACCOUNT, voucher(1), RULES, at=CHANNEL.expires_at)

    def test_none_is_taken_without_a_channel(self) -> None:
        with pytest.raises(AccessDenied, match="no channel"):
            voucher_entry(Books(), ACCOUNT, voucher(1), RULES, at=NOW)

    def test_what_is_owed_may_be_paid_under_a_policy_that_takes_no_vouchers_any_more(self) -> None:
        books = opened()
        ask(books, "question")
        entry = voucher_entry(books, ACCOUNT, voucher(PRICE), None, at=NOW)
        assert entry is not None
        books.book(entry)
        assert books.balance(ACCOUNT) == UNPAID - PRICE  # the debt is paid, and nothing further lent
        assert books.promises.of(ACCOUNT) is not None

    def test_rows_that_do_not_follow_are_tampered_with(self) -> None:
        books = opened()
        entry = voucher_entry(books, ACCOUNT, voucher(400), RULES, at=NOW)
        assert entry is not None
        books.book(entry)
        again = replace(entry, sequence=3)
        before = books.balances()
        for wrong in (again, replace(again, promised=Promised(channel=None, voucher=voucher(5, channel(number=1))))):
            with pytest.raises(LedgerTampered):
                books.book(wrong)
        assert books.balances() == before


class TestUnpaid:
    def test_as_much_as_may_be_is_and_then_a_voucher_is_due(self) -> None:
        books = opened()
        for number in range(10):
            ask(books, f"question {number}")
        with pytest.raises(VoucherDue, match="hand in a voucher for 1000"):
            ask(books, "question 10")
        paid(books, 100)
        ask(books, "question 10")

    def test_so_many_answers_and_then_a_voucher_is_due(self) -> None:
        rules, books = replace(RULES, unpaid_queries_max=3), opened()
        for number in range(3):
            require_promised(books, ACCOUNT, rules, price=1, held=0, racing=0, at=NOW)
            ask(books, f"question {number}", 1)
        with pytest.raises(VoucherDue, match="3 answers are unpaid"):
            require_promised(books, ACCOUNT, rules, price=1, held=0, racing=0, at=NOW)

    def test_answers_on_their_way_count(self) -> None:
        books, rules = opened(), replace(RULES, unpaid_queries_max=3)
        with pytest.raises(VoucherDue):
            require_promised(books, ACCOUNT, RULES, price=PRICE, held=UNPAID - PRICE + 1, racing=0, at=NOW)
        with pytest.raises(VoucherDue):
            require_promised(books, ACCOUNT, rules, price=1, held=0, racing=3, at=NOW)

    def test_what_is_free_or_paid_in_advance_needs_no_voucher(self) -> None:
        books = opened()
        books.book(deposit_entry(books, deposit(WORLD, 500), at=NOW))
        for number in range(15):
            ask(books, f"question {number}")
        ask(books, "free", 0)
        debt = debt_of(books, ACCOUNT)
        assert debt is not None
        assert debt.due == UNPAID

    def test_what_was_free_before_does_not_count_as_unpaid(self) -> None:
        books, rules = opened(), replace(RULES, unpaid_queries_max=3)
        for number in range(5):
            ask(books, f"free {number}", 0)
        require_promised(books, ACCOUNT, rules, price=1, held=0, racing=0, at=NOW)

    def test_nothing_may_stay_unpaid_once_the_channel_has_ended(self) -> None:
        books = opened()
        ask(books, "in time", at=CHANNEL.expires_at - 1)
        with pytest.raises(CreditExhausted, match="ended"):
            ask(books, "too late", at=CHANNEL.expires_at)
        paid(books, 300)
        ask(books, "paid in advance", at=CHANNEL.expires_at)

    def test_a_policy_that_takes_no_vouchers_leaves_nothing_unpaid(self) -> None:
        with pytest.raises(CreditExhausted, match="takes no vouchers"):
            require_promised(opened(), ACCOUNT, None, price=1, held=0, racing=0, at=NOW)

    def test_a_policy_that_allows_less_than_was_lent_is_kept_to(self) -> None:
        rules = replace(RULES, unpaid_max=250)
        books = opened()
        ask(books, "one")
        require_promised(books, ACCOUNT, rules, price=PRICE, held=0, racing=0, at=NOW)
        ask(books, "two")
        with pytest.raises(VoucherDue):
            require_promised(books, ACCOUNT, rules, price=PRICE, held=0, racing=0, at=NOW)

    def test_a_refund_is_not_owed(self) -> None:
        books = opened()
        ask(books, "question")
        charge = books.charge(LICENSEE, seeded("question"))
        assert charge is not None
        books.book(void_entry(books, charge, at=NOW))
        debt = debt_of(books, ACCOUNT)
        assert debt is not None
        assert debt.due == 0

    def test_credit_in_suspense_is_not_owed(self) -> None:
        books = opened()
        ask(books, "question")
        lost = OpenWindow(instance=bytes(32), start=0, window=WORLD.dao.charter.window)
        books.book(general(books, Kind.OPENING, seeded("instance"), (lost,)))
        debt = debt_of(books, ACCOUNT)
        assert books.balance(ACCOUNT) == 0
        assert debt is not None
        assert debt.due == PRICE
        books.book(general(books, Kind.REFUND, (3).to_bytes(32, "big"), at=NOW + SUSPENSE_S))
        assert books.balance(ACCOUNT) == UNPAID - PRICE


def general(books: Books, kind: Kind, reference: bytes, lost: Any = (), *, at: int = NOW) -> Entry:
    return Entry(
        sequence=books.last_sequence + 1,
        kind=kind,
        at=at,
        licensee=bytes(20),
        reference=reference,
        transfers=(),
        query=None,
        lost=lost,
    )


class TestRedeeming:
    def test_what_was_charged_may_be_claimed_and_no_more(self) -> None:
        books = opened()
        paid(books, 700)
        ask(books, "one")
        (one,) = redeemable(books)
        assert (one.voucher.amount, one.claimable) == (700, PRICE)
        for number in range(9):
            ask(books, f"question {number}")
        (one,) = redeemable(books)
        assert one.claimable == 700

    def test_an_earlier_channels_voucher_is_not_forgotten(self) -> None:
        books = opened()
        for number in range(5):
            ask(books, f"question {number}")
        paid(books, 500)
        opened(following := channel(number=1), books)
        paid(books, 100, following)
        assert {(one.channel.number, one.voucher.amount) for one in redeemable(books)} == {(0, 500), (1, 100)}

    def test_a_channel_without_a_voucher_has_nothing_to_claim(self) -> None:
        assert [*redeemable(opened())] == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 600)),
        st.tuples(st.just("voucher"), st.integers(1, 4_000)),
        st.tuples(st.just("deposit"), st.integers(1, 500)),
        st.tuples(st.just("channel"), st.integers(0, 3), st.integers(1, 3_000)),
        st.tuples(st.just("void"), st.integers(0, 10)),
        st.tuples(st.just("read again")),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
def test_whatever_comes_no_account_owes_more_than_it_may(steps: list[tuple[Any, ...]]) -> None:
    books, entries, charges = Books(), list[Entry](), list[Entry]()
    deposited, signed, spent = 0, dict[int, int](), 0

    def book(entry: Entry | None) -> bool:
        if entry is not None:
            books.book(entry)
            entries.append(entry)
        return entry is not None

    for number, (kind, *step) in enumerate(steps):
        with suppress(RequestConflict, CreditExhausted, AccessDenied):
            if kind == "channel":
                book(channel_entry(books, channel(number=step[0], limit=step[1]), RULES, at=NOW))
            elif kind == "voucher":
                standing = books.promises.of(ACCOUNT)
                if standing is not None:
                    one = voucher(step[0], standing.channel)
                    if book(voucher_entry(books, ACCOUNT, one, RULES, at=NOW)):
                        signed[standing.channel.number] = step[0]
                        assert step[0] <= standing.channel.limit
            elif kind == "deposit":
                book(deposit_entry(books, deposit(WORLD, step[0], id=seeded(f"deposit {number}")), at=NOW))
                deposited += step[0]
            elif kind == "ask":
                require_promised(books, ACCOUNT, RULES, price=step[0], held=0, racing=0, at=NOW)
                require_credit(books, ACCOUNT, bytes(32), price=step[0], spend_cap=10**9)
                moved = (Transfer(debit=ACCOUNT, credit=f"owner/0x{'11' * 20}/USDC", amount=step[0]),)
                charge = replace(query(books, f"question {number}"), transfers=moved if step[0] else ())
                book(charge)
                charges.append(charge)
                spent += step[0]
            elif kind == "void" and charges:
                charge = charges.pop(step[0] % len(charges))
                book(void_entry(books, charge, at=NOW))
                spent -= sum(transfer.amount for transfer in charge.transfers)
            else:
                again = Books()
                for entry in entries:
                    again.book(Entry.from_bytes(entry.encoded()))
                books = again
        debt = debt_of(books, ACCOUNT)
        owed = spent - deposited - sum(signed.values())
        assert owed <= UNPAID
        assert sum(books.balances().values()) == 0
        assert debt is None or debt.unpaid == max(0, owed)
        assert sum(one.claimable for one in redeemable(books)) <= sum(signed.values())


def test_another_licensees_channel_is_its_own() -> None:
    other = credential(WORLD, wallet("other"))
    books = opened()
    books.book(channel_entry(books, channel_of(WORLD, other), RULES, at=NOW))
    assert books.balance(licensee_account(other.license.licensee, "USDC")) == UNPAID
    paid(books, 100)
    assert books.balance(licensee_account(other.license.licensee, "USDC")) == UNPAID
