"""Keys and shares: any t rebuild the key, fewer do not, and who lies is named."""

import copy
import pickle
from itertools import combinations
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.builders import seeded
from vault.errors import LyingCustodian, WrongKey
from vault.keys import SecretKey, combined, key_commitment, share_commitment, split, verify_key, verify_share

KEY = SecretKey(seeded("key"))
GENESIS = Cid.of(DAG_CBOR, b"genesis")
PLACE: dict[str, Any] = {"genesis": GENESIS, "subject": seeded("dataset"), "version": 3}
CUSTODIAN = seeded("custodian")


@pytest.mark.parametrize(
    ("t", "n"), [(1, 1), (1, 5), (1, 16), (2, 2), (2, 3), (3, 5), (5, 5), (4, 7), (2, 16), (16, 16)]
)
def test_any_t_shares_rebuild_the_key_and_no_other_number_does(t: int, n: int) -> None:
    shares = split(KEY, shares=t, of=n, identifier=7)
    assert len(shares) == n and {len(share) for share in shares} == {32}
    for chosen in list(combinations(range(n), t))[:60]:
        assert combined({index: shares[index] for index in chosen}, shares=t) == KEY
    for count in {t - 1, t + 1} - {0, n + 1}:
        with pytest.raises(WrongKey, match=f"{t} shares are needed"):
            combined({index: shares[index] for index in range(count)}, shares=t)
    with pytest.raises(WrongKey):
        combined({}, shares=t)


def test_with_two_or_more_no_share_is_the_key_and_two_splits_differ() -> None:
    first, second = (split(KEY, shares=2, of=3, identifier=7) for _ in range(2))
    assert KEY.reveal() not in first + second
    assert not set(first) & set(second)


@pytest.mark.parametrize(("t", "n"), [(2, 3), (3, 5)])
def test_shares_under_another_index_or_of_another_split_do_not_fit(t: int, n: int) -> None:
    shares, others = (split(KEY, shares=t, of=n, identifier=7) for _ in range(2))
    given = dict(enumerate(shares[:t]))
    for wrong in ({0: shares[1], 1: shares[0]}, {0: others[0]}, {0: bytes(32)}, {0: shares[1]}):
        with pytest.raises(WrongKey):
            combined(given | wrong, shares=t)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.integers(-2, 300), st.binary(max_size=40) | st.binary(min_size=32, max_size=32), max_size=4))
def test_arbitrary_shares_are_the_wrong_key_and_nothing_else(values: dict[int, bytes]) -> None:
    with pytest.raises(WrongKey):
        combined(values, shares=2)


@pytest.mark.parametrize(("t", "n"), [(3, 2), (0, 3), (2, 17)])
def test_numbers_that_no_charter_allows_are_misuse(t: int, n: int) -> None:
    with pytest.raises(ValueError):
        split(KEY, shares=t, of=n, identifier=7)


def test_a_lying_custodian_is_named_whatever_it_changes() -> None:
    shares = split(KEY, shares=2, of=3, identifier=7)
    committed = [share_commitment(GENESIS, PLACE["subject"], 3, index, share) for index, share in enumerate(shares)]
    verify_share(committed[1], **PLACE, index=1, share=shares[1], custodian=CUSTODIAN)
    wrong: list[dict[str, Any]] = [
        {"share": shares[0]},
        {"share": bytes(32)},
        {"share": shares[1] + b"\x00"},
        {"index": 0},
        {"version": 2},
        {"subject": seeded("other")},
        {"genesis": Cid.of(DAG_CBOR, b"other")},
    ]
    for change in wrong:
        facts = {**PLACE, "index": 1, "share": shares[1], "custodian": CUSTODIAN} | change
        with pytest.raises(LyingCustodian, match=CUSTODIAN.hex()) as caught:
            verify_share(committed[1], **facts)
        assert shares[1].hex() not in str(caught.value)


def test_a_key_is_checked_against_its_commitment_in_its_place() -> None:
    committed = key_commitment(GENESIS, PLACE["subject"], 3, KEY.reveal())
    verify_key(committed, **PLACE, key=KEY)
    wrong: list[dict[str, Any]] = [
        {"key": SecretKey(bytes(32))},
        {"version": 4},
        {"subject": seeded("other")},
        {"genesis": Cid.of(DAG_CBOR, b"other")},
    ]
    for change in wrong:
        with pytest.raises(WrongKey, match="breaks its commitment") as caught:
            verify_key(committed, **({**PLACE, "key": KEY} | change))
        assert KEY.reveal().hex() not in str(caught.value)


def test_commitments_to_one_secret_in_two_roles_differ() -> None:
    secret = KEY.reveal()
    roles = {
        key_commitment(GENESIS, PLACE["subject"], 0, secret),
        share_commitment(GENESIS, PLACE["subject"], 0, 0, secret),
        share_commitment(GENESIS, PLACE["subject"], 0, 1, secret),
        key_commitment(GENESIS, secret, 0, PLACE["subject"]),
    }
    assert len(roles) == 4


@given(st.binary(max_size=40), st.none() | st.binary(max_size=40))
def test_derivation_is_hkdf_with_the_purpose_before_the_info(info: bytes, salt: bytes | None) -> None:
    label = b"coffer/test/v1"
    oracle = HKDF(SHA256(), 32, salt=salt, info=b"\x00\x0e" + label + info).derive(KEY.reveal())
    assert KEY.derive("test", salt=salt, info=info) == oracle


def test_purposes_and_infos_do_not_run_into_one_another() -> None:
    derived = {KEY.derive("a", info=b"b"), KEY.derive("a"), KEY.derive("b"), KEY.derive("a/v1", info=b""), KEY.reveal()}
    assert len(derived) == 5
    assert KEY.derive("a", info=b"/v1") != KEY.derive("a/v1")


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_another_size_is_misuse(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretKey(bytes(size))


def test_a_secret_key_neither_prints_nor_travels() -> None:
    secret = KEY.reveal()
    for shown in (repr(KEY), str(KEY), f"{KEY}", f"{KEY!r:>20}", f"{[KEY]}"):
        assert "SecretKey(…)" in shown
        assert secret.hex() not in shown and repr(secret) not in shown
    leaves: list[Any] = [pickle.dumps, copy.copy, copy.deepcopy, hash]
    for leave in leaves:
        with pytest.raises(TypeError):
            leave(KEY)
    assert not hasattr(KEY, "__dict__")


def test_keys_are_equal_by_value_and_to_keys_alone() -> None:
    again = SecretKey(KEY.reveal())
    assert again == KEY
    assert SecretKey(bytes(32)) != KEY
    assert KEY.reveal() != KEY
