"""A real statement, checked offline: every object of its file, changed one at a time, fails by name (rules R2, L4)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.builders import seeded, wallet
from tests.enclaves import APPRAISER, attester
from tests.settled import World, royalty_world
from vault.errors import InvalidReceipt, MalformedObject
from vault.log_file import LogFile, verify_log_file
from vault.machine import MachineKey
from vault.statement import CurrencySettled, Proven, Settlement, Statement, Vouched
from vault.statement_file import InvalidStatement, StatementFile, verify_chain, verify_statement_file
from vault.vouching import Vouching

OTHER = seeded("another")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> World:
    return royalty_world(tmp_path_factory.mktemp("royalties"))


@pytest.fixture(scope="module")
def file(left: World) -> StatementFile:
    """Return the owner's statement of the first epoch."""
    return next(one for one in left.statements(left.entries) if one.statement.account.startswith("owner/"))


def verify(left: World, file: StatementFile, **options: Any) -> list[str]:
    usual: dict[str, Any] = {"genesis": left.genesis, "appraiser": APPRAISER, "allow_simulated": True}
    return list(verify_statement_file(file, **(usual | options)))


def facts(cls: Any) -> set[str]:
    return {one.name for one in fields(cls) if one.init}


def revouched(left: World, file: StatementFile, **changed: Any) -> StatementFile:
    """Return the file with some facts of the settlement changed, signed by the true instance all the same."""
    settlement = replace(file.settlement, **changed)
    return replace(file, proven=replace(file.proven, message=left.vouched(settlement)))


def test_a_real_one_holds_link_by_link(left: World, file: StatementFile) -> None:
    assert len(verify(left, file)) == 6
    assert StatementFile.from_bytes(file.encoded()) == file


def test_a_simulated_one_is_refused_unless_it_is_expected(left: World, file: StatementFile) -> None:
    with pytest.raises(InvalidReceipt, match="SIMULATED"):
        verify(left, file, allow_simulated=False)


def test_one_of_another_dao_is_refused(left: World, file: StatementFile) -> None:
    with pytest.raises(InvalidStatement, match="genesis"):
        verify(left, file, genesis=left.terms.head)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("genesis", lambda one, left: left.terms.head),
        ("ledger", OTHER),
        ("epoch", 2),
        ("account", lambda one, left: f"owner/0x{wallet('mallory').address.hex()}/USDC"),
        ("salt", OTHER),
        ("earned", None),
        ("refunded", None),
        ("owed_before", None),
        ("owed", None),
        ("amount", None),
        ("total", lambda one, left: one.total - 1),
        ("claim", lambda one, left: one.claim + 1),
        ("lines", lambda one, left: (replace(one.lines[0], count=99), *one.lines[1:])),
        ("payments", lambda one, left: one.payments[64:]),
        ("refunds", OTHER),
    ],
)
def test_one_wrong_fact_of_a_statement_is_enough(left: World, file: StatementFile, field: str, wrong: Any) -> None:
    one = file.statement
    value = wrong(one, left) if callable(wrong) else getattr(one, field) + 1 if wrong is None else wrong
    with pytest.raises((InvalidStatement, MalformedObject)):
        verify(left, replace(file, proven=replace(file.proven, statement=replace(one, **{field: value}))))


def test_every_fact_of_a_statement_is_among_these() -> None:
    (mark,) = test_one_wrong_fact_of_a_statement_is_enough.pytestmark  # type: ignore[attr-defined]
    assert {field for field, _ in mark.args[1]} == facts(Statement)


CHECKED = {"genesis", "ledger", "epoch", "currencies"}
VOUCHED_FOR_ALONE = {"first", "last", "began_at", "at", "log_root"}
"""What the audit holds against receipts and the log; for one statement alone, the signature is all there is."""


class TestTheSettlement:
    def test_every_fact_is_checked_or_known_to_rest_on_the_signature(self) -> None:
        assert facts(Settlement) == CHECKED | VOUCHED_FOR_ALONE

    @pytest.mark.parametrize(("field", "wrong"), [("genesis", None), ("ledger", OTHER), ("epoch", 2)])
    def test_one_wrong_fact_is_enough_whoever_signed_it(
        self, left: World, file: StatementFile, field: str, wrong: Any
    ) -> None:
        with pytest.raises(InvalidStatement):
            verify(left, revouched(left, file, **{field: wrong or left.terms.head}))

    @pytest.mark.parametrize("field", sorted(facts(CurrencySettled)))
    def test_one_wrong_fact_of_a_currency_is_enough(self, left: World, file: StatementFile, field: str) -> None:
        (usdc,) = file.settlement.currencies
        changed: dict[str, Any] = {
            "currency": "SHELLS",
            "accounts": usdc.accounts + 1,
            "sum_root": OTHER,
            "claims_root": OTHER,
        }
        with pytest.raises((InvalidStatement, MalformedObject)):
            value = changed.get(field, getattr(usdc, field) + 1 if field not in changed else None)
            verify(left, revouched(left, file, currencies=(replace(usdc, **{field: value}),)))

    def test_a_total_moved_along_with_what_was_charged_is_not_the_trees(self, left: World, file: StatementFile) -> None:
        (usdc,) = file.settlement.currencies
        more = replace(usdc, charged=usdc.charged + 1, total=usdc.total + 1)
        with pytest.raises(InvalidStatement, match="total"):
            verify(left, revouched(left, file, currencies=(more,)))

    @pytest.mark.parametrize("field", sorted(facts(Vouched) - {"settlement"}))
    def test_one_wrong_fact_about_who_vouches_is_enough(self, left: World, file: StatementFile, field: str) -> None:
        wrong = {"instance": OTHER, "evidence": OTHER, "head": left.genesis, "at": 0}
        message = replace(file.vouched(), **{field: wrong[field]}).signed(left.key)
        with pytest.raises(InvalidReceipt):
            verify(left, replace(file, proven=replace(file.proven, message=message)))

    def test_a_signature_of_another_key_is_refused(self, left: World, file: StatementFile) -> None:
        message = file.vouched().signed(MachineKey(seeded("mallory")))
        with pytest.raises(InvalidStatement, match="signature"):
            verify(left, replace(file, proven=replace(file.proven, message=message)))


@pytest.mark.parametrize("field", sorted(facts(Proven) - {"message", "statement"}))
def test_one_wrong_proof_is_enough(left: World, file: StatementFile, field: str) -> None:
    proof = file.proven.sum_proof
    wrong: dict[str, Any] = {"sum_proof": replace(proof, index=proof.index ^ 1), "claim_proof": (OTHER,)}
    with pytest.raises((InvalidStatement, MalformedObject)):
        verify(left, replace(file, proven=replace(file.proven, **{field: wrong[field]})))


@pytest.mark.parametrize("field", sorted(facts(Vouching)))
def test_one_wrong_object_around_is_enough(left: World, file: StatementFile, field: str) -> None:
    around = file.vouching
    lease = around.leases[0]
    wrong = {
        "charter": replace(around.charter, name="Another"),
        "head": replace(around.head, epoch=9),
        "policies": (replace(around.policies[0], title="Another"),),
        "leases": (replace(lease, terms=replace(lease.terms, instance=OTHER)),),
        "binding": replace(around.binding, receipt_key=OTHER),
        "evidence": attester().evidence(bytes(64)),
    }
    vouching = replace(around, **{field: wrong[field]})
    with pytest.raises(InvalidReceipt):
        verify(left, replace(file, vouching=vouching))
    told = left.told()
    assert told.log is not None
    with pytest.raises(InvalidReceipt):
        list(verified_log(left, replace(told.log, vouching=vouching)))


def verified_log(left: World, log: LogFile) -> list[str]:
    return list(verify_log_file(log, genesis=left.genesis, appraiser=APPRAISER, allow_simulated=True))


@pytest.mark.parametrize(
    "changed",
    [{"size": 3}, {"root": OTHER}, {"at": 0}, {"instance": OTHER}, {"evidence": OTHER}, {"ledger": OTHER}],
    ids=lambda changed: next(iter(changed)),
)
def test_one_wrong_fact_of_a_logs_head_is_enough(left: World, changed: dict[str, Any]) -> None:
    log = left.told().log
    assert log is not None
    assert len(verified_log(left, log)) == 4
    with pytest.raises(InvalidReceipt):
        verified_log(left, replace(log, head=replace(log.head, **changed)))
    with pytest.raises(InvalidReceipt, match="another DAO"):
        list(verify_log_file(log, genesis=left.terms.head, appraiser=APPRAISER, allow_simulated=True))


def test_a_log_that_does_not_show_what_custodians_signed_is_refused(left: World) -> None:
    log = left.told().log
    assert log is not None
    assert verified_log(left, log)[-1] == "first 3 entries signed by 1 of 1 custodians"
    others = tuple(one for one in log.earlier if one.size != 3)
    with pytest.raises(InvalidReceipt, match="witnesses: no proof that the log begins with the 3 entries"):
        verified_log(left, replace(log, earlier=others))
    wrong = tuple(replace(one, proof=(*one.proof[:-1], OTHER)) if one.size == 3 else one for one in log.earlier)
    with pytest.raises(InvalidReceipt, match="witnesses: split view"):
        verified_log(left, replace(log, earlier=wrong))


class TestOneAfterTheOther:
    def own(self, left: World) -> list[Statement]:
        files = [one for one in left.statements(left.entries) if one.statement.account.startswith("owner/")]
        return [one.statement for one in files]

    def test_statements_of_one_account_form_a_chain(self, left: World) -> None:
        first, second, third = self.own(left)
        verify_chain(first, second)
        verify_chain(second, third)
        with pytest.raises(InvalidStatement, match="epoch"):
            verify_chain(first, third)

    def test_one_that_does_not_follow_is_named(self, left: World) -> None:
        first, second, _ = self.own(left)
        higher = replace(first, total=first.total + 1, claim=first.claim + 1)
        with pytest.raises(InvalidStatement, match="total"):
            verify_chain(higher, second)
        with pytest.raises(InvalidStatement, match="claim"):
            verify_chain(replace(first, claim=second.claim + 1), second)
