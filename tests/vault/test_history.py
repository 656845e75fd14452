"""What follows from decisions, acts of guardians and delegations."""

from dataclasses import replace

import pytest

from storage.cid import Cid
from tests.builders import (
    MEASUREMENT,
    NOW,
    adopted,
    adopting,
    after,
    carried,
    dataset,
    decided,
    policy,
    proposal,
    revoked,
    wallet,
    with_blocks,
)
from tests.governing import act, batch, carried_out, charter_changed, choice, guarded, guardians_act
from vault.action import POLICIES_MAX, Scope
from vault.ballot import Support
from vault.errors import InvalidDecision, MalformedObject, NotYet, Revoked, StaleState
from vault.head import EPOCHS_MAX, EPOCHS_OF_ACTS, EPOCHS_OF_DELEGATIONS, REVOCATIONS_MAX, Head, Revocation
from vault.history import (
    Cause,
    History,
)
from vault.utc import time_text

DAO = guarded(3)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
OTHER = policy(GENESIS, title="Other", datasets=(dataset("other"),))
DATASET = POLICY.datasets[0].lineage(GENESIS)


def test_a_founded_dao_has_decided_nothing() -> None:
    assert FOUNDED.head.epoch == 0 and FOUNDED.head.previous is None and FOUNDED.head.cause is None
    assert FOUNDED.genesis == FOUNDED.head.charter == DAO.charter.cid()
    with pytest.raises(Revoked):
        FOUNDED.head.require_policy(POLICY.cid())


def test_a_carried_proposal_makes_the_next_epoch() -> None:
    bundle = carried(FOUNDED, adopting(POLICY), POLICY)
    changed = after(FOUNDED, bundle)
    assert changed.head.epoch == 1
    assert changed.head.previous == FOUNDED.head.cid()
    assert changed.head.cause == bundle.decision.cid()
    assert changed.heads == (FOUNDED.head.cid(), changed.head.cid())
    assert changed.policies == {POLICY.cid(): POLICY}
    assert changed.is_carried(bundle.decision.proposal.cid())
    changed.head.require_policy(POLICY.cid())


def test_adopting_replaces_exactly_what_it_drops() -> None:
    both = adopted(adopted(FOUNDED, POLICY), OTHER)
    assert set(both.policies) == {POLICY.cid(), OTHER.cid()}
    newer = policy(GENESIS, title="Newer")
    replaced = adopted(both, newer, POLICY)
    assert set(replaced.head.policies) == {OTHER.cid(), newer.cid()}
    with pytest.raises(Revoked, match="epoch 3"):
        replaced.head.require_policy(POLICY.cid())


def test_a_policy_counts_as_granted_at_the_epoch_it_was_proposed_at() -> None:
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    later = after(adopted(FOUNDED, OTHER), queued)
    assert later.adopted == {OTHER.cid(): 0, POLICY.cid(): 0}
    assert adopted(revoked(later, Scope.POLICY, OTHER.cid().binary), OTHER).adopted == {POLICY.cid(): 0, OTHER.cid(): 3}


@pytest.mark.parametrize(
    ("scope", "subject", "left"),
    [
        (Scope.DAO, b"", set()),
        (Scope.POLICY, POLICY.cid().binary, {OTHER.cid()}),
        (Scope.DATASET, DATASET, {OTHER.cid()}),
        (Scope.LICENSEE, wallet("licensee").address, {POLICY.cid(), OTHER.cid()}),
        (Scope.MEASUREMENT, MEASUREMENT, {POLICY.cid(), OTHER.cid()}),
    ],
)
def test_a_revocation_ends_the_policies_in_its_scope_and_stays_on_record(
    scope: Scope, subject: bytes, left: set[Cid]
) -> None:
    both = adopted(adopted(FOUNDED, POLICY), OTHER)
    by_guardians = carried_out(both, guardians_act(both, act(both, revokes=scope, subject=subject)))
    for changed in (revoked(both, scope, subject), by_guardians):
        assert set(changed.policies) == set(changed.head.policies) == set(changed.adopted) == left
        assert changed.head.revocations == (Revocation(scope=scope, subject=subject, epoch=3),)
        assert changed.head.revoked_since(scope, subject, 2)
        assert not changed.head.revoked_since(scope, subject, 3)


def test_a_revocation_of_the_whole_dao_covers_every_subject() -> None:
    everything = revoked(FOUNDED, Scope.DAO)
    assert all(everything.head.revoked_since(scope, bytes(20), 0) for scope in Scope)
    other = revoked(FOUNDED, Scope.LICENSEE, wallet("licensee").address)
    assert not other.head.revoked_since(Scope.LICENSEE, wallet("other").address, 0)
    assert not other.head.revoked_since(Scope.MEASUREMENT, wallet("licensee").address, 0)
    assert not other.head.revoked_since(Scope.DAO, b"", 0)


def test_what_was_revoked_can_be_adopted_anew_by_a_later_proposal() -> None:
    gone = revoked(adopted(FOUNDED, POLICY), Scope.POLICY, POLICY.cid().binary)
    assert adopted(gone, POLICY).head.policies == (POLICY.cid(),)


@pytest.mark.parametrize("early_s", [1, 86_400, NOW])
@pytest.mark.parametrize("timelock_s", [0, 3_600])
def test_a_decision_takes_effect_after_its_timelock_and_not_before(timelock_s: int, early_s: int) -> None:
    waiting = guarded(3, timelock_s=timelock_s).history
    grant = policy(waiting.genesis)
    bundle = carried(waiting, adopting(grant), grant)
    assert after(waiting, bundle, at=NOW + timelock_s).head.epoch == 1
    with pytest.raises(NotYet, match=time_text(NOW + timelock_s)):
        after(waiting, bundle, at=NOW + timelock_s - early_s)


@pytest.mark.parametrize("answers", [[Support.FOR] * 1, [Support.AGAINST] * 3, [Support.ABSTAIN] * 3], ids=str)
def test_a_proposal_that_is_not_carried_changes_nothing(answers: list[Support]) -> None:
    bundle = with_blocks(decided(FOUNDED, proposal(FOUNDED, adopting(POLICY)), answers), POLICY)
    with pytest.raises(InvalidDecision, match="quorum or threshold"):
        after(FOUNDED, bundle)


def test_the_adopted_policy_itself_has_to_be_there() -> None:
    bundle = carried(FOUNDED, adopting(POLICY), POLICY)
    for other in (OTHER.encoded(), DAO.charter.encoded(), b""):
        with pytest.raises(MalformedObject):
            after(FOUNDED, replace(bundle, blocks=bundle.blocks | {POLICY.cid(): other}))


def test_a_charter_change_puts_the_new_rules_in_force() -> None:
    history = adopted(FOUNDED, POLICY)
    changed = charter_changed(history, quorum_bps=10_000, name="Harbor, renamed")
    assert changed.charter.voting.quorum_bps == 10_000
    assert changed.head.charter == changed.charter.cid() != GENESIS == changed.genesis
    assert changed.policies == history.policies and changed.charter_epoch == 2
    absent = decided(changed, proposal(changed, adopting(OTHER)), [Support.FOR] * 2)
    with pytest.raises(InvalidDecision, match="quorum or threshold"):
        after(changed, with_blocks(absent, OTHER))
    assert adopted(changed, OTHER).head.epoch == 3


def test_guardians_cancel_a_queued_grant() -> None:
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    named = queued.decision.proposal.cid()
    canceled = carried_out(FOUNDED, guardians_act(FOUNDED, act(FOUNDED, cancels=named.digest)))
    assert canceled.head.epoch == 1 and canceled.canceled == {named.digest}
    assert canceled.is_canceled(queued.decision.proposal)
    with pytest.raises(InvalidDecision, match="guardians canceled"):
        after(canceled, queued)
    assert adopted(canceled, POLICY).policies  # proposed anew, it may stand


def test_a_policy_in_force_is_not_adopted_twice() -> None:
    with pytest.raises(InvalidDecision, match="in force already"):
        adopted(adopted(FOUNDED, POLICY), POLICY)


def test_policies_in_force_are_bounded() -> None:
    many = {policy(GENESIS, title=str(n)).cid(): policy(GENESIS, title=str(n)) for n in range(POLICIES_MAX)}
    head = replace(FOUNDED.head, policies=tuple(many))
    full = replace(FOUNDED, policies=many, adopted=dict.fromkeys(many, 0), head=head, heads=(head.cid(),))
    with pytest.raises(MalformedObject, match=r"Head\.policies"):
        adopted(full, POLICY)
    assert len(adopted(full, POLICY, next(iter(many.values()))).policies) == POLICIES_MAX


@pytest.mark.parametrize(
    ("cause", "most"),
    [
        ("decision", EPOCHS_MAX),
        ("act", EPOCHS_OF_ACTS),
        ("delegations", EPOCHS_OF_DELEGATIONS),
    ],
)
def test_epochs_are_bounded_and_some_are_kept_for_decisions(cause: str, most: int) -> None:
    def advance(epoch: int) -> History:
        head = replace(FOUNDED.head, epoch=epoch)
        history = replace(FOUNDED, head=head, heads=(head.cid(),) * (epoch + 1))
        if cause == "decision":
            return adopted(history, POLICY)
        causes: dict[str, Cause] = {
            "act": guardians_act(history, act(history)),
            "delegations": batch(history, choice(history, DAO.wallets[0], DAO.wallets[1])),
        }
        return carried_out(history, causes[cause])

    assert advance(most - 2).head.epoch == most - 1
    with pytest.raises(InvalidDecision, match=f"at most {most} epochs"):
        advance(most - 1)


def test_revocations_are_bounded_and_one_of_the_whole_dao_makes_room() -> None:
    many = tuple(
        Revocation(scope=Scope.LICENSEE, subject=n.to_bytes(20, "big"), epoch=0) for n in range(REVOCATIONS_MAX)
    )
    head = replace(FOUNDED.head, revocations=many)
    full = replace(FOUNDED, head=head, heads=(head.cid(),))
    again = revoked(full, Scope.LICENSEE, bytes(20))
    assert len(again.head.revocations) == REVOCATIONS_MAX and again.head.revocations[-1].epoch == 1
    with pytest.raises(MalformedObject, match="revoke the whole DAO"):
        revoked(full, Scope.LICENSEE, b"\xff" * 20)
    assert len(revoked(full, Scope.DAO).head.revocations) == 1
    assert Head.from_bytes(again.head.encoded()) == again.head  # it still fits a block


def test_a_proposal_is_taken_while_the_delegations_are_those_of_its_head() -> None:
    made = proposal(FOUNDED, adopting(POLICY))
    FOUNDED.require_fresh(made)
    adopted(FOUNDED, OTHER).require_fresh(made)  # a head that changes no delegation is no matter
    chosen = carried_out(FOUNDED, batch(FOUNDED, choice(FOUNDED, DAO.wallets[0], DAO.wallets[1])))
    chosen.require_current(made)
    with pytest.raises(StaleState, match="delegations have changed"):
        chosen.require_fresh(made)
    chosen.require_fresh(proposal(chosen, adopting(POLICY)))
