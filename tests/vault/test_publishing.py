"""Sealing and publishing: what is stored is fetched back and checked, and what was not is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from storage.cid import Cid
from storage.errors import BlockMismatch, BlockNotFound
from storage.memory import MemoryBlobs
from tests.builders import dao, seeded, wallet
from tests.faults import Faulty
from vault.envelope import Passage
from vault.errors import LyingCustodian, MalformedObject, TamperedSegment
from vault.hpke import HpkeKeys
from vault.keys import SecretKey, combined, verify_key, verify_share
from vault.publishing import (
    Draft,
    Sealed,
    copy_dataset,
    dataset_blocks,
    seal_dataset,
    share_deposits,
    verify_stored,
)
from vault.release import deposit_context

DAO = dao(3, custodians=3)
DOMAIN = DAO.charter.domain(DAO.genesis)
PASSAGES = [Passage(f"{n}.txt", 0, 9, f"passage {n}") for n in range(20)]
DRAFT = Draft(
    genesis=DAO.genesis,
    dataset=seeded("dataset"),
    title="Tides",
    version=1,
    previous=None,
    allow_simulated=True,
    model=seeded("model"),
)


def quiet(_: int) -> None: ...


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


def seal(blobs: MemoryBlobs, passages: list[Passage] = PASSAGES, draft: Draft = DRAFT) -> Sealed:
    return seal_dataset(passages, draft, charter=DAO.charter, owner=wallet("owner"), blobs=blobs, progress=quiet)


def test_what_was_sealed_is_signed_stored_and_verifies(blobs: MemoryBlobs) -> None:
    steps: list[int] = []
    sealed = seal_dataset(
        PASSAGES, DRAFT, charter=DAO.charter, owner=wallet("owner"), blobs=blobs, progress=steps.append
    )
    sealed.manifest.verify_owner(DOMAIN)
    assert (sealed.manifest.passages, steps[-1]) == (20, 20)
    sizes = sum(segment.sealed_bytes for segment in sealed.manifest.segments)
    assert verify_stored(sealed.manifest, blobs, sealed.key, progress=quiet) == sizes
    assert verify_stored(sealed.manifest, blobs, None, progress=quiet) == sizes


def test_nothing_stored_shows_a_word_of_it(blobs: MemoryBlobs) -> None:
    seal(blobs)
    assert not any(b"passage 7" in blobs.get(cid) for cid in blobs.cids())


def test_sealed_twice_nothing_is_alike(blobs: MemoryBlobs) -> None:
    one, other = seal(blobs), seal(blobs)
    assert one.key != other.key
    assert one.manifest.segments != other.manifest.segments
    assert one.manifest.corpus_root != other.manifest.corpus_root


def test_nothing_to_seal_is_said(blobs: MemoryBlobs) -> None:
    with pytest.raises(MalformedObject, match="nothing to seal"):
        seal(blobs, [])


def test_a_copy_is_whole_and_verifies_elsewhere(blobs: MemoryBlobs) -> None:
    sealed, elsewhere = seal(blobs), MemoryBlobs()
    steps: list[int] = []
    size = copy_dataset(sealed.manifest, blobs, elsewhere, progress=steps.append)
    assert steps[-1] == size == sum(len(elsewhere.get(cid)) for cid in elsewhere.cids())
    verify_stored(sealed.manifest, elsewhere, sealed.key, progress=quiet)
    assert {cid for cid, _ in dataset_blocks(blobs, sealed.manifest)} == set(elsewhere.cids())


def test_every_block_that_is_missing_is_noticed(blobs: MemoryBlobs) -> None:
    sealed = seal(blobs)
    for cid in [cid for cid, _ in dataset_blocks(blobs, sealed.manifest)]:
        block = blobs.get(cid)
        blobs.delete(cid)
        with pytest.raises(BlockNotFound):
            verify_stored(sealed.manifest, blobs, None, progress=quiet)
        blobs.put(cid, block)


def test_another_key_than_the_datasets_opens_nothing(blobs: MemoryBlobs) -> None:
    sealed = seal(blobs)
    with pytest.raises(TamperedSegment):
        verify_stored(sealed.manifest, blobs, SecretKey(bytes(32)), progress=quiet)


def test_other_passages_under_the_right_key_are_noticed(blobs: MemoryBlobs) -> None:
    sealed = seal(blobs)
    other = replace(sealed.manifest, corpus_root=seeded("another root"))
    blobs.put(other.cid(), other.encoded())
    with pytest.raises(BlockMismatch, match="not the ones that were sealed"):
        verify_stored(other, blobs, sealed.key, progress=quiet)


def test_a_place_that_swaps_the_manifest_is_noticed(blobs: MemoryBlobs) -> None:
    sealed, other = seal(blobs), seal(blobs)

    class Swapping(Faulty):
        def get(self, cid: Cid) -> bytes:
            block = self.blobs.get(other.manifest.cid() if cid == sealed.manifest.cid() else cid)
            if not cid.matches(block):
                raise BlockMismatch("these are other bytes")
            return block

        def cids(self) -> Iterator[Cid]:
            return self.blobs.cids()

    with pytest.raises(BlockMismatch):
        verify_stored(sealed.manifest, Swapping(blobs), None, progress=quiet)


class TestDeposits:
    def opened(self, sealed: Sealed, index: int, keys: HpkeKeys) -> bytes:
        deposit = share_deposits(sealed, DAO.charter, wallet("owner"))[index]
        deposit.verify(DOMAIN)
        info = deposit_context(
            genesis=DAO.genesis,
            subject=DRAFT.dataset,
            key_version=1,
            custodian=DAO.custodians[index].signing.public,
            index=index,
            suite=deposit.suite,
        )
        return keys.open(deposit.suite, deposit.sealed, info=info)

    def test_each_custodian_gets_its_own_share_and_t_of_them_make_the_key(self, blobs: MemoryBlobs) -> None:
        sealed = seal(blobs)
        shares = {n: self.opened(sealed, n, DAO.custodians[n].hpke) for n in range(3)}
        assert tuple(shares.values()) == sealed.shares
        for pair in ((0, 1), (0, 2), (1, 2)):
            key = combined({n: shares[n] for n in pair}, shares=2)
            verify_key(sealed.manifest.key_commitment, genesis=DAO.genesis, subject=DRAFT.dataset, version=1, key=key)

    def test_every_share_keeps_its_commitment_and_no_other(self, blobs: MemoryBlobs) -> None:
        sealed = seal(blobs)
        for index, share in enumerate(sealed.shares):
            for place, commitment in enumerate(sealed.manifest.share_commitments):
                facts = {"genesis": DAO.genesis, "subject": DRAFT.dataset, "version": 1, "custodian": bytes(32)}
                if place == index:
                    verify_share(commitment, index=index, share=share, **facts)
                else:
                    with pytest.raises(LyingCustodian):
                        verify_share(commitment, index=index, share=share, **facts)
