"""Opening a sealed snapshot of vectors, against decrypting and hashing its bytes and nothing else."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.harness import result, row, seconds_in_turn
from benchmarks.synthetic import DIMENSION, random_vectors
from rag.chosen import made_index
from storage.cid import RAW, Cid
from storage.directory import DirectoryBlobs
from vault.keys import SecretKey
from vault.snapshot import read_snapshot, store_snapshot

PASSAGES = 100_000
ROUNDS = 5
GOAL = 0.5
OF = {"manifest": Cid.of(RAW, b"manifest"), "model": bytes(32), "settings": bytes(32), "dtype": "float32"}
KEYS = (SecretKey(bytes(range(32))), SecretKey(bytes(range(1, 33))))


def run() -> dict[str, Any]:
    """Measure reading every block, checked against its CID and decrypted, and building the index that is searched."""
    vectors = random_vectors(PASSAGES, seed=7)
    cipher, plain = AESGCM(KEYS[0].reveal()), vectors.tobytes()
    sealed = cipher.encrypt(bytes(12), plain, None)
    del plain
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder:
        blobs = DirectoryBlobs(Path(folder))
        root = store_snapshot(blobs, memoryview(vectors.data).cast("B"), dimension=DIMENSION, keys=KEYS, **OF)

        def bare() -> None:
            hashlib.sha256(sealed).digest()
            cipher.decrypt(bytes(12), sealed, None)

        def read() -> None:
            read_snapshot(blobs, root, keys=KEYS, **OF)

        def searchable() -> None:
            dimension, found = read_snapshot(blobs, root, keys=KEYS, **OF)
            made_index(np.frombuffer(found, dtype="<f4").reshape(-1, dimension))

        bare_s, read_s, searchable_s = seconds_in_turn(bare, read, searchable, rounds=ROUNDS)
    what = f"a sealed snapshot of {PASSAGES // 1000} k vectors"
    against = "one AES-256-GCM and one SHA-256 pass over its bytes"
    return result(
        "open",
        [
            row(f"open {what}, every block verified", "s", read_s, against, bare_s, goal=GOAL, less=True),
            row(f"open {what}, until it can be searched", "s", searchable_s, against, bare_s, goal=None, less=True),
        ],
    )
