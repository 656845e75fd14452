"""Charter changes, guardians and delegations of the tests' DAOs, the same on every run."""

from __future__ import annotations

from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from tests.builders import after, carried
from tests.people import NOW, Dao, dao, roll_in, seeded, wallet
from vault.action import Scope, charter_change
from vault.acts import weight_bytes
from vault.charter import Charter, Voting
from vault.decision import Bundle
from vault.guardian import Act, GuardianAct, GuardianSignature
from vault.history import Cause, History, advanced
from vault.roll import Roll
from vault.signing import BLANK_SIGNATURE, SigningKey
from vault.vote_delegation import DelegationBatch, ProvenDelegation, VoteDelegation


def charter_changed(history: History, *, at: int = NOW, **fields: Any) -> History:
    """Return the history after its members have replaced fields of the charter, or of its voting."""
    return after(history, rechartering(history, **fields), at=at)


def rechartering(history: History, **fields: Any) -> Bundle:
    """Return the decision that replaces fields of the charter, or of its voting."""
    charter = successor(history.charter, **fields)
    return carried(history, charter_change(charter.cid()), charter)


def successor(charter: Charter, **changed: Any) -> Charter:
    """Return a charter with fields of it, or of its voting, replaced."""
    names = {field.name for field in fields_of(Voting)} & set(changed)
    voting = replace(charter.voting, **{name: changed.pop(name) for name in names})
    return replace(charter, voting=voting, **changed)


GUARDIANS = tuple(sorted((wallet(f"guardian {n}") for n in range(3)), key=lambda key: key.address))


def guarded(members: int = 5, *, signatures: int = 2, **charter_fields: Any) -> Dao:
    """Return a DAO with three guardians, of whom two act together."""
    guardians = tuple(key.address for key in GUARDIANS)
    return dao(members, guardians=guardians, guardian_signatures=signatures, **charter_fields)


def act(history: History, **fields: Any) -> Act:
    """Return an act made against the history's head: it revokes the whole DAO, unless `fields` say otherwise."""
    valid: dict[str, Any] = {
        "genesis": history.genesis,
        "epoch": history.head.epoch,
        "head": history.head.cid(),
        "cancels": None,
        "revokes": None if fields.get("cancels") else Scope.DAO,
        "subject": b"",
        "nonce": seeded(f"act {history.head.epoch}"),
    }
    return Act(**(valid | fields))


def guardians_act(history: History, act: Act, *guardians: SigningKey) -> GuardianAct:
    """Return an act signed by these guardians, by the first two unless they are given."""
    chosen = sorted(guardians or GUARDIANS[:2], key=lambda key: key.address)
    signatures = (GuardianSignature.made(act, guardian, history.charter) for guardian in chosen)
    return GuardianAct(act=act, signatures=tuple(signatures))


def carried_out(history: History, cause: Cause, *, at: int = NOW) -> History:
    """Return the history after an act of guardians, or delegations."""
    return advanced(history, cause, {}.__getitem__, at=at)


def delegate_vote(
    history: History, roll: Roll, delegator: SigningKey, delegate_to: bytes, *, sequence: int
) -> ProvenDelegation:
    """Have another member vote for the delegator; oneself takes it back."""
    blank = VoteDelegation(
        genesis=history.genesis,
        delegator=delegator.address,
        delegate=delegate_to,
        sequence=sequence,
        signature=BLANK_SIGNATURE,
    )
    return ProvenDelegation(
        delegation=blank.signed_by(delegator, history.charter.domain(history.genesis)),
        weight=weight_bytes(roll, delegator.address),
        proof=roll.tree().proof(delegator.address),
    )


def choice(history: History, delegator: SigningKey, delegate: SigningKey, *, sequence: int = 0) -> ProvenDelegation:
    """Return a member's signed choice of a delegate, with its weight."""
    return delegate_vote(history, roll_in(history.charter), delegator, delegate.address, sequence=sequence)


def batch(history: History, *choices: ProvenDelegation) -> DelegationBatch:
    """Return choices as they are put forward together."""
    ordered = sorted(choices, key=lambda one: one.delegation.delegator)
    return DelegationBatch(genesis=history.genesis, delegations=tuple(ordered))
