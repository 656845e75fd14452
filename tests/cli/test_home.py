"""`coffer init` and `coffer wallet`."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli.home import settings_from
from tests.cli.conftest import LIGHT, PASSWORD, Party


def test_init_makes_a_home_for_us_alone_and_is_idempotent(party: Party) -> None:
    assert party.home.stat().st_mode & 0o777 == 0o700
    key, config = (party.home / "simulator.key").read_bytes(), (party.home / "coffer.toml").read_bytes()
    with closing(sqlite3.connect(party.home / "records.db")) as database:
        assert database.execute("select * from coffer_schema").fetchone()
    assert "there already" in party.run("init").stdout
    assert ((party.home / "simulator.key").read_bytes(), (party.home / "coffer.toml").read_bytes()) == (key, config)


def test_every_commented_setting_is_one_that_exists(party: Party) -> None:
    lines = (party.home / "coffer.toml").read_text().splitlines()
    settings = [line.removeprefix("# ") for line in lines if " = " in line]
    (party.home / "coffer.toml").write_text("\n".join(settings))
    assert settings_from(home=party.home).production


def test_a_command_without_a_home_says_to_make_one(tmp_path: Path) -> None:
    assert "coffer init" in Party(tmp_path / "none").refused("dataset", "list")


def test_a_wallet_is_a_keystore_whose_address_is_shown_without_a_password(party: Party) -> None:
    address = party.wallet("alice")
    keystore = json.loads((party.home / "wallets" / "alice.json").read_text())
    assert keystore["version"] == 3
    assert (party.home / "wallets" / "alice.json").stat().st_mode & 0o777 == 0o600
    party.env["COFFER_PASSWORD"] = ""
    assert party.json("wallet", "show") == {"wallets": {"alice": address}}
    assert party.json("wallet", "show", "alice") == {"wallets": {"alice": address}}


def test_a_wallet_is_never_replaced(party: Party) -> None:
    party.wallet("alice")
    before = (party.home / "wallets" / "alice.json").read_bytes()
    assert "choose another name" in party.refused("wallet", "new", "alice", "--rounds", LIGHT)
    assert (party.home / "wallets" / "alice.json").read_bytes() == before


def test_without_a_password_or_a_terminal_a_wallet_is_not_made(party: Party) -> None:
    party.env["COFFER_PASSWORD"] = ""
    assert "COFFER_PASSWORD" in party.refused("wallet", "new", "alice", code=2)
    assert not (party.home / "wallets").exists()


def test_a_wallet_that_is_not_there_says_how_to_make_one(party: Party) -> None:
    assert "coffer wallet new" in party.refused("wallet", "show", "nobody")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b"[" * 5000, b'{"version": 3}', b'{"version": 3, "address": "x"}']
)
def test_a_file_that_is_no_keystore_is_refused(party: Party, content: bytes) -> None:
    file = party.home / "broken.json"
    file.write_bytes(content)
    party.refused("wallet", "show", file)


def test_a_port_in_use_is_one_sentence(party: Party) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = party.refused("custodian", "serve", "--listen", address)
    assert f"cannot listen on {address}" in said
    assert PASSWORD not in said


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "x", ""])
def test_a_port_that_does_not_exist_is_refused_rather_than_another_taken(party: Party, port: str) -> None:
    said = party.refused("custodian", "serve", "--listen", f"127.0.0.1:{port}")
    assert "write host:port" in said


def test_a_full_disk_is_one_sentence_and_leaves_no_file(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = party.refused("wallet", "new", "alice", "--rounds", LIGHT)
    assert "wallets/alice.json: No space left on device; free some room, then run it again" in said
    assert list((party.home / "wallets").iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "sub/.hidden.json"])
def test_a_wallet_is_not_made_where_it_would_not_be_seen(party: Party, name: str) -> None:
    assert "a wallet has a name" in party.refused("wallet", "new", name, code=2)
