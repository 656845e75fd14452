"""Extraction beyond the budget: by repetitions, windows, forms, new versions, new keys and what the host takes back."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from enclave.client import EnclaveClient
from enclave.status import State
from rag.kinship import RESEMBLING_MAX
from storage.cid import Cid
from tests.deployment import Deployment, deployed
from tests.enclaves import NOW, license_of, world
from tests.people import seeded, wallet
from tests.policies import ANYONE, own_credential
from tests.versions import versions
from vault.envelope import Passage
from vault.errors import BudgetExhausted

WORDS = [seeded(f"word {n}", 4).hex() for n in range(600)]
STORY = " ".join(WORDS)


def windows(width: int, step: int) -> tuple[Passage, ...]:
    """Return the story cut into windows of so many characters."""
    ends = range(0, len(STORY) - width + 1, step)
    return tuple(Passage("story.txt", at, at + width, STORY[at : at + width]) for at in ends)


def drained(client: EnclaveClient, *, k: int = 10, most: int = 60) -> set[str]:
    """Return every text that a client gets by asking for all it can think of, until it is refused."""
    seen: set[str] = set()
    for word in WORDS[: most * 8 : 8]:
        try:
            seen |= {result.passage.text for result in client.search(word, k=k).results}
        except BudgetExhausted:
            return seen
    return seen


def test_a_passage_and_its_copy_with_a_word_changed_count_as_one(tmp_path: Path) -> None:
    said = " ".join(WORDS[:120])
    texts = (said, said.replace(WORDS[60], "another"), said.upper(), "rope anchor", "sail beacon")
    with deployed(tmp_path, world(texts=texts, policy={"passages_max": 2})) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            answer = client.search(said, k=3)
            assert len(answer.results) == 3 and answer.receipt.budget_left == 1
            assert client.search("rope anchor", k=1).receipt.budget_left == 0
            with pytest.raises(BudgetExhausted):
                client.search("sail beacon", k=1)


def test_a_register_of_forms_does_not_leave_as_one_passage(tmp_path: Path) -> None:
    form = " ".join(WORDS[:150])
    texts = tuple(f"{form} name{n} balance{n * 7919}" for n in range(40))
    with deployed(tmp_path, world(texts=texts, policy={"passages_max": 3})) as deployment:
        deployment.add_credit(100_000)
        with deployment.client() as client:
            assert len(drained(client)) <= 3 * RESEMBLING_MAX


def test_windows_over_a_document_give_no_more_of_it_than_passages_side_by_side(tmp_path: Path) -> None:
    width, budget = 300, 4
    with deployed(tmp_path, world(texts=windows(width, 60), policy={"passages_max": budget})) as deployment:
        deployment.add_credit(100_000)
        with deployment.client() as client:
            seen = drained(client)
    covered = set().union(*(range(STORY.index(one), STORY.index(one) + width) for one in seen))
    assert len(covered) <= 2 * width * budget


def test_a_version_cut_anew_or_with_words_changed_gives_no_budget_back(tmp_path: Path) -> None:
    made = versions(tuple(one.text for one in windows(300, 300)), passages_max=5)
    with deployed(tmp_path, made.world) as deployment:
        deployment.add_credit(100_000)
        with deployment.client() as client:
            assert len(drained(client)) == 5
        recut = made.next(windows(200, 200))
        edited = made.next(tuple(one.text.replace("a", "b") for one in windows(300, 300)))
        for version in (recut, edited):
            deployment.custodies.deposit(version)
            assert deployment.enclave.step() is State.SERVING
            deployment.until(partial(_serves, deployment, version.manifest.cid()))
            with deployment.client() as client:
                assert drained(client) == set()


def _serves(deployment: Deployment, version: Cid) -> bool:
    return any(manifest.cid() == version for manifest in deployment.enclave.instance.serving().manifests)


def test_a_dozen_strangers_see_no_more_than_one(tmp_path: Path) -> None:
    setting = world(texts=windows(120, 120), policy={**ANYONE, "passages_max": 6})
    seen: set[str] = set()
    with deployed(tmp_path, setting) as deployment:
        for number in range(12):
            sybil = wallet(f"sybil {number}")
            deployment.add_credit(1_000, sybil)
            with deployment.client(own_credential(setting, sybil)) as client:
                seen |= drained(client, k=2, most=4)
    assert len(seen) <= 6
    assert all(re.search(re.escape(one), STORY) for one in seen)


def test_all_keys_of_one_licensee_see_no_more_than_one(tmp_path: Path) -> None:
    setting = world(texts=windows(120, 120), policy={"passages_max": 6})
    seen: set[str] = set()
    with deployed(tmp_path, setting) as deployment:
        deployment.add_credit(10_000)
        for number in range(6):  # fresh session keys, and renewed licenses
            license = license_of(setting, wallet("licensee"), issued_at=NOW - number)
            asking = deployment.credential(license=license, seed=seeded(f"key {number}"))
            with deployment.client(asking) as client:
                seen |= drained(client, k=2, most=4)
                assert client.quote(k=2).passages_left == 6 - len(seen)
    assert len(seen) == 6


def test_what_is_left_is_said_by_every_receipt_and_never_grows(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=windows(120, 120), policy={"passages_max": 20})) as deployment:
        deployment.add_credit(100_000)
        with deployment.client() as client:
            left = [client.search(word, k=3).receipt.budget_left for word in WORDS[:60:10]]
    assert left == sorted(left, reverse=True) and left[0] < 20


@pytest.mark.parametrize("restored", [False, True])
def test_a_restart_gives_nothing_back_whether_vectors_come_sealed_or_anew(tmp_path: Path, restored: bool) -> None:
    with deployed(tmp_path, world(texts=windows(120, 120), policy={"passages_max": 4})) as deployment:
        deployment.add_credit(100_000)
        with deployment.client() as client:
            assert len(drained(client)) == 4
        deployment.enclave.close()
        if restored:
            for cid in [cid for cid in deployment.world.blobs.cids() if _is_snapshot(deployment.world.blobs.get(cid))]:
                deployment.world.blobs.delete(cid)
        deployment.enclave = deployment.start_enclave()
        if deployment.enclave.settle() is not State.SERVING:
            deployment.until_serving()
        with deployment.client() as client:
            assert drained(client) == set()


def _is_snapshot(block: bytes) -> bool:
    return b"coffer/snapshot/v2" in block
