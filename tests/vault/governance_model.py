"""A small model of how a DAO decides: plain dicts and integers, and nothing of what it is compared with.

It takes names for everything (members, policies, proposals) and says what a history has to hold. Where it counts, it
asks of each member who speaks for it, not what each ballot weighs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FOR, AGAINST, ABSTAIN = "for", "against", "abstain"


@dataclass(frozen=True)
class Facts:
    """What a policy touches."""

    datasets: frozenset[str]
    measurements: frozenset[str]


@dataclass
class Rules:
    """A charter, as far as deciding goes."""

    weights: dict[str, int]
    quorum_bps: int
    threshold_bps: int
    period_s: int
    extension_s: int
    timelock_s: int


@dataclass
class Asked:
    """A proposal, and every ballot cast on it: (voter, sequence, signature, answer, arrival)."""

    epoch: int
    opens_at: int
    adopts: str | None = None
    drops: tuple[str, ...] = ()
    rules: Rules | None = None
    revokes: tuple[str, str] | None = None
    ballots: list[tuple[str, int, bytes, str, int]] = field(default_factory=list)
    is_done: bool = False
    is_canceled: bool = False


@dataclass
class Counted:
    """What a vote adds up to."""

    answers: dict[str, int]
    closed_at: int
    is_carried: bool


@dataclass
class Model:
    """A DAO."""

    rules: Rules
    facts: dict[str, Facts]
    epoch: int = 0
    rules_since: int = 0
    policies: dict[str, int] = field(default_factory=dict)  # when each was proposed
    revoked: list[tuple[int, str, str]] = field(default_factory=list)  # (epoch, scope, subject), all there ever were
    choices: list[tuple[int, str, str]] = field(default_factory=list)  # (epoch, member, delegate) under these rules
    last_sequence: dict[str, int] = field(default_factory=dict)
    delegated_at: int = 0

    def delegate_of(self, member: str, epoch: int) -> str | None:
        """Return whom a member had chosen at an epoch."""
        made = [to for at, who, to in self.choices if who == member and at <= epoch]
        return made[-1] if made and made[-1] != member else None

    def count(self, asked: Asked) -> Counted:
        """Count a vote under the rules in force."""
        closes_at, rules = asked.opens_at + self.rules.period_s, self.rules
        quorum = rules.quorum_bps * sum(rules.weights.values())
        is_late = rules.extension_s > 0 and 10_000 * self._cast(asked, closes_at) >= quorum > 10_000 * self._cast(
            asked, closes_at - rules.extension_s
        )
        end = closes_at + rules.extension_s * is_late
        answers = {FOR: 0, AGAINST: 0, ABSTAIN: 0}
        for member, weight in rules.weights.items():
            if (answer := self._answer(asked, member, end)) is not None:
                answers[answer] += weight
        enough = 10_000 * answers[FOR] >= rules.threshold_bps * sum(rules.weights.values())
        is_carried = 10_000 * sum(answers.values()) >= quorum and enough and answers[FOR] > answers[AGAINST]
        return Counted(answers, end, is_carried)

    def _cast(self, asked: Asked, end: int) -> int:
        return sum(w for member, w in self.rules.weights.items() if self._answer(asked, member, end) is not None)

    def _answer(self, asked: Asked, member: str, end: int) -> str | None:
        """Return what is counted for a member: its own last word, or that of whom it chose."""
        for speaker in (member, self.delegate_of(member, asked.epoch)):
            said = [b for b in asked.ballots if b[0] == speaker and b[4] <= end]
            if said:
                return max(said, key=lambda b: (b[1], b[2]))[3]
        return None

    def is_void(self, asked: Asked) -> bool:
        """Say whether a proposal can no longer be decided."""
        return asked.epoch < self.rules_since or asked.is_done or (asked.is_canceled and asked.adopts is not None)

    def refusal(self, asked: Asked, at: int) -> str | None:
        """Return why a proposal cannot be carried out; None where it can."""
        if self.is_void(asked):
            return "void"
        count = self.count(asked)
        if not asked.ballots or not count.is_carried:
            return "defeated"
        if at < count.closed_at + self.rules.timelock_s:
            return "early"
        if asked.adopts is not None:
            is_there = asked.adopts in self.policies and asked.adopts not in asked.drops
            if is_there or any(self.is_revoked(*one, since=asked.epoch) for one in self._subjects(asked.adopts)):
                return "conflict"
        if asked.rules is not None and asked.rules == self.rules:
            return "conflict"
        return None

    def carry_out(self, asked: Asked) -> None:
        """Do what a proposal asks."""
        asked.is_done = True
        self.epoch += 1
        if asked.adopts is not None:
            self.policies = {name: at for name, at in self.policies.items() if name not in asked.drops}
            self.policies[asked.adopts] = asked.epoch
        elif asked.rules is not None:
            self.rules, self.rules_since, self.delegated_at = asked.rules, self.epoch, self.epoch
            self.choices = []
        elif asked.revokes is not None:
            self.take_away(*asked.revokes)

    def take_away(self, scope: str, subject: str) -> None:
        """Revoke at this epoch."""
        self.revoked.append((self.epoch, scope, subject))
        for name in list(self.policies):
            if scope == "dao" or (scope in ("policy", "dataset") and (scope, subject) in self._subjects(name)):
                del self.policies[name]

    def is_revoked(self, scope: str, subject: str, *, since: int) -> bool:
        """Say whether something was revoked after an epoch, alone or with the whole DAO."""
        return any(at > since and (s == "dao" or (s, what) == (scope, subject)) for at, s, what in self.revoked)

    def _subjects(self, policy: str) -> set[tuple[str, str]]:
        facts = self.facts[policy]
        found = {("dataset", name) for name in facts.datasets} | {("measurement", name) for name in facts.measurements}
        return found | {("policy", policy)}

    def cancel(self, asked: Asked) -> bool:
        """Have guardians cancel a proposal; say whether they still can."""
        if asked.is_done or asked.is_canceled:
            return False
        self.epoch += 1
        asked.is_canceled = True
        return True

    def delegate(self, choices: dict[str, tuple[str, int]]) -> bool:
        """Have members choose (delegate, sequence); say whether all of them can."""
        if any(sequence <= self.last_sequence.get(who, -1) for who, (_, sequence) in choices.items()):
            return False
        self.epoch += 1
        self.delegated_at = self.epoch
        for who, (to, sequence) in choices.items():
            self.choices.append((self.epoch, who, to))
            self.last_sequence[who] = sequence
        return True
