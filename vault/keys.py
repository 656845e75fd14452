"""Data keys and their shares: split t of n, committed to in public, and never printed (rules B1, B2, S3).

Shares are SLIP-39's Shamir secret sharing over GF(256) without its passphrase layer (`split_ems`): the same 32-byte
values serve custodians and, as words, paper. SLIP-39 refuses 1-of-n, where every share would be the key itself; then
that is what a share is.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from storage.cid import Cid
from vault.codec import encode
from vault.errors import LyingCustodian, WrongKey
from vault.locked import SECRET_BYTES, LockedSecret

KEY_BYTES = SECRET_BYTES
SHARES_MAX = 16  # SLIP-39, section "Shamir's secret sharing"


class SecretKey:
    """Thirty-two secret bytes in locked memory, which neither print nor pickle and compare in constant time.

    They are wiped when the last reference is gone. What `reveal` returned, and what was passed in, is not.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._secret = LockedSecret(secret)

    def reveal(self) -> bytes:
        """Return a copy of the bytes, for the one call that needs them."""
        return bytes(self._secret.view())

    def wipe(self) -> None:
        """Overwrite the bytes now; whatever needs them afterwards is a `ValueError`."""
        self._secret.wipe()

    def derive(self, purpose: str, salt: bytes | None = None, info: bytes = b"") -> bytes:
        """Return 32 bytes by HKDF-SHA256 (RFC 5869) for one named purpose."""
        label = f"coffer/{purpose}/v1".encode()
        whole = len(label).to_bytes(2, "big") + label + info
        extracted = hmac.digest(salt or bytes(KEY_BYTES), self._secret.view(), "sha256")  # section 2.2
        return hmac.digest(extracted, whole + b"\x01", "sha256")  # section 2.3: the first block is all of 32 bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretKey) and hmac.compare_digest(self._secret.view(), other._secret.view())

    __hash__ = None  # type: ignore[assignment]  # a key in a set or dict key would be compared by hash first

    def __repr__(self) -> str:
        return "SecretKey(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is never pickled")


def split(secret: SecretKey, *, shares: int, of: int, identifier: int) -> list[bytes]:
    """Return `of` values of 32 bytes, any `shares` of which rebuild the secret.

    Args:
        identifier: 15 random bits, SLIP-39's id of one split.
    """
    if shares == 1:
        return [secret.reveal()] * of
    from shamir_mnemonic import EncryptedMasterSecret, split_ems

    ems = EncryptedMasterSecret(identifier, True, 0, secret.reveal())
    return [share.value for share in split_ems(1, [(shares, of)], ems)[0]]


def combined(values: Mapping[int, bytes], *, shares: int) -> SecretKey:
    """Rebuild the secret from exactly `shares` values by index; each already checked against its commitment."""
    if len(values) != shares:
        raise WrongKey(f"{shares} shares are needed, {len(values)} came")
    if any(len(value) != KEY_BYTES or not 0 <= index < SHARES_MAX for index, value in values.items()):
        raise WrongKey(f"a share has {KEY_BYTES} bytes and an index of 0 … {SHARES_MAX - 1}")
    if shares == 1:
        return SecretKey(next(iter(values.values())))
    from shamir_mnemonic import MnemonicError, Share, recover_ems
    from shamir_mnemonic.shamir import ShareGroup

    group = ShareGroup()
    for index, value in values.items():
        group.add(
            Share(
                identifier=0,
                extendable=True,
                iteration_exponent=0,
                group_index=0,
                group_threshold=1,
                group_count=1,
                index=index,
                member_threshold=shares,
                value=value,
            )
        )
    try:
        return SecretKey(recover_ems({0: group}).ciphertext)
    except MnemonicError as error:
        raise WrongKey("the shares do not fit together") from error


def key_commitment(genesis: Cid, subject: bytes, version: int, secret: bytes) -> bytes:
    """Return the public commitment to a key; it hides the key, which has 256 bits of entropy."""
    return sha256(encode(["coffer/key-commitment/v1", genesis, subject, version, secret])).digest()


def share_commitment(genesis: Cid, subject: bytes, version: int, index: int, share: bytes) -> bytes:
    """Return the public commitment to the share of the custodian at `index` in the charter."""
    return sha256(encode(["coffer/share-commitment/v1", genesis, subject, version, index, share])).digest()


def verify_share(
    commitment: bytes, *, genesis: Cid, subject: bytes, version: int, index: int, share: bytes, custodian: bytes
) -> None:
    """Raise `LyingCustodian`, naming it, unless `share` is the one committed to (rule B2)."""
    if not hmac.compare_digest(share_commitment(genesis, subject, version, index, share), commitment):
        raise LyingCustodian(f"custodian {custodian.hex()} gave a share that breaks its commitment")


def verify_key(commitment: bytes, *, genesis: Cid, subject: bytes, version: int, key: SecretKey) -> None:
    """Raise `WrongKey` unless `key` is the one committed to."""
    if not hmac.compare_digest(key_commitment(genesis, subject, version, key.reveal()), commitment):
        raise WrongKey("the rebuilt key breaks its commitment")
