"""Delegated votes: which choice of a member is in force at which head."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import dao, resigned, wallet, weight
from tests.governing import batch, carried_out, charter_changed, choice
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, MalformedObject
from vault.vote_delegation import (
    BATCH_MAX,
    CHOICES_MAX,
    Delegated,
    DelegationBatch,
    ProvenDelegation,
    delegated,
    delegations_digest,
    in_force,
    withdrawn,
)

DAO = dao(5, weights=(5, 4, 3, 2, 1))
HISTORY, CHARTER, GENESIS = DAO.history, DAO.charter, DAO.genesis
ANN, BOB, CAT, *_ = DAO.wallets
CHOICE = choice(HISTORY, ANN, BOB)
OWN = DAO.roll.weight_of(ANN.address)


def after(*batches: DelegationBatch) -> dict[bytes, tuple[Delegated, ...]]:
    """Return the log after batches that took effect at epochs 1, 2, …"""
    log: Any = {}
    for epoch, one in enumerate(batches, 1):
        log = delegated(log, one, CHARTER, genesis=GENESIS, epoch=epoch)
    return dict(log)


def test_a_choice_takes_effect_with_its_head_and_not_before() -> None:
    log = after(batch(HISTORY, CHOICE))
    assert in_force(log, epoch=0) == {}
    assert in_force(log, epoch=1) == in_force(log, epoch=9) == {ANN.address: Delegated(BOB.address, OWN, 0, 1)}


def test_a_later_choice_replaces_it_from_its_own_head_on() -> None:
    log = after(batch(HISTORY, CHOICE), batch(HISTORY, choice(HISTORY, ANN, CAT, sequence=3)))
    assert in_force(log, epoch=1)[ANN.address].delegate == BOB.address
    assert in_force(log, epoch=2)[ANN.address].delegate == CAT.address


def test_who_chooses_itself_takes_its_choice_back() -> None:
    log = after(batch(HISTORY, CHOICE), batch(HISTORY, choice(HISTORY, ANN, ANN, sequence=1)))
    assert in_force(log, epoch=2) == {}
    assert ANN.address in in_force(log, epoch=1)


@pytest.mark.parametrize("sequence", [0, 1, 5])
def test_a_choice_that_is_no_later_is_refused(sequence: int) -> None:
    log = after(batch(HISTORY, choice(HISTORY, ANN, BOB, sequence=5)))
    with pytest.raises(InvalidDecision, match="no later"):
        delegated(log, batch(HISTORY, choice(HISTORY, ANN, CAT, sequence=sequence)), CHARTER, genesis=GENESIS, epoch=2)


def test_a_batch_holds_several_members_once_each_and_in_order() -> None:
    whole = batch(HISTORY, CHOICE, choice(HISTORY, BOB, CAT), choice(HISTORY, CAT, ANN))
    assert len(after(whole)) == 3
    assert DelegationBatch.from_bytes(whole.encoded()) == whole
    for wrong in (whole.delegations[::-1], whole.delegations[:1] * 2, ()):
        with pytest.raises(MalformedObject):
            replace(whole, delegations=wrong)


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ({"weight": weight(15)}, AccessDenied),
        ({"proof": ()}, AccessDenied),
        ({"proof": choice(HISTORY, BOB, CAT).proof}, AccessDenied),
        ({"delegation": replace(CHOICE.delegation, sequence=1)}, InvalidSignature),
        ({"delegation": replace(CHOICE.delegation, delegate=CAT.address)}, InvalidSignature),
        ({"delegation": replace(CHOICE.delegation, delegator=BOB.address)}, AccessDenied),
        ({"delegation": replace(CHOICE.delegation, genesis=Cid.of(DAG_CBOR, b"other"))}, InvalidDecision),
        ({"delegation": replace(CHOICE.delegation, signature=bytes(65))}, InvalidSignature),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_a_choice_with_one_wrong_fact_is_refused(field: dict[str, Any], error: type[Exception]) -> None:
    CHOICE.verify(CHARTER, genesis=GENESIS)
    wrong = replace(CHOICE, **field)
    with pytest.raises(error):
        after(DelegationBatch(genesis=GENESIS, delegations=(wrong,)))


def test_one_wrong_choice_refuses_its_whole_batch() -> None:
    forged = replace(choice(HISTORY, BOB, CAT), weight=weight(9))
    with pytest.raises(AccessDenied):
        after(batch(HISTORY, CHOICE, forged))


def test_a_stranger_delegates_nothing() -> None:
    stranger = wallet("stranger")
    made = resigned(HISTORY, stranger, CHOICE.delegation, delegator=stranger.address)
    with pytest.raises(AccessDenied, match="no such weight"):
        after(DelegationBatch(genesis=GENESIS, delegations=(replace(CHOICE, delegation=made),)))


def test_a_batch_for_another_dao_is_refused() -> None:
    with pytest.raises(InvalidDecision, match="another DAO"):
        after(replace(batch(HISTORY, CHOICE), genesis=Cid.of(DAG_CBOR, b"other")))


def test_batches_and_choices_are_bounded() -> None:
    with pytest.raises(MalformedObject):
        DelegationBatch(genesis=GENESIS, delegations=(CHOICE,) * (BATCH_MAX + 1))
    full = {ANN.address: tuple(Delegated(BOB.address, OWN, n, n) for n in range(CHOICES_MAX))}
    with pytest.raises(InvalidDecision, match=f"{CHOICES_MAX} times"):
        delegated(
            full, batch(HISTORY, choice(HISTORY, ANN, CAT, sequence=CHOICES_MAX)), CHARTER, genesis=GENESIS, epoch=1
        )


def test_the_largest_batch_fits_a_block_with_the_longest_proofs() -> None:
    from vault.codec import OBJECT_BYTES_MAX
    from vault.weights import PROOF_MAX

    longest = replace(CHOICE, proof=(bytes(32),) * PROOF_MAX)
    addresses = sorted(n.to_bytes(20, "big") for n in range(BATCH_MAX))
    many = (replace(longest, delegation=replace(CHOICE.delegation, delegator=address)) for address in addresses)
    full = DelegationBatch(genesis=GENESIS, delegations=tuple(many))
    assert len(full.encoded()) <= OBJECT_BYTES_MAX


def test_the_digest_in_a_head_covers_every_choice_in_force() -> None:
    both = after(batch(HISTORY, CHOICE, choice(HISTORY, BOB, CAT)))
    digests = {delegations_digest(both), delegations_digest({}), delegations_digest(after(batch(HISTORY, CHOICE)))}
    for name in ("delegate", "weight", "sequence"):
        last = both[ANN.address][-1]
        value = CAT.address if name == "delegate" else getattr(last, name) + 1
        digests.add(delegations_digest(both | {ANN.address: (replace(last, **{name: value}),)}))
    assert len(digests) == 6
    assert delegations_digest({}) is None
    assert delegations_digest(dict(reversed(both.items()))) == delegations_digest(both)


def test_a_change_of_the_charter_takes_every_choice_back_for_good() -> None:
    log = after(batch(HISTORY, choice(HISTORY, ANN, BOB, sequence=4)))
    ended = withdrawn(log, epoch=2)
    assert in_force(ended, epoch=2) == {}
    for sequence in (0, 4):
        again = batch(HISTORY, choice(HISTORY, ANN, BOB, sequence=sequence))
        with pytest.raises(InvalidDecision, match="no later"):
            delegated(ended, again, CHARTER, genesis=GENESIS, epoch=3)
    anew = delegated(ended, batch(HISTORY, choice(HISTORY, ANN, CAT, sequence=5)), CHARTER, genesis=GENESIS, epoch=3)
    assert in_force(anew, epoch=3)[ANN.address].delegate == CAT.address


def test_a_history_holds_the_delegations_of_its_head() -> None:
    history = carried_out(HISTORY, batch(HISTORY, CHOICE))
    assert history.head.delegations == delegations_digest(history.delegations) is not None
    assert history.delegated_epoch == 1
    changed = charter_changed(history, quorum_bps=5_000)
    assert in_force(changed.delegations, epoch=2) == {}
    assert changed.head.delegations == delegations_digest(changed.delegations)
    assert changed.delegated_epoch == changed.charter_epoch == 2


def test_a_choice_comes_back_from_its_bytes() -> None:
    assert ProvenDelegation.from_bytes(CHOICE.encoded()) == CHOICE
