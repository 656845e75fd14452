"""Filters, words and facts as oracles over what a policy holds back: fewer owners than it asks for, what it redacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.session.machine import Machine
from tests.deployment import deployed
from tests.enclaves import credential, world
from tests.people import wallet
from tests.policies import serving, two_owners
from vault.codec import encode
from vault.envelope import Passage
from vault.errors import AccessDenied, BudgetExhausted
from vault.output_rules import OutputRules, Redaction
from vault.question import PLAIN, Mode, Options


def where(condition: Any) -> Options:
    return replace(PLAIN, where=encode(condition))


def test_an_answer_that_too_few_owners_stand_behind_says_the_same_whether_anything_matched(tmp_path: Path) -> None:
    """Or a filter reads a fact bit by bit, of passages that may never leave."""
    first = (Passage("alice.txt", 0, 4, "rope anchor", {"salary": 73_412}), Passage("bob.txt", 0, 4, "rope"))
    rules = OutputRules(owners_min=2, score_decimals=3, redacts=())
    with serving(tmp_path, two_owners(first, output=rules)) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            matched, missed = (
                client.search("rope", k=2, options=where({"key": "salary", "range": {"lte": most}}))
                for most in (80_000, 10)
            )
            known, unknown = (
                client.search(word, k=2, options=replace(PLAIN, mode=Mode.KEYWORD)) for word in ("rope", "merger")
            )
    for answer in (matched, missed, known, unknown):
        assert (answer.results, answer.is_partial) == ((), True)


@pytest.mark.parametrize(
    "options",
    [
        where({"key": "mail", "equals": "ann@port.example"}),
        where({"key": "card", "range": {"gte": 4 * 10**15}}),
        where({"key": "document", "equals": "ann@port.example.txt"}),
        replace(PLAIN, mode=Mode.KEYWORD),
        replace(PLAIN, mode=Mode.HYBRID),
    ],
    ids=["fact", "number", "document", "words", "both"],
)
def test_what_is_redacted_cannot_be_asked_for(tmp_path: Path, options: Options) -> None:
    facts = {"mail": "ann@port.example", "card": 4_111_111_111_111_111}
    texts = (Passage("ann@port.example.txt", 0, 4, "write to ann@port.example", facts), "harbor lights")
    rules = OutputRules(owners_min=1, score_decimals=2, redacts=(Redaction.CARD, Redaction.EMAIL))
    with deployed(tmp_path, world(texts=texts, policy={"output": rules})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            with pytest.raises(AccessDenied, match="this policy redacts"):
                client.search("ann@port.example", k=1, options=options)
            passage = client.search("write to somebody", k=1).results[0].passage
    assert "ann@port" not in f"{passage.document}{passage.text}{passage.metadata}"
    assert passage.metadata["card"] == 0


def test_passages_that_differ_in_their_facts_alone_are_different_ones_to_a_budget(tmp_path: Path) -> None:
    texts = tuple(Passage(f"{n}.txt", 0, 6, "record", {"salary": 1000 + n}) for n in range(6))
    with deployed(tmp_path, world(texts=texts, policy={"passages_max": 3})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            answer = client.search("record", k=6)
            assert (len(answer.results), answer.is_partial) == (3, True)
            with pytest.raises(BudgetExhausted):
                client.search("record", k=6)


def test_one_licensee_throws_out_no_session_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enclave.admission.LICENSEE_SESSIONS_MAX", 3)
    setting = world()
    with deployed(tmp_path, setting) as deployment:
        deployment.add_credit(10_000)
        crowd = credential(setting, wallet("crowd"))
        with deployment.client() as client, Machine(deployment, crowd) as machine:
            machine.open()
            first = machine.session
            for _ in range(3):
                machine.open()
            sessions = deployment.enclave.service._admission._sessions
            assert first not in sessions
            assert sum(session.license.licensee == wallet("crowd").address for session in sessions.values()) == 3
            client.search("tide table", k=1)
