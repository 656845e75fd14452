"""A real receipt, checked offline: every fact of it and of its file, changed one at a time (rules R1, R3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from enclave.attestation.appraise import EvidenceAppraiser
from storage.cid import Cid
from tests import builders
from tests.builders import resigned, seeded, wallet
from tests.deployment import deployed
from tests.enclaves import APPRAISER, attester, license_of, world
from tests.vault.forged_receipts import Case
from vault.codec import Record
from vault.errors import InvalidReceipt, InvalidSignature, NotYet
from vault.evidence import Evidence
from vault.history import History
from vault.machine import MachineKey
from vault.question import Query
from vault.receipt import (
    FIRST_PREVIOUS,
    OpenedPassage,
    Receipt,
    ReceiptFile,
    receipt_digest,
    verified_receipt,
)
from vault.receipt_check import ReceiptCheck, verify_answer


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with deployed(tmp_path_factory.mktemp("deployment")) as deployment:
        deployment.add_credit(1_000)
        with deployment.client() as client:
            first = client.search("rain", k=1).file
            second = client.search("tide table", k=2).file
        yield Case(deployment.world, first, second, deployment.enclave.keys.receipt)


def test_a_real_one_holds_link_by_link(case: Case) -> None:
    assert len(case.verify(case.file)) == 9
    verify_answer(case.file, case.receipt, genesis=case.world.genesis)


def test_receipts_of_one_licensee_form_a_chain(case: Case) -> None:
    first = verified_receipt(case.first.message, case.key.public)
    assert (first.sequence, first.previous) == (1, FIRST_PREVIOUS)
    assert (case.receipt.sequence, case.receipt.previous) == (2, receipt_digest(case.first.message))
    assert (first.budget_left, case.receipt.budget_left) == (999, 998 if shared(case) else 997)


def shared(case: Case) -> bool:
    """Say whether the second answer repeats the first one's passage."""
    return case.first.passages[0].body in [passage.body for passage in case.file.passages]


def test_it_shows_neither_question_nor_passages(case: Case) -> None:
    assert b"tide" not in case.file.message
    assert not any(opened.body in case.file.message for opened in case.file.passages)


def facts(kind: type[Record]) -> set[str]:
    return {field.name for field in fields(kind) if field.init}


OTHER = seeded("other")
CHANGES: dict[str, Any] = {
    "genesis": lambda case: case.world.policy.cid(),
    "ledger": OTHER,
    "instance": OTHER,
    "evidence": OTHER,
    "head": lambda case: case.world.genesis,
    "policy": lambda case: case.world.genesis,
    "license": lambda case: case.world.genesis,
    "text": OTHER,
    "vector": OTHER,
    "k": 1,  # fewer than were returned
    "passages": lambda case: case.receipt.passages[:1],
    "price": 99,
    "currency": "SHELLS",
    "scores": bytes(8),
    "weights": (1, 1),
    "budget_left": 10**6,
    "tee": "tdx",
    "at": 0,
}
VOUCHED_FOR_ALONE = {"entry", "request", "is_partial", "sequence", "previous", "confirmed"}
"""What no public object says: the instance's signature is all there is to these."""


@pytest.mark.parametrize("field", CHANGES)
def test_one_wrong_fact_is_enough_whoever_signed_it(case: Case, field: str) -> None:
    changed = CHANGES[field](case) if callable(CHANGES[field]) else CHANGES[field]
    with pytest.raises(InvalidReceipt):
        case.verify(case.resigned(**{field: changed}))


def test_every_fact_is_either_checked_or_known_to_rest_on_the_signature() -> None:
    assert facts(Receipt) == CHANGES.keys() | VOUCHED_FOR_ALONE


@pytest.mark.parametrize("field", sorted(VOUCHED_FOR_ALONE))
def test_those_that_rest_on_the_signature_fail_without_it(case: Case, field: str) -> None:
    usual = {"entry": 7, "request": OTHER, "is_partial": True, "sequence": 9, "previous": OTHER, "confirmed": OTHER}
    forged = replace(case.receipt, **{field: usual[field]})
    message = forged.signed(MachineKey(seeded("mallory")))
    with pytest.raises(InvalidReceipt):
        case.verify(replace(case.file, message=message))
    pasted = case.file.message.replace(case.receipt.encoded(), forged.encoded())
    assert pasted != case.file.message
    with pytest.raises(InvalidReceipt):
        case.verify(replace(case.file, message=pasted))


@pytest.mark.parametrize("field", ["manifest", "index", "commitment", "path", "redacted"])
def test_one_wrong_fact_about_a_passage_is_enough(case: Case, field: str) -> None:
    first, second = case.receipt.passages
    wrong = {"manifest": case.world.genesis, "index": 99, "commitment": OTHER, "path": (OTHER, *first.path[1:])}
    wrong["redacted"] = OTHER
    with pytest.raises(InvalidReceipt):
        case.verify(case.resigned(passages=(replace(first, **{field: wrong[field]}), second)))


def test_passages_in_another_order_than_receipted_are_noticed(case: Case) -> None:
    with pytest.raises(InvalidReceipt, match="passages"):
        case.verify(replace(case.file, passages=case.file.passages[::-1]))


class TestTheFileAround:
    def changes(self, case: Case) -> dict[str, Any]:
        file, setting = case.file, case.world
        lease, owner = file.leases[0], wallet("owner")
        custodian = setting.dao.custodians[0].signing
        other_report = attester().evidence(bytes(64))
        return {
            "message": case.first.message,
            "charter": replace(file.charter, name="Another"),
            "head": replace(file.head, epoch=2),
            "policy": replace(file.policy, title="Another"),
            "license": license_of(setting, expires_at=file.license.expires_at + 1),
            "manifests": (resigned(setting.history, owner, file.manifests[0], title="Another"),),
            "leases": (replace(lease, terms=replace(lease.terms, instance=OTHER)).signed_by(custodian),),
            "binding": replace(file.binding, tls_key=OTHER),
            "evidence": other_report,
            "query": replace(file.query, text="another question"),
            "query_vector": bytes(len(file.query_vector)),
            "passages": file.passages[:1],
        }

    @pytest.mark.parametrize("field", sorted(facts(ReceiptFile)))
    def test_one_wrong_object_is_enough(self, case: Case, field: str) -> None:
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, **{field: self.changes(case)[field]}))

    @pytest.mark.parametrize("field", sorted(facts(Query)))
    def test_one_wrong_fact_of_the_question_is_enough(self, case: Case, field: str) -> None:
        wrong: dict[str, Any] = {
            "request": OTHER,
            "policy": case.world.genesis,
            "text": "another question",
            "k": case.file.query.k + 1,
            "salt": OTHER,
            "vector": case.file.query_vector,
            "datasets": (case.world.dataset.manifest.cid(),),
            "price_max": case.receipt.price,
            "options": replace(case.file.query.options, distinct=True),
        }
        changed: dict[str, Any] = {"text": ""} if field == "vector" else {}
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, query=replace(case.file.query, **({field: wrong[field]} | changed))))

    @pytest.mark.parametrize("field", ["not_after", "issued_at", "nonce", "terms", "custodian"])
    def test_a_changed_lease_is_refused(self, case: Case, field: str) -> None:
        lease = case.file.leases[0]
        terms = replace(lease.terms, epoch=9)
        wrong = {"not_after": 2**40, "issued_at": 1, "nonce": OTHER, "terms": terms, "custodian": OTHER}
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, leases=(replace(lease, **{field: wrong[field]}),)))

    @pytest.mark.parametrize("field", ["head", "ledger", "evidence", "instance", "genesis"])
    def test_a_lease_truly_signed_for_something_else_is_refused(self, case: Case, field: str) -> None:
        lease = case.file.leases[0]
        wrong = case.world.policy.cid() if field in ("head", "genesis") else OTHER
        other = replace(lease, terms=replace(lease.terms, **{field: wrong}))
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, leases=(other.signed_by(case.world.dao.custodians[0].signing),)))

    @pytest.mark.parametrize("edge", ["before", "after"])
    def test_a_receipt_from_outside_its_leases_is_refused(self, case: Case, edge: str) -> None:
        lease = case.file.leases[0]
        at = lease.issued_at - 31 if edge == "before" else lease.not_after
        with pytest.raises(InvalidReceipt, match="in time"):
            case.verify(case.resigned(at=at))

    @pytest.mark.parametrize("changed", ["salt", "body"])
    def test_a_changed_passage_is_refused(self, case: Case, changed: str) -> None:
        first, second = case.file.passages
        wrong = {"salt": OTHER, "body": second.body}
        with pytest.raises(InvalidReceipt, match="was changed"):
            case.verify(replace(case.file, passages=(replace(first, **{changed: wrong[changed]}), second)))

    def test_a_passage_of_garbage_is_refused(self, case: Case) -> None:
        first, second = case.file.passages
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, passages=(OpenedPassage(salt=first.salt, body=b"garbage"), second)))

    def test_a_manifest_its_owner_did_not_sign_is_refused(self, case: Case) -> None:
        forged = replace(case.file.manifests[0], title="Changed")
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, manifests=(*case.file.manifests, forged)))

    @pytest.mark.parametrize("field", ["hpke", "configuration", "gpu_evidence", "receipt_key", "nonces"])
    def test_a_binding_the_evidence_does_not_vouch_for_is_refused(self, case: Case, field: str) -> None:
        binding = case.file.binding
        wrong: dict[str, Any] = {
            "hpke": binding.hpke[:1],
            "configuration": case.world.genesis,
            "gpu_evidence": OTHER,
            "receipt_key": OTHER,
            "nonces": (replace(binding.nonces[0], nonce=OTHER),),
        }
        with pytest.raises(InvalidReceipt):
            case.verify(replace(case.file, binding=replace(binding, **{field: wrong[field]})))

    def test_evidence_changed_in_any_byte_of_its_signature_is_refused(self, case: Case) -> None:
        document = case.file.evidence.document
        forged = Evidence(kind=case.file.evidence.kind, document=document[:-1] + bytes([document[-1] ^ 1]))
        with pytest.raises(InvalidReceipt, match="evidence"):
            case.verify(replace(case.file, evidence=forged))


def test_a_simulated_receipt_is_refused_unless_asked_for(case: Case) -> None:
    with pytest.raises(InvalidReceipt, match="SIMULATED"):
        case.verify(case.file, allow_simulated=False)
    with pytest.raises(InvalidReceipt, match="production"):
        case.verify(case.file, appraiser=EvidenceAppraiser(production=True))


def test_another_daos_genesis_is_refused(case: Case) -> None:
    with pytest.raises(InvalidReceipt):
        case.verify(case.file, genesis=world(name="Elsewhere").genesis)


def test_a_license_truly_granted_to_somebody_else_is_refused(case: Case) -> None:
    other = license_of(case.world, wallet("mallory"))
    with pytest.raises(InvalidReceipt, match="license"):
        case.verify(replace(case.file, license=other))
    forged = replace(other, issuer=wallet("issuer").address, signature=bytes(65))
    with pytest.raises(InvalidReceipt):
        case.verify(replace(case.resigned(license=forged.cid()), license=forged))


def test_a_policy_that_is_not_in_the_head_is_refused(case: Case) -> None:
    cheap = builders.policy(case.world.genesis, price_per_query=1)
    with pytest.raises(InvalidReceipt, match="not in force"):
        case.verify(replace(case.resigned(policy=cheap.cid(), price=1), policy=cheap))


def test_one_instances_receipt_is_not_anothers(case: Case) -> None:
    with pytest.raises(InvalidSignature):
        verified_receipt(case.file.message, MachineKey(seeded("another")).public)


def test_votes_are_counted_as_of_the_earliest_receipt_whatever_comes_first(case: Case) -> None:
    """What a later receipt may rest on did not stand yet when an earlier one was signed."""
    decided_at, asked = case.receipt.at + 1, []

    def chain(head: Cid, at: int) -> History:
        asked.append(at)
        if at < decided_at:
            raise NotYet(f"head {head} is not in force before {decided_at}")
        return case.world.history

    check = ReceiptCheck(case.world.genesis, APPRAISER, allow_simulated=True, chain=chain)
    later = case.resigned(at=decided_at)
    for _ in range(2):
        list(check.links(later))
        with pytest.raises(InvalidReceipt, match=r"^head: .* is not in force before"):
            list(check.links(case.file))
    assert asked == [decided_at, case.receipt.at, case.receipt.at]
