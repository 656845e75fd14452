"""Random histories of a DAO against a small model of it: counts, states and what is in force are always the same.

`COFFER_MODEL_RUNS` says how many histories are tried; there are few in an ordinary run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.builders import adopting, ballot, cast, closed, proposal, revoking, vote, with_blocks
from tests.governing import GUARDIANS, act, batch, choice, guardians_act, successor
from tests.people import NOW, roll_fields, roll_in, seeded, wallet, weighted
from tests.vault.governance_model import Asked, Model
from tests.vault.governance_setting import (
    DAO,
    EXTENSION_S,
    EXTENSIONS,
    FACTS,
    MEMBERS,
    NAMES,
    PERIOD_S,
    POLICIES,
    QUORUMS,
    SUBJECTS,
    TIMELOCK_S,
    WEIGHTS,
    names_of,
    period_of,
    rules_of,
)
from vault.action import Scope, charter_change
from vault.ballot import Proposal, Support
from vault.closing import Cast
from vault.errors import NotYet, VaultError
from vault.guardian import GuardianAct
from vault.history import Cause, History, advanced
from vault.vote_delegation import in_force

RUNS = int(os.environ.get("COFFER_MODEL_RUNS", "100"))
AT_ONCE = 500  # what hypothesis remembers of more takes gigabytes
STEPS = 30


@dataclass
class Real:
    """A proposal and its ballots, with when each came."""

    proposal: Proposal
    asked: Asked
    named: dict[Any, bytes]
    cast: list[tuple[Cast, int]]
    compared: object = None  # for which ballots and rules the counts were compared last


members = st.sampled_from(MEMBERS)
supports = st.sampled_from(("for", "for", "for", "against", "abstain"))
orders = st.lists(members, min_size=2, unique=True)
indices = st.integers(0, 5)
ASKED = [
    *(("policy", name) for name in POLICIES),
    *(("replace", name) for name in POLICIES),
    *(("revoke", subject) for subject in SUBJECTS),
    *(("charter", weights) for weights in WEIGHTS),
]
LATE_S = (0, 0, 31, PERIOD_S - EXTENSION_S, PERIOD_S - 10, PERIOD_S, PERIOD_S + 20)


class Deciding(RuleBasedStateMachine):
    """One DAO, in both."""

    @initialize()
    def found(self) -> None:
        self.history: History = DAO.history
        self.past: list[History] = [DAO.history]
        self.now = NOW
        self.model = Model(rules_of(DAO.history), FACTS)
        self.open: list[Real] = []
        self.acts: list[tuple[GuardianAct, Asked | tuple[str, str]]] = []
        self.made = 0

    def picked(self, index: int) -> Real | None:
        """Return one of the newest proposals."""
        return self.open[-1 - index % len(self.open)] if self.open else None

    def fresh(self, what: str) -> bytes:
        self.made += 1
        return seeded(f"{what} {self.made}")

    def ask(self, action: Any, back: int, named: Any = None, **asked: Any) -> None:
        """Propose something against a head of a while ago."""
        then = self.past[max(0, len(self.past) - 1 - max(0, back - 3))]
        member = roll_in(then.charter).members[0][0]
        proposer = next(wallet(name) for name in MEMBERS if wallet(name).address == member)
        made = proposal(
            then,
            action,
            proposer=proposer,
            nonce=self.fresh("nonce"),
            opens_at=self.now,
            closes_at=self.now + PERIOD_S,
        )
        modeled = Asked(epoch=then.head.epoch, opens_at=self.now, **asked)
        is_fresh = modeled.epoch >= max(self.model.delegated_at, self.model.rules_since)
        try:
            self.history.require_fresh(made)
        except VaultError:
            assert not is_fresh
        else:
            assert is_fresh
        blocks = {} if named is None else {named.cid(): named.encoded()}
        self.open.append(Real(made, modeled, blocks, []))

    @rule(name=st.sampled_from(sorted(POLICIES)), dropped=st.sets(st.sampled_from(sorted(POLICIES))), back=indices)
    def propose_policy(self, name: str, dropped: set[str], back: int) -> None:
        others = tuple(POLICIES[one] for one in sorted(dropped))
        action = adopting(POLICIES[name], *others)
        self.ask(action, back, POLICIES[name], adopts=name, drops=tuple(sorted(dropped)))

    @rule(subject=st.sampled_from(sorted(SUBJECTS)), back=indices)
    def propose_revocation(self, subject: tuple[str, str], back: int) -> None:
        self.ask(revoking(Scope(subject[0]), SUBJECTS[subject]), back, revokes=subject)

    @rule(
        weights=st.sampled_from(WEIGHTS),
        quorum=st.sampled_from(QUORUMS),
        extension=st.sampled_from(EXTENSIONS),
        back=indices,
    )
    def propose_charter(self, weights: tuple[int, ...], quorum: int, extension: int, back: int) -> None:
        fields = roll_fields(weighted(weights)) | {"quorum_bps": quorum, "extension_s": extension}
        charter = successor(self.history.charter, **fields)
        rules = rules_of(replace(self.history, charter=charter))
        self.ask(charter_change(charter.cid()), back, charter, rules=rules)

    @rule(index=indices, voter=members, support=supports, sequence=st.integers(0, 3))
    def cast_one(self, index: int, voter: str, support: str, sequence: int) -> None:
        one = self.picked(index)
        if one is None or self.model.is_void(one.asked):
            return
        made = ballot(self.history, one.proposal, wallet(voter), Support(support), sequence=sequence)
        handed_in = vote(self.history, made)
        own = self.model.rules.weights.get(voter)
        try:
            handed_in.verify(self.history.charter, one.proposal)
        except VaultError:
            assert own is None
            return
        assert own is not None
        if self.now > one.proposal.closes_at + self.model.rules.extension_s:
            return  # no custodian takes it
        if any(known.ballot == made for known, _ in one.cast):
            return
        one.cast.append((cast(made, weight=own), self.now))
        one.asked.ballots.append((voter, sequence, made.signature, support, self.now))

    @rule(index=indices, voters=orders, support=supports)
    def cast_several(self, index: int, voters: list[str], support: str) -> None:
        for voter in voters:
            self.cast_one(index, voter, support, 0)

    @rule(chosen=st.dictionaries(members, members, min_size=1), asked=st.sampled_from(ASKED), voters=orders)
    def decide_with_delegates(self, chosen: dict[str, str], asked: tuple[Any, ...], voters: list[str]) -> None:
        """Delegate, then decide: some delegators vote themselves, and some do not."""
        last = self.model.last_sequence
        self.delegate({who: (to, last.get(who, -1) + 1) for who, to in chosen.items()})
        self.decide(asked, voters, 0)

    @rule(name=st.sampled_from(sorted(POLICIES)), subject=st.sampled_from(sorted(SUBJECTS)), how=indices)
    def stop_what_is_queued(self, name: str, subject: tuple[str, str], how: int) -> None:
        """Have something happen between the vote on a policy and its execution."""
        self.propose_policy(name, set(POLICIES), 0)
        queued = self.open[-1]
        self.cast_several(0, list(MEMBERS[:3]), "for")
        match how:
            case 0:
                self.cancel(0, {0, 2}, 0)
            case 1:
                self.propose_charter(WEIGHTS[0], QUORUMS[self.made % 2], EXTENSION_S, 0)
                self.cast_several(0, list(MEMBERS), "for")
                self.execute(0, is_patient=True)
            case 2:
                last = self.model.last_sequence.get(MEMBERS[3], -1)
                self.delegate({MEMBERS[3]: (MEMBERS[self.made % 3], last + 1)})
            case _:
                self.revoke(subject, {0, 1})
        self.now += 2 * (PERIOD_S + EXTENSION_S + TIMELOCK_S)
        self.execute(self.open[::-1].index(queued), is_patient=False)

    @rule(asked=st.sampled_from(ASKED), voters=orders, late_s=st.sampled_from(LATE_S))
    def decide(self, asked: tuple[Any, ...], voters: list[str], late_s: int) -> None:
        """Propose, vote, wait and carry out, all in a row: by chance alone that would be rare."""
        match asked:
            case "policy", name:
                self.propose_policy(name, set(), 0)
            case "replace", name:
                self.propose_policy(name, set(POLICIES), 0)
            case "revoke", subject:
                self.propose_revocation(subject, 0)
            case "charter", weights:
                self.propose_charter(weights, QUORUMS[0], EXTENSION_S, 0)
        self.cast_several(0, voters[:1], "for")
        self.now += late_s
        self.cast_several(0, voters[1:], "for")
        if late_s % 2 == 0:  # otherwise it stays queued
            self.execute(0, is_patient=True)

    @rule(chosen=st.dictionaries(members, st.tuples(members, st.integers(0, 4)), min_size=1, max_size=3))
    def delegate(self, chosen: dict[str, tuple[str, int]]) -> None:
        known = {who: to for who, to in chosen.items() if who in self.model.rules.weights}
        if not known:
            return
        made = [choice(self.history, wallet(who), wallet(to), sequence=n) for who, (to, n) in known.items()]
        self.step(batch(self.history, *made), is_fine=self.model.delegate(known))

    @rule(index=indices, signers=st.sets(st.integers(0, 2), min_size=1), back=st.integers(0, 2))
    def cancel(self, index: int, signers: set[int], back: int) -> None:
        one = self.picked(index)
        if one is None:
            return
        then = self.past[max(0, len(self.past) - 1 - back)]
        made = act(then, cancels=one.proposal.cid().digest, nonce=self.fresh("act"))
        signed = guardians_act(then, made, *(GUARDIANS[n] for n in sorted(signers)))
        is_fine = len(signers) >= 2 and self.model.cancel(one.asked)
        self.step(signed, is_fine=is_fine)
        if is_fine:
            self.acts.append((signed, one.asked))

    @rule(subject=st.sampled_from(sorted(SUBJECTS)), signers=st.sets(st.integers(0, 2), min_size=1))
    def revoke(self, subject: tuple[str, str], signers: set[int]) -> None:
        made = act(self.history, revokes=Scope(subject[0]), subject=SUBJECTS[subject], nonce=self.fresh("act"))
        signed = guardians_act(self.history, made, *(GUARDIANS[n] for n in sorted(signers)))
        if len(signers) >= 2:
            self.model.epoch += 1
            self.model.take_away(*subject)
            self.acts.append((signed, subject))
        self.step(signed, is_fine=len(signers) >= 2)

    @rule(index=indices)
    def hand_in_an_act_again(self, index: int) -> None:
        if self.acts:
            self.step(self.acts[index % len(self.acts)][0], is_fine=False)

    @rule(index=indices, is_patient=st.booleans())
    def execute(self, index: int, is_patient: bool) -> None:
        one = self.picked(index)
        if one is None:
            return
        if is_patient and not self.model.is_void(one.asked):
            self.now = max(self.now, self.model.count(one.asked).closed_at + self.model.rules.timelock_s)
        refusal = self.model.refusal(one.asked, self.now)
        bundle = self.bundle_of(one)
        if bundle is None:
            assert refusal in ("void", "defeated")
            return
        if refusal is None:
            self.model.carry_out(one.asked)
        blocks = bundle.blocks | one.named
        try:
            after = advanced(self.history, bundle.decision, blocks.__getitem__, at=self.now)
        except NotYet:  # before the timelock can have ended, nobody counts whether it was carried
            ends = bundle.decision.proposal.closes_at + self.model.rules.timelock_s
            assert refusal == "early" or (refusal in ("void", "defeated") and self.now < ends)
        except VaultError:
            assert refusal in ("void", "defeated", "conflict")
        else:
            assert refusal is None
            self.followed(after)

    @rule(seconds=st.sampled_from((1, 29, 40, 71)))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    def step(self, cause: Cause, *, is_fine: bool) -> None:
        try:
            after = advanced(self.history, cause, {}.__getitem__, at=self.now)
        except VaultError:
            assert not is_fine
        else:
            assert is_fine
            self.followed(after)

    def followed(self, after: History) -> None:
        self.history = after
        self.past.append(after)

    def bundle_of(self, one: Real) -> Any:
        """Return the decision that custodians close with by now; None where nobody who is still a member voted."""
        extension = self.model.rules.extension_s
        try:
            sets = [replace(known, period=period_of(at, one.proposal.closes_at, extension)) for known, at in one.cast]
            return with_blocks(closed(self.history, one.proposal, sets))
        except VaultError:
            return None

    @invariant()
    def counts_are_the_same(self) -> None:
        for one in self.open[-2:]:
            state = len(one.cast), self.history.delegated_epoch, self.model.is_void(one.asked)
            bundle = None if self.model.is_void(one.asked) or state == one.compared else self.bundle_of(one)
            if bundle is None:
                continue
            one.compared = state
            count = self.history.counted(bundle.decision, bundle.blocks.__getitem__)
            expected = self.model.count(one.asked)
            assert expected.answers == {
                "for": count.weight_for,
                "against": count.weight_against,
                "abstain": count.weight_abstain,
            }
            assert (count.closed_at, count.is_carried()) == (expected.closed_at, expected.is_carried)

    @invariant()
    def what_is_in_force_is_the_same(self) -> None:
        history, model = self.history, self.model
        assert history.head.epoch == model.epoch == len(history.heads) - 1
        assert {NAMES[cid]: at for cid, at in history.adopted.items()} == model.policies
        assert {NAMES[cid] for cid in history.head.policies} == set(model.policies) == {*names_of(history)}
        assert rules_of(history) == model.rules and history.charter_epoch == model.rules_since
        chosen = in_force(history.delegations, epoch=model.epoch)
        for name in MEMBERS:
            to = model.delegate_of(name, model.epoch)
            real = chosen.get(wallet(name).address)
            assert (None if real is None else real.delegate) == (None if to is None else wallet(to).address)
        for (scope, subject), binary in SUBJECTS.items():
            for since in range(max(0, model.epoch - 4), model.epoch + 1):
                assert history.head.revoked_since(Scope(scope), binary, since) == model.is_revoked(
                    scope, subject, since=since
                )

    @invariant()
    def proposals_stand_the_same(self) -> None:
        for one in self.open:
            assert self.history.is_carried(one.proposal.cid()) == one.asked.is_done
            stopped = one.asked.is_canceled and one.asked.adopts is not None
            assert self.history.is_canceled(one.proposal) == stopped


@pytest.mark.parametrize("runs", [min(AT_ONCE, RUNS - start) for start in range(0, RUNS, AT_ONCE)])
def test_random_histories_are_what_a_small_model_says(runs: int) -> None:
    run_state_machine_as_test(
        Deciding,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
