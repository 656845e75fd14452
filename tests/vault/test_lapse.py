"""Decisions that nobody carried out: they lapse, and no policy is adopted that has expired."""

import pytest

from storage.memory import MemoryBlobs
from tests.builders import NOW, adopted, adopting, carried, dao, policy, proposal, publish, published, revoking
from tests.governing import successor
from tests.people import DAY_S
from vault.action import Scope, charter_change
from vault.errors import InvalidDecision
from vault.history import verified_history
from vault.lapse import EXECUTION_S, lapses_at, require_timely

DAO = dao(3, timelock_s=2 * DAY_S, extension_s=3_600)
END = NOW + 3_600 + 2 * DAY_S + EXECUTION_S
POLICY = policy(DAO.genesis, expires_at=END + 1)
CHANGED = successor(DAO.charter, quorum_bps=5_000)
ACTIONS = [adopting(POLICY), revoking(Scope.DAO), charter_change(CHANGED.cid())]
BLOCKS = {POLICY.cid(): POLICY.encoded()}


@pytest.mark.parametrize("action", ACTIONS, ids=["adopts", "revokes", "changes the charter"])
def test_whatever_was_decided_lapses_a_month_after_the_longest_wait_for_it(action: object) -> None:
    made = proposal(DAO.history, action)  # type: ignore[arg-type]
    assert lapses_at(made, DAO.charter) == END
    for at in (NOW, END - 1):
        require_timely(made, DAO.charter, BLOCKS.__getitem__, at=at)
    for at in (END, END + 1, NOW + 30 * 365 * DAY_S):
        with pytest.raises(InvalidDecision, match="lapsed at 2027-02"):
            require_timely(made, DAO.charter, BLOCKS.__getitem__, at=at)


def test_a_policy_that_has_expired_meanwhile_is_not_adopted() -> None:
    short = policy(DAO.genesis, expires_at=NOW + 3 * DAY_S)
    made = proposal(DAO.history, adopting(short))
    require_timely(made, DAO.charter, {short.cid(): short.encoded()}.__getitem__, at=short.expires_at - 1)
    with pytest.raises(InvalidDecision, match="the policy expired at"):
        require_timely(made, DAO.charter, {short.cid(): short.encoded()}.__getitem__, at=short.expires_at)


def test_what_was_carried_out_in_time_is_verified_years_later() -> None:
    blobs, plain = MemoryBlobs(), dao(3)
    first = policy(plain.genesis)
    tip = published(blobs, plain.history, carried(plain.history, adopting(first), first))
    publish(blobs, tip.head)
    assert adopted(plain.history, first) == tip
    later = verified_history(plain.genesis, tip.head.cid(), blobs.get, at=NOW + 30 * 365 * DAY_S)
    assert later == tip
