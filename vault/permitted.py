"""Which passages of a dataset a policy lets be found: a filter over what every passage has and what its owner sealed.

The enclave searches among them as if there were no others (rule O4); a receipt's passages are held to it as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vault.codec import decode
from vault.envelope import Passage
from vault.errors import MalformedObject

if TYPE_CHECKING:
    from rag.filters import Filter
    from rag.model import Metadata

ONLY_BYTES_MAX = 1 << 11  # of a policy's filter on one dataset: 64 of them still fit into a policy


def filter_of(only: bytes) -> Filter:
    """Return the filter that canonical bytes hold, or raise `MalformedObject`."""
    from rag.errors import RagError
    from rag.filters import filter_from

    try:
        return filter_from(decode(only, bytes_max=ONLY_BYTES_MAX))
    except RagError as error:
        raise MalformedObject(f"the filter on a dataset's passages: {error}") from error


def only_text(only: bytes) -> str:
    """Return a policy's filter as a person writes it."""
    return json.dumps(decode(only, bytes_max=ONLY_BYTES_MAX), ensure_ascii=False)


def facts_of(passage: Passage, owner: bytes, *, with_own: bool = True) -> Metadata:
    """Return what filters can ask of a passage.

    What every passage has stands above what its owner says: no document passes for another one, or another owner's.

    Args:
        with_own: whether the facts that its owner sealed are among it.
    """
    from rag.facts import DOCUMENT, OWNER

    own = passage.metadata if with_own else {}
    return {**own, DOCUMENT: _bounded(passage.document), OWNER: f"0x{owner.hex()}"}


def is_permitted(passage: Passage, owner: bytes, only: bytes) -> bool:
    """Say whether a policy that says `only` of a dataset lets this passage of it be found."""
    from rag.facts import MalformedMetadata
    from rag.meeting import meets

    try:
        return not only or meets(facts_of(passage, owner), filter_of(only))
    except MalformedMetadata:
        return False


def _bounded(name: str) -> str:
    """Return as much of a document's name as filters can ask for."""
    from rag.filters import TEXT_BYTES_MAX

    return name.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
