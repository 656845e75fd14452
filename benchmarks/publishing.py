"""Publishing against the least work it contains: the same bytes read, sealed, hashed, and written to one file.

The least work flushes one file once; ours has a file for every block, each of them durable under its own name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.charters import charter_with
from benchmarks.harness import Row, row, seconds_in_turn
from storage.directory import DirectoryBlobs
from vault.envelope import SEGMENT_BYTES, Passage
from vault.machine import MachineKey
from vault.publishing import Draft, Sealed, copy_dataset, seal_dataset, verify_stored
from vault.roll import Roll
from vault.signing import SigningKey

TOTAL_BYTES = 128 << 20
PASSAGE_CHARS = 1000
ROUNDS = 5
CUSTODIANS = 3
GOAL = 0.7
AGAINST = "read + AES-256-GCM + SHA-256 of the same bytes into one file, flushed once"


def publishing_rows() -> list[Row]:
    """Measure sealing into a directory, publishing from there to another, and the same with all of it fetched back."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        files = _Files(Path(folder))
        least, *ours = seconds_in_turn(files.least, files.seal, files.publish, files.deliver, rounds=ROUNDS)
    megabytes = files.plain_bytes / 1e6
    what = (
        ("seal ready passages with their commitments into a directory, durable", None),
        ("publish what is sealed to another directory, durable", GOAL),
        ("the same, fetched back, opened and checked", None),
    )
    return [
        row(name, "MB/s", megabytes / seconds, AGAINST, megabytes / least, goal=goal, less=False)
        for (name, goal), seconds in zip(what, ours, strict=True)
    ]


class _Ready(Passage):
    """A passage that was encoded before; reading and encoding documents is another benchmark's."""

    __slots__ = ("ready",)
    ready: bytes

    def encoded(self) -> bytes:
        """Return what was encoded."""
        return self.ready


class _Files:
    """The same passages in one file, sealed in staging, and published."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        text = secrets.token_hex(PASSAGE_CHARS // 2)
        passages = TOTAL_BYTES // (PASSAGE_CHARS + 40)
        encoded = [Passage(f"document-{i // 20}", i, i + PASSAGE_CHARS, text).encoded() for i in range(passages)]
        self._sizes = [len(one) for one in encoded]
        self.plain_bytes = sum(self._sizes)
        (folder / "plain").write_bytes(b"".join(encoded))
        self._owner = SigningKey(secrets.token_bytes(32))
        self._charter = charter_with(
            Roll.of({self._owner.address: 1}), [MachineKey(secrets.token_bytes(32)) for _ in range(CUSTODIANS)]
        )
        self._sealed: Sealed | None = None
        self._numbers = count()
        self._staging = self._blocks = folder

    def least(self) -> None:
        """Read, seal, hash and write the bytes, and flush once."""
        cipher = AESGCM(bytes(32))
        with (self._folder / "plain").open("rb") as source, self._fresh("least").open("wb") as target:
            for number, plain in enumerate(iter(partial(source.read, SEGMENT_BYTES), b"")):
                sealed = cipher.encrypt(number.to_bytes(12, "big"), plain, None)
                hashlib.sha256(sealed).digest()
                target.write(sealed)
            target.flush()
            os.fsync(target.fileno())

    def seal(self) -> None:
        """Do what `coffer dataset seal` does with passages."""
        self._staging = self._fresh("staging")
        with DirectoryBlobs(self._staging) as staging:
            self._sealed = seal_dataset(
                self._passages(),
                self._draft(),
                charter=self._charter,
                owner=self._owner,
                blobs=staging,
                progress=_quiet,
            )

    def publish(self) -> None:
        """Copy what was sealed."""
        self._blocks = self._fresh("blocks")
        with DirectoryBlobs(self._staging) as staging, DirectoryBlobs(self._blocks) as storage:
            copy_dataset(self._made().manifest, staging, storage, progress=_quiet)

    def deliver(self) -> None:
        """Do what `coffer dataset publish` does, but for the custodians."""
        self.publish()
        with DirectoryBlobs(self._blocks) as storage:
            verify_stored(self._made().manifest, storage, self._made().key, progress=_quiet)

    def _fresh(self, name: str) -> Path:
        """Return a path of which nothing is there yet: making room is not what is measured."""
        return self._folder / f"{name}-{next(self._numbers)}"

    def _made(self) -> Sealed:
        assert self._sealed is not None
        return self._sealed

    def _passages(self) -> Iterator[Passage]:
        with (self._folder / "plain").open("rb") as source:
            for size in self._sizes:
                passage = object.__new__(_Ready)
                object.__setattr__(passage, "ready", source.read(size))
                yield passage

    def _draft(self) -> Draft:
        return Draft(
            genesis=self._charter.cid(),
            dataset=bytes(32),
            title="Benchmark",
            version=1,
            previous=None,
            allow_simulated=False,
            model=bytes(32),
        )


def _quiet(_: int) -> None:
    """Show no progress."""
