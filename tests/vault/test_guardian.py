"""What guardians sign: acts that stop, each with one form, one DAO and one set of signers."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import dao, seeded, wallet
from tests.governing import GUARDIANS, act, guarded, guardians_act
from vault.action import Scope
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject
from vault.guardian import Act, GuardianAct, GuardianSignature

DAO = guarded(3)
ACT = act(DAO.history)
SIGNED = guardians_act(DAO.history, ACT)


def verify(signed: GuardianAct) -> None:
    signed.verify(DAO.charter, genesis=DAO.genesis)


def test_an_act_of_enough_guardians_verifies_and_comes_back_from_its_bytes() -> None:
    verify(SIGNED)
    verify(guardians_act(DAO.history, ACT, *GUARDIANS))
    assert GuardianAct.from_bytes(SIGNED.encoded()) == SIGNED


@pytest.mark.parametrize(
    "field",
    [
        {"cancels": bytes(32)},
        {"revokes": None},
        {"revokes": None, "cancels": bytes(31)},
        {"revokes": None, "cancels": bytes(32), "subject": bytes(20)},
        {"subject": bytes(20)},
        {"revokes": Scope.LICENSEE},
        {"revokes": Scope.DATASET, "subject": bytes(31)},
        {"nonce": bytes(31)},
    ],
    ids=lambda field: ", ".join(field),
)
def test_an_act_does_one_thing_to_one_subject(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(ACT, **field)


@pytest.mark.parametrize(
    "field",
    [
        {"genesis": Cid.of(DAG_CBOR, b"other")},
        {"epoch": 1},
        {"head": Cid.of(DAG_CBOR, b"other")},
        {"revokes": None, "cancels": bytes(32)},
        {"revokes": Scope.LICENSEE, "subject": bytes(20)},
        {"nonce": bytes(32)},
    ],
    ids=lambda field: ", ".join(field),
)
def test_no_field_of_an_act_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    with pytest.raises((InvalidSignature, InvalidDecision)):
        verify(replace(SIGNED, act=replace(ACT, **field)))


def test_an_act_for_another_dao_means_nothing_here() -> None:
    other = guarded(3, name="Elsewhere")
    foreign = guardians_act(other.history, act(other.history))
    foreign.verify(other.charter, genesis=other.genesis)
    with pytest.raises(InvalidDecision, match="another DAO"):
        verify(foreign)
    with pytest.raises(InvalidSignature):
        verify(replace(foreign, act=ACT))


def test_the_charters_number_of_guardians_has_to_sign() -> None:
    alone = guardians_act(DAO.history, ACT, GUARDIANS[2])
    alone.verify_signatures(DAO.charter, genesis=DAO.genesis)
    with pytest.raises(InvalidDecision, match="1 guardians signed; the charter asks for 2"):
        verify(alone)


def test_a_guardian_signs_once() -> None:
    once = SIGNED.signatures[0]
    for twice in ((once, once), SIGNED.signatures[::-1]):
        with pytest.raises(MalformedObject, match="once each"):
            replace(SIGNED, signatures=twice)
    with pytest.raises(MalformedObject):
        replace(SIGNED, signatures=())


def test_one_signature_that_is_no_guardians_is_enough_to_refuse() -> None:
    everyone = guardians_act(DAO.history, ACT, *GUARDIANS)
    stranger = GuardianSignature.made(ACT, wallet("stranger"), DAO.charter)
    member = GuardianSignature.made(ACT, DAO.wallets[0], DAO.charter)
    for other in (stranger, member):
        joined = sorted((*everyone.signatures, other), key=lambda one: one.guardian)
        with pytest.raises(InvalidSignature, match="no guardian"):
            verify(replace(everyone, signatures=tuple(joined)))
    claimed = replace(stranger, guardian=everyone.signatures[0].guardian)
    with pytest.raises(InvalidSignature, match="not signed by"):
        verify(replace(everyone, signatures=(claimed, *everyone.signatures[1:])))


def test_nobody_acts_for_a_dao_without_guardians() -> None:
    unguarded = dao(3)
    signed = guardians_act(unguarded.history, act(unguarded.history), wallet("guardian 0"))
    with pytest.raises(InvalidSignature, match="no guardian"):
        signed.verify(unguarded.charter, genesis=unguarded.genesis)


def test_an_acts_identity_is_what_it_does_not_who_signed_it() -> None:
    assert guardians_act(DAO.history, ACT, *GUARDIANS).act.digest() == SIGNED.act.digest()
    assert replace(ACT, nonce=seeded("other")).digest() != ACT.digest()


def test_words_say_what_is_stopped() -> None:
    assert ACT.words() == "revoke dao"
    assert act(DAO.history, cancels=b"\xab" * 32).words() == "cancel proposal " + "ab" * 32
    assert act(DAO.history, revokes=Scope.LICENSEE, subject=b"\x01" * 20).words() == "revoke licensee " + "01" * 20
    assert Act.from_bytes(ACT.encoded()) == ACT
