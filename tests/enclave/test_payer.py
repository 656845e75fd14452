"""A payer's parts: the key that a credential implies, the tallies it keeps, and when it stops trying."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from enclave.payer import FRUITLESS_MAX, Payer, _wallet_needed
from enclave.tallies import Tallies, TalliesInMemory, TallyFolder
from tests.builders import seeded
from tests.channels import RULES, voucher_world
from tests.enclaves import credential
from vault.errors import MalformedObject, VaultError
from vault.paying import Tally

ASKING = credential(voucher_world())
CHANNEL = seeded("channel")


class TestKey:
    def test_it_follows_from_the_seed_and_from_nothing_else(self) -> None:
        again = replace(ASKING, license=ASKING.license)
        assert again.voucher_key().address == ASKING.voucher_key().address
        assert replace(ASKING, seed=seeded("another")).voucher_key().address != ASKING.voucher_key().address

    def test_it_is_not_the_session_key(self) -> None:
        assert ASKING.voucher_key().derive(b"x") != ASKING.seed
        assert ASKING.seed.hex() not in repr(ASKING.voucher_key())

    def test_without_a_wallets_libraries_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "coincurve", None)
        with pytest.raises(VaultError, match=r"install coffer\[vouchers\]"):
            _wallet_needed(ASKING.voucher_key)


class TestTrying:
    def test_it_looks_once_and_then_when_half_of_what_may_be_unpaid_is_used(self) -> None:
        payer = Payer(ASKING)
        assert not payer.is_due(None)
        assert payer.is_due(RULES)

    def test_paying_that_changes_nothing_ends(self) -> None:
        payer = Payer(ASKING)
        for _ in range(FRUITLESS_MAX):
            assert payer.demand()
            payer._fruitless += 1  # as after a look that found nothing to pay
        assert not payer.demand()
        payer.received(1)
        assert payer.demand()


@pytest.fixture(params=["memory", "folder"])
def tallies(request: pytest.FixtureRequest, tmp_path: Path) -> Tallies:
    return TalliesInMemory() if request.param == "memory" else TallyFolder(tmp_path / "tallies")


class TestTallies:
    def test_what_was_noted_is_there_again(self, tallies: Tallies) -> None:
        assert tallies.changed(CHANNEL, lambda tally: tally) == Tally.fresh(CHANNEL)
        tallies.changed(CHANNEL, lambda tally: tally.with_received(7))
        assert tallies.changed(CHANNEL, lambda tally: tally).received == 7
        assert tallies.changed(seeded("other"), lambda tally: tally).received == 0

    def test_a_change_that_fails_changes_nothing(self, tallies: Tallies) -> None:
        tallies.changed(CHANNEL, lambda tally: tally.with_received(7))

        def failing(tally: Tally) -> Tally:
            raise MalformedObject(str(tally.received))

        with pytest.raises(MalformedObject, match="7"):
            tallies.changed(CHANNEL, failing)
        assert tallies.changed(CHANNEL, lambda tally: tally).received == 7

    def test_none_is_lost_among_threads(self, tallies: Tallies) -> None:
        with ThreadPoolExecutor(8) as pool:
            for _ in range(50):
                pool.submit(tallies.changed, CHANNEL, lambda tally: tally.with_received(1))
        assert tallies.changed(CHANNEL, lambda tally: tally).received == 50

    def test_a_file_of_another_channel_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / f"{CHANNEL.hex()}.tally").write_bytes(Tally.fresh(seeded("other")).encoded())
        with pytest.raises(MalformedObject, match="another channel"):
            TallyFolder(tmp_path).changed(CHANNEL, lambda tally: tally)
