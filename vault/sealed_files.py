"""Files that hold a secret: encrypted under a password, written whole or not at all, readable by their owner alone.

    file = canonical CBOR {type, purpose, salt, ciphertext}, AES-256-GCM under scrypt(password, salt), n = 2^15, r = 8

scrypt's cost follows RFC 7914 and OWASP's advice (32 MiB, about 60 ms here). Each write draws a fresh salt, so a key
encrypts once.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vault.codec import Digest, Label, Length, Record, record
from vault.errors import MalformedObject, WrongKey

SECRET_BYTES_MAX = 1 << 16
_NONCE = bytes(12)


class UnreadableInput(MalformedObject):
    """What a person named is no file, or larger than what is meant can be."""


@record
class SealedFile(Record):
    """The form of the file."""

    TYPE: ClassVar[str] = "coffer/sealed-file/v1"

    purpose: Label
    salt: Digest
    ciphertext: Annotated[bytes, Length(16, SECRET_BYTES_MAX + 16)]


def write_sealed(path: Path, secret: bytes, *, password: str, purpose: str) -> None:
    """Encrypt `secret` into a new or replaced file of mode 0600."""
    salt = secrets.token_bytes(32)
    ciphertext = _cipher(password.encode(), salt).encrypt(_NONCE, secret, purpose.encode())
    write_private(path, SealedFile(purpose=purpose, salt=salt, ciphertext=ciphertext).encoded())


def read_sealed(path: Path, *, password: str, purpose: str) -> bytes:
    """Return the secret. Raises `WrongKey` for a wrong password, `MalformedObject` for another file."""
    file = SealedFile.from_bytes(read_bounded(path, SECRET_BYTES_MAX * 2))
    if file.purpose != purpose:
        raise MalformedObject(f"{path} holds a {file.purpose}, not a {purpose}")
    try:
        return _cipher(password.encode(), file.salt).decrypt(_NONCE, file.ciphertext, purpose.encode())
    except InvalidTag as error:
        raise WrongKey(f"the password does not open {path}") from error


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """Return a file of at most `bytes_max` bytes, or raise `UnreadableInput`; a pipe or device is none."""
    require_file(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe put there since is not waited for
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableInput(f"{path} is not a file")
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise UnreadableInput(f"{path} has more than {bytes_max} bytes, so it is not the file that is meant")
    return data


def require_file(path: Path) -> None:
    """Raise `UnreadableInput` for what is there and no file: opening a pipe would wait for ever."""
    if path.exists() and not path.is_file():
        raise UnreadableInput(f"{path} is not a file")


def new_file(path: Path, *, meant: Path) -> int:
    """Return a descriptor of a new file of mode 0600; an error names the file that is `meant`."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(meant)) from error


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 atomically: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = new_file(temporary, meant=path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # writing does not say what was written
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def _cipher(password: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 15, r=8, p=1).derive(password))
