"""What a client tries again, how long it waits, and when it gives up: by a clock that tests move."""

from __future__ import annotations

import pytest

from enclave.patience import FIRST_PAUSE_S, PAUSE_S_MAX, Patience, may_be_repeated
from tests.enclaves import Clock
from vault import errors
from vault.errors import Overloaded, RateExceeded, ServiceUnavailable, VaultError

REPEATABLE = {errors.ServiceUnavailable, errors.RecordsUnavailable, errors.SessionOver, errors.Overloaded}
SPREAD = 1.5


def patience(clock: Clock, **options: float) -> Patience:
    return Patience(monotonic=clock.monotonic, **options)  # type: ignore[arg-type]  # seconds alone


@pytest.mark.parametrize("kind", sorted(vars(errors).values(), key=str))
def test_only_what_is_safe_is_tried_again(kind: object) -> None:
    if isinstance(kind, type) and issubclass(kind, VaultError):
        assert may_be_repeated(kind("wrong")) == (kind in REPEATABLE)


def test_too_many_questions_are_tried_again_where_it_is_said_when() -> None:
    assert may_be_repeated(RateExceeded("too many", wait_s=1))
    assert not may_be_repeated(RateExceeded("more than 60 in a minute"))


def test_pauses_grow_to_a_bound_and_start_again_after_an_answer() -> None:
    attempts = patience(Clock(), timeout_s=1000).begin()
    pauses = [attempts.pause_s(ServiceUnavailable("away")) for _ in range(10)]
    assert FIRST_PAUSE_S <= pauses[0] <= SPREAD * FIRST_PAUSE_S
    assert PAUSE_S_MAX <= pauses[-1] <= SPREAD * PAUSE_S_MAX
    attempts.succeeded()
    assert attempts.pause_s(ServiceUnavailable("away")) <= SPREAD * FIRST_PAUSE_S


def test_it_waits_as_long_as_it_is_told() -> None:
    assert patience(Clock()).begin().pause_s(Overloaded("full", wait_s=7)) >= 7


def test_a_pause_past_the_deadline_is_not_begun() -> None:
    clock = Clock()
    attempts = patience(clock, timeout_s=10).begin()
    clock.advance(9.99)
    with pytest.raises(ServiceUnavailable, match="away"):
        attempts.pause_s(ServiceUnavailable("away"))
    with pytest.raises(Overloaded):
        patience(Clock(), timeout_s=10).begin().pause_s(Overloaded("full", wait_s=60))


def test_what_is_left_shrinks_and_is_never_nothing() -> None:
    clock = Clock()
    attempts = patience(clock).begin(5)
    assert attempts.left_s == pytest.approx(5)
    clock.advance(100)
    assert 0 < attempts.left_s < 0.01


def test_without_retries_the_first_failure_is_raised() -> None:
    with pytest.raises(ServiceUnavailable):
        Patience(has_retries=False).begin().pause_s(ServiceUnavailable("away"))


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_timeout_of_nothing_is_a_mistake(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        Patience().begin(timeout_s)
