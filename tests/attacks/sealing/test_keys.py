"""Attacks on who gets a data key: false manifests, foreign charters, relayed and lying shares (rules B1, B2)."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import dao, policy, resigned, sealed_dataset, seeded, signed, wallet
from vault.errors import InvalidSignature, LyingCustodian, MalformedObject, TamperedManifest, WrongKey
from vault.hpke import CLASSIC, HYBRID, seal, strongest
from vault.keys import SecretKey, combined, verify_key, verify_share
from vault.manifest import Manifest, ShareDeposit
from vault.release import deposit_context

DAO = dao(3, custodians=5, suite_floor=HYBRID)
DOMAIN = DAO.charter.domain(DAO.genesis)
SEALED = sealed_dataset(DAO)
MANIFEST = SEALED.manifest
PLACE: dict[str, Any] = {"genesis": DAO.genesis, "subject": MANIFEST.dataset, "version": MANIFEST.key_version}


def test_any_flipped_byte_of_a_manifest_is_noticed() -> None:
    encoded = MANIFEST.encoded()
    Manifest.from_bytes(encoded).verify_owner(DOMAIN)
    for place in range(len(encoded)):
        for flip in (0x01, 0x02, 0x20, 0x80):
            broken = encoded[:place] + bytes([encoded[place] ^ flip]) + encoded[place + 1 :]
            with pytest.raises((MalformedObject, TamperedManifest)):
                Manifest.from_bytes(broken).verify_owner(DOMAIN)


def test_any_cut_or_addition_of_a_manifest_is_noticed() -> None:
    encoded = MANIFEST.encoded()
    for broken in (*(encoded[:size] for size in range(len(encoded))), encoded + b"\x00", encoded * 2):
        with pytest.raises(MalformedObject):
            Manifest.from_bytes(broken)


def test_a_charter_with_the_same_custodians_cannot_claim_a_manifest() -> None:
    mallory = dao(1, name="Mallory's", custodians=5)
    assert mallory.charter.custodians == DAO.charter.custodians
    domain = mallory.charter.domain(mallory.genesis)
    for attempt in (MANIFEST, replace(MANIFEST, genesis=mallory.genesis)):
        with pytest.raises(TamperedManifest):
            attempt.verify_owner(domain)


def test_a_manifest_signed_anew_by_someone_else_is_someone_elses() -> None:
    mallory = wallet("mallory")
    stolen = signed(DAO.history, mallory, replace(MANIFEST, owner=mallory.address))
    stolen.verify_owner(DOMAIN)  # it is well signed, and another manifest than the one a policy or deposit names
    assert stolen.cid() != MANIFEST.cid()
    assert stolen.owner != MANIFEST.owner


def test_the_simulated_tee_cannot_be_allowed_without_the_owner() -> None:
    forbidding = resigned(DAO.history, wallet("owner"), MANIFEST, allow_simulated=False)
    with pytest.raises(TamperedManifest):
        replace(forbidding, allow_simulated=True).verify_owner(DOMAIN)
    with pytest.raises(TamperedManifest):
        replace(forbidding, allow_simulated=True, signature=MANIFEST.signature, title="").verify_owner(DOMAIN)


def test_a_signature_on_a_deposit_does_not_sign_a_manifest_nor_the_reverse() -> None:
    deposit = SEALED.deposits[0]
    with pytest.raises(TamperedManifest):
        replace(MANIFEST, signature=deposit.signature).verify_owner(DOMAIN)
    with pytest.raises(InvalidSignature):
        replace(deposit, signature=MANIFEST.signature).verify(DOMAIN)
    with pytest.raises(MalformedObject):
        Manifest.from_bytes(deposit.encoded())


def info_of(deposit: ShareDeposit, **changes: Any) -> bytes:
    facts = {
        "genesis": DAO.genesis,
        "subject": MANIFEST.dataset,
        "key_version": MANIFEST.key_version,
        "custodian": deposit.custodian,
        "index": deposit.index,
        "suite": deposit.suite,
    }
    return deposit_context(**(facts | changes))


def test_a_share_relayed_to_another_custodian_does_not_open() -> None:
    deposit = SEALED.deposits[0]
    assert DAO.custodians[0].hpke.open(deposit.suite, deposit.sealed, info=info_of(deposit)) == SEALED.shares[0]
    for other in DAO.custodians[1:]:
        for info in (info_of(deposit), info_of(deposit, custodian=other.signing.public)):
            with pytest.raises(WrongKey):
                other.hpke.open(deposit.suite, deposit.sealed, info=info)


@pytest.mark.parametrize(
    "change",
    [
        {"genesis": policy(DAO.genesis).cid()},
        {"subject": seeded("other")},
        {"key_version": 2},
        {"custodian": seeded("other")},
        {"index": 1},
        {"suite": CLASSIC},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_share_does_not_open_in_another_context(change: dict[str, Any]) -> None:
    deposit = SEALED.deposits[0]
    with pytest.raises(WrongKey):
        DAO.custodians[0].hpke.open(deposit.suite, deposit.sealed, info=info_of(deposit, **change))


def test_a_share_sealed_by_a_stranger_is_not_the_owners() -> None:
    deposit = SEALED.deposits[0]
    entry = strongest(DAO.charter.custodians[0].hpke, floor=HYBRID)
    planted = replace(deposit, sealed=seal(entry, bytes(32), info=info_of(deposit)))
    with pytest.raises(InvalidSignature):
        planted.verify(DOMAIN)


@pytest.mark.parametrize("liar", range(5))
def test_the_custodian_that_lies_is_the_one_that_is_named(liar: int) -> None:
    given = list(SEALED.shares)
    given[liar] = seeded("lie")
    keys = [entry.key for entry in DAO.charter.custodians]
    for index, share in enumerate(given):
        facts: dict[str, Any] = PLACE | {"index": index, "share": share, "custodian": keys[index]}
        if index == liar:
            with pytest.raises(LyingCustodian, match=keys[liar].hex()):
                verify_share(MANIFEST.share_commitments[index], **facts)
        else:
            verify_share(MANIFEST.share_commitments[index], **facts)


def test_custodians_that_trade_their_shares_are_both_named() -> None:
    for index, share in ((0, SEALED.shares[1]), (1, SEALED.shares[0])):
        with pytest.raises(LyingCustodian):
            verify_share(MANIFEST.share_commitments[index], **PLACE, index=index, share=share, custodian=bytes(32))


def test_a_lie_that_was_not_checked_for_still_yields_no_wrong_key() -> None:
    honest = {index: SEALED.shares[index] for index in range(3)}
    assert combined(honest, shares=3) == SEALED.data_key
    with pytest.raises(WrongKey):
        combined(honest | {2: seeded("lie")}, shares=3)
    with pytest.raises(WrongKey, match="commitment"):
        verify_key(MANIFEST.key_commitment, **PLACE, key=SecretKey(seeded("forged")))


def test_an_offer_without_the_strong_suite_is_not_served_below_the_floor() -> None:
    for entry in DAO.charter.custodians:
        weak = [key for key in entry.hpke if key.suite != HYBRID]
        assert strongest(weak, floor=CLASSIC).suite == CLASSIC
        with pytest.raises(WrongKey, match="floor"):
            strongest(weak, floor=DAO.charter.suite_floor)
        renamed = [replace(key, suite=HYBRID) for key in weak]
        with pytest.raises(MalformedObject):
            seal(strongest(renamed, floor=HYBRID), SEALED.shares[0], info=b"")


def test_a_sealed_share_says_nothing_of_the_share() -> None:
    stored = b"".join(deposit.encoded() for deposit in SEALED.deposits) + MANIFEST.encoded()
    for share in (*SEALED.shares, SEALED.data_key.reveal()):
        assert share not in stored
