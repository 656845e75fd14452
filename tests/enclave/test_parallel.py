"""Asking custodians at once: who has answered, who owes an answer, and how long anybody is waited for."""

from __future__ import annotations

from threading import Event, local
from typing import Any

import pytest

from enclave.parallel import Round
from vault.errors import ServiceUnavailable


class _Lingering:
    """What keeps the thread that holds it from ending: threads end some time after their last word."""

    def __init__(self, until: Event) -> None:
        self._until = until

    def __del__(self) -> None:
        self._until.wait(10)


def test_whoever_has_answered_is_asked_again_at_once() -> None:
    answers, until, held = Round(), Event(), local()

    def answer() -> int:
        held.lingering = _Lingering(until)
        return 7

    for _ in range(2):
        assert answers.ask({1: answer}, is_enough=lambda _: False).answers == {1: 7}
    until.set()


def test_it_ends_a_grace_after_enough_and_does_not_ask_again_who_still_owes() -> None:
    answers, let_go, asked = Round(), Event(), []

    def hang() -> int:
        asked.append(1)
        let_go.wait(10)
        return 3

    def enough(known: Any) -> bool:
        return len(known) >= 1

    for _ in range(2):
        came = answers.ask({1: lambda: 7, 2: hang}, is_enough=enough, grace_s=0.05)
        assert came.answers == {1: 7}
        assert isinstance(came.failures[2], ServiceUnavailable)
    assert asked == [1]
    let_go.set()


def test_what_nobody_foresaw_is_one_custodians_failure_and_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def buggy() -> int:
        raise KeyError("a secret")

    came = Round().ask({1: buggy, 2: lambda: 7}, is_enough=lambda _: False)
    assert came.answers == {2: 7}
    assert isinstance(came.failures[1], ServiceUnavailable)
    assert "KeyError" in caplog.text and "secret" not in caplog.text + str(came.failures[1])


def test_without_enough_it_ends_with_its_patience() -> None:
    let_go = Event()
    came = Round().ask({1: lambda: let_go.wait(10)}, is_enough=lambda _: False, patience_s=0.05)
    assert list(came.failures) == [1]
    let_go.set()
