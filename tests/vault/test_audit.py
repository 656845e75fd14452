"""The audit: an honest world has nothing to find, and every lie told with the enclave's own key is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import custodian, seeded
from tests.enclaves import APPRAISER
from tests.settled import SECOND, Told, World, royalty_world
from vault.cose import MESSAGE_BYTES_MAX
from vault.entry import Entry, Kind
from vault.errors import InvalidReceipt, MalformedObject
from vault.finding import Lie
from vault.lease import Anchor, Terms
from vault.ledger import Books
from vault.log_file import verify_log_file
from vault.made_entries import void_entry
from vault.receipt import Receipt, ReceiptFile, verified_receipt
from vault.royalty import Transfer
from vault.statement_file import verify_statement_file


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> World:
    return royalty_world(tmp_path_factory.mktemp("royalties"))


def verified(told: Told, left: World) -> Told:
    """Return what was told; each statement and the log hold by themselves, so it takes an audit to find the lie."""
    for file in told.statements:
        list(verify_statement_file(file, genesis=left.genesis, appraiser=APPRAISER, allow_simulated=True))
    if told.log is not None:
        list(verify_log_file(told.log, genesis=left.genesis, appraiser=APPRAISER, allow_simulated=True))
    return told


def lies(told: Told, left: World) -> dict[Lie, list[str]]:
    found: dict[Lie, list[str]] = {}
    for finding in verified(told, left).audited().findings:
        found.setdefault(finding.lie, []).append(finding.about)
    return found


def queries(left: World) -> list[Entry]:
    return [entry for entry in left.entries if entry.kind is Kind.QUERY]


def closes(left: World) -> list[int]:
    return [entry.sequence for entry in left.entries if entry.kind is Kind.EPOCH]


def without(*gone: Entry) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [entry for entry in entries if entry not in gone]


def instead(entry: Entry, **changed: Any) -> Callable[[list[Entry]], list[Entry]]:
    other = replace(entry, **changed)
    return lambda entries: [other if one == entry else one for one in entries]


def named(entry: Entry) -> str:
    return f"(ledger entry {entry.sequence})"


def resigned(left: World, file: ReceiptFile, **changed: Any) -> ReceiptFile:
    """Return a receipt's file with some facts changed, signed by the true instance all the same."""
    receipt = verified_receipt(file.message, file.binding.receipt_key)
    return replace(file, message=replace(receipt, **changed).signed(left.key))


def test_an_honest_world_has_nothing_to_find(left: World) -> None:
    found = verified(left.told(), left).audited()
    assert found.findings == [] and len(found.held) == 5
    (unwitnessed,) = found.open  # no lease was renewed since the first question
    assert unwitnessed.startswith("7 receipts, from ledger entry 4 on: custodians have not signed the log that far")
    assert len(left.told().statements) == 9  # of owner, treasury and operator, in three epochs


def test_what_custodians_signed_of_the_log_is_told(left: World) -> None:
    whole = witnessed_by(left, left.terms, entries=len(left.entries))
    found = verified(whole.told(), whole).audited()
    assert found.findings == [] and found.open == []
    assert f"its first {len(left.entries)} entries are signed by 1 of 1 custodians" in found.held


def test_a_log_of_another_past_than_custodians_signed_is_refused(left: World) -> None:
    whole = witnessed_by(left, left.terms, entries=len(left.entries))
    altered = whole.log(without(queries(left)[0])([*left.entries]))
    with pytest.raises(InvalidReceipt, match="witnesses: shrunken log"):
        list(verify_log_file(altered, genesis=left.genesis, appraiser=APPRAISER, allow_simulated=True))


def witnessed_by(left: World, terms: Terms, *, entries: int) -> World:
    """Return the same world, its leases renewed when the log had come so far."""
    anchor = Anchor(sequence=entries, mac=left.names[entries - 1])
    renewed = replace(terms, anchor=anchor, log=left.merkle(left.entries).root(entries))
    leases = tuple(replace(lease, terms=renewed).signed_by(custodian("0").signing) for lease in left.vouching.leases)
    return replace(left, terms=renewed, vouching=replace(left.vouching, leases=leases))


@pytest.mark.parametrize("number", range(7))
def test_a_query_left_out_of_the_books_is_unpaid_and_undercharged(left: World, number: int) -> None:
    gone = [entry for entry in queries(left) if not refunded(left, entry)][number]
    found = lies(left.told(settle=without(gone)), left)
    is_second_epoch = closes(left)[0] < gone.sequence < closes(left)[1]
    assert (Lie.UNDERCHARGED in found) != is_second_epoch  # there, one receipt is not shown: its price covers the gap
    assert len(found[Lie.UNPAID]) == 3 and all(named(gone) in about for about in found[Lie.UNPAID])


def refunded(left: World, entry: Entry) -> bool:
    return any(one.kind is Kind.VOID and one.reference == entry.reference for one in left.entries)


def test_one_account_left_out_is_unpaid_alone(left: World) -> None:
    entry = queries(left)[0]
    rest = tuple(transfer for transfer in entry.transfers if not transfer.credit.startswith("owner/"))
    found = lies(left.told(settle=instead(entry, transfers=rest)), left)
    assert [about.split(", ")[1].partition(":")[0][:6] for about in found[Lie.UNPAID]] == ["owner/"]


def test_a_query_paid_in_two_epochs_is_paid_twice(left: World) -> None:
    first, later = queries(left)[0], queries(left)[3]
    again = replace(first, sequence=later.sequence)

    def doubled(entries: list[Entry]) -> list[Entry]:
        return [*entries[: later.sequence], again, *entries[later.sequence :]]

    found = lies(left.told(settle=doubled), left)
    assert found.keys() == {Lie.TWICE}
    assert len(found[Lie.TWICE]) == 3 and all("in epochs 1 and 2" in about for about in found[Lie.TWICE])


def test_a_query_paid_in_a_later_epoch_is_named(left: World) -> None:
    first, later = queries(left)[0], queries(left)[3]
    moved = replace(first, sequence=later.sequence)
    settle = without(first)
    found = lies(
        left.told(settle=lambda entries: [*settle(entries)[: later.sequence], moved, *entries[later.sequence :]]), left
    )
    assert found.keys() >= {Lie.OVERPAID, Lie.UNPAID}
    assert all("which it does not belong to" in about for about in found[Lie.OVERPAID])


def test_another_amount_is_named(left: World) -> None:
    entry = queries(left)[1]
    transfers = tuple(
        replace(one, amount=one.amount + (1 if one.credit.startswith("operator/") else -1))
        if not one.credit.startswith("treasury/")
        else one
        for one in entry.transfers
    )
    found = lies(left.told(settle=instead(entry, transfers=transfers)), left)
    assert found.keys() == {Lie.CHANGED}
    assert {about.split(", ")[1].partition("/")[0] for about in found[Lie.CHANGED]} == {"owner", "operator"}


def test_a_payment_that_nobody_owes_is_named(left: World) -> None:
    entry = queries(left)[1]
    stranger = f"owner/0x{bytes(20).hex()}/USDC"
    extra = Transfer(debit=entry.transfers[0].debit, credit=stranger, amount=5)
    found = lies(left.told(settle=instead(entry, transfers=(*entry.transfers, extra))), left)
    assert found.keys() == {Lie.OVERPAID}
    assert stranger in found[Lie.OVERPAID][0] and named(entry) in found[Lie.OVERPAID][0]


class TestRefunds:
    def void(self, left: World) -> Entry:
        return next(entry for entry in left.entries if entry.kind is Kind.VOID)

    def test_one_that_is_not_taken_back_is_named(self, left: World) -> None:
        told = left.told(settle=without(self.void(left)))
        shown = replace(told, receipts=(*told.receipts, undelivered(left)))
        assert lies(shown, left).keys() == {Lie.OVERPAID}
        assert lies(replace(left.told(), receipts=shown.receipts), left) == {}

    def test_one_that_the_log_does_not_show_is_named(self, left: World) -> None:
        told = left.told(log=instead(self.void(left), kind=Kind.REFUND))
        shown = replace(told, receipts=(*told.receipts, undelivered(left)))
        assert lies(shown, left).keys() == {Lie.UNPAID, Lie.SPLIT}

    def test_one_with_a_proof_of_something_else_is_named(self, left: World) -> None:
        told = left.told()
        assert told.log is not None
        (proof,) = told.log.refunds
        wrong = replace(told.log, refunds=(replace(proof, index=0),))
        assert lies(replace(told, log=wrong), left).keys() == {Lie.UNLOGGED, Lie.GAP}

    def test_one_of_a_receipt_that_was_confirmed_is_named(self, left: World) -> None:
        books = Books()
        for entry in left.entries:
            books.book(entry)
        retracted = void_entry(books, queries(left)[0], at=left.at)
        longer = replace(left, names=(*left.names, bytes(32)))
        found = lies(longer.told(log=lambda entries: [*entries, retracted]), left)
        assert found.keys() == {Lie.RETRACTED}


def undelivered(left: World) -> ReceiptFile:
    """Return the receipt of the charge that was given back, as its licensee would have held it."""
    entry = next(entry for entry in queries(left) if refunded(left, entry))
    assert entry.query is not None
    like = next(file for file in left.receipts if file.license.licensee == SECOND.address)
    return replace(like, message=Receipt.from_bytes(entry.query.receipt, bytes_max=MESSAGE_BYTES_MAX).signed(left.key))


class TestTheLog:
    def test_a_receipt_changed_in_it_is_unlogged(self, left: World) -> None:
        entry = queries(left)[2]
        assert entry.query is not None
        changed = replace(entry.query, receipt=entry.query.receipt + b"\0")
        found = lies(left.told(log=instead(entry, query=changed)), left)
        assert found.keys() == {Lie.UNLOGGED, Lie.SPLIT}
        assert found[Lie.UNLOGGED] == [about for about in found[Lie.UNLOGGED] if named(entry) in about]

    def test_one_that_ends_before_a_receipt_is_named(self, left: World) -> None:
        last = queries(left)[-1]
        found = lies(left.told(log=lambda entries: entries[: last.sequence - 1]), left)
        assert any("the log ends at entry" in about for about in found[Lie.UNLOGGED])

    def test_two_receipts_that_changed_places_are_unlogged(self, left: World) -> None:
        one, two = queries(left)[:2]

        def swapped(entries: list[Entry]) -> list[Entry]:
            return [{one.sequence: two, two.sequence: one}.get(entry.sequence, entry) for entry in entries]

        assert len(lies(left.told(log=swapped), left)[Lie.UNLOGGED]) == 2

    def test_a_settlement_over_another_log_is_a_split_view(self, left: World) -> None:
        told = replace(left.told(), statements=tuple(left.statements(left.entries, log_root=seeded("another log"))))
        assert lies(told, left).keys() == {Lie.SPLIT}

    def test_a_proof_that_is_not_given_is_not_taken_for_granted(self, left: World) -> None:
        told = left.told()
        assert told.log is not None
        witnessed = tuple(one for one in told.log.earlier if one.size == left.terms.anchor.sequence)
        bare = replace(told, log=replace(told.log, leaves=(), earlier=witnessed))
        assert all("holds no proof of it" in about for about in lies(bare, left)[Lie.UNLOGGED])
        assert sum("epoch" in about for about in bare.audited().open) == 3
        assert replace(told, log=None).audited().open[0].startswith("the log: no log file was given")


class TestReceiptChains:
    def test_a_missing_receipt_is_a_gap(self, left: World) -> None:
        gone = left.receipts[1]
        found = lies(left.told(receipts=[file for file in left.receipts if file != gone]), left)
        assert found.keys() == {Lie.GAP}
        assert "receipt 2 of 0x" in found[Lie.GAP][0]

    def test_the_same_file_twice_is_no_lie(self, left: World) -> None:
        assert lies(left.told(receipts=[*left.receipts, left.receipts[0]]), left) == {}

    @pytest.mark.parametrize(
        ("changed", "lie"),
        [
            ({"budget_left": 1}, Lie.FORKED),
            ({"previous": bytes(31) + b"\1"}, Lie.UNCHAINED),
            ({"confirmed": bytes(31) + b"\1"}, Lie.UNCHAINED),
            ({"entry": 1}, Lie.UNCHAINED),
            ({"at": 0}, Lie.UNCHAINED),
        ],
        ids=lambda given: str(given)[:20],
    )
    def test_a_receipt_with_another_fact_is_named(self, left: World, changed: dict[str, Any], lie: Lie) -> None:
        file = left.receipts[1]
        beside = [file] if lie is Lie.FORKED else []
        others = [one for one in left.receipts if one != file]
        found = lies(left.told(receipts=[*others, *beside, resigned(left, file, **changed)]), left)
        assert lie in found and Lie.UNLOGGED in found

    def test_a_first_receipt_that_names_one_before_it_is_named(self, left: World) -> None:
        first, *others = left.receipts
        found = lies(left.told(receipts=[resigned(left, first, previous=seeded("x")), *others]), left)
        assert any("names one before it" in about for about in found[Lie.UNCHAINED])


class TestSettlements:
    def test_two_of_one_epoch_are_a_split_view(self, left: World) -> None:
        other = left.told(settle=without(queries(left)[0])).statements[:3]
        told = replace(left.told(), statements=(*left.told().statements, *other))
        assert Lie.SPLIT in lies(told, left)

    def test_a_total_that_does_not_follow_is_named(self, left: World) -> None:
        true, false = left.told(), left.told(settle=without(queries(left)[0]))
        told = replace(true, statements=(*true.statements[:3], *false.statements[3:]))
        found = lies(told, left)
        assert found.keys() == {Lie.CHANGED} and "total" in found[Lie.CHANGED][0]

    def test_entries_between_two_epochs_belong_to_one(self, left: World) -> None:
        statements = [
            file
            for epoch, first in ((1, 1), (2, closes(left)[0]), (3, closes(left)[1] + 1))
            for file in left.statements(left.entries, epoch=epoch, first=first)
        ]
        found = lies(replace(left.told(), statements=tuple(statements)), left)
        assert any("between epochs 1 and 2" in about for about in found[Lie.SPLIT])

    def test_without_the_statement_of_an_epoch_its_receipts_stay_open(self, left: World) -> None:
        told = left.told()
        found = replace(told, statements=told.statements[:3]).audited()
        assert found.findings == []
        still_open = [about for about in found.open if "custodians" not in about]
        assert len(still_open) == sum(entry.sequence > closes(left)[0] for entry in queries(left)) - 1

    def test_one_owners_statements_alone_are_enough_for_that_owner(self, left: World) -> None:
        told = left.told(settle=without(queries(left)[0]))
        owner = tuple(file for file in told.statements if file.statement.account.startswith("owner/"))
        found = lies(replace(told, statements=owner), left)
        assert len(found[Lie.UNPAID]) == 1


class TestNumbersOutOfReach:
    """Who holds the enclave's key may sign any number; an audit is not kept busy by it."""

    FAR = 2**62

    def test_a_receipt_far_beyond_the_others_is_a_gap_told_in_one_line(self, left: World) -> None:
        file = left.receipts[-1]
        far = resigned(left, file, sequence=self.FAR, entry=self.FAR, previous=seeded("another"))
        found = lies(replace(left.told(), receipts=(*left.receipts, far)), left)
        (gap,) = found[Lie.GAP]
        assert f" to {self.FAR - 1} of 0x" in gap and gap.endswith("are missing, and no refund of them is shown")
        assert any("the log ends at entry" in about for about in found[Lie.UNLOGGED])


class TestSeveralLogs:
    """Logs that were handed out at other times, or to others."""

    def test_an_earlier_one_is_held_against_the_later(self, left: World) -> None:
        earlier = left.log([*left.entries[: closes(left)[0]]])
        found = verified(replace(left.told(), logs=(earlier,)), left).audited()
        assert found.findings == [] and not any("fetch it with" in about for about in found.open)

    def test_one_that_the_later_does_not_begin_with_is_a_split_view(self, left: World) -> None:
        first, second = queries(left)[:2]
        forked = [{first.sequence: second}.get(entry.sequence, entry) for entry in left.entries]
        for length in (closes(left)[0], len(forked)):
            other = left.log(forked[:length])
            told = replace(left.told(), logs=(other,))
            named = (
                f"logs of {length} and of {len(left.entries)} entries were signed, and the one does not begin the other"
            )
            assert named in lies(told, left)[Lie.SPLIT]

    def test_one_without_a_proof_between_them_stays_open(self, left: World) -> None:
        earlier = left.log([*left.entries[: closes(left)[0] - 1]])
        found = verified(replace(left.told(), logs=(earlier,)), left).audited()
        assert found.findings == []
        assert sum(about.startswith(f"the log of {closes(left)[0] - 1} entries:") for about in found.open) == 1


class TestStatementsLeftOut:
    def test_who_is_owed_and_has_no_statement_is_told(self, left: World) -> None:
        told = left.told()
        owners = tuple(file for file in told.statements if file.statement.account.startswith("owner/"))
        found = replace(told, statements=owners).audited()
        assert found.findings == []
        unjudged = [about for about in found.open if "no statement of it was given" in about]
        assert [about.split("/")[0] for about in unjudged] == ["operator", "treasury"]
        assert all(f": {len(left.receipts)} of the receipts owe it" in about for about in unjudged)

    def test_two_statements_of_one_account_in_one_epoch_are_a_split_view(self, left: World) -> None:
        told = left.told()
        first = told.statements[0]
        other = replace(first.statement, salt=seeded("another salt"))
        twice = replace(first, proven=replace(first.proven, statement=other))
        found = replace(told, statements=(*told.statements, twice)).audited()
        assert [finding.lie for finding in found.findings] == [Lie.SPLIT]
        assert f"two statements of {other.account} were made for epoch {other.epoch}" in found.findings[0].about

    @pytest.mark.parametrize(
        "respelled",
        [
            lambda account: account.replace("owner/0x", "owner/0X"),
            lambda account: account.replace("owner/0x", "owner/"),
            lambda account: account.replace(account.split("/")[1], "0x" + account.split("/")[1][2:].upper()),
            lambda account: f"{account}/USDC",
            lambda account: account.replace("USDC", "usdc"),
            lambda account: account.replace("/0x", "/0x "),
        ],
    )
    def test_an_account_is_spelled_in_one_way(self, left: World, respelled: Callable[[str], str]) -> None:
        """Under another spelling, a statement without payments would leave an owner's receipts unjudged."""
        statement = next(
            file.statement for file in left.told().statements if file.statement.account.startswith("owner/")
        )
        with pytest.raises(MalformedObject, match="account"):
            replace(statement, account=respelled(statement.account))
