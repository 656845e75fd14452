"""Attacks on who is given a share of a key: foreign charters, simulated machines, misdirected deposits (B1, B2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.attacks.release.asking import Asking
from tests.builders import SealedDataset, dao, resigned, sealed_dataset, signed, wallet
from tests.datasets import deposits
from tests.enclaves import TEE, Custodians, Remembered, World, configuration, world
from tests.people import custodian, seeded
from vault.action import Scope
from vault.dataset import DatasetRef
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    InvalidSignature,
    LyingCustodian,
    MalformedObject,
    NotYet,
    Revoked,
    TamperedManifest,
    WrongKey,
)
from vault.history import founded
from vault.hpke import CLASSIC, HYBRID, seal, strongest
from vault.release import deposit_context

WORLD = world(custodians=3)


@pytest.fixture(scope="module")
def remembered() -> Remembered:
    return Remembered.by_custodians(WORLD)


@pytest.fixture
def custodians(tmp_path: Path, remembered: Remembered) -> Iterator[Custodians]:
    with Custodians(WORLD, tmp_path, remembered=remembered) as made:
        yield made


class TestForeignCharters:
    """Rule B1: the same custodians, another DAO."""

    def test_a_one_member_charter_that_names_the_victims_manifest_gets_no_share(self, custodians: Custodians) -> None:
        mallory = world(
            custodians=3, name="Mallory's", policy={"datasets": (DatasetRef.pinned(WORLD.dataset.manifest),)}
        )
        custodians.submit(mallory.history, of=mallory)
        with pytest.raises(AccessDenied, match="sealed it for another DAO"):
            Asking(mallory, custodians).release()
        assert Asking(WORLD, custodians).release().shares  # the victim's own enclave still gets it

    @pytest.mark.parametrize("wants_shares", [True, False])
    def test_nor_a_lease_that_names_it(self, custodians: Custodians, wants_shares: bool) -> None:
        mallory = world(
            custodians=3, name="Mallory's", policy={"datasets": (DatasetRef.pinned(WORLD.dataset.manifest),)}
        )
        custodians.submit(mallory.history, of=mallory)
        with pytest.raises(AccessDenied, match="another DAO"):
            Asking(mallory, custodians).release(wants_shares=wants_shares)

    def test_the_victims_deposit_cannot_be_registered_under_it(self, custodians: Custodians) -> None:
        mallory = world(custodians=3, name="Mallory's")
        custodians.all[0].submit_head(mallory.history.head.cid(), mallory.blocks().items())
        stolen = resigned(mallory.history, wallet("owner"), WORLD.dataset.manifest, genesis=mallory.genesis)
        deposit = resigned(mallory.history, wallet("owner"), WORLD.dataset.deposits[0], manifest=stolen.cid())
        with pytest.raises(WrongKey):  # sealed for the victim's genesis, and so it does not even open
            custodians.all[0].deposit_share(stolen, deposit)

    def test_occupying_a_dataset_id_does_not_keep_its_owner_out(self, tmp_path: Path) -> None:
        squatter, taken = wallet("squatter"), WORLD.dataset.manifest
        manifest = resigned(WORLD.history, squatter, taken, owner=squatter.address, title="Squatted")
        (deposit, *_) = deposits(WORLD.dao, manifest, WORLD.dataset.shares, squatter)
        with Custodians(WORLD, tmp_path, has_deposits=False) as custodians:
            custodians.all[0].deposit_share(manifest, deposit)
            custodians.all[0].deposit_share(WORLD.dataset.manifest, WORLD.dataset.deposits[0])
            assert Asking(WORLD, custodians).release().shares

    def test_a_custodian_the_charter_does_not_name_keeps_nothing_for_it(self, tmp_path: Path) -> None:
        charter = replace(dao(3, name="Strangers").charter, custodians=(custodian("a stranger").public(),))
        foreign = founded(charter)
        blocks = {foreign.genesis: charter.encoded(), foreign.head.cid(): foreign.head.encoded()}
        with (
            Custodians(WORLD, tmp_path) as custodians,
            pytest.raises(AccessDenied, match="does not name this custodian"),
        ):
            custodians.all[0].submit_head(foreign.head.cid(), blocks.items())


class TestSimulatedMachines:
    """Rule B1: never to a simulated TEE unless the owner's signature allows it, and never in production."""

    def test_the_owners_manifest_has_to_allow_it(self, tmp_path: Path) -> None:
        cautious = world(manifest={"allow_simulated": False})
        with (
            Custodians(cautious, tmp_path) as custodians,
            pytest.raises(AccessDenied, match="does not allow a simulated TEE"),
        ):
            Asking(cautious, custodians).release()

    def test_a_host_cannot_flip_the_owners_no(self, tmp_path: Path) -> None:
        cautious = world(manifest={"allow_simulated": False})
        flipped = replace(cautious.dataset.manifest, allow_simulated=True)
        deposit = resigned(cautious.history, wallet("owner"), cautious.dataset.deposits[0], manifest=flipped.cid())
        with Custodians(cautious, tmp_path) as custodians, pytest.raises(TamperedManifest):
            custodians.all[0].deposit_share(flipped, deposit)

    def test_a_custodian_in_production_refuses_it_whatever_the_policy_says(self, tmp_path: Path) -> None:
        with (
            Custodians(WORLD, tmp_path, production=True) as custodians,
            pytest.raises(AccessDenied, match="production"),
        ):
            Asking(WORLD, custodians).release()


class TestDeposits:
    """Rule B2: owner-signed, bound to its context, checked against its commitment."""

    def deposit(self, custodians: Custodians, of: int = 0, **fields: Any) -> None:
        deposit = resigned(WORLD.history, wallet("owner"), WORLD.dataset.deposits[of], **fields)
        custodians.all[0].deposit_share(WORLD.dataset.manifest, deposit)

    def test_the_right_one_is_kept_and_the_same_again_is_fine(self, custodians: Custodians) -> None:
        manifest, ours = WORLD.dataset.manifest.cid(), WORLD.dataset.deposits[0].encoded()
        for _ in range(2):
            self.deposit(custodians)
            assert custodians.all[0].station.store.kept(bytes(32), [manifest]).deposits == {manifest: ours}

    def test_one_for_another_custodian_is_refused(self, custodians: Custodians) -> None:
        with pytest.raises(AccessDenied, match="not for this custodian"):
            self.deposit(custodians, of=1)

    def test_one_for_another_custodian_under_our_name_does_not_open(self, custodians: Custodians) -> None:
        ours = WORLD.dao.custodians[0].public().key
        with pytest.raises(WrongKey):
            self.deposit(custodians, of=1, custodian=ours, index=0)

    def test_one_signed_by_somebody_else_is_refused(self, custodians: Custodians) -> None:
        mallory = wallet("mallory")
        forged = signed(WORLD.history, mallory, replace(WORLD.dataset.deposits[0], owner=mallory.address))
        with pytest.raises(AccessDenied, match="not the manifest owner's"):
            custodians.all[0].deposit_share(WORLD.dataset.manifest, forged)
        claimed = replace(forged, owner=wallet("owner").address)
        with pytest.raises(InvalidSignature):
            custodians.all[0].deposit_share(WORLD.dataset.manifest, claimed)

    def test_a_share_that_breaks_its_commitment_is_refused(self, custodians: Custodians) -> None:
        with pytest.raises(LyingCustodian):
            self.deposit(custodians, sealed=_sealed(seeded("another share")))

    @pytest.mark.parametrize("fact", ["genesis", "subject", "key_version", "custodian", "index", "suite"])
    def test_a_share_sealed_for_another_context_does_not_open(self, custodians: Custodians, fact: str) -> None:
        self.deposit(custodians, sealed=_sealed(WORLD.dataset.shares[0]))
        others: dict[str, Any] = {
            "genesis": world(name="Other").genesis,
            "subject": seeded("other"),
            "key_version": 2,
            "custodian": seeded("other"),
            "index": 1,
            "suite": CLASSIC,
        }
        with pytest.raises(WrongKey):
            self.deposit(custodians, sealed=_sealed(WORLD.dataset.shares[0], **{fact: others[fact]}))

    @pytest.mark.parametrize("size", [64, 1119, 1120, 1121, 1200, 4096])
    @pytest.mark.parametrize("suite", [HYBRID, CLASSIC])
    def test_bytes_that_are_no_ciphertext_are_refused_as_a_wrong_key(
        self, custodians: Custodians, size: int, suite: str
    ) -> None:
        with pytest.raises(WrongKey):
            self.deposit(custodians, sealed=bytes(size), suite=suite)

    def test_a_manifest_with_fewer_commitments_than_custodians_is_refused(self, custodians: Custodians) -> None:
        short = resigned(
            WORLD.history,
            wallet("owner"),
            WORLD.dataset.manifest,
            share_commitments=WORLD.dataset.manifest.share_commitments[:2],
        )
        deposit = resigned(WORLD.history, wallet("owner"), WORLD.dataset.deposits[0], manifest=short.cid())
        with pytest.raises(MalformedObject, match="one share per custodian"):
            custodians.all[0].deposit_share(short, deposit)

    def test_a_second_manifest_of_one_version_is_a_fork(self, custodians: Custodians) -> None:
        other = resigned(WORLD.history, wallet("owner"), WORLD.dataset.manifest, title="Another")
        deposit = resigned(WORLD.history, wallet("owner"), WORLD.dataset.deposits[0], manifest=other.cid())
        with pytest.raises(ForkedHistory):
            custodians.all[0].deposit_share(other, deposit)


class TestOnePolicyOfSeveral:
    """What one policy lacks does not stop what another one allows, and is not given along with it."""

    def second(self, **manifest: Any) -> tuple[World, SealedDataset]:
        setting = world()
        other = sealed_dataset(setting.dao, owner=wallet("other owner"), **manifest)
        policy = builders.policy(
            setting.genesis,
            title="Second",
            datasets=(DatasetRef.pinned(other.manifest),),
            tees=(TEE,),
            configurations=(configuration(setting.genesis),),
        )
        history = setting.decided(builders.carried(setting.history, builders.adopting(policy)), policy)
        return replace(setting, history=history), other

    def test_a_dataset_without_deposit_is_left_out(self, tmp_path: Path) -> None:
        setting, _ = self.second()
        with Custodians(setting, tmp_path) as custodians:
            released = Asking(setting, custodians).release()
        assert released.lease.terms.manifests == (setting.dataset.manifest.cid(),)

    def test_a_dataset_whose_owner_allows_no_simulated_tee_is_left_out(self, tmp_path: Path) -> None:
        setting, other = self.second(allow_simulated=False)
        with Custodians(setting, tmp_path) as custodians:
            custodians.deposit(other)
            released = Asking(setting, custodians).release()
        assert released.lease.terms.manifests == (setting.dataset.manifest.cid(),)

    def test_with_no_dataset_at_all_there_is_no_lease(self, tmp_path: Path) -> None:
        with Custodians(WORLD, tmp_path, has_deposits=False) as custodians, pytest.raises(NotYet, match="deposited"):
            Asking(WORLD, custodians).release()


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DAO, b""),
        (Scope.POLICY, WORLD.policy.cid().binary),
        (Scope.DATASET, DatasetRef.pinned(WORLD.dataset.manifest).lineage(WORLD.genesis)),
        (Scope.MEASUREMENT, TEE.measurements()[0]),
    ],
)
def test_after_a_revocation_there_is_no_lease(custodians: Custodians, scope: Scope, subject: bytes) -> None:
    Asking(WORLD, custodians).release()
    custodians.submit(WORLD.decided(builders.carried(WORLD.history, builders.revoking(scope, subject))))
    with pytest.raises(Revoked):
        Asking(WORLD, custodians).release(wants_shares=False)


def _sealed(share: bytes, **context: Any) -> bytes:
    """Return a share sealed to the first custodian, in its right context but for what `context` replaces."""
    entry = WORLD.dao.charter.custodians[0]
    recipient = strongest(entry.hpke, floor=WORLD.dao.charter.suite_floor)
    facts: dict[str, Any] = {
        "genesis": WORLD.genesis,
        "subject": WORLD.dataset.manifest.dataset,
        "key_version": 1,
        "custodian": entry.key,
        "index": 0,
        "suite": recipient.suite,
    }
    return seal(recipient, share, info=deposit_context(**(facts | context)))
