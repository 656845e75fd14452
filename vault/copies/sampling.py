"""Samples of a copy: blocks at random places, which whoever keeps it cannot guess beforehand."""

from __future__ import annotations

from random import Random

from storage.model import Blobs
from storage.unixfs import way_to
from vault.envelope import SEALED_BYTES_MAX
from vault.errors import MalformedObject
from vault.manifest import Manifest


def read_sample(manifest: Manifest, blobs: Blobs, *, random: Random, blocks: int) -> None:
    """Fetch the manifest and `blocks` blocks at random bytes of a dataset, and check each with all above it.

    A copy that lacks a share f of its bytes passes with probability (1 - f) to the power of `blocks`.

    Args:
        random: `random.SystemRandom()` where it matters, so that nobody can guess.
    Raises: a `StorageError` for a block that is missing or wrong, MalformedObject for a manifest that is.
    """
    if blobs.get(manifest.cid()) != manifest.encoded():
        raise MalformedObject("the manifest that came back is another one")
    total = manifest.sealed_bytes
    for _ in range(blocks):
        at = random.randrange(total)
        for segment in manifest.segments:
            if at < segment.sealed_bytes:
                for _ in way_to(blobs, segment.root, at, bytes_max=SEALED_BYTES_MAX):
                    pass
                break
            at -= segment.sealed_bytes
