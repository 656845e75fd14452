"""Attacks on deleting: strangers who would destroy, replayed orders, shares that come back, receipts that lie (S3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.cid import Cid
from tests.attacks.release.asking import Asking
from tests.builders import resigned, sealed_dataset, signed, wallet
from tests.enclaves import Clock, Custodians, Remembered, world
from tests.peers import Backup, LocalPeer, others, visit
from tests.people import custodian as custodian_keys
from tests.people import seeded
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.deleting import Shredded, shredded
from vault.destroying import PAGE_ORDERS, heard_from
from vault.destruction import (
    Destruction,
    DestructionReceipt,
    Tombstone,
    challenge_facts,
    deleted_version,
    receipts_needed,
    verify_tombstone,
)
from vault.errors import (
    AccessDenied,
    InvalidSignature,
    MalformedObject,
    NotYet,
    Revoked,
    ServiceUnavailable,
    TamperedManifest,
)
from vault.manifest import Manifest
from vault.signing import BLANK_SIGNATURE

WORLD = world(custodians=3)
MANIFEST = WORLD.dataset.manifest
CHARTER = WORLD.dao.charter


@pytest.fixture(scope="module")
def remembered() -> Remembered:
    return Remembered.by_custodians(WORLD)


@pytest.fixture
def custodians(tmp_path: Path, remembered: Remembered) -> Iterator[Custodians]:
    with Custodians(replace(WORLD, clock=Clock()), tmp_path, remembered=remembered) as made:
        yield made


def order_for(custody: Custody, manifest: Manifest = MANIFEST, **fields: Any) -> Destruction:
    """Return the owner's valid order over a fresh challenge; `fields` replace its fields before the owner signs."""
    nonce = custody.challenge(*challenge_facts(manifest.cid(), manifest.owner))
    facts = {"manifest": manifest.cid(), "owner": manifest.owner, "custodian": custody.public.key, "nonce": nonce}
    made: Destruction = signed(
        WORLD.history, wallet("owner"), Destruction(**(facts | fields), signature=BLANK_SIGNATURE)
    )
    return made


def holds(custody: Custody, manifest: Manifest = MANIFEST) -> bool:
    return bool(custody.station.store.kept(bytes(32), [manifest.cid()]).deposits)


class TestOrders:
    def test_the_owner_destroys_a_share_for_good(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        order = order_for(custody)
        receipt = custody.destroy_share(MANIFEST, order)
        receipt.verify_for(MANIFEST, CHARTER, order)
        assert receipt.was_held and not holds(custody)
        with pytest.raises(Revoked, match="had its key destroyed"):
            Asking(custodians.world, custodians).release()

    def test_a_strangers_order_destroys_nothing(self, custodians: Custodians) -> None:
        custody, stranger = custodians.all[0], wallet("stranger")
        nonce = custody.challenge(*challenge_facts(MANIFEST.cid(), stranger.address))
        mine = Destruction(
            manifest=MANIFEST.cid(),
            owner=stranger.address,
            custodian=custody.public.key,
            nonce=nonce,
            signature=BLANK_SIGNATURE,
        )
        with pytest.raises(AccessDenied, match="not the manifest owner's"):
            custody.destroy_share(MANIFEST, signed(WORLD.history, stranger, mine))
        forged = replace(order_for(custody), signature=stranger.sign(bytes(32)))
        with pytest.raises(InvalidSignature):
            custody.destroy_share(MANIFEST, forged)
        renamed = resigned(WORLD.history, stranger, MANIFEST, owner=stranger.address)
        nonce = custody.challenge(*challenge_facts(renamed.cid(), stranger.address))
        custody.destroy_share(
            renamed, signed(WORLD.history, stranger, replace(mine, manifest=renamed.cid(), nonce=nonce))
        )
        assert holds(custody)

    def test_an_order_is_good_once(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        order = order_for(custody)
        first = custody.destroy_share(MANIFEST, order)
        with pytest.raises(AccessDenied, match="unknown, used or too old"):
            custody.destroy_share(MANIFEST, order)
        custodians.world.clock.advance(10)
        again = custody.destroy_share(MANIFEST, order_for(custody))
        assert (again.was_held, again.destroyed_at) == (True, first.destroyed_at)

    def test_an_order_that_was_signed_long_ago_does_nothing(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        order = order_for(custody)
        custodians.world.clock.advance(NONCE_LIFETIME_S)
        with pytest.raises(AccessDenied, match="too old"):
            custody.destroy_share(MANIFEST, order)
        fresh = order_for(custody)
        with pytest.raises(AccessDenied, match="unknown"):
            custodians.restart(0).destroy_share(MANIFEST, fresh)
        assert holds(custodians.all[0])

    @pytest.mark.parametrize(
        "break_one",
        [
            lambda custody: order_for(custody, custodian=custodian_keys("1").signing.public),
            lambda custody: order_for(custody, manifest=resigned(WORLD.history, wallet("owner"), MANIFEST, title="x")),
            lambda custody: order_for(custody, nonce=custody.challenge(bytes(32), bytes(32))),
            lambda custody: order_for(custody, nonce=custody.challenge(MANIFEST.cid().digest, bytes(32))),
            lambda custody: order_for(custody, nonce=bytes(32)),
        ],
        ids=["another custodian", "another manifest", "another challenge", "a bare challenge", "no challenge"],
    )
    def test_one_wrong_fact_is_enough(self, custodians: Custodians, break_one: Callable[[Custody], Any]) -> None:
        custody = custodians.all[0]
        with pytest.raises(AccessDenied):
            custody.destroy_share(MANIFEST, break_one(custody))
        assert holds(custody)

    def test_a_manifest_of_another_dao_or_unsigned_is_refused(self, custodians: Custodians) -> None:
        custody, other = custodians.all[0], world(custodians=3, name="Other")
        with pytest.raises(AccessDenied, match="knows no DAO"):
            custody.destroy_share(other.dataset.manifest, order_for(custody))
        with pytest.raises(TamperedManifest):
            custody.destroy_share(replace(MANIFEST, title="changed"), order_for(custody))

    def test_other_versions_keep_their_shares(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        second = sealed_dataset(WORLD.dao, version=2, previous=MANIFEST.cid())
        custody.deposit_share(second.manifest, second.deposits[0])
        custody.destroy_share(MANIFEST, order_for(custody))
        assert holds(custody, second.manifest) and not holds(custody)

    def test_where_nothing_was_deposited_the_receipt_says_so_and_takes_no_room(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        unknown = resigned(WORLD.history, wallet("owner"), MANIFEST, title="never published")
        assert not custody.destroy_share(unknown, order_for(custody, unknown)).was_held
        assert not custody.station.store.is_destroyed(unknown.cid())

    def test_a_custodian_set_back_in_time_signs_nothing(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        order = order_for(custody)
        custody.catching_up.note_rolled_back()
        with pytest.raises(NotYet):
            custody.destroy_share(MANIFEST, order)


class TestComingBack:
    def test_the_old_deposit_is_not_taken_again(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        custody.destroy_share(MANIFEST, order_for(custody))
        for restarted in (custody, custodians.restart(0)):
            with pytest.raises(AccessDenied, match="seal the dataset anew"):
                restarted.deposit_share(MANIFEST, WORLD.dataset.deposits[0])
            assert not holds(restarted)

    def test_nor_by_the_records_themselves(self, custodians: Custodians) -> None:
        custody = custodians.all[0]
        custody.destroy_share(MANIFEST, order_for(custody))
        with pytest.raises(AccessDenied, match="nothing was recorded"):
            custody.station.store.store_deposit(MANIFEST.cid(), WORLD.dataset.deposits[0].encoded())

    def test_not_a_byte_of_it_is_left_in_the_database(self, custodians: Custodians, tmp_path: Path) -> None:
        sealed = WORLD.dataset.deposits[0].sealed
        files = [tmp_path / f"custodian0.db{suffix}" for suffix in ("", "-wal")]
        assert any(sealed in file.read_bytes() for file in files)
        custodians.all[0].destroy_share(MANIFEST, order_for(custodians.all[0]))
        assert not any(sealed[:64] in file.read_bytes() for file in files if file.exists())

    @pytest.mark.parametrize("change", ["DELETE FROM custody_destroyed", "UPDATE custody_destroyed SET destroyed_at=0"])
    def test_what_was_destroyed_stays_in_the_records(self, custodians: Custodians, tmp_path: Path, change: str) -> None:
        custodians.all[0].destroy_share(MANIFEST, order_for(custodians.all[0]))
        with (
            closing(sqlite3.connect(tmp_path / "custodian0.db")) as connection,
            pytest.raises(sqlite3.IntegrityError, match="only grows"),
        ):
            connection.execute(change)

    @pytest.mark.parametrize("is_marked", [True, False], ids=["restored", "set back unawares"])
    def test_a_backup_from_before_holds_it_until_the_others_tell_of_the_order(
        self, custodians: Custodians, tmp_path: Path, is_marked: bool
    ) -> None:
        before = Backup(custodians.world, custodians, tmp_path)
        for custody in custodians.all[:2]:
            custody.destroy_share(MANIFEST, order_for(custody))
        with before.started(is_marked=is_marked) as restored:
            assert holds(restored)
            visit(restored, others(custodians))
            assert not holds(restored)
            with pytest.raises(AccessDenied, match="nothing was recorded"):
                restored.station.store.store_deposit(MANIFEST.cid(), WORLD.dataset.deposits[0].encoded())

    def test_who_was_down_hears_of_it_and_hands_it_on(self, custodians: Custodians) -> None:
        first, second, third = custodians.all
        first.destroy_share(MANIFEST, order_for(first))
        visit(second, [lambda: LocalPeer(first)])
        visit(third, [lambda: LocalPeer(second)])
        assert not holds(second) and not holds(third)
        receipt = third.destroy_share(MANIFEST, order_for(third))  # asked by the owner, it says so
        assert receipt.was_held

    @pytest.mark.parametrize("signer", ["stranger", "owner"])
    def test_a_peer_cannot_make_up_orders(self, custodians: Custodians, signer: str) -> None:
        mallory, victim = wallet(signer), custodians.all[0]
        order = Destruction(
            manifest=MANIFEST.cid(),
            owner=mallory.address,
            custodian=custodians.all[1].public.key,
            nonce=bytes(32),
            signature=BLANK_SIGNATURE,
        )
        made = signed(WORLD.history, mallory, order) if signer == "stranger" else order

        class Inventing(LocalPeer):
            def destroyed(self, genesis: Cid, after: bytes) -> tuple[list[Destruction], bytes]:
                return [made], b""

        visit(victim, [lambda: Inventing(custodians.all[1])])
        assert holds(victim)

    @pytest.mark.parametrize("following", [b"", b"\x01" * 36], ids=["too many", "without an end"])
    def test_a_list_of_orders_that_never_ends_is_given_up(self, following: bytes) -> None:
        orders = [order_blank()] * (PAGE_ORDERS + 1 if not following else 1)
        with pytest.raises(MalformedObject):
            heard_from(lambda after: (orders, following), lambda page: None)


def order_blank() -> Destruction:
    return Destruction(
        manifest=MANIFEST.cid(), owner=bytes(20), custodian=bytes(32), nonce=bytes(32), signature=BLANK_SIGNATURE
    )


class Lying:
    """A custodian in this process whose receipts are changed on their way."""

    def __init__(self, custody: Custody, lie: Callable[[DestructionReceipt], DestructionReceipt] | None = None) -> None:
        self.custody = custody
        self._lie = lie

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        return self.custody.challenge(instance, keys)

    def destroy_share(self, manifest: Manifest, order: Destruction) -> DestructionReceipt:
        receipt = self.custody.destroy_share(manifest, order)
        return self._lie(receipt) if self._lie else receipt


class Down(Lying):
    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        raise ServiceUnavailable("it does not answer")


def ordered(made: Custodians, *custodians: Any) -> Shredded:
    reached = {one.custody.public.key: one for one in custodians}
    return shredded(MANIFEST, CHARTER, wallet("owner"), reached)


def receipts_of(made: Custodians) -> tuple[DestructionReceipt, ...]:
    return ordered(made, *map(Lying, made.all)).receipts


class TestReceipts:
    def test_so_many_receipts_that_too_few_shares_are_left(self, custodians: Custodians) -> None:
        assert (len(CHARTER.custodians), CHARTER.shares, receipts_needed(CHARTER)) == (3, 2, 2)
        one, two, three = custodians.all
        few = ordered(custodians, Lying(one), Down(two))
        assert (len(few.receipts), few.is_done) == (1, False)
        assert set(few.failures) == {two.public.key, three.public.key}
        assert Asking(custodians.world, custodians, index=1).release().shares
        enough = ordered(custodians, Lying(one), Lying(two), Down(three))
        assert enough.is_done

    @pytest.mark.parametrize(
        "fields",
        [
            {"manifest": WORLD.history.head.cid()},
            {"genesis": WORLD.history.head.cid()},
            {"index": 2},
            {"commitment": bytes(32)},
            {"order": bytes(32)},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    def test_a_signed_receipt_for_anything_else_does_not_count(
        self, custodians: Custodians, fields: dict[str, Any]
    ) -> None:
        keys = custodian_keys("0").signing
        answers = ordered(
            custodians, Lying(custodians.all[0], lambda receipt: replace(receipt, **fields).signed_by(keys))
        )
        assert not answers.receipts and custodians.all[0].public.key in answers.failures

    def test_nor_an_unsigned_one_nor_another_custodians(self, custodians: Custodians) -> None:
        first, second = custodians.all[:2]
        stolen = Lying(second).destroy_share(MANIFEST, order_for(second))
        for lie in (lambda receipt: replace(receipt, was_held=not receipt.was_held), lambda _: stolen):
            assert not ordered(custodians, Lying(first, lie)).receipts

    def test_who_releases_after_its_receipt_is_convicted_by_two_signatures(self, custodians: Custodians) -> None:
        """A liar keeps the share: the receipt and the later release are both signed, and contradict each other."""
        custody = custodians.all[0]
        deposit = custody.station.store.kept(bytes(32), [MANIFEST.cid()]).deposits[MANIFEST.cid()]
        order = order_for(custody)
        receipt = custody.destroy_share(MANIFEST, order)
        receipt.verify_for(MANIFEST, CHARTER, order)
        kept = custody.station.store.kept
        custody.station.store.kept = lambda *a: replace(kept(*a), deposits={MANIFEST.cid(): deposit})  # type: ignore[method-assign]
        (released,) = Asking(custodians.world, custodians).release().shares
        released.verify()
        assert (released.custodian, released.key_version) == (receipt.custodian, MANIFEST.key_version)


def tombstone(receipts: tuple[DestructionReceipt, ...], **fields: Any) -> Tombstone:
    made = Tombstone(
        genesis=WORLD.genesis,
        owner=MANIFEST.owner,
        dataset=MANIFEST.dataset,
        versions=(deleted_version(MANIFEST, receipts),),
        deleted_at=1,
        signature=BLANK_SIGNATURE,
    )
    stone: Tombstone = signed(WORLD.history, wallet("owner"), replace(made, **fields))
    return stone


class TestTombstones:
    def test_it_shows_anybody_that_the_key_is_gone(self, custodians: Custodians) -> None:
        stone = tombstone(receipts_of(custodians))
        assert Tombstone.from_bytes(stone.encoded()) == stone
        (gone,) = verify_tombstone(stone, CHARTER)
        assert gone.manifest == MANIFEST.cid()

    def test_fewer_receipts_show_that_it_is_not(self, custodians: Custodians) -> None:
        assert verify_tombstone(tombstone(receipts_of(custodians)[:1]), CHARTER) == ()

    def test_one_custodian_counts_once(self, custodians: Custodians) -> None:
        (first, *_) = receipts_of(custodians)
        with pytest.raises(MalformedObject, match="counts once"):
            tombstone((first, first))

    def test_receipts_of_strangers_and_another_owners_signature_are_refused(self, custodians: Custodians) -> None:
        receipts, stranger = receipts_of(custodians), custodian_keys("stranger").signing
        foreign = replace(receipts[0], custodian=stranger.public).signed_by(stranger)
        with pytest.raises(InvalidSignature):
            verify_tombstone(tombstone((foreign, *receipts[1:])), CHARTER)
        changed = replace(receipts[0], destroyed_at=0)
        with pytest.raises(InvalidSignature):
            verify_tombstone(tombstone((changed, *receipts[1:])), CHARTER)
        with pytest.raises(InvalidSignature):
            verify_tombstone(replace(tombstone(receipts), deleted_at=2), CHARTER)
        with pytest.raises(InvalidSignature):
            verify_tombstone(replace(tombstone(receipts), owner=seeded("somebody", 20)), CHARTER)
