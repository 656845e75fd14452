"""What an owner's catalog and a member's board promise, over SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, Cid
from vault.board import Kept
from vault.errors import ForkedHistory, MalformedObject, RecordsUnavailable, StaleState
from vault.records import board as board_module
from vault.records.board import Board
from vault.records.catalog import Catalog
from vault.records.database import Records
from vault.records.model import BOARD_KINDS, DatasetRow

pytest_plugins = ["tests.records"]

DATASET = bytes([3]) * 32


def cid(name: str) -> Cid:
    return Cid.of(DAG_CBOR, name.encode())


GENESIS, OTHER_GENESIS = cid("genesis"), cid("another genesis")


ROW = DatasetRow(
    dataset=DATASET,
    version=1,
    title="Field notes, été",
    owner=b"o" * 20,
    genesis=GENESIS,
    manifest=cid("manifest 1"),
    state="sealed",
    passages=1 << 40,
    documents=3,
    sealed_bytes=1 << 50,
    created_at=1_700_000_000,
)
SECOND = replace(ROW, version=2, manifest=cid("manifest 2"), created_at=1_700_000_001)


class TestCatalog:
    def test_what_was_added_is_found_by_manifest_and_version(self, records: Records) -> None:
        catalog = Catalog(records)
        assert catalog.list() == []
        for row in (SECOND, ROW, ROW):
            catalog.add(row)
        assert catalog.list() == [ROW, SECOND]
        assert catalog.get(SECOND.manifest) == SECOND
        assert catalog.get_version(DATASET, 1) == ROW
        assert catalog.get(cid("no manifest")) is None
        assert catalog.get_version(DATASET, 3) is None

    def test_a_published_version_says_so_and_others_do_not(self, records: Records) -> None:
        catalog = Catalog(records)
        catalog.add(ROW)
        catalog.add(SECOND)
        for _ in range(2):
            catalog.mark_published(ROW.manifest)
        catalog.add(ROW)
        assert catalog.list() == [replace(ROW, state="published"), SECOND]
        with pytest.raises(ValueError, match="not in the catalog"):
            catalog.mark_published(cid("no manifest"))

    def test_a_version_has_one_manifest(self, records: Records) -> None:
        catalog = Catalog(records)
        catalog.add(ROW)
        with pytest.raises(ForkedHistory, match="another manifest"):
            catalog.add(replace(ROW, manifest=cid("other")))
        with pytest.raises(ForkedHistory, match="already"):
            catalog.add(replace(ROW, version=3))
        assert catalog.list() == [ROW]


class TestBoard:
    def test_objects_are_listed_by_kind_dao_and_parent_in_the_order_they_came(self, records: Records) -> None:
        board, proposal, other = Board(records), cid("proposal"), cid("other proposal")
        board.put("proposal", GENESIS, proposal, None, b"proposal")
        placed = [("b", proposal), ("a", proposal), ("c", other)]
        for name, parent in placed + placed:
            board.put("vote", GENESIS, cid(name), parent, name.encode())
        board.put("vote", OTHER_GENESIS, cid("d"), proposal, b"d")
        assert board.list("vote", GENESIS, proposal) == [(cid("b"), b"b"), (cid("a"), b"a")]
        assert board.list("vote", GENESIS) == [(cid("b"), b"b"), (cid("a"), b"a"), (cid("c"), b"c")]
        assert board.list("proposal", GENESIS) == [(proposal, b"proposal")]
        assert board.list("head", GENESIS) == []
        assert board.get(cid("c")) == b"c"
        assert board.get(cid("nothing")) is None

    @pytest.mark.parametrize("kind", sorted(BOARD_KINDS))
    def test_every_kind_is_kept(self, records: Records, kind: str) -> None:
        Board(records).put(kind, GENESIS, cid("object"), None, b"object")
        assert Board(records).list(kind, GENESIS) == [(cid("object"), b"object")]

    def test_what_its_cid_does_not_name_is_refused(self, records: Records) -> None:
        with pytest.raises(MalformedObject, match="not the object"):
            Board(records).put("vote", GENESIS, cid("vote"), None, b"another vote")
        assert Board(records).get(cid("vote")) is None

    @pytest.mark.parametrize("kind", ["policy", "gossip"])
    def test_an_object_is_of_one_known_kind(self, records: Records, kind: str) -> None:
        board = Board(records)
        board.put("vote", GENESIS, cid("vote"), None, b"vote")
        with pytest.raises(ValueError, match="board"):
            board.put(kind, GENESIS, cid("vote"), None, b"vote")

    def test_an_object_named_by_two_others_is_kept_once_and_by_two_daos_once_in_each(self, records: Records) -> None:
        board = Board(records)
        for parent in ("roll", "another roll"):
            board.put("block", GENESIS, cid("page"), cid(parent), b"page")
        board.put("block", OTHER_GENESIS, cid("page"), cid("roll"), b"page")
        assert board.list("block", GENESIS, cid("roll")) == [(cid("page"), b"page")]
        assert board.list("block", GENESIS, cid("another roll")) == []
        assert board.list("block", OTHER_GENESIS) == [(cid("page"), b"page")]

    def test_what_is_kept_is_counted_by_quota_and_by_what_is_open(self, records: Records) -> None:
        board = Board(records)
        for name, quota, until in (("a", b"one", 10), ("b", b"one", 20), ("c", b"two", 20)):
            one = Kept(kind="proposal", cid=cid(name), parent=None, body=name.encode(), quota=quota, until=until)
            board.keep(GENESIS, [one, one])
        board.put("proposal", GENESIS, cid("d"), None, b"d")
        assert board.count("proposal", GENESIS) == 4
        assert board.count("proposal", GENESIS, quota=b"one") == 2
        assert board.count("proposal", OTHER_GENESIS, quota=b"one") == 0
        assert [board.open_count("proposal", GENESIS, at=at) for at in (9, 10, 19, 20)] == [3, 2, 2, 0]
        assert board.missing(GENESIS, [cid("a"), cid("e"), cid("d")]) == [cid("e")]
        assert board.missing(OTHER_GENESIS, [cid("a")]) == [cid("a")]

    def test_a_full_board_says_so(self, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(board_module, "OBJECTS_MAX", 2)
        board = Board(records)
        for name in "ab":
            board.put("vote", GENESIS, cid(name), None, name.encode())
        with pytest.raises(RecordsUnavailable, match="its limit"):
            board.put("vote", GENESIS, cid("c"), None, b"c")
        board.put("vote", GENESIS, cid("a"), None, b"a")
        board.put("vote", OTHER_GENESIS, cid("c"), None, b"c")
        assert len(board.list("vote", GENESIS)) == 2

    def test_the_tip_never_goes_lower(self, records: Records) -> None:
        board = Board(records)
        assert board.tip(GENESIS) is None
        for epoch in (0, 2, 2):
            board.set_tip(GENESIS, cid(f"head {epoch}"), epoch)
        with pytest.raises(StaleState, match="epoch 1"):
            board.set_tip(GENESIS, cid("head 1"), 1)
        with pytest.raises(ForkedHistory, match="epoch 2"):
            board.set_tip(GENESIS, cid("other"), 2)
        board.set_tip(OTHER_GENESIS, cid("another head"), 0)
        assert board.tip(GENESIS) == cid("head 2")
        assert board.geneses() == sorted([GENESIS, OTHER_GENESIS])
