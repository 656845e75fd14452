"""Sealing against the least work it contains: one AES-256-GCM pass and one SHA-256 pass over the same bytes."""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.harness import result, row, seconds_in_turn
from storage.cid import DAG_CBOR, Cid
from storage.unixfs import file_cid
from vault.envelope import SEGMENT_BYTES, Passage, SegmentSealer, segmented
from vault.keys import SecretKey
from vault.manifest import corpus_tree
from vault.publishing import stored_segments

TOTAL_BYTES = 256 << 20
PASSAGE_CHARS = 1000
GOAL = 0.7


def run() -> dict[str, Any]:
    """Measure sealing of ready passages, with and without their commitments."""
    encoded = _passages()
    volume = sum(len(passage) for passage in encoded)
    plain = secrets.token_bytes(SEGMENT_BYTES)
    key, genesis = SecretKey(secrets.token_bytes(32)), Cid.of(DAG_CBOR, b"benchmark")
    cipher = AESGCM(secrets.token_bytes(32))

    def least() -> None:
        for number in range(volume // SEGMENT_BYTES):
            cipher.encrypt(number.to_bytes(12, "big"), plain, None)
            hashlib.sha256(plain).digest()

    def seal() -> None:
        sealer = SegmentSealer(key, genesis=genesis, dataset=bytes(32), version=1)
        deque(stored_segments(segmented(encoded), sealer, file_cid), maxlen=0)

    def seal_and_commit() -> None:
        seal()
        corpus_tree(key, encoded).root()

    theirs, sealing, committing = seconds_in_turn(least, seal, seal_and_commit)
    megabytes = volume / 1e6
    against = "one AES-256-GCM pass + one SHA-256 pass, one thread"
    least_speed = megabytes / theirs
    overlapped = "seal + CID of ready passages"
    committed = "the same + a salted commitment per passage and their Merkle root"
    return result(
        "seal",
        [
            row(overlapped, "MB/s", megabytes / sealing, against, least_speed, goal=GOAL, less=False),
            row(committed, "MB/s", megabytes / committing, against, least_speed, goal=None, less=False),
        ],
    )


def _passages() -> list[bytes]:
    text = secrets.token_hex(PASSAGE_CHARS // 2)
    count = TOTAL_BYTES // (PASSAGE_CHARS + 40)
    return [Passage(f"document-{i // 20}", i, i + PASSAGE_CHARS, text).encoded() for i in range(count)]
