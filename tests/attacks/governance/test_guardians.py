"""Attacks by and on guardians: they stop grants, and can neither grant nor keep themselves in office (rule G4)."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import Cid
from tests.builders import (
    adopted,
    adopting,
    after,
    carried,
    dao,
    policy,
    proposal,
    revoked,
    revoking,
    seeded,
    wallet,
)
from tests.governing import (
    GUARDIANS,
    act,
    batch,
    carried_out,
    charter_changed,
    choice,
    guarded,
    guardians_act,
    rechartering,
)
from vault.action import Scope
from vault.codec import encode
from vault.decision import Decision
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, MalformedObject, StaleState
from vault.guardian import EPOCHS_VALID, Act, GuardianAct
from vault.history import History, cause_from
from vault.vote_delegation import DelegationBatch

DAO = guarded(3)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
QUEUED = carried(FOUNDED, adopting(POLICY), POLICY)
NAMED = QUEUED.decision.proposal.cid().digest


def stopped(history: History, **fields: Any) -> History:
    """Return the history after two guardians' act on it."""
    return carried_out(history, guardians_act(history, act(history, **fields)))


def test_a_canceled_grant_never_takes_effect() -> None:
    canceled = stopped(FOUNDED, cancels=NAMED)
    for history in (canceled, adopted(canceled, policy(GENESIS, title="Other")), revoked(canceled, Scope.DAO)):
        with pytest.raises(InvalidDecision, match=r"canceled|carried out|revocation"):
            after(history, QUEUED)


def test_a_grant_that_took_effect_is_not_canceled_but_revoked() -> None:
    granted = after(FOUNDED, QUEUED)
    with pytest.raises(InvalidDecision, match="carried out or canceled before"):
        stopped(granted, cancels=NAMED)
    assert not stopped(granted, revokes=Scope.POLICY, subject=POLICY.cid().binary).policies


def test_a_proposal_is_canceled_once() -> None:
    canceled = stopped(FOUNDED, cancels=NAMED)
    with pytest.raises(InvalidDecision, match="canceled before"):
        stopped(canceled, cancels=NAMED)


def test_guardians_cannot_stop_a_change_of_the_charter_or_they_could_never_be_replaced() -> None:
    dismissal = rechartering(FOUNDED, guardians=(), guardian_signatures=0)
    history = stopped(FOUNDED, cancels=dismissal.decision.proposal.cid().digest)
    history = stopped(history, revokes=Scope.DAO)
    dismissed = after(history, dismissal)
    assert dismissed.charter.guardians == ()
    with pytest.raises(InvalidSignature, match="no guardian"):
        stopped(dismissed, revokes=Scope.DAO)


def test_guardians_cannot_stop_a_revocation_that_members_voted_for() -> None:
    history = adopted(FOUNDED, POLICY)
    revocation = carried(history, revoking(Scope.DAO))
    canceled = stopped(history, cancels=revocation.decision.proposal.cid().digest)
    assert not after(canceled, revocation).policies


GRANTS: list[dict[str, Any]] = [
    {"adopts": POLICY.cid()},
    {"adopts": POLICY.cid(), "drops": []},
    {"charter": DAO.genesis},
    {"revokes": "grant"},
    {"action": adopting(POLICY).value()},
]


@pytest.mark.parametrize("more", GRANTS, ids=lambda fields: ", ".join(fields))
def test_an_act_has_no_words_for_a_grant(more: dict[str, Any]) -> None:
    """Signatures cannot help: what is signed would not be an act."""
    value = act(FOUNDED).value()
    for wrong in (value | more, value | {"revokes": None} | more):
        with pytest.raises(MalformedObject):
            Act.from_value(wrong)
        signed = guardians_act(FOUNDED, act(FOUNDED)).value() | {"act": wrong}
        with pytest.raises(MalformedObject):
            cause_from(encode(signed))


def test_an_act_does_not_pass_for_a_decision() -> None:
    value = guardians_act(FOUNDED, act(FOUNDED)).value()
    for wrong in ({"type": Decision.TYPE}, {"type": Decision.TYPE, "proposal": QUEUED.decision.proposal.value()}):
        with pytest.raises(MalformedObject):
            cause_from(encode(value | wrong))


def test_all_that_guardians_can_do_takes_away() -> None:
    granted = adopted(FOUNDED, POLICY)
    before = set(granted.policies)
    subjects = {
        Scope.DAO: b"",
        Scope.POLICY: POLICY.cid().binary,
        Scope.DATASET: seeded("dataset"),
        Scope.LICENSEE: bytes(20),
        Scope.MEASUREMENT: bytes(32),
    }
    for scope in Scope:
        changed = stopped(granted, revokes=scope, subject=subjects[scope])
        assert set(changed.policies) <= before
        assert changed.charter == granted.charter and changed.delegations == granted.delegations
    canceled = stopped(granted, cancels=NAMED[::-1])
    assert set(canceled.policies) == before and canceled.charter == granted.charter


def test_guardians_who_are_no_members_propose_nothing() -> None:
    strangers = [key for key in GUARDIANS if key.address not in DAO.roll]
    assert strangers
    for key in strangers:
        with pytest.raises(AccessDenied, match="no such weight"):
            after(FOUNDED, carried(FOUNDED, adopting(POLICY), POLICY, proposer=key))


@pytest.mark.parametrize("signers", [GUARDIANS[:1], GUARDIANS[2:]], ids=["first", "last"])
def test_too_few_guardians_stop_nothing(signers: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidDecision, match="1 guardians signed; the charter asks for 2"):
        carried_out(FOUNDED, guardians_act(FOUNDED, act(FOUNDED), *signers))


def test_one_guardian_twice_is_one() -> None:
    once = guardians_act(FOUNDED, act(FOUNDED), GUARDIANS[0]).signatures[0]
    with pytest.raises(MalformedObject, match="once each"):
        GuardianAct(act=act(FOUNDED), signatures=(once, once))
    value = guardians_act(FOUNDED, act(FOUNDED), GUARDIANS[0]).value()
    with pytest.raises(MalformedObject):
        cause_from(encode(value | {"signatures": [once.value(), once.value()]}))


def test_members_who_are_no_guardians_stop_nothing_alone() -> None:
    with pytest.raises(InvalidSignature, match="no guardian"):
        carried_out(FOUNDED, guardians_act(FOUNDED, act(FOUNDED), *DAO.wallets))


def test_an_act_is_carried_out_once() -> None:
    """Or it could be handed in again after members had granted anew."""
    signed = guardians_act(FOUNDED, act(FOUNDED, revokes=Scope.POLICY, subject=POLICY.cid().binary))
    history = adopted(carried_out(FOUNDED, signed), POLICY)
    everyone = guardians_act(FOUNDED, signed.act, *GUARDIANS)
    for again in (signed, everyone):
        with pytest.raises(InvalidDecision, match="carried out before"):
            carried_out(history, again)
    assert history.policies


def test_an_act_on_another_branch_or_another_dao_means_nothing_here() -> None:
    elsewhere = guarded(3, name="Elsewhere")
    with pytest.raises(InvalidDecision, match="another DAO"):
        carried_out(FOUNDED, guardians_act(elsewhere.history, act(elsewhere.history)))
    branch, ours = adopted(FOUNDED, POLICY), revoked(FOUNDED, Scope.DAO)
    with pytest.raises(InvalidDecision, match="head of epoch 1"):
        carried_out(ours, guardians_act(branch, act(branch)))
    ahead = act(FOUNDED, epoch=7)
    with pytest.raises(InvalidDecision, match="head of epoch 7"):
        carried_out(FOUNDED, guardians_act(FOUNDED, ahead))


def test_an_act_that_lay_around_for_too_many_epochs_holds_no_more() -> None:
    signed = guardians_act(FOUNDED, act(FOUNDED))
    history = FOUNDED
    for n in range(EPOCHS_VALID - 1):
        history = stopped(history, revokes=Scope.LICENSEE, subject=n.to_bytes(20, "big"))
    assert carried_out(history, signed).head.epoch == EPOCHS_VALID
    with pytest.raises(StaleState, match="sign it anew"):
        carried_out(stopped(history, revokes=Scope.LICENSEE, subject=b"\xff" * 20), signed)


def test_a_former_guardian_stops_nothing_with_an_act_signed_in_office() -> None:
    signed = guardians_act(FOUNDED, act(FOUNDED))
    successors = tuple(sorted(wallet(f"new guardian {n}").address for n in range(2)))
    changed = charter_changed(FOUNDED, guardians=successors)
    with pytest.raises(InvalidSignature, match="no guardian"):
        carried_out(changed, signed)
    kept = charter_changed(FOUNDED, guardians=tuple(sorted((GUARDIANS[0].address, *successors))))
    with pytest.raises(InvalidSignature, match="no guardian"):  # nor does the one who stayed, with the other's help
        carried_out(kept, signed)


def test_guardians_of_a_dao_that_has_none_stop_nothing() -> None:
    plain = dao(3)
    with pytest.raises(InvalidSignature, match="no guardian"):
        carried_out(plain.history, guardians_act(plain.history, act(plain.history), *GUARDIANS))


def test_an_act_edited_after_signing_is_refused() -> None:
    signed = guardians_act(FOUNDED, act(FOUNDED, revokes=Scope.LICENSEE, subject=bytes(20)))
    for field in ({"subject": b"\x01" * 20}, {"revokes": Scope.DAO, "subject": b""}, {"nonce": bytes(32)}):
        edited = replace(signed, act=replace(signed.act, **field))
        with pytest.raises(InvalidSignature):
            carried_out(FOUNDED, edited)


def test_a_cancellation_names_one_proposal_and_no_twin_of_it() -> None:
    """The proposer can sign the same words again; that is another proposal, which needs its own votes and time."""
    twin = proposal(FOUNDED, adopting(POLICY), nonce=seeded("twin"))
    canceled = stopped(FOUNDED, cancels=NAMED)
    assert not canceled.is_canceled(twin)
    with pytest.raises(InvalidDecision, match="different ballots"):  # the votes for the first are none for the second
        after(canceled, replace(QUEUED, decision=replace(QUEUED.decision, proposal=twin)))


def test_delegations_and_acts_do_not_pass_for_one_another() -> None:
    made: DelegationBatch = batch(FOUNDED, choice(FOUNDED, DAO.wallets[0], DAO.wallets[1]))
    for value in (made.value() | {"type": GuardianAct.TYPE}, made.value() | {"act": act(FOUNDED).value()}):
        with pytest.raises(MalformedObject):
            cause_from(encode(value))


def test_an_act_names_a_head_by_its_cid_not_only_its_epoch() -> None:
    other: Cid = adopted(FOUNDED, POLICY).head.cid()
    with pytest.raises(InvalidDecision, match="head of epoch 0"):
        carried_out(FOUNDED, guardians_act(FOUNDED, act(FOUNDED, head=other)))
