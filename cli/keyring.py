"""An owner's copy of a data key and its shares, sealed to the owner's wallet, so that publishing can be done again.

    file = canonical CBOR of {type, owner, dataset, version, salt, ciphertext}
    key  = HKDF(HKDF(wallet key, "data-key"), salt, info = owner, dataset, version), AES-256-GCM, used once

Each write draws a fresh 32-byte salt, so a key encrypts once.
"""

from __future__ import annotations

import secrets
from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli.sealed_files import read_bounded, write_private
from vault.charter import CUSTODIANS_MAX
from vault.codec import Address, Digest, Length, Record, encode, record
from vault.errors import MalformedObject, WrongKey
from vault.keys import SecretKey
from vault.manifest import Manifest
from vault.publishing import Sealed
from vault.signing import SigningKey

FILE_BYTES_MAX = 4096
_PURPOSE = b"data-key"
_NONCE = bytes(12)


@record
class _Secrets(Record):
    """What is sealed."""

    key: Digest = field(repr=False)
    shares: Annotated[tuple[Digest, ...], Length(0, CUSTODIANS_MAX)] = field(repr=False)  # none: back from paper


@record
class KeyFile(Record):
    """The form of the file."""

    TYPE: ClassVar[str] = "coffer/data-key-file/v1"

    owner: Address
    dataset: Digest
    version: int
    salt: Digest
    ciphertext: Annotated[bytes, Length(16, FILE_BYTES_MAX)]


def write_keys(path: Path, sealed: Sealed, owner: SigningKey) -> None:
    """Seal a dataset's key and shares to its owner's wallet, into a file of mode 0600."""
    manifest = sealed.manifest
    salt = secrets.token_bytes(32)
    info = encode([manifest.owner, manifest.dataset, manifest.version])
    secret = _Secrets(key=sealed.key.reveal(), shares=sealed.shares).encoded()
    file = KeyFile(
        owner=manifest.owner,
        dataset=manifest.dataset,
        version=manifest.version,
        salt=salt,
        ciphertext=_cipher(owner, salt, info).encrypt(_NONCE, secret, info),
    )
    write_private(path, file.encoded())


def read_keys(path: Path, manifest: Manifest, owner: SigningKey) -> Sealed:
    """Return a dataset with its key and shares. Raises `WrongKey` for another's wallet or another dataset's file."""
    if owner.address != manifest.owner:
        raise WrongKey(f"the dataset's owner is 0x{manifest.owner.hex()}, not this wallet")
    try:
        file = KeyFile.from_bytes(read_bounded(path, FILE_BYTES_MAX))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the dataset's key is not at {path}; use the home it was sealed in") from error
    if (file.owner, file.dataset, file.version) != (manifest.owner, manifest.dataset, manifest.version):
        raise MalformedObject(f"{path} holds another dataset's key; restore it from a backup")
    info = encode([manifest.owner, manifest.dataset, manifest.version])
    try:
        secret = _cipher(owner, file.salt, info).decrypt(_NONCE, file.ciphertext, info)
    except InvalidTag as error:
        raise WrongKey(
            f"this wallet does not open {path}, or the file was changed; restore it from a backup"
        ) from error
    opened = _Secrets.from_bytes(secret)
    return Sealed(manifest=manifest, key=SecretKey(opened.key), shares=opened.shares)


def _cipher(owner: SigningKey, salt: bytes, info: bytes) -> AESGCM:
    return AESGCM(SecretKey(owner.derive(_PURPOSE)).derive("keyring", salt=salt, info=info))
