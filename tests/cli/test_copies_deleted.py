"""Deleting what has copies: every place is told to let go, and what has not yet is said and asked again."""

from __future__ import annotations

from pathlib import Path

from storage.cid import Cid
from storage.directory import DirectoryBlobs
from tests.cli.conftest import Founded
from tests.cli.copying import FILECOIN, attic, configured, publish, status
from tests.storage.pinning_node import TOKEN, PinningNode
from tests.storage.warm_node import WarmNode
from tests.storage.web_node import WebNode, answered


def test_what_is_deleted_is_deleted_at_every_place_and_nobody_repairs_it(
    dao: Founded, manifest: str, pins: PinningNode, gateway: WebNode, tmp_path: Path
) -> None:
    pinning = {"kind": "pinning", "at": pins.web.url, "read": gateway.url, "private": True}
    configured(dao, attic=attic(tmp_path), pins=pinning)
    dao.party.env["COFFER_TOKEN_PINS"] = TOKEN
    publish(dao, manifest, "--wait", "30")
    assert (len(pins.pins), status(dao)["verified"]) == (1, 3)
    args = ("dataset", "delete", manifest, "--owner", "owner", "--custodian", "one:1", "--yes")
    said = dao.party.json(*args)
    assert (said["deleted"], pins.pins) == (True, {})
    tombstone = Cid.parse(said["tombstone"])
    assert set(DirectoryBlobs(tmp_path / "attic").cids()) == {tombstone}
    assert dao.party.run("storage", "watch", "--once", "--whole").stdout == ""
    assert "no dataset was published" in dao.party.run("dataset", "status").stdout


def test_a_pin_that_cannot_be_removed_is_said_and_removed_later(
    dao: Founded, manifest: str, pins: PinningNode, gateway: WebNode
) -> None:
    configured(dao, pins={"kind": "pinning", "at": pins.web.url, "read": gateway.url, "private": True})
    dao.party.env["COFFER_TOKEN_PINS"] = TOKEN
    publish(dao, manifest, code=1)
    pins.first = lambda asked: [answered(b"", status="503 Away")]
    args = ("dataset", "delete", manifest, "--owner", "owner", "--custodian", "one:1", "--yes")
    (left,) = dao.party.json(*args)["leaving"]
    assert (left["place"], left["manifest"], "503" in left["waiting"]) == ("pins", manifest, True)
    shown = dao.party.json("dataset", "status")
    assert ([one["place"] for one in shown["leaving"]], shown["datasets"]) == (["pins"], [])
    assert f"{manifest} was deleted, and pins has not let go of it yet" in dao.party.run("dataset", "status").stdout
    pins.first = lambda asked: ()
    assert "[gone]" not in (said := dao.party.run("storage", "watch", "--once").stdout) and "gone" in said
    assert (pins.pins, dao.party.json("dataset", "status")["leaving"]) == ({}, [])


def test_pieces_of_what_was_deleted_are_removed_at_the_provider(dao: Founded, manifest: str) -> None:
    with WarmNode(dao.addresses["owner"]) as node:
        at = {"at": node.web.url, "chain": node.web.url + "/rpc", "private": True}
        configured(dao, fil=FILECOIN | at | {"month_max": "1"})
        publish(dao, manifest, "--wait", "60")
        args = ("dataset", "delete", manifest, "--owner", "owner", "--custodian", "one:1", "--yes")
        said = " ".join(dao.party.run(*args).stdout.split())
        assert "fil has not let go of it yet: provider" in said
        assert "was told to remove 1 piece from data set 100, which is done with its next proof" in said
        assert "leaving" in dao.party.run("storage", "watch", "--once").stdout
        node.prove()
        assert "gone: the data set 100 at" in dao.party.run("storage", "watch", "--once").stdout
        assert (node.pieces, dao.party.json("dataset", "status")) == ({}, {"datasets": [], "leaving": []})
    assert node.broken == []


def test_a_place_that_the_settings_do_not_name_any_more_is_told_nothing(
    dao: Founded, manifest: str, tmp_path: Path
) -> None:
    before = (dao.party.home / "coffer.toml").read_bytes()
    configured(dao, attic=attic(tmp_path))
    publish(dao, manifest)
    (dao.party.home / "coffer.toml").write_bytes(before)
    args = ("dataset", "delete", manifest, "--owner", "owner", "--custodian", "one:1", "--yes")
    remains = dao.party.json(*args)["remains"]
    assert "at attic: the settings do not name this place any more, so it was told nothing" in remains
