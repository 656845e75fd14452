"""The DAO that random histories are of, in the model's words and in ours."""

from __future__ import annotations

from tests.builders import dataset, policy
from tests.governing import guarded
from tests.people import roll_in, seeded, wallet, weight
from tests.vault.governance_model import Facts, Rules
from vault.closing import Period
from vault.history import History
from vault.policy import AcceptedTee

PERIOD_S, EXTENSION_S, TIMELOCK_S = 100, 30, 50
MEMBERS = ("member 0", "member 1", "member 2", "member 3")
WEIGHTS = ((3, 2, 2, 1), (1, 1, 1, 5), (4, 4, 1), (1, 1, 1, 1))  # in the third, member 3 has left
QUORUMS = (4_000, 7_500)
EXTENSIONS = (EXTENSION_S, 0)
DAO = guarded(
    weights=WEIGHTS[0],
    quorum_bps=QUORUMS[0],
    period_s=PERIOD_S,
    extension_s=EXTENSION_S,
    timelock_s=TIMELOCK_S,
    proposal_weight=weight(0),
)
MEASURED = {name: seeded(f"measurement {name}") for name in ("m", "n")}
LINEAGES = {name: dataset(name).lineage(DAO.genesis) for name in ("x", "y")}
FACTS = {
    "tides": Facts(frozenset("x"), frozenset("m")),
    "rain": Facts(frozenset("y"), frozenset("m")),
    "both": Facts(frozenset("xy"), frozenset("mn")),
}
POLICIES = {
    name: policy(
        DAO.genesis,
        title=name,
        datasets=tuple(dataset(one) for one in sorted(facts.datasets)),
        tees=tuple(AcceptedTee.simulated(MEASURED[one], seeded("anchor")) for one in sorted(facts.measurements)),
    )
    for name, facts in FACTS.items()
}
NAMES = {POLICIES[name].cid(): name for name in POLICIES}
SUBJECTS = {
    ("dao", ""): b"",
    **{("policy", name): one.cid().binary for name, one in POLICIES.items()},
    **{("dataset", name): lineage for name, lineage in LINEAGES.items()},
    **{("measurement", name): digest for name, digest in MEASURED.items()},
    ("licensee", "ann"): wallet("ann").address,
}


def period_of(arrived_at: int, closes_at: int, extension_s: int) -> Period:
    """Return the period of a ballot that came at a time, as custodians with one clock see it."""
    if arrived_at <= closes_at - extension_s:
        return Period.EARLY
    return Period.LATE if arrived_at <= closes_at else Period.EXTENDED


def names_of(history: History) -> list[str]:
    return [NAMES[cid] for cid in history.policies]


def rules_of(history: History) -> Rules:
    charter, roll = history.charter, roll_in(history.charter)
    known = {wallet(name).address: name for name in MEMBERS}
    voting = charter.voting
    return Rules(
        weights={known[address]: own for address, own in sorted(roll.members)},
        quorum_bps=voting.quorum_bps,
        threshold_bps=voting.threshold_bps,
        period_s=voting.period_s,
        extension_s=voting.extension_s,
        timelock_s=voting.timelock_s,
    )
