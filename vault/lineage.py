"""A lineage: all versions of one owner's dataset under one DAO. Versions, revocations and budgets go by it."""

from __future__ import annotations

from hashlib import sha256

from storage.cid import Cid


def lineage_id(genesis: Cid, owner: bytes, dataset: bytes) -> bytes:
    """Return a lineage's 32 bytes: owner and DAO are in it, so that nobody can occupy another's dataset id."""
    return sha256(b"coffer/lineage/v1" + genesis.binary + owner + dataset).digest()
