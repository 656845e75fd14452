"""A custodian's promises, over SQLite and PostgreSQL: rules B4 and F1."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage.cid import DAG_CBOR, Cid
from tests.at_once import at_once, winners
from vault.charter import Window
from vault.custodian import Kept
from vault.custody_state import UNLEASED
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, NotYet, RecordsUnavailable, StaleState
from vault.head import EPOCHS_MAX
from vault.records import lineages
from vault.records.custody import DEPOSITS_READ, CustodyRecords
from vault.records.database import Records
from vault.window import WINDOWS_MAX, Anchor, OpenWindow, WindowId

pytest_plugins = ["tests.records"]

LEDGER, OTHER_LEDGER = bytes([1]) * 32, bytes([2]) * 32
DATASET = bytes([3]) * 32
WINDOW = Window(entries=10, passages=20, spend=30)


def cid(name: str) -> Cid:
    return Cid.of(DAG_CBOR, name.encode())


GENESIS, OTHER_GENESIS = cid("genesis"), cid("another genesis")


class TestCustody:
    @pytest.fixture
    def custody(self, records: Records) -> CustodyRecords:
        return CustodyRecords(records)

    def test_heads_are_kept_by_epoch_and_the_same_again_is_fine(self, custody: CustodyRecords) -> None:
        for _ in range(2):
            for epoch in range(3):
                custody.accept_head(GENESIS, epoch, cid(f"head {epoch}"))
        custody.accept_head(OTHER_GENESIS, 0, cid("another head"))
        assert custody.heads(GENESIS) == [cid("head 0"), cid("head 1"), cid("head 2")]
        assert custody.heads(OTHER_GENESIS) == [cid("another head")]
        assert custody.heads(cid("a stranger")) == []
        assert custody.geneses() == sorted([GENESIS, OTHER_GENESIS])

    @pytest.mark.parametrize(("epoch", "head"), [(0, "other"), (1, "other"), (3, "head 3")])
    def test_an_epoch_has_one_head_and_none_is_skipped(self, custody: CustodyRecords, epoch: int, head: str) -> None:
        custody.accept_head(GENESIS, 0, cid("head 0"))
        custody.accept_head(GENESIS, 1, cid("head 1"))
        with pytest.raises(ForkedHistory, match=f"epoch {epoch}"):
            custody.accept_head(GENESIS, epoch, cid(head))
        assert custody.heads(GENESIS) == [cid("head 0"), cid("head 1")]

    def test_a_history_begins_at_epoch_zero(self, custody: CustodyRecords) -> None:
        with pytest.raises(ForkedHistory, match="epoch 1"):
            custody.accept_head(GENESIS, 1, cid("head 1"))
        assert custody.geneses() == []

    @pytest.mark.parametrize("epoch", [-1, EPOCHS_MAX])
    def test_epochs_are_bounded(self, custody: CustodyRecords, epoch: int) -> None:
        with pytest.raises(MalformedObject, match=str(EPOCHS_MAX - 1)):
            custody.accept_head(GENESIS, epoch, cid("head"))

    def test_of_two_heads_at_once_one_is_accepted(self, custody: CustodyRecords) -> None:
        custody.accept_head(GENESIS, 0, cid("head 0"))
        outcomes = at_once(*(partial(custody.accept_head, GENESIS, 1, cid(name)) for name in "abcd"))
        assert winners(outcomes, refused_with=ForkedHistory) == 1
        assert custody.heads(GENESIS) == [cid("head 0"), cid("abcd"[outcomes.index(None)])]

    def test_the_latest_manifest_is_the_highest_version(self, custody: CustodyRecords) -> None:
        assert custody.latest_manifest(DATASET) is None
        for version in (1, 2, 2, 4):
            custody.register_manifest(DATASET, version, cid(f"manifest {version}"), genesis=GENESIS)
        assert custody.latest_manifest(DATASET) == (4, cid("manifest 4"))
        assert custody.latest_manifest(bytes(32)) is None

    @pytest.mark.parametrize(
        ("version", "manifest", "reaction"),
        [(4, "other", ForkedHistory), (1, "other", ForkedHistory), (1, "manifest 1", StaleState), (3, "3", StaleState)],
    )
    def test_a_version_has_one_manifest_and_never_goes_lower(
        self, custody: CustodyRecords, version: int, manifest: str, reaction: type[Exception]
    ) -> None:
        for accepted in (1, 4):
            custody.register_manifest(DATASET, accepted, cid(f"manifest {accepted}"), genesis=GENESIS)
        with pytest.raises(reaction, match=f"version {version}"):
            custody.register_manifest(DATASET, version, cid(manifest), genesis=GENESIS)
        assert custody.latest_manifest(DATASET) == (4, cid("manifest 4"))

    def test_lineages_under_one_dao_are_bounded(self, custody: CustodyRecords, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lineages, "LINEAGES_MAX", 3)
        names = [bytes([n]) * 32 for n in range(5)]
        for name in names[:3]:
            custody.register_manifest(name, 1, cid("one"), genesis=GENESIS)
        with pytest.raises(AccessDenied, match="3 datasets"):
            custody.register_manifest(names[3], 1, cid("one"), genesis=GENESIS)
        assert custody.latest_manifest(names[3]) is None
        custody.register_manifest(names[0], 2, cid("two"), genesis=GENESIS)
        custody.register_manifest(names[3], 1, cid("one"), genesis=OTHER_GENESIS)
        custody.register_manifest(names[4], 1, cid("one"), genesis=GENESIS, is_named=True)
        assert custody.latest_manifest(names[4]) == (1, cid("one"))

    def test_what_is_taken_over_counts_and_is_never_refused(
        self, custody: CustodyRecords, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lineages, "LINEAGES_MAX", 3)
        taken = [(bytes([n]) * 32, version, cid(f"{n} {version}")) for n in range(5) for version in (1, 2)]
        for _ in range(2):
            custody.adopt(GENESIS, LEDGER, UNLEASED, taken, windows=None, has_caught_up=False)
        with pytest.raises(AccessDenied, match="limit"):
            custody.register_manifest(bytes([9]) * 32, 1, cid("one"), genesis=GENESIS)
        assert custody.latest_manifest(bytes([4]) * 32) == (2, cid("4 2"))

    def test_a_deposit_is_kept_and_may_be_made_anew(self, custody: CustodyRecords) -> None:
        assert custody.kept(LEDGER, [cid("manifest")]).deposits == {}
        for deposit in (b"deposit", b"the same share, sealed again"):
            custody.store_deposit(cid("manifest"), deposit)
            assert custody.kept(LEDGER, [cid("manifest")]).deposits == {cid("manifest"): deposit}

    def test_what_a_release_rests_on_is_read_at_once(self, custody: CustodyRecords) -> None:
        named = [cid(f"manifest {number}") for number in range(DEPOSITS_READ + 2)]
        assert custody.kept(LEDGER, named) == Kept(anchor=None, instance=None, state_share=None, deposits={})
        custody.store_state_share(LEDGER, b"share")
        custody.grant_lease(LEDGER, **LEASE)
        for deposited in (named[0], named[-1], cid("another manifest")):
            custody.store_deposit(deposited, b"for " + deposited.binary)
        anchor = LEASE["anchor_sequence"], LEASE["anchor_mac"]
        deposits = {deposited: b"for " + deposited.binary for deposited in (named[0], named[-1])}
        assert custody.kept(LEDGER, named) == Kept(
            anchor=anchor, instance=LEASE["instance"], state_share=b"share", deposits=deposits
        )
        assert custody.kept(OTHER_LEDGER, ()) == Kept(anchor=None, instance=None, state_share=None, deposits={})

    def test_only_the_first_state_share_ever_is_kept(self, custody: CustodyRecords) -> None:
        assert custody.kept(LEDGER, ()).state_share is None
        shares = [b"share %d" % number for number in range(4)]
        stored = at_once(*(partial(custody.store_state_share, LEDGER, share) for share in shares))
        assert sorted(stored) == [False, False, False, True]
        assert custody.kept(LEDGER, ()).state_share == shares[stored.index(True)]
        assert custody.store_state_share(LEDGER, b"late") is False
        assert custody.store_state_share(OTHER_LEDGER, b"another ledger's") is True

    def test_a_state_share_is_replaced_by_whom_the_empty_ledger_is_leased_to_and_nobody_else(
        self, custody: CustodyRecords
    ) -> None:
        empty = {**LEASE, "anchor_sequence": 0, "anchor_mac": bytes(32)}
        assert custody.replace_state_share(LEDGER, b"none was kept", instance=b"a" * 32) is False
        custody.store_state_share(LEDGER, b"first")
        assert custody.replace_state_share(LEDGER, b"no lease", instance=b"a" * 32) is False
        custody.grant_lease(LEDGER, **empty)
        assert custody.replace_state_share(LEDGER, b"a stranger's", instance=b"b" * 32) is False
        assert custody.kept(LEDGER, ()).state_share == b"first"
        assert custody.replace_state_share(LEDGER, b"second", instance=b"a" * 32) is True
        custody.grant_lease(LEDGER, **empty, window=WINDOW)
        assert custody.replace_state_share(LEDGER, b"a window is open", instance=b"a" * 32) is False
        custody.hand_back(LEDGER, b"a" * 32, Anchor(sequence=1, mac=b"m" * 32), b"signed")
        custody.grant_lease(LEDGER, **{**LEASE, "anchor_sequence": 1})
        assert custody.replace_state_share(LEDGER, b"an entry is anchored", instance=b"a" * 32) is False
        assert custody.kept(LEDGER, ()).state_share == b"second"

    def test_the_database_itself_refuses_another_share_once_an_entry_is_anchored(
        self, custody: CustodyRecords, records: Records
    ) -> None:
        custody.store_state_share(LEDGER, b"first")
        custody.grant_lease(LEDGER, **{**LEASE, "anchor_sequence": 0, "anchor_mac": bytes(32)})
        change = text("UPDATE custody_state_share SET sealed = sealed")
        with records.engine.begin() as connection:
            connection.execute(change)
        custody.grant_lease(LEDGER, **LEASE)
        with pytest.raises(IntegrityError, match="only grows"), records.engine.begin() as connection:
            connection.execute(change)


LEASE: dict[str, Any] = {
    "instance": b"a" * 32,
    "not_after": 1_000,
    "anchor_sequence": 7,
    "anchor_mac": b"m" * 32,
    "at": 900,
    "skew_s": 30,
}


class TestLeases:
    @pytest.fixture
    def custody(self, records: Records) -> CustodyRecords:
        custody = CustodyRecords(records)
        assert custody.kept(LEDGER, ()).anchor is None
        custody.grant_lease(LEDGER, **LEASE)
        return custody

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"not_after": 1_100, "at": 950},
            {"anchor_sequence": 8, "anchor_mac": b"n" * 32},
            {"instance": b"b" * 32, "not_after": 2_000, "at": 1_030},
        ],
        ids=["same again", "renewed", "ledger grew", "another after expiry and skew"],
    )
    def test_a_lease_is_granted_and_its_anchor_recorded(self, custody: CustodyRecords, change: dict[str, Any]) -> None:
        lease = {**LEASE, **change}
        custody.grant_lease(LEDGER, **lease)
        assert custody.kept(LEDGER, ()).anchor == (lease["anchor_sequence"], lease["anchor_mac"])

    @pytest.mark.parametrize(
        ("change", "reaction", "says"),
        [
            ({"instance": b"b" * 32}, NotYet, "from 1970-01-01 00:17:10"),
            ({"instance": b"b" * 32, "at": 1_029}, NotYet, "from 1970-01-01 00:17:10"),
            ({"anchor_sequence": 6}, ForkedHistory, "rolled back"),
            ({"anchor_mac": b"n" * 32}, ForkedHistory, "another entry 7"),
            ({"instance": b"b" * 32, "at": 1_030, "anchor_sequence": 6}, ForkedHistory, "rolled back"),
            ({"instance": b"b" * 32, "at": 1_030, "anchor_mac": b"n" * 32}, ForkedHistory, "another entry 7"),
        ],
    )
    def test_one_wrong_fact_is_enough_to_refuse_and_nothing_changes(
        self, custody: CustodyRecords, change: dict[str, Any], reaction: type[Exception], says: str
    ) -> None:
        with pytest.raises(reaction, match=says):
            custody.grant_lease(LEDGER, **{**LEASE, "not_after": 5_000, **change})
        assert custody.kept(LEDGER, ()).anchor == (7, b"m" * 32)
        custody.grant_lease(LEDGER, **{**LEASE, "instance": b"c" * 32, "at": 1_030, "not_after": 2_000})

    def test_a_renewal_never_shortens_the_lease_signed_before(self, custody: CustodyRecords) -> None:
        custody.grant_lease(LEDGER, **{**LEASE, "not_after": 910})
        with pytest.raises(NotYet, match="from 1970-01-01 00:17:10"):
            custody.grant_lease(LEDGER, **{**LEASE, "instance": b"b" * 32, "at": 1_000})

    def test_an_instance_hands_back_its_own_lease_and_the_anchor_stays(self, custody: CustodyRecords) -> None:
        other = {**LEASE, "instance": b"b" * 32}
        custody.release_instance(LEDGER, b"b" * 32)
        custody.release_instance(OTHER_LEDGER, b"a" * 32)
        with pytest.raises(NotYet):
            custody.grant_lease(LEDGER, **other)
        custody.release_instance(LEDGER, b"a" * 32)
        with pytest.raises(ForkedHistory, match="rolled back"):
            custody.grant_lease(LEDGER, **{**other, "anchor_sequence": 6})
        custody.grant_lease(LEDGER, **other)
        custody.release_instance(LEDGER, b"a" * 32)
        with pytest.raises(NotYet):
            custody.grant_lease(LEDGER, **LEASE)

    def test_of_instances_that_ask_at_once_one_gets_the_ledger(self, custody: CustodyRecords) -> None:
        asks = [{**LEASE, "instance": bytes([number]) * 32} for number in range(4)]
        outcomes = at_once(*(partial(custody.grant_lease, OTHER_LEDGER, **ask) for ask in asks))
        assert winners(outcomes, refused_with=NotYet) == 1
        custody.grant_lease(OTHER_LEDGER, **asks[outcomes.index(None)])


def window(instance: bytes, start: int) -> OpenWindow:
    return OpenWindow(instance=instance, start=start, window=WINDOW)


class TestWindows:
    """Rule F3: consumed when it is granted, returned by its own instance, closed by another that accounted for it."""

    OTHER: ClassVar[dict[str, Any]] = {**LEASE, "instance": b"b" * 32, "not_after": 2_000, "at": 1_030}

    @pytest.fixture
    def custody(self, records: Records) -> CustodyRecords:
        custody = CustodyRecords(records)
        custody.grant_lease(LEDGER, **LEASE, window=WINDOW)
        assert custody.open_windows(LEDGER) == [window(b"a" * 32, 7)]
        return custody

    def test_a_lease_without_a_window_leaves_it(self, custody: CustodyRecords) -> None:
        custody.grant_lease(LEDGER, **{**LEASE, "anchor_sequence": 8})
        assert custody.open_windows(LEDGER) == [window(b"a" * 32, 7)]

    def test_the_same_instance_returns_it_for_the_next_one(self, custody: CustodyRecords) -> None:
        custody.grant_lease(LEDGER, **{**LEASE, "anchor_sequence": 9}, window=WINDOW)
        assert custody.open_windows(LEDGER) == [window(b"a" * 32, 9)]

    def test_another_instance_leaves_it_open_until_it_settles_it(self, custody: CustodyRecords) -> None:
        custody.grant_lease(LEDGER, **self.OTHER, window=WINDOW)
        assert custody.open_windows(LEDGER) == [window(b"a" * 32, 7), window(b"b" * 32, 7)]
        earlier = WindowId(instance=b"a" * 32, start=6)
        custody.grant_lease(LEDGER, **self.OTHER, window=WINDOW, settled=[earlier])
        assert len(custody.open_windows(LEDGER)) == 2
        settled = [WindowId(instance=b"a" * 32, start=7), WindowId(instance=b"b" * 32, start=7)]
        custody.grant_lease(LEDGER, **self.OTHER, settled=settled)
        assert custody.open_windows(LEDGER) == [window(b"b" * 32, 7)]  # nobody settles a window of its own

    def test_a_refused_lease_neither_opens_nor_closes_any(self, custody: CustodyRecords) -> None:
        settled = [WindowId(instance=b"a" * 32, start=7)]
        for refused in ({"at": 1_029}, {"anchor_sequence": 6}):
            with pytest.raises((NotYet, ForkedHistory)):
                custody.grant_lease(LEDGER, **{**self.OTHER, **refused}, window=WINDOW, settled=settled)
        assert custody.open_windows(LEDGER) == [window(b"a" * 32, 7)]

    def test_a_hand_back_returns_it_and_anchors_the_newest_entry(self, custody: CustodyRecords) -> None:
        with pytest.raises(ForkedHistory, match="rolled back"):
            custody.hand_back(LEDGER, b"a" * 32, Anchor(sequence=6, mac=b"m" * 32), b"signed")
        custody.hand_back(LEDGER, b"b" * 32, Anchor(sequence=9, mac=b"m" * 32), b"signed")
        assert (custody.kept(LEDGER, ()).anchor, custody.reports(LEDGER)[1]) == ((7, b"m" * 32), None)
        assert len(custody.open_windows(LEDGER)) == 1
        custody.hand_back(LEDGER, b"a" * 32, Anchor(sequence=9, mac=b"n" * 32), b"signed")
        assert (custody.kept(LEDGER, ()).anchor, custody.reports(LEDGER)[1]) == ((9, b"n" * 32), b"signed")
        assert custody.open_windows(LEDGER) == []

    def test_those_of_another_ledger_are_its_own(self, custody: CustodyRecords) -> None:
        custody.grant_lease(OTHER_LEDGER, **LEASE, window=WINDOW, settled=[WindowId(instance=b"a" * 32, start=7)])
        assert custody.open_windows(LEDGER) == custody.open_windows(OTHER_LEDGER) == [window(b"a" * 32, 7)]

    def test_they_are_bounded_in_number_and_room_returns(self, custody: CustodyRecords) -> None:
        times = {"at": 10_000, "not_after": 0}
        for number in range(1, WINDOWS_MAX):
            custody.grant_lease(LEDGER, **{**LEASE, **times, "instance": bytes([number]) * 32}, window=WINDOW)
        last = {**LEASE, **times, "instance": bytes(32)}
        with pytest.raises(RecordsUnavailable, match=str(WINDOWS_MAX)):
            custody.grant_lease(LEDGER, **last, window=WINDOW)
        settled = [WindowId(instance=b"a" * 32, start=7)]
        custody.grant_lease(LEDGER, **last, window=WINDOW, settled=settled)
        assert len(custody.open_windows(LEDGER)) == WINDOWS_MAX
