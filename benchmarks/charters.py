"""The DAO of benchmarks: rules that a small one would have, in a charter of given members and custodians."""

from __future__ import annotations

from collections.abc import Iterable

from vault.charter import Charter, Custodian, Voting
from vault.founding import charter_of, numbers_for
from vault.hpke import HpkeKeys
from vault.machine import MachineKey
from vault.roll import Roll

VOTING = Voting(
    quorum_bps=1_000,
    threshold_bps=5_001,
    delay_s=0,
    period_s=86_400,
    extension_s=3_600,
    round_s=60,
    timelock_s=86_400,
    proposal_weight=bytes(31) + b"\x01",
    proposals_per_day=10,
    delegations_every_s=3_600,
)


def charter_with(roll: Roll, machines: Iterable[MachineKey], *, treasury: bytes = bytes(20)) -> Charter:
    """Return the charter of these members, kept by these custodians."""
    custodians = [Custodian(key=key.public, hpke=HpkeKeys.from_seed(key.public * 4).public) for key in machines]
    return charter_of(
        "Benchmark",
        roll,
        custodians,
        numbers_for(len(custodians)),
        chain_id=1,
        voting=VOTING,
        lease_s=600,
        treasury=treasury,
    )
