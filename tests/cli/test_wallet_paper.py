"""`coffer wallet backup` and `restore`: a wallet on paper, and only that wallet back from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import LIGHT, PASSWORD, Party


@pytest.fixture
def wallet(party: Party) -> str:
    return party.wallet("me")


def lists(party: Party) -> list[str]:
    return list(party.json("wallet", "backup", "me")["lists"])


@pytest.mark.parametrize("chosen", [(0, 1), (1, 2), (2, 0)])
def test_any_two_of_three_lists_bring_the_wallet_back(party: Party, wallet: str, chosen: tuple[int, int]) -> None:
    words = lists(party)
    piped = "\n".join(words[n] for n in chosen).encode()
    party.env["COFFER_PASSWORD"] = "another password"  # noqa: S105
    back = party.json("wallet", "restore", "again", "--address", wallet, "--rounds", LIGHT, input=piped)
    assert back["address"] == wallet
    assert party.json("wallet", "show", "again")["wallets"]["again"] == wallet
    file = (party.home / "wallets" / "again.json").read_text()
    assert PASSWORD not in file and words[0] not in file


def test_what_does_not_rebuild_that_wallet_writes_nothing(party: Party, wallet: str) -> None:
    words, other = lists(party), party.wallet("other")
    at = ("--rounds", LIGHT)
    refusals = {
        "2 different lists": (wallet, words[:1]),
        "another wallet than": (other, words[:2]),
        "number of words": (wallet, ["one two three", words[1]]),
        "1 … 16 lists": (wallet, []),
    }
    for said, (address, given) in refusals.items():
        piped = "\n".join(given).encode()
        assert said in party.refused("wallet", "restore", "again", "--address", address, *at, input=piped)
    assert "already" in party.refused("wallet", "restore", "me", "--address", wallet, *at, input=b"")
    assert not (party.home / "wallets" / "again.json").exists()


def test_a_file_of_words_is_private_new_and_warned_of(party: Party, wallet: str, tmp_path: Path) -> None:
    shown = party.run("wallet", "backup", "me", "--out", tmp_path / "words")
    assert "secret:" in shown.stderr and wallet in shown.stdout
    assert (tmp_path / "words").stat().st_mode & 0o777 == 0o600
    assert "already" in party.refused("wallet", "backup", "me", "--out", tmp_path / "words")
    assert "password" in Party(party.home, env={"COFFER_PASSWORD": "wrong"}).refused("wallet", "backup", "me")
