"""A secret of any size in one file, encrypted under a password and read back piece by piece.

    file = length (4 bytes) ‖ canonical CBOR {type, purpose, salt} ‖ chunks, AES-256-GCM under scrypt(password, salt)

The chunks follow STREAM (Hoang, Reyhanitabar, Rogaway and Vizár 2015): each holds 1 MiB but the last, and its nonce is
its number (11 bytes) and whether it is the last (1 byte), so that none can be left out, moved or cut off at the end.
The header is authenticated with every chunk. What a reader returns is authentic; that it is all, only `end` tells.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vault.codec import Digest, Label, Record, record
from vault.errors import MalformedObject, WrongKey

CHUNK_BYTES = 1 << 20
TAG_BYTES = 16
HEADER_BYTES_MAX = 1024
CHUNKS_MAX = 1 << 16  # 64 GiB


@record
class StreamHeader(Record):
    """What stands before the chunks."""

    TYPE: ClassVar[str] = "coffer/sealed-stream/v1"

    purpose: Label
    salt: Digest


class SealedWriter:
    """Encrypts what is written into a file; call `finish`, or it is not whole."""

    def __init__(self, file: BinaryIO, *, password: str, purpose: str) -> None:
        header = StreamHeader(purpose=purpose, salt=secrets.token_bytes(32))
        self._file = file
        self._header = header.encoded()
        self._cipher = _cipher(password, header.salt)
        self._pending = bytearray()
        self._number = 0
        file.write(len(self._header).to_bytes(4, "big") + self._header)

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:  # a full one may still be the last
            self._seal(bytes(self._pending[:CHUNK_BYTES]), is_last=False)
            del self._pending[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._pending), is_last=True)
        self._pending.clear()

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        if self._number == CHUNKS_MAX:
            raise MalformedObject(f"there is more to seal than {CHUNKS_MAX} MiB")
        self._file.write(self._cipher.encrypt(_nonce(self._number, is_last=is_last), chunk, self._header))
        self._number += 1


class SealedReader:
    """Decrypts a file that `SealedWriter` wrote.

    Raises: `WrongKey` for a wrong password, or a file that was changed; `MalformedObject` for another kind of file.
    """

    def __init__(self, file: BinaryIO, *, password: str, purpose: str) -> None:
        length = int.from_bytes(file.read(4), "big")
        if not 0 < length <= HEADER_BYTES_MAX:
            raise MalformedObject(f"this is no {purpose} of this version")
        self._header = file.read(length)
        try:
            header = StreamHeader.from_bytes(self._header)
        except MalformedObject as error:
            raise MalformedObject(f"this is no {purpose} of this version") from error
        if header.purpose != purpose:
            raise MalformedObject(f"this is a {header.purpose}, not a {purpose}")
        self._cipher = _cipher(password, header.salt)
        self._chunks = self._opened(file)
        self._pending = bytearray(next(self._chunks))

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, or raise `MalformedObject` where they are fewer."""
        while len(self._pending) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise MalformedObject("what was sealed ends in the middle of an entry")
            self._pending += chunk
        data = bytes(self._pending[:size])
        del self._pending[:size]
        return data

    def end(self) -> None:
        """Raise `MalformedObject` unless everything was read."""
        if self._pending or next(self._chunks, None) is not None:
            raise MalformedObject("more was sealed than belongs there")

    def _opened(self, file: BinaryIO) -> Iterator[bytes]:
        sealed = file.read(CHUNK_BYTES + TAG_BYTES)
        for number in range(CHUNKS_MAX):
            following = file.read(CHUNK_BYTES + TAG_BYTES)
            try:
                yield self._cipher.decrypt(_nonce(number, is_last=not following), sealed, self._header)
            except InvalidTag as error:
                raise WrongKey(
                    "the password does not open it, or it was changed"
                    if number == 0
                    else "it was changed or cut short after it was written"
                ) from error
            if not following:
                return
            sealed = following
        raise MalformedObject(f"it holds more than {CHUNKS_MAX} MiB")


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _cipher(password: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 15, r=8, p=1).derive(password.encode()))
