"""Actions, proposals and the count: the same for everyone, whatever order ballots arrived in."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, RAW, Cid
from tests.builders import ballot, dao, policy, proposal, revoking, voters, wallet, weight
from vault.ballot import POLICIES_MAX, Action, Ballot, Scope, Support, Tally, subject_text, tally
from vault.charter import Member
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject

DAO = dao(5)
DOMAIN = DAO.charter.domain(DAO.genesis)
POLICY = policy(DAO.genesis)
ADOPT = Action(adopts=POLICY.cid(), drops=(), revokes=None, subject=b"")
PROPOSAL = proposal(DAO.history, ADOPT)
FIRST = ballot(DAO.history, PROPOSAL, DAO.wallets[0])
CID = Cid.of(DAG_CBOR, b"subject").binary
FOR, AGAINST, ABSTAIN = Support.FOR, Support.AGAINST, Support.ABSTAIN


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DAO, b""),
        (Scope.DATASET, CID),
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
    asked = proposal(DAO.history, action)
    asked.verify(DOMAIN)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DAO, bytes(20)),
        *((scope, b"") for scope in Scope if scope is not Scope.DAO),
        (Scope.DATASET, bytes(36)),
        (Scope.DATASET, CID[4:]),
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
        {"subject": bytes(20)},
        {"drops": (POLICY.cid(),) * (POLICIES_MAX + 1)},
        {"adopts": None, "revokes": Scope.POLICY, "subject": CID, "drops": (POLICY.cid(),)},
    ],
    ids=["nothing", "two things", "subject", "too many drops", "revoke and drop"],
)
def test_an_action_does_one_thing(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(ADOPT, **field)


def test_the_longest_action_can_still_be_signed_and_read() -> None:
    dropped = tuple(Cid.of(DAG_CBOR, bytes([n])) for n in range(POLICIES_MAX))
    longest = proposal(DAO.history, replace(ADOPT, drops=dropped))
    longest.verify(DOMAIN)
    assert all(str(cid) in longest.message()["action"] for cid in dropped)


def test_words_name_what_is_adopted_dropped_or_revoked() -> None:
    assert ADOPT.words() == f"adopt policy {POLICY.cid()}"
    assert replace(ADOPT, drops=(DAO.genesis,)).words() == f"adopt policy {POLICY.cid()}, drop {DAO.genesis}"
    assert revoking(Scope.DAO).words() == "revoke dao"
    assert revoking(Scope.POLICY, CID).words() == f"revoke policy {Cid(CID)}"
    assert revoking(Scope.LICENSEE, b"\xab" * 20).words() == "revoke licensee " + "ab" * 20
    assert subject_text(bytes(36)) == "00" * 36


@pytest.mark.parametrize(
    "field",
    [
        {"proposal": bytes(32)},
        {"voter": DAO.wallets[1].address},
        {"support": AGAINST},
        {"sequence": 1},
        {"reason": "another"},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_of_a_ballot_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    FIRST.verify(DOMAIN)
    with pytest.raises(InvalidSignature):
        replace(FIRST, **field).verify(DOMAIN)


@pytest.mark.parametrize(
    "field",
    [
        {"epoch": 1},
        {"proposer": DAO.wallets[1].address},
        {"action": revoking(Scope.DAO)},
        {"opens_at": 0},
        {"closes_at": 2**63 - 1},
        {"nonce": bytes(32)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_of_a_proposal_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    PROPOSAL.verify(DOMAIN)
    with pytest.raises(InvalidSignature):
        replace(PROPOSAL, **field).verify(DOMAIN)


casts = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(Support), st.integers(0, 3), st.sampled_from(["", "a", "b"])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(casts, st.randoms(use_true_random=False))
def test_the_count_does_not_depend_on_the_order_or_on_repeats(casts: list[Any], random: Any) -> None:
    ballots = [
        replace(FIRST, voter=DAO.wallets[who].address, support=support, sequence=sequence, reason=reason)
        for who, support, sequence, reason in casts
    ]
    counted = tally(DAO.charter, ballots)
    shuffled = ballots + random.choices(ballots, k=3)
    random.shuffle(shuffled)
    assert tally(DAO.charter, shuffled) == counted
    cast = counted.weight_for + counted.weight_against + counted.weight_abstain
    assert cast == len({ballot.voter for ballot in ballots})  # everyone once


def test_the_highest_sequence_wins_whenever_it_came() -> None:
    votes = [
        replace(FIRST, sequence=sequence, support=support)
        for sequence, support in ((2, AGAINST), (9, FOR), (10, ABSTAIN))
    ]
    for order in (votes, votes[::-1]):
        assert tally(DAO.charter, order).weight_abstain == 1
        assert tally(DAO.charter, order).weight_for == 0


def test_of_two_ballots_with_one_sequence_the_greater_hash_wins() -> None:
    twins = [replace(FIRST, support=support) for support in (FOR, AGAINST)]
    winner = max(twins, key=lambda ballot: sha256(ballot.encoded()).digest())
    for order in (twins, twins[::-1]):
        counted = tally(DAO.charter, order)
        assert (counted.weight_for, counted.weight_against) == ((1, 0) if winner.support is FOR else (0, 1))


def test_a_stranger_or_a_member_without_weight_has_no_ballot() -> None:
    with pytest.raises(InvalidDecision, match="no vote"):
        tally(DAO.charter, [FIRST, replace(FIRST, voter=wallet("stranger").address)])
    weightless = replace(DAO.charter.members[0], weight=weight(0))
    with pytest.raises(InvalidDecision, match="no vote"):
        tally(replace(DAO.charter, members=(weightless, *DAO.charter.members[1:])), [FIRST])


def test_weights_count_not_heads() -> None:
    members = tuple(Member(address=key.address, weight=weight(10 ** (19 * n))) for n, key in enumerate(DAO.wallets))
    charter = replace(DAO.charter, members=members)
    ballots = [replace(FIRST, voter=key.address, support=AGAINST) for key in DAO.wallets[:4]]
    counted = tally(charter, [*ballots, replace(FIRST, voter=DAO.wallets[4].address)])
    assert counted.weight_for == 10**76 and counted.is_carried()
    assert counted.weight_against == 1 + 10**19 + 10**38 + 10**57


BASE = Tally(weight_for=51, weight_against=0, weight_abstain=0, total=100, quorum_bps=4_000, threshold_bps=5_001)


@pytest.mark.parametrize(
    ("field", "is_carried"),
    [
        ({}, True),
        ({"weight_for": 50}, False),
        ({"weight_for": 50, "threshold_bps": 5_000}, True),
        ({"weight_for": 39, "threshold_bps": 1}, False),
        ({"weight_for": 39, "weight_abstain": 1, "threshold_bps": 1}, True),
        ({"weight_for": 20, "weight_against": 20, "threshold_bps": 1}, False),
        ({"weight_for": 21, "weight_against": 20, "threshold_bps": 1}, True),
        ({"weight_for": 30, "weight_against": 20, "threshold_bps": 3_001}, False),
        ({"quorum_bps": 5_101}, False),
        ({"total": 2**256 - 1}, False),
        ({"weight_for": 2**255, "total": 2**256 - 1, "threshold_bps": 5_000}, True),
        ({"weight_for": 2**255 - 1, "total": 2**256 - 1, "threshold_bps": 5_000}, False),
        ({"weight_for": 99, "weight_abstain": 1, "threshold_bps": 10_000}, False),
        ({"weight_for": 100, "threshold_bps": 10_000, "quorum_bps": 10_000}, True),
    ],
    ids=str,
)
def test_quorum_and_threshold_are_of_the_total_weight_and_exact(field: dict[str, int], is_carried: bool) -> None:
    assert replace(BASE, **field).is_carried() is is_carried


def test_every_member_finds_its_wallet() -> None:
    assert [key.address for key in voters(DAO.history)] == [member.address for member in DAO.charter.members]


def test_a_ballot_comes_back_from_its_bytes() -> None:
    assert Ballot.from_bytes(FIRST.encoded()) == FIRST
