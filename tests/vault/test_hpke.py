"""HPKE: only the right key, context and bytes open; suites cannot be talked down.

Origin of the vector: RFC 9180, appendix A.1.1. `opened_by_hand` follows the RFC, sections 4.1 and 5.1, and for the
hybrid draft-connolly-cfrg-xwing-kem, section 5.3, as an oracle that shares nothing with the library but primitives.
"""

import copy
import hmac
import pickle
from hashlib import sha3_256, sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import seeded
from vault.charter import SuiteKey
from vault.codec import decode
from vault.errors import MalformedObject, WrongKey
from vault.hpke import CLASSIC, HYBRID, SUITES, HpkeKeys, context, seal, strongest

SEED = seeded("seed", 128)
KEYS = HpkeKeys.from_seed(SEED)
OTHERS = HpkeKeys.from_seed(seeded("other seed", 128))
BY_SUITE = {key.suite: key for key in KEYS.public}
SECRET = seeded("secret")
INFO = context("test", subject=b"x")


def expand(key: bytes, suite: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return HKDFExpand(SHA256(), size, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info).derive(key)


def extract(salt: bytes, suite: bytes, label: bytes, key: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + key, sha256)


def dhkem(secret: bytes, enc: bytes) -> bytes:
    key, suite = X25519PrivateKey.from_private_bytes(secret), b"KEM" + (0x20).to_bytes(2, "big")
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    prk = extract(b"", suite, b"eae_prk", shared)
    return expand(prk, suite, b"shared_secret", enc + key.public_key().public_bytes_raw(), 32)


def xwing(seed: bytes, enc: bytes) -> bytes:
    inner = X25519PrivateKey.from_private_bytes(seed[64:96])
    shared = MLKEM768PrivateKey.from_seed_bytes(seed[:64]).decapsulate(enc[:1088])
    classic = inner.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    public = inner.public_key().public_bytes_raw()
    return sha3_256(shared + classic + enc[1088:] + public + rb"\.//^" + b"\\").digest()


def opened_by_hand(shared: bytes, ids: tuple[int, int, int], sealed: bytes, *, info: bytes, aad: bytes) -> bytes:
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in ids)
    schedule = b"\x00" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    secret = extract(shared, suite, b"secret", b"")
    key = expand(secret, suite, b"key", schedule, 16 if ids[2] == 1 else 32)
    return AESGCM(key).decrypt(expand(secret, suite, b"base_nonce", schedule, 12), sealed, aad)


def test_the_oracle_opens_the_rfcs_vector() -> None:
    shared = dhkem(
        bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"),
        bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"),
    )
    assert shared.hex() == "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc"
    sealed = bytes.fromhex("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a")
    opened = opened_by_hand(shared, (0x20, 1, 1), sealed, info=b"Ode on a Grecian Urn", aad=b"Count-0")
    assert opened == b"Beauty is truth, truth beauty"


def test_what_we_seal_the_oracle_opens() -> None:
    sealed = seal(BY_SUITE[CLASSIC], SECRET, info=INFO)
    assert opened_by_hand(dhkem(SEED[96:], sealed[:32]), (0x20, 1, 2), sealed[32:], info=INFO, aad=b"") == SECRET
    sealed = seal(BY_SUITE[HYBRID], SECRET, info=INFO)
    assert opened_by_hand(xwing(SEED, sealed[:1120]), (0x647A, 1, 2), sealed[1120:], info=INFO, aad=b"") == SECRET


@pytest.mark.parametrize(("suite", "size"), [(HYBRID, 1168), (CLASSIC, 80)])
def test_a_sealed_secret_opens_and_has_its_suites_size(suite: str, size: int) -> None:
    sealed = seal(BY_SUITE[suite], SECRET, info=INFO)
    assert len(sealed) == size
    assert KEYS.open(suite, sealed, info=INFO) == SECRET
    assert seal(BY_SUITE[suite], SECRET, info=INFO) != sealed


@pytest.mark.parametrize("suite", SUITES)
def test_another_key_context_or_suite_does_not_open(suite: str) -> None:
    sealed = seal(BY_SUITE[suite], SECRET, info=INFO)
    other = next(name for name in SUITES if name != suite)
    attempts: list[tuple[HpkeKeys, str, bytes]] = [
        (OTHERS, suite, INFO),
        (KEYS, other, INFO),
        (KEYS, suite.lower(), INFO),
        (KEYS, "", INFO),
        (KEYS, suite, b""),
        (KEYS, suite, INFO + b"\x00"),
        (KEYS, suite, context("test", subject=b"y")),
        (KEYS, suite, context("other", subject=b"x")),
    ]
    for keys, name, info in attempts:
        with pytest.raises(WrongKey) as caught:
            keys.open(name, sealed, info=info)
        assert SECRET.hex() not in str(caught.value) and repr(SECRET) not in str(caught.value)


@pytest.mark.parametrize("suite", SUITES)
def test_no_byte_can_be_changed_cut_or_added(suite: str) -> None:
    sealed = seal(BY_SUITE[suite], SECRET, info=INFO)
    flipped = [sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :] for n in range(len(sealed))]
    cut = [sealed[:n] for n in range(0, len(sealed), 7)]
    for broken in (*flipped, *cut, sealed + b"\x00", b"\x00" + sealed, bytes(len(sealed)), sealed * 2):
        with pytest.raises(WrongKey):
            KEYS.open(suite, broken, info=INFO)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*SUITES, "", "x"]), st.binary(max_size=1300))
def test_arbitrary_bytes_are_the_wrong_key_and_nothing_else(suite: str, sealed: bytes) -> None:
    with pytest.raises(WrongKey):
        KEYS.open(suite, sealed, info=INFO)


@pytest.mark.parametrize(
    "recipient",
    [
        SuiteKey(suite="unknown", key=bytes(32)),
        SuiteKey(suite=CLASSIC, key=bytes(32)),
        SuiteKey(suite=CLASSIC, key=b"\x01" + bytes(31)),
        SuiteKey(suite=CLASSIC, key=bytes(33)),
        SuiteKey(suite=CLASSIC, key=BY_SUITE[HYBRID].key),
        SuiteKey(suite=HYBRID, key=bytes(1216)),
        SuiteKey(suite=HYBRID, key=b"\xff" * 1184 + BY_SUITE[CLASSIC].key),
        SuiteKey(suite=HYBRID, key=BY_SUITE[HYBRID].key[:-1]),
        SuiteKey(suite=HYBRID, key=BY_SUITE[CLASSIC].key),
    ],
    ids=lambda recipient: f"{recipient.suite[:7]}-{len(recipient.key)}-{recipient.key[0]:x}",
)
def test_a_key_the_suite_cannot_use_is_malformed(recipient: SuiteKey) -> None:
    with pytest.raises(MalformedObject):
        seal(recipient, SECRET, info=INFO)


@pytest.mark.parametrize(
    ("offered", "floor", "chosen"),
    [
        ((HYBRID, CLASSIC), CLASSIC, HYBRID),
        ((CLASSIC, HYBRID), CLASSIC, HYBRID),
        ((CLASSIC, HYBRID), HYBRID, HYBRID),
        ((CLASSIC,), CLASSIC, CLASSIC),
        (("stronger?", CLASSIC), CLASSIC, CLASSIC),
    ],
)
def test_the_strongest_offered_suite_is_chosen_in_whatever_order(
    offered: tuple[str, ...], floor: str, chosen: str
) -> None:
    keys = [BY_SUITE.get(suite, SuiteKey(suite=suite, key=bytes(32))) for suite in offered]
    assert strongest(keys, floor=floor) == BY_SUITE[chosen]


@pytest.mark.parametrize("offered", [(), (CLASSIC,), ("none", "mlkem768x25519-hkdf-sha256-aes256gcm")])
def test_nothing_below_the_floor_is_chosen(offered: tuple[str, ...]) -> None:
    with pytest.raises(WrongKey, match="floor"):
        strongest([SuiteKey(suite=suite, key=bytes(32)) for suite in offered], floor=HYBRID)


@pytest.mark.parametrize("floor", ["", "none", HYBRID.lower()])
def test_an_unknown_floor_is_no_floor_to_stand_on(floor: str) -> None:
    with pytest.raises(MalformedObject, match="floor"):
        strongest(KEYS.public, floor=floor)


def test_context_is_canonical_and_names_its_purpose() -> None:
    assert decode(context("share", index=1, key=b"k")) == {"purpose": "coffer/share/v1", "index": 1, "key": b"k"}
    assert context("share", a=1, b=2) == context("share", b=2, a=1)


def test_keys_come_back_from_their_seed_and_each_from_its_own_part() -> None:
    assert HpkeKeys.from_seed(SEED).public == KEYS.public
    # bytes 32 to 63 are ML-KEM's value for implicit rejection, which the public key does not show
    for place, number in ((0, 0), (31, 0), (65, 0), (94, 0), (97, 1), (126, 1)):
        changed = HpkeKeys.from_seed(SEED[:place] + bytes([SEED[place] ^ 2]) + SEED[place + 1 :])
        assert changed.public[number] != KEYS.public[number]
        assert changed.public[1 - number] == KEYS.public[1 - number]
    for size in (0, 127, 129):
        with pytest.raises(ValueError, match="128 bytes"):
            HpkeKeys.from_seed(bytes(size))


def test_private_keys_neither_print_nor_travel() -> None:
    for shown in (repr(KEYS), str(KEYS), f"{KEYS}", f"{(KEYS,)}"):
        assert shown.strip("(,)") in ("HpkeKeys(…", "HpkeKeys(…)")
    leaves: list[Any] = [pickle.dumps, copy.copy, copy.deepcopy]
    for leave in leaves:
        with pytest.raises(TypeError):
            leave(KEYS)
