"""Actions: each does one thing, and a revocation names something."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, RAW, Cid
from tests.builders import adopting, dao, policy, proposal, revoking
from vault.action import POLICIES_MAX, Action, Scope, charter_change, subject_text
from vault.errors import MalformedObject

DAO = dao(3)
POLICY = policy(DAO.genesis)
ADOPT = adopting(POLICY)
CID = Cid.of(DAG_CBOR, b"subject").binary
DOMAIN = DAO.charter.domain(DAO.genesis)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DAO, b""),
        (Scope.DATASET, bytes(32)),
        (Scope.POLICY, CID),
        (Scope.LICENSEE, bytes(20)),
        (Scope.MEASUREMENT, bytes(32)),
        (Scope.MEASUREMENT, bytes(36)),
        (Scope.MEASUREMENT, bytes(48)),
        (Scope.MEASUREMENT, bytes(64)),
    ],
)
def test_a_revocation_names_a_subject_of_its_scopes_form(scope: Scope, subject: bytes) -> None:
    action = revoking(scope, subject)
    assert Action.from_bytes(action.encoded()) == action
    assert action.words().startswith(f"revoke {scope}")
    proposal(DAO.history, action).verify(DOMAIN)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DAO, bytes(20)),
        *((scope, b"") for scope in Scope if scope is not Scope.DAO),
        (Scope.DATASET, bytes(31)),
        (Scope.DATASET, bytes(36)),
        (Scope.DATASET, CID),
        (Scope.POLICY, CID[4:]),
        (Scope.POLICY, Cid.of(RAW, b"subject").binary),
        (Scope.POLICY, CID[:-1]),
        (Scope.LICENSEE, bytes(32)),
        (Scope.MEASUREMENT, bytes(31)),
        (Scope.MEASUREMENT, bytes(65)),
    ],
)
def test_a_revocation_that_could_revoke_nothing_is_refused(scope: Scope, subject: bytes) -> None:
    with pytest.raises(MalformedObject):
        revoking(scope, subject)


@pytest.mark.parametrize(
    "field",
    [
        {"adopts": None},
        {"revokes": Scope.DAO},
        {"charter": DAO.genesis},
        {"subject": bytes(20)},
        {"drops": (POLICY.cid(),) * (POLICIES_MAX + 1)},
        {"adopts": None, "revokes": Scope.POLICY, "subject": CID, "drops": (POLICY.cid(),)},
        {"adopts": None, "charter": DAO.genesis, "drops": (POLICY.cid(),)},
        {"adopts": None, "charter": DAO.genesis, "revokes": Scope.DAO},
        {"adopts": None, "charter": DAO.genesis, "subject": bytes(20)},
    ],
    ids=lambda field: ", ".join(field),
)
def test_an_action_does_one_thing(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(ADOPT, **field)


def test_the_longest_action_can_still_be_signed_and_read() -> None:
    dropped = tuple(Cid.of(DAG_CBOR, bytes([n])) for n in range(POLICIES_MAX))
    longest = proposal(DAO.history, replace(ADOPT, drops=dropped))
    longest.verify(DOMAIN)
    assert all(str(cid) in longest.message()["action"] for cid in dropped)


def test_words_name_what_is_adopted_dropped_changed_or_revoked() -> None:
    assert ADOPT.words() == f"adopt policy {POLICY.cid()}"
    assert replace(ADOPT, drops=(DAO.genesis,)).words() == f"adopt policy {POLICY.cid()}, drop {DAO.genesis}"
    assert charter_change(DAO.genesis).words() == f"change the charter to {DAO.genesis}"
    assert revoking(Scope.DAO).words() == "revoke dao"
    assert revoking(Scope.POLICY, CID).words() == f"revoke policy {Cid(CID)}"
    assert revoking(Scope.LICENSEE, b"\xab" * 20).words() == "revoke licensee " + "ab" * 20
    assert subject_text(bytes(36)) == "00" * 36
