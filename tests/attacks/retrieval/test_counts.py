"""Counting as an oracle (rule O3): where a policy tells no counts there is nothing to learn, elsewhere little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.attacks.session.machine import Machine
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import APPRAISER, PRICE, world
from tests.policies import serving, two_owners
from vault.codec import encode
from vault.envelope import Passage
from vault.errors import AccessDenied, BudgetExhausted, InvalidReceipt, MalformedObject, VaultError
from vault.output_rules import COUNTS_LEAST, EVERYTHING, OutputRules
from vault.question import PLAIN, Mode, Query, count_bytes
from vault.receipt_check import verify_answer, verify_receipt_file

COUNTING = replace(EVERYTHING, counts_from=5)
PEOPLE = tuple(Passage(f"{n}.txt", 0, 6, f"record {n}", {"salary": 1000 * n}) for n in range(23))


def below(most: int) -> bytes:
    return encode({"key": "salary", "range": {"lt": most}})


def entries(deployment: Deployment) -> int:
    last = deployment.journal().last()
    return last.sequence if last else 0


def test_where_the_policy_does_not_tell_counts_every_filter_is_refused_alike_and_free(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=PEOPLE)) as deployment:
        deployment.add_credit(10_000)
        before, searches = entries(deployment), deployment.enclave.engine.searches
        refusals = set()
        with deployment.client() as client:
            assert client.describe().counts_in == 0
            for where in (
                below(10**6),
                below(1),
                encode({"key": "no such key", "exists": True}),
                b"\xff",
                b"no filter",
            ):
                with pytest.raises(AccessDenied) as refusal:
                    client.count(where)
                refusals.add(str(refusal.value))
        with Machine(deployment) as machine:  # nor by any other call
            query = machine.open().query("", k=0, options=replace(PLAIN, where=below(10**6)))
            with pytest.raises(AccessDenied, match="how many passages"):
                machine.ask(query)
        assert len(refusals) == 1
        assert (entries(deployment), deployment.enclave.engine.searches) == (before, searches)
        assert deployment.licensee_credit(wallet("licensee")) == 10_000


def test_nor_does_the_score_of_a_known_passage_count_what_meets_a_filter(tmp_path: Path) -> None:
    """BM25 weighs a word by how many passages hold it: were those counted that a filter leaves, any filter would."""
    with deployed(tmp_path, world(texts=PEOPLE)) as deployment:
        deployment.add_credit(10_000)
        known = {"key": "document", "equals": "0.txt"}
        told = set()
        with deployment.client() as client:
            for most in (1, 1_000, 7_000, 23_000):
                where = encode({"should": [known, {"key": "salary", "range": {"lt": most}}]})
                answer = client.search("0 record", k=1, options=replace(PLAIN, mode=Mode.KEYWORD, where=where))
                told |= {(result.document, result.score) for result in answer.results}
        assert len(told) == 1


def test_counts_are_rounded_down_so_that_no_single_passage_shows(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=PEOPLE, policy={"output": COUNTING})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            told = {matching: client.count(below(1000 * matching)).count for matching in (0, 1, 4, 5, 6, 9, 10, 23)}
            assert told == {0: 0, 1: 0, 4: 0, 5: 5, 6: 5, 9: 5, 10: 10, 23: 20}
            assert client.count(encode({"must_not": [{"key": "salary", "exists": True}]})).count == 0
            assert client.describe().counts_in == 5
            spent = client.account().spent
        assert spent == 9 * PRICE


def test_a_count_has_a_receipt_that_says_how_many(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=PEOPLE, policy={"output": COUNTING})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            counted = client.count(below(12_000))
            file = counted.file
            assert (counted.count, counted.receipt.price, counted.receipt.passages) == (10, PRICE, ())
            links = list(
                verify_receipt_file(file, genesis=deployment.world.genesis, appraiser=APPRAISER, allow_simulated=True)
            )
            assert any("the question and its vector are the committed ones" in link for link in links)
            with pytest.raises(InvalidReceipt, match="vector"):
                verify_answer(
                    replace(file, query_vector=count_bytes(15)), counted.receipt, genesis=deployment.world.genesis
                )


def test_the_same_count_again_is_free_and_the_same(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=PEOPLE, policy={"output": COUNTING})) as deployment:
        deployment.add_credit(10_000)
        with Machine(deployment) as machine:
            query = machine.open().query("", k=0, options=replace(PLAIN, where=below(12_000)))
            first, again = machine.ask(query), machine.ask(query)
            assert first.query_vector == again.query_vector == count_bytes(10)
            assert (first.is_repeat, again.is_repeat, first.receipt) == (False, True, again.receipt)
        with deployment.client() as client:
            ids = {"request_id": bytes(31) + b"r", "salt": bytes(31) + b"s"}
            told, repeated = (client.count(below(12_000), **ids) for _ in range(2))
            assert (told.is_repeat, repeated.is_repeat, told.receipt) == (False, True, repeated.receipt)


def test_what_too_few_owners_stand_behind_counts_as_nothing(tmp_path: Path) -> None:
    first = tuple(Passage(f"a{n}.txt", 0, 4, f"rope {n}", {"kind": "rope", "size": n}) for n in range(8))
    second = tuple(Passage(f"b{n}.txt", 0, 4, f"sail {n}", {"size": n}) for n in range(8))
    rules = OutputRules(owners_min=2, score_decimals=3, redacts=(), counts_from=5)
    with serving(tmp_path, two_owners(first, second, output=rules)) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            assert client.count(encode({"key": "kind", "equals": "rope"})).count == 0
            assert client.count(encode({"key": "size", "exists": True})).count == 15


def test_a_budget_that_is_used_up_refuses_before_anything_is_counted(tmp_path: Path) -> None:
    setting = world(texts=PEOPLE, policy={"output": COUNTING, "passages_max": 2})
    with deployed(tmp_path, setting) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            client.search("record", k=2)
            before, searches = entries(deployment), deployment.enclave.engine.searches
            with pytest.raises(BudgetExhausted):
                client.count(below(10_000))
        assert (entries(deployment), deployment.enclave.engine.searches) == (before, searches)


@pytest.mark.parametrize(
    "where", [b"\xff", encode({"key": "salary"}), encode({"key": "salary", "equals": 1, "or": []})]
)
def test_a_filter_that_is_none_is_refused_and_free(tmp_path: Path, where: bytes) -> None:
    with deployed(tmp_path, world(texts=PEOPLE, policy={"output": COUNTING})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            with pytest.raises(MalformedObject):
                client.count(where)
            with pytest.raises(VaultError):
                client.count(b"")
            assert client.account().credit == 10_000


@pytest.mark.parametrize(
    "fields",
    [{"k": 1}, {"text": "record"}, {"options": replace(PLAIN, where=below(9), neighbors=1)}, {"vector": bytes(256)}],
)
def test_a_count_asks_for_nothing_else(fields: dict[str, Any]) -> None:
    usual: dict[str, Any] = {
        "request": seeded("request"),
        "policy": Cid.of(DAG_CBOR, b"policy"),
        "text": "",
        "k": 0,
        "salt": seeded("salt"),
        "options": replace(PLAIN, where=below(9)),
    }
    assert Query(**usual).is_count
    with pytest.raises(MalformedObject):
        Query(**(usual | fields))


@pytest.mark.parametrize("fields", [{"counts_from": 1}, {"counts_from": COUNTS_LEAST - 1}, {"counts_from": 10**9 + 1}])
def test_rules_that_would_tell_single_passages_apart_cannot_be_made(fields: dict[str, int]) -> None:
    with pytest.raises(MalformedObject):
        replace(EVERYTHING, **fields)
