"""The manifest: signed as it stands, under one DAO, with counts that add up."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import CHAIN_ID, dao, resigned, sealed_dataset, seeded, wallet
from vault.charter import CUSTODIANS_MAX
from vault.envelope import passage_commitment, passage_salts
from vault.errors import InvalidSignature, MalformedObject, TamperedManifest
from vault.keys import SecretKey, verify_key, verify_share
from vault.manifest import Manifest, SegmentReference, ShareDeposit, corpus_tree, dataset_id
from vault.merkle import root_from_path
from vault.release import deposit_context
from vault.typed_data import Domain

DAO = dao(3, custodians=3)
DOMAIN = DAO.charter.domain(DAO.genesis)
SEALED = sealed_dataset(DAO, [f"passage {n}" for n in range(7)])
MANIFEST = SEALED.manifest
OTHER = Cid.of(DAG_CBOR, b"other")


def test_a_manifest_comes_back_from_its_bytes_and_its_owner_signed_it() -> None:
    again = Manifest.from_bytes(MANIFEST.encoded())
    assert again == MANIFEST
    again.verify_owner(DOMAIN)


@pytest.mark.parametrize(
    "field",
    [
        {"genesis": OTHER},
        {"dataset": bytes(32)},
        {"title": "another"},
        {"version": 2, "previous": OTHER},
        {"owner": wallet("mallory").address},
        {"allow_simulated": False},
        {"key_version": 2},
        {"key_commitment": bytes(32)},
        {"share_commitments": MANIFEST.share_commitments[::-1]},
        {"segments": MANIFEST.segments[:1] * 3 + MANIFEST.segments[-1:]},
        {"corpus_root": bytes(32)},
        {"model": bytes(32)},
        {"signature": bytes(65)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    with pytest.raises(TamperedManifest):
        replace(MANIFEST, **field).verify_owner(DOMAIN)


@pytest.mark.parametrize(
    "domain",
    [Domain(chain_id=CHAIN_ID, dao_id=bytes(32)), Domain(chain_id=CHAIN_ID + 1, dao_id=DOMAIN.dao_id)],
    ids=["dao", "chain"],
)
def test_a_manifest_is_for_one_dao_on_one_chain(domain: Domain) -> None:
    with pytest.raises(TamperedManifest):
        MANIFEST.verify_owner(domain)


def test_a_manifest_that_its_owner_signed_for_one_dao_and_wrote_for_another_is_refused() -> None:
    elsewhere = dao(3, name="Elsewhere", custodians=3)
    mixed = resigned(elsewhere.history, wallet("owner"), MANIFEST)
    with pytest.raises(TamperedManifest, match="another DAO"):
        mixed.verify_owner(elsewhere.charter.domain(elsewhere.genesis))


SEGMENT = MANIFEST.segments[0]


@pytest.mark.parametrize(
    "field",
    [
        {"passages": 8},
        {"passages": 0},
        {"segments": MANIFEST.segments[:-1]},
        {"segments": (replace(SEGMENT, passages=3), *MANIFEST.segments[1:])},
        {"segments": ()},
        {"segments": (replace(SEGMENT, passages=2**32 + 1),), "passages": 2**32 + 1},
        {"version": 0},
        {"version": 2},
        {"previous": OTHER},
        {"share_commitments": ()},
        {"share_commitments": (bytes(32),) * (CUSTODIANS_MAX + 1)},
        {"allow_simulated": 1},
        {"allow_simulated": None},
        {"key_commitment": bytes(31)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_counts_that_do_not_add_up_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(MANIFEST, **field)


def test_a_later_version_names_the_one_before() -> None:
    second = sealed_dataset(DAO, version=2, previous=MANIFEST.cid())
    second.manifest.verify_owner(DOMAIN)
    assert second.manifest.dataset == MANIFEST.dataset
    assert second.manifest.previous == MANIFEST.cid()
    assert second.data_key != SEALED.data_key


def test_its_commitments_hold_for_the_key_the_shares_and_every_passage() -> None:
    place: dict[str, Any] = {"genesis": DAO.genesis, "subject": MANIFEST.dataset, "version": 1}
    verify_key(MANIFEST.key_commitment, **place, key=SEALED.data_key)
    for index, share in enumerate(SEALED.shares):
        commitment = MANIFEST.share_commitments[index]
        verify_share(commitment, **place, index=index, share=share, custodian=DAO.charter.custodians[index].key)
    tree = corpus_tree(SEALED.data_key, SEALED.encoded)
    for index, (salt, encoded) in enumerate(zip(passage_salts(SEALED.data_key), SEALED.encoded, strict=False)):
        leaf = passage_commitment(salt, encoded)
        assert root_from_path(leaf, index, MANIFEST.passages, tree.path(index)) == MANIFEST.corpus_root


def test_the_corpus_root_hides_the_passages_behind_the_key() -> None:
    assert corpus_tree(SecretKey(bytes(32)), SEALED.encoded).root() != MANIFEST.corpus_root
    assert corpus_tree(SEALED.data_key, SEALED.encoded[::-1]).root() != MANIFEST.corpus_root
    assert corpus_tree(SEALED.data_key, SEALED.encoded[:-1]).root() != MANIFEST.corpus_root


def info_of(deposit: ShareDeposit, **changes: Any) -> bytes:
    facts: dict[str, Any] = {
        "genesis": DAO.genesis,
        "subject": MANIFEST.dataset,
        "key_version": 1,
        "custodian": deposit.custodian,
        "index": deposit.index,
        "suite": deposit.suite,
    }
    return deposit_context(**(facts | changes))


def test_each_custodian_opens_its_own_deposit_which_the_owner_signed() -> None:
    for keys, deposit, share in zip(DAO.custodians, SEALED.deposits, SEALED.shares, strict=True):
        deposit.verify(DOMAIN)
        assert ShareDeposit.from_bytes(deposit.encoded()) == deposit
        assert keys.hpke.open(deposit.suite, deposit.sealed, info=info_of(deposit)) == share


@pytest.mark.parametrize(
    "field",
    [
        {"manifest": OTHER},
        {"owner": wallet("mallory").address},
        {"custodian": seeded("other")},
        {"index": 1},
        {"suite": "other"},
        {"sealed": bytes(64)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_of_a_deposit_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidSignature):
        replace(SEALED.deposits[0], **field).verify(DOMAIN)


def test_datasets_of_two_owners_or_two_nonces_have_two_ids() -> None:
    owner = wallet("owner").address
    assert len({dataset_id(owner, bytes(32)), dataset_id(owner, seeded("n")), dataset_id(bytes(20), bytes(32))}) == 3


def test_the_owner_may_sign_anew_and_then_it_is_another_manifest() -> None:
    forbidding = resigned(DAO.history, wallet("owner"), MANIFEST, allow_simulated=False)
    forbidding.verify_owner(DOMAIN)
    assert forbidding.cid() != MANIFEST.cid()
    assert forbidding.message()["allowSimulated"] is False


def test_segment_references_are_bounded_like_every_record() -> None:
    with pytest.raises(MalformedObject):
        SegmentReference(root=OTHER, sealed_bytes=-1, passages=1)
