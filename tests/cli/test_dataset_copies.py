"""Copies at the command line: to several places, shown with what is wrong and what they cost, and watched over."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from cli import wiring
from cli.home import settings_from
from storage import directory
from storage.cid import DAG_CBOR, RAW, Cid
from storage.directory import DirectoryBlobs
from tests.cli.conftest import PASSWORD, Clock, Founded, Party
from tests.cli.copying import FILECOIN, attic, configured, damage, publish, status
from tests.storage.gateway_node import gateway_over
from tests.storage.pinning_node import TOKEN, PinningNode
from tests.storage.warm_node import WarmNode
from tests.storage.web_node import WebNode
from vault.copies.model import Copy, Kind
from vault.records.copies import CopyRecords
from vault.records.database import open_records


def test_without_places_one_copy_is_wanted_and_shown(dao: Founded, manifest: str, clock: Clock) -> None:
    said = publish(dao, manifest)
    assert (said["state"], said["wanted"], said["verified"], len(said["copies"])) == ("published", 1, 1, 1)
    shown = status(dao)
    assert (shown["storage"]["state"], shown["storage"]["since"], shown["met"]) == ("verified", clock.now, True)
    text = dao.party.run("dataset", "status", manifest).stdout
    assert f"{manifest}: 1 of 1 wanted copies verified" in text
    assert "2027-01-15T08:00:00Z" in text


def test_status_of_what_was_not_published_says_what_to_do(dao: Founded, manifest: str) -> None:
    assert f"coffer dataset publish {manifest}" in dao.party.refused("dataset", "status", manifest)
    stranger = str(Cid.of(DAG_CBOR, b"a stranger's"))
    assert "is not known in this home" in dao.party.refused("dataset", "status", stranger)


@pytest.mark.parametrize("args", [("--whole",), ("--once", "--metrics", "127.0.0.1:0")])
def test_options_that_would_do_nothing_are_refused(dao: Founded, args: tuple[str, ...]) -> None:
    assert "--once" in dao.party.refused("storage", "watch", *args, code=2)


def test_before_anything_is_published_status_says_how(dao: Founded, manifest: str) -> None:
    assert "coffer dataset publish" in dao.party.run("dataset", "status").stdout


def test_every_place_gets_a_copy_of_its_own(dao: Founded, manifest: str, tmp_path: Path) -> None:
    configured(dao, attic=attic(tmp_path), cellar={"kind": "directory", "at": str(tmp_path / "cellar")})
    said = publish(dao, manifest)
    assert (said["state"], said["wanted"], said["verified"]) == ("published", 3, 3)
    held = [set(DirectoryBlobs(folder).cids()) for folder in (tmp_path / "attic", tmp_path / "cellar")]
    assert held[0] == held[1] == set(DirectoryBlobs(dao.party.home / "blocks").cids())
    assert status(dao)["cellar"]["state"] == "verified"
    assert dao.party.json("dataset", "list")["datasets"][0]["state"] == "published"


def test_places_and_copies_can_be_chosen(dao: Founded, manifest: str, tmp_path: Path) -> None:
    configured(dao, attic=attic(tmp_path), cellar={"kind": "directory", "at": str(tmp_path / "cellar")})
    said = publish(dao, manifest, "--place", "attic")
    assert ({copy["place"] for copy in said["copies"]}, said["wanted"]) == ({"storage", "attic"}, 2)
    assert not (tmp_path / "cellar").exists()
    assert publish(dao, manifest, "--copies", "2")["wanted"] == 2
    assert "4 copies are wanted and 3 places named" in dao.party.refused(
        "dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", "--copies", "4"
    )
    assert "no place is called 'loft'" in dao.party.refused(
        "dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", "--place", "loft"
    )


def test_a_place_that_cannot_be_used_leaves_the_publish_pending(dao: Founded, manifest: str, tmp_path: Path) -> None:
    (tmp_path / "attic").write_text("a file, not a folder")
    configured(dao, attic={"kind": "ipfs", "at": "/ip4/127.0.0.1/tcp/9"})
    said = publish(dao, manifest, code=1)
    assert (said["state"], said["verified"], said["wanted"]) == ("pending", 1, 2)
    shown = status(dao, code=1)
    assert (shown["attic"]["state"], shown["storage"]["state"]) == ("pending", "verified")
    assert "gave no usable answer" in shown["attic"]["fault"]
    assert dao.party.json("dataset", "list")["datasets"][0]["state"] == "pending"
    text = dao.party.run("dataset", "status", code=1).stdout
    assert "1 of 2 wanted copies verified" in text and "attic: " in text


def test_a_pin_is_pending_until_a_later_look_finds_all_of_it(
    dao: Founded, manifest: str, pins: PinningNode, gateway: WebNode
) -> None:
    configured(dao, pins={"kind": "pinning", "at": pins.web.url, "read": gateway.url, "private": True})
    refused = dao.party.refused("dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1")
    assert "COFFER_TOKEN_PINS" in refused and "coffer storage token pins" in refused
    dao.party.run("storage", "token", "pins", input=TOKEN.encode() + b"\n")
    sealed = dao.party.home / "tokens" / "pins.token"
    assert (sealed.stat().st_mode & 0o777, TOKEN.encode() in sealed.read_bytes()) == (0o600, False)
    assert publish(dao, manifest, code=1)["state"] == "pending"
    for expected in ("queued", "pinning"):
        assert expected in dao.party.run("storage", "watch", "--once", code=1).stdout
    assert "verified" in dao.party.run("storage", "watch", "--once").stdout
    assert status(dao)["pins"]["state"] == "verified"
    assert dao.party.json("dataset", "list")["datasets"][0]["state"] == "published"


def test_a_token_may_come_from_the_environment_and_is_never_shown(
    dao: Founded, manifest: str, pins: PinningNode, gateway: WebNode
) -> None:
    configured(dao, pins={"kind": "pinning", "at": pins.web.url, "read": gateway.url, "private": True})
    dao.party.env["COFFER_TOKEN_PINS"] = TOKEN
    said = dao.party.run(
        "dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", "--wait", "30"
    )  # polls until it is pinned
    assert "published" in said.stdout and TOKEN not in said.output
    listed = dao.party.run("storage", "places")
    assert "COFFER_TOKEN_PINS" in listed.stdout and TOKEN not in listed.output
    assert all(TOKEN.encode() not in path.read_bytes() for path in dao.party.home.rglob("*") if path.is_file())


@pytest.mark.parametrize("given", [b"", b"\n", "tök".encode(), b"two\nlines"])
def test_what_is_no_token_is_not_sealed(dao: Founded, given: bytes) -> None:
    configured(dao, pins={"kind": "pinning", "at": "https://pins.example", "read": "https://gw.example"})
    result = dao.party.runner.invoke(
        __import__("cli.main", fromlist=["app"]).app,
        ["storage", "token", "pins"],
        env={"COFFER_HOME": str(dao.party.home), "COFFER_PASSWORD": PASSWORD},
        input=given,
    )
    assert result.exit_code in (1, 2)
    assert not (dao.party.home / "tokens").exists()
    assert "no place is called" in dao.party.refused("storage", "token", "other", input=b"x")


def test_what_a_copy_costs_is_told_before_it_is_paid_and_stays_under_the_limit(dao: Founded, manifest: str) -> None:
    with WarmNode(dao.addresses["owner"]) as node:
        at = {"at": node.web.url, "chain": node.web.url + "/rpc", "private": True}
        configured(dao, fil=FILECOIN | at | {"month_max": "0.05"})
        refused = dao.party.refused("dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1")
        assert "$0.06 a month and you allow $0.05" in refused
        assert (node.taken, node.pieces, {asked.path for asked in node.web.asked}) == (set(), {}, {"/rpc"})
        assert not (dao.party.home / "blocks").exists() or not list((dao.party.home / "blocks").rglob("baf*"))
        (dao.party.home / "coffer.toml").write_text(
            (dao.party.home / "coffer.toml").read_text().replace('"0.05"', '"0.06"')
        )
        args = ("dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", "--wait", "60")
        said = dao.party.run(*args).stdout
        assert said.index("a copy at fil costs $0.06 a month, within your limit") < said.index("published")
        shown = status(dao)
        assert (shown["fil"]["state"], shown["fil"]["month_cost_micro_usd"], shown["month_cost_micro_usd"]) == (
            *("verified", 60_000),
            60_000,
        )
        assert len(node.pieces) == 1
        assert "$0.06" in dao.party.run("dataset", "status").stdout
        dao.party.run("storage", "watch", "--once", "--whole")
    assert node.broken == []


def test_a_place_whose_disk_is_full_is_pending_with_why_and_goes_on_when_there_is_room(
    dao: Founded, manifest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(dao, attic=attic(tmp_path))
    with monkeypatch.context() as patch:
        real = directory._write_flushed

        def full(path: Path, block: bytes) -> None:
            if path.is_relative_to(tmp_path / "attic"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, block)

        patch.setattr(directory, "_write_flushed", full)
        publish(dao, manifest, code=1)
        shown = status(dao, code=1)
        assert (shown["storage"]["state"], shown["attic"]["state"]) == ("verified", "pending")
        assert "no room left" in shown["attic"]["fault"]
        assert list(DirectoryBlobs(tmp_path / "attic").cids()) == []
    dao.party.run("storage", "watch", "--once")
    assert status(dao)["attic"]["state"] == "verified"


@pytest.mark.parametrize("wrong", ["nobody", "owner"])
def test_a_wallet_that_cannot_pay_is_a_fault_of_the_copy_and_no_crash(dao: Founded, manifest: str, wrong: str) -> None:
    with WarmNode(dao.addresses["owner"]) as node:
        at = {"at": node.web.url, "chain": node.web.url + "/rpc", "private": True, "month_max": "1"}
        configured(dao, fil=FILECOIN | at | {"wallet": wrong})
        publish(dao, manifest, "--place", "storage")
        with open_records(f"sqlite:///{dao.party.home}/records.db") as records:
            cid = Cid.parse(manifest)
            CopyRecords(records).add(Copy(manifest=cid, place="fil", kind=Kind.FILECOIN))
            CopyRecords(records).want(cid, 2)
        dao.party.env["COFFER_PASSWORD"] = ""
        said = dao.party.run("storage", "watch", "--once", code=1).stdout
        assert "set COFFER_PASSWORD" in said
        dao.party.env["COFFER_PASSWORD"] = PASSWORD
        said = dao.party.run("storage", "watch", "--once", code=1).stdout
        assert ("which is not there" in said) == (wrong == "nobody")
        assert (node.taken == set()) == (wrong == "nobody")


def test_a_damaged_copy_is_found_named_and_repaired(dao: Founded, manifest: str, tmp_path: Path) -> None:
    configured(dao, attic=attic(tmp_path))
    publish(dao, manifest)
    broken = damage(tmp_path / "attic")
    good = (dao.party.home / "blocks" / broken.parent.name / broken.name).read_bytes()
    said = dao.party.run("storage", "watch", "--once", "--whole").stdout
    assert "attic  verified" in said
    assert broken.read_bytes() == good
    shown = status(dao)["attic"]
    assert (shown["repairs"], shown["lies"] >= 1, "are not the block" in shown["last_lie"]) == (1, True, True)
    assert "attic sent" in " ".join(dao.party.run("dataset", "status").stdout.split())


def test_a_reader_takes_the_right_block_from_another_place_and_blames_the_liar(
    dao: Founded, manifest: str, tmp_path: Path
) -> None:
    configured(dao, attic=attic(tmp_path))
    publish(dao, manifest)
    damage(dao.party.home / "blocks", manifest)  # the first block to be read, so that every place is asked for it
    assert dao.party.json("dataset", "verify", manifest, "--owner", "owner")["decrypted"]
    deadline = time.monotonic() + 10
    while status(dao)["storage"]["lies"] == 0:
        assert time.monotonic() < deadline


def test_a_place_that_left_the_settings_is_not_counted(dao: Founded, manifest: str, tmp_path: Path) -> None:
    configured(dao, attic=attic(tmp_path))
    publish(dao, manifest)
    text = (dao.party.home / "coffer.toml").read_text()
    (dao.party.home / "coffer.toml").write_text(text[: text.index("[places.")])
    shown = status(dao, code=1)
    assert (shown["verified"], shown["attic"]["known_place"]) == (1, False)
    assert "nobody looks there" in " ".join(dao.party.run("dataset", "status", code=1).stdout.split())


@pytest.mark.parametrize(
    ("name", "facts", "sentence"),
    [
        ("storage", {"kind": "directory", "at": "x"}, "a place's name"),
        ("Attic", {"kind": "directory", "at": "x"}, "a place's name"),
        ("attic", {"kind": "tape", "at": "x"}, "kind"),
        ("attic", {"kind": "directory"}, "Field required"),
        ("attic", {"kind": "directory", "at": "x", "token": "secret"}, "token"),
        ("attic", {"kind": "directory", "at": "x", "wallet": "owner"}, "has no wallet"),
        ("attic", {"kind": "pinning", "at": "https://x"}, "needs read"),
        ("attic", {"kind": "filecoin", "at": "https://x", "month_max": "1"}, "needs wallet"),
        ("attic", FILECOIN | {"at": "https://x", "chain": "https://y", "month_max": "lots"}, "month_max"),
    ],
)
def test_one_wrong_fact_about_a_place_is_one_sentence(
    dao: Founded, name: str, facts: dict[str, Any], sentence: str
) -> None:
    configured(dao, **{name: facts})
    said = dao.party.refused("storage", "places")
    assert sentence in said
    assert "secret" not in said


def test_a_gateway_is_read_from_and_never_written_to(dao: Founded, manifest: str, tmp_path: Path) -> None:
    with gateway_over(DirectoryBlobs(tmp_path / "elsewhere")) as gateway:
        configured(dao, web={"kind": "gateway", "at": gateway.url, "private": True})
        assert publish(dao, manifest)["wanted"] == 1
        assert "for reading only" in dao.party.refused(
            "dataset", "publish", manifest, "--owner", "owner", "--custodian", "one:1", "--place", "web"
        )
        shutil.copytree(dao.party.home / "blocks", tmp_path / "elsewhere", dirs_exist_ok=True)
        damage(dao.party.home / "blocks")
        dao.party.run("storage", "watch", "--once", "--whole")
        assert status(dao)["storage"]["repairs"] == 1
        assert {asked.method for asked in gateway.asked} == {"GET"}


@pytest.mark.skipif(sys.platform != "linux", reason="signals")
def test_the_watch_runs_until_it_is_told_to_stop_and_answers_scrapes(
    dao: Founded, manifest: str, tmp_path: Path
) -> None:
    configured(dao, attic=attic(tmp_path))
    publish(dao, manifest)
    damage(tmp_path / "attic")
    with open_records(f"sqlite:///{dao.party.home}/records.db") as records:
        for copy in CopyRecords(records).copies():  # by the clock of this machine, which the watch goes by
            CopyRecords(records).change(copy.manifest, copy.place, due_at=0)
    env = os.environ | {"COFFER_HOME": str(dao.party.home), "COFFER_PASSWORD": PASSWORD}
    command = [sys.executable, "-m", "cli.entry", "storage", "watch", "--json"]
    command += ["--metrics", "127.0.0.1:0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603
        assert running.stdout is not None
        late = threading.Timer(60, running.kill)
        late.start()
        begun = json.loads(running.stdout.readline())
        assert begun["watching"] == 2
        looked = [json.loads(running.stdout.readline()) for _ in range(2)]
        with urlopen(f"http://{begun['metrics']}/metrics", timeout=10) as answer:
            told = answer.read().decode()
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        late.cancel()
    assert {one["state"] for one in looked} == {"verified"}
    assert {one["place"]: one["repairs"] for one in looked} == {"storage": 0, "attic": 1}
    assert 'coffer_storage_copies{place="attic",state="verified"} 1.0' in told
    assert "coffer_storage_unmet_datasets 0.0" in told
    assert 'coffer_storage_lies{place="attic"}' in told


def test_what_is_read_from_all_places_is_written_to_the_main_one(party: Party, tmp_path: Path) -> None:
    places = {"attic": {"kind": "directory", "at": str(tmp_path / "attic")}, "fil": dict(FILECOIN)}
    places["fil"] |= {"at": "https://pdp.example", "chain": "https://rpc.example", "month_max": "1"}
    settings = settings_from(home=party.home, places=places)
    blobs, block = wiring.open_reading(settings), b"block"
    cid = Cid.of(RAW, block)
    DirectoryBlobs(tmp_path / "attic").put(cid, block)
    assert blobs.get(cid) == block
    assert not DirectoryBlobs(party.home / "blocks").has(cid)
    blobs.put(cid, block)
    assert DirectoryBlobs(party.home / "blocks").get(cid) == block
