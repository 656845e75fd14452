"""All manifests that another custodian lists under a DAO, page by page: from a liar, too, a bounded amount of work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from storage.cid import Cid
from vault.charter import Charter
from vault.custody_state import lineage
from vault.errors import MalformedObject
from vault.manifest import Manifest

PAGES_MAX: Final = 4000  # pages also pass over other DAOs' manifests
LISTED_MAX: Final = 16_000  # manifests of one DAO
LISTED_BYTES_MAX: Final = 64 << 20
Page = tuple[list[Manifest], bytes]


def latest_manifests(page_after: Callable[[bytes], Page], genesis: Cid, charter: Charter) -> list[Manifest]:
    """Return every manifest that is listed, each page verified before the next is asked for.

    Pages are in the order of lineages, one manifest of each, so that a list that never ends is one that grows.

    Args:
        page_after: returns a page and the lineage that the next one begins after, or nothing at the end.
    Raises:
        MalformedObject: a list out of order, of another DAO, or longer than the bounds; nothing of it is taken then,
            since what was cut off might be what was forgotten.
        InvalidSignature: an owner did not sign a manifest.
    """
    found: list[Manifest] = []
    size, after = 0, b""
    for _ in range(PAGES_MAX):
        page, following = page_after(after)
        size += sum(len(manifest.encoded()) for manifest in page)
        if len(found) + len(page) > LISTED_MAX or size > LISTED_BYTES_MAX:
            raise MalformedObject(
                f"a custodian lists more than {LISTED_MAX} manifests of one DAO, or {LISTED_BYTES_MAX} bytes of them"
            )
        _verify_page(page, after, following, genesis, charter)
        found += page
        if not following:
            return found
        after = following
    raise MalformedObject(f"a custodian's list of manifests goes on after {PAGES_MAX} pages")


def _verify_page(page: list[Manifest], after: bytes, following: bytes, genesis: Cid, charter: Charter) -> None:
    last = after
    for manifest in page:
        verify_manifest(manifest, charter, genesis)
        if lineage(manifest) <= last:
            raise MalformedObject("listed manifests are in the order of their lineages, one of each")
        last = lineage(manifest)
    if following and (following < last or following <= after):
        raise MalformedObject("a page of manifests leads back to one before")


def verify_manifest(manifest: Manifest, charter: Charter, genesis: Cid) -> None:
    """Raise unless its owner signed the manifest for this DAO."""
    if manifest.genesis != genesis:
        raise MalformedObject("a manifest of another DAO came among this one's")
    manifest.verify_owner(charter.domain(genesis))
