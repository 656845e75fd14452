"""Whether a text is in the corpus, asked by small changes: bounded for a licensee, and for all strangers together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import EVERYTHING
from tests.deployment import deployed
from tests.enclaves import PRICE, world
from tests.people import seeded, wallet
from tests.policies import ANYONE, own_credential
from vault.codec import encode
from vault.errors import RateExceeded
from vault.question import PLAIN

WORDS = [seeded(f"word {n}", 4).hex() for n in range(90)]
SECRET = " ".join(WORDS[:30])
TEXTS = (SECRET, " ".join(WORDS[30:60]), " ".join(WORDS[60:]))
LIMIT = {"output": replace(EVERYTHING, probes_per_hour=5)}


def variants(count: int) -> list[str]:
    """Return the secret with another word left out each time."""
    words = SECRET.split()
    return [" ".join(words[:n] + words[n + 1 :]) for n in range(count)]


def test_a_licensee_asks_so_many_and_pays_for_no_more(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=TEXTS, policy=LIMIT)) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            for text in variants(5):
                client.search(text, k=1)
            with pytest.raises(RateExceeded, match="hardly differ"):
                client.search(variants(6)[5], k=1)
            assert client.account().credit == 10_000 - 5 * PRICE
            client.search(TEXTS[1], k=1)  # what is about something else is answered
            client.search(variants(1)[0], k=1)  # and so is what was asked before
            deployment.world.clock.advance(deployment.world.dao.charter.lease_s / 2)
            with pytest.raises(RateExceeded):
                client.search(SECRET, k=1)


def test_a_filter_read_bit_by_bit_is_a_row_of_such_questions(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=TEXTS, policy=LIMIT)) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            asked = 0
            with pytest.raises(RateExceeded):
                for most in range(100):
                    where = encode({"must_not": [{"key": "document", "equals": f"{most}x"}]})
                    client.search(SECRET, k=1, options=replace(PLAIN, where=where))
                    asked += 1
            assert asked == 5


def test_strangers_are_counted_together(tmp_path: Path) -> None:
    setting = world(texts=TEXTS, policy=LIMIT | ANYONE)
    asked = 0
    with deployed(tmp_path, setting) as deployment:
        for number, text in enumerate(variants(8)):
            sybil = wallet(f"sybil {number}")
            deployment.add_credit(1_000, sybil)
            with deployment.client(own_credential(setting, sybil)) as client:
                try:
                    client.search(text, k=1)
                except RateExceeded:
                    continue
                asked += 1
    assert asked == 5


def test_without_the_rule_nobody_is_stopped(tmp_path: Path) -> None:
    with deployed(tmp_path, world(texts=TEXTS)) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            assert len([client.search(text, k=1) for text in variants(12)]) == 12
