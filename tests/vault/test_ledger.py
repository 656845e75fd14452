"""The books: integers that add up to zero, whatever is booked, and the same when read again (rules L1-L4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import seeded, wallet
from tests.enclaves import deposit, world
from vault.attribution import rank_weight
from vault.charge import charge
from vault.codec import INTEGER_MAX
from vault.entry import Entry, Kind, PassageId, QueryDetail, packed_scores
from vault.errors import AccessDenied, CreditExhausted, LedgerTampered, MalformedObject, RequestConflict
from vault.holds import Held, require_credit
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor, ledger_id
from vault.ledger import Books
from vault.ledger_seal import LedgerSeal
from vault.license import AMOUNT_MAX
from vault.licensees import SHARED_BUDGET
from vault.made_entries import deposit_entry, void_entry
from vault.records.model import JournalRow
from vault.royalty import PAID_IN, Transfer, licensee_account

WORLD = world()
LICENSEE = wallet("licensee").address
ACCOUNT = licensee_account(LICENSEE, "USDC")
DELEGATION = seeded("delegation")
SEAL = LedgerSeal(SecretKey(seeded("state key")), ledger_id(WORLD.genesis))


def paid_in(books: Books, amount: int, name: str = "deposit") -> Entry:
    return deposit_entry(books, deposit(WORLD, amount, id=seeded(name)), at=0)


def query(books: Books, name: str = "request", *, owners: int = 2, **fields: Any) -> Entry:
    """Return the entry of an answer of `owners` passages, each of another owner."""
    addresses = [seeded(f"owner {n}", 20) for n in range(owners)]
    detail = QueryDetail(
        instance=bytes(32),
        body=seeded(f"{name} body"),
        policy=WORLD.policy.cid(),
        delegation=DELEGATION,
        vector=bytes(4),
        passages=tuple(
            PassageId(
                manifest=WORLD.dataset.manifest.cid(),
                index=n,
                lineage=seeded("lineage"),
                identity=seeded(f"passage {n}"),
                owner=addresses[n],
                weight=rank_weight(n),
            )
            for n in range(owners)
        ),
        scores=packed_scores([0.5] * owners),
        shares_budget=False,
        is_partial=False,
        receipt=seeded(name, 64),
    )
    usual: dict[str, Any] = {
        "sequence": books.last_sequence + 1,
        "kind": Kind.QUERY,
        "at": 0,
        "licensee": LICENSEE,
        "reference": seeded(name),
        "transfers": charge(LICENSEE, WORLD.policy, addresses, [rank_weight(n) for n in range(owners)]),
        "query": detail,
    }
    return Entry(**(usual | fields))


@pytest.fixture
def books() -> Books:
    """Return books with a credit of ten queries."""
    books = Books()
    books.book(paid_in(books, 1_000))
    return books


def test_what_a_query_pays_is_what_its_licensee_loses(books: Books) -> None:
    books.book(query(books))
    assert books.balance(ACCOUNT) == 900
    assert sum(books.balances().values()) == 0
    assert books.spent(DELEGATION) == 100
    assert books.seen_count(LICENSEE) == 2


def test_a_void_gives_back_everything_but_what_was_seen(books: Books) -> None:
    entry = query(books)
    books.book(entry)
    books.book(void_entry(books, entry, at=1))
    assert {name: held for name, held in books.balances().items() if held} == {
        f"{PAID_IN}/USDC": -1_000,
        ACCOUNT: 1_000,
    }
    assert (books.spent(DELEGATION), books.seen_count(LICENSEE)) == (0, 2)


def test_what_strangers_see_counts_against_the_one_budget_they_share(books: Books) -> None:
    alone, shared = query(books), query(books, "another")
    shared = replace(shared, sequence=shared.sequence + 1, query=replace(shared.query, shares_budget=True))  # type: ignore[type-var]
    assert (books.book(alone).holder, books.book(shared).holder) == (LICENSEE, SHARED_BUDGET)
    assert (books.seen_count(LICENSEE), books.seen_count(SHARED_BUDGET)) == (2, 2)


def test_what_is_held_for_answers_on_their_way_covers_no_other(books: Books) -> None:
    require_credit(books, ACCOUNT, DELEGATION, price=400, spend_cap=1_000, held=Held(credit=600, spend=600))
    for held in (Held(credit=601), Held(spend=601)):
        with pytest.raises(CreditExhausted):
            require_credit(books, ACCOUNT, DELEGATION, price=400, spend_cap=1_000, held=held)


class TestWhatDoesNotFollow:
    """Rows whose MAC holds and that still could not have been booked."""

    @pytest.mark.parametrize("sequence", [0, 1, 3])
    def test_a_gap_or_repetition(self, books: Books, sequence: int) -> None:
        with pytest.raises(LedgerTampered, match="does not follow"):
            books.book(query(books, sequence=sequence))

    def test_a_request_charged_twice(self, books: Books) -> None:
        books.book(query(books))
        with pytest.raises(LedgerTampered, match="charged twice"):
            books.book(query(books))

    def test_a_deposit_booked_twice(self, books: Books) -> None:
        twice = replace(paid_in(Books(), 1_000), sequence=2)
        with pytest.raises(LedgerTampered, match="booked twice"):
            books.book(twice)

    def test_a_void_of_nothing_or_twice(self, books: Books) -> None:
        entry = query(books)
        with pytest.raises(LedgerTampered):
            books.book(void_entry(books, entry, at=0))
        books = Books()
        books.book(paid_in(books, 1_000))
        books.book(paid_in(books, 1_000, "another"))
        entry = query(books)
        books.book(entry)
        books.book(void_entry(books, entry, at=0))
        with pytest.raises(LedgerTampered):
            books.book(void_entry(books, entry, at=0))

    @pytest.mark.parametrize(
        ("transfer", "match"),
        [
            (Transfer(debit=ACCOUNT, credit="owner/x", amount=0), "positive amount"),
            (Transfer(debit=ACCOUNT, credit=ACCOUNT, amount=1), "between two accounts"),
            (Transfer(debit=ACCOUNT, credit="owner/x", amount=1_001), "overdrawn"),
            (Transfer(debit="owner/x", credit=ACCOUNT, amount=1), "overdrawn"),
        ],
    )
    def test_a_transfer_of_nothing_or_of_what_is_not_there(self, books: Books, transfer: Transfer, match: str) -> None:
        with pytest.raises(LedgerTampered, match=match):
            books.book(query(books, transfers=(transfer,)))

    def test_a_query_without_detail_and_detail_without_a_query(self, books: Books) -> None:
        with pytest.raises(MalformedObject):
            query(books, query=None)
        with pytest.raises(MalformedObject):
            replace(query(books), kind=Kind.DEPOSIT)


class TestRequests:
    def test_the_same_request_is_found_again(self, books: Books) -> None:
        entry = query(books)
        books.book(entry)
        assert books.answered(LICENSEE, entry.reference, seeded("request body")) == entry
        assert books.answered(LICENSEE, seeded("another"), seeded("request body")) is None
        assert books.answered(bytes(20), entry.reference, seeded("request body")) is None

    def test_another_body_or_a_voided_request_is_a_conflict(self, books: Books) -> None:
        entry = query(books)
        books.book(entry)
        with pytest.raises(RequestConflict):
            books.answered(LICENSEE, entry.reference, seeded("another body"))
        books.book(void_entry(books, entry, at=0))
        with pytest.raises(RequestConflict):
            books.answered(LICENSEE, entry.reference, seeded("request body"))

    def test_a_deposit_handed_in_again_is_a_conflict(self, books: Books) -> None:
        with pytest.raises(RequestConflict):
            paid_in(books, 1_000)


class TestPayingIn:
    def test_no_more_is_ever_paid_in_than_an_integer_tells(self) -> None:
        """Otherwise many deposits, each of them fine, would come to a balance that no message and no entry can hold."""
        books, one = Books(), deposit(WORLD, AMOUNT_MAX)
        for number in range(INTEGER_MAX // AMOUNT_MAX):
            books.book(deposit_entry(books, replace(one, id=number.to_bytes(32, "big")), at=0))
        rest = INTEGER_MAX - books.balance(ACCOUNT)
        with pytest.raises(AccessDenied, match="pay in less"):
            paid_in(books, rest + 1)
        books.book(paid_in(books, rest))
        assert books.balances() == {"paid-in/USDC": -INTEGER_MAX, ACCOUNT: INTEGER_MAX}
        assert deposit_entry(books, replace(one, currency="EURC"), at=0).transfers[0].amount == AMOUNT_MAX


class TestCredit:
    def test_to_the_last_unit_it_suffices(self, books: Books) -> None:
        require_credit(books, ACCOUNT, DELEGATION, price=1_000, spend_cap=1_000)

    @pytest.mark.parametrize(("price", "cap", "match"), [(1_001, 10_000, "credit"), (1_000, 999, "spend cap")])
    def test_beyond_credit_or_cap_it_does_not(self, books: Books, price: int, cap: int, match: str) -> None:
        with pytest.raises(CreditExhausted, match=match):
            require_credit(books, ACCOUNT, DELEGATION, price=price, spend_cap=cap)

    def test_what_was_spent_counts_against_the_cap(self, books: Books) -> None:
        books.book(query(books))
        require_credit(books, ACCOUNT, DELEGATION, price=100, spend_cap=200)
        with pytest.raises(CreditExhausted):
            require_credit(books, ACCOUNT, DELEGATION, price=101, spend_cap=200)

    def test_a_free_policy_charges_nothing(self) -> None:
        free = replace(WORLD.policy, price_per_query=0)
        assert charge(LICENSEE, free, [bytes(20)], [1]) == ()


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("deposit"), st.integers(1, 10**6)),
            st.tuples(st.just("query"), st.integers(1, 10)),
            st.tuples(st.just("void"), st.just(0)),
        ),
        max_size=25,
    )
)
def test_books_read_again_from_their_rows_are_the_same(steps: list[tuple[str, int]]) -> None:
    books, again, anchor = Books(), Books(), EMPTY_ANCHOR
    rows: list[JournalRow] = []
    together: list[bytes] = []
    last: Entry | None = None
    for number, (kind, value) in enumerate(steps):
        if kind == "deposit":
            entry = paid_in(books, value, f"deposit {number}")
        elif kind == "query" and books.balance(ACCOUNT) >= WORLD.policy.price_per_query:
            entry = last = query(books, f"request {number}", owners=value)
        elif kind == "void" and last is not None:
            entry, last = void_entry(books, last, at=number), None
        else:
            continue
        together.append(entry.encoded())
        if number % 3:
            rows.append(SEAL.sealed(together, anchor))
            anchor, together = Anchor(sequence=entry.sequence, mac=rows[-1].mac), []
        books.book(entry)
        assert sum(books.balances().values()) == 0
    if together:
        rows.append(SEAL.sealed(together, anchor))
    anchor = EMPTY_ANCHOR
    for row in rows:
        entries, anchor = SEAL.open(row, anchor)
        assert len(entries) == row.entries
        for entry in entries:
            again.book(entry)
    assert again.balances() == books.balances()
    assert (again.spent(DELEGATION), again.seen_count(LICENSEE)) == (
        books.spent(DELEGATION),
        books.seen_count(LICENSEE),
    )
    assert again.receipt_chain(LICENSEE) == books.receipt_chain(LICENSEE)


@pytest.mark.parametrize("same", ["The tide.", "the  TIDE.", "\tThe\ntide. ", "THE TIDE."])
def test_a_passage_is_the_same_whatever_its_case_and_spacing(same: str) -> None:
    assert SEAL.passage_identity(same) == SEAL.passage_identity("The tide.")
    other = LedgerSeal(SecretKey(seeded("another")), ledger_id(WORLD.genesis))
    assert other.passage_identity(same) != SEAL.passage_identity(same)  # outside this ledger it says nothing
    assert SEAL.passage_identity("The tides.") != SEAL.passage_identity("The tide.")


def test_a_charge_worked_out_before_is_no_other_policys_licensees_or_owners() -> None:
    first, second = seeded("owner 1", 20), seeded("owner 2", 20)
    dearer = replace(WORLD.policy, price_per_passage=10)
    charges = {
        charge(licensee, policy, owners, weights)
        for licensee in (LICENSEE, wallet("another").address)
        for policy in (WORLD.policy, dearer)
        for owners in ([first], [second], [first, second], [second, first], [first, first])
        for weights in ([3, 1][: len(owners)],)
        for _ in range(2)
    }
    assert len(charges) == 2 * 2 * 5 - 2  # without a price per passage, one owner gets the same for one as for two
    assert all(sum(t.amount for t in one) in (100, 110, 120) for one in charges)
