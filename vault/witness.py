"""How far custodians co-signed the public log: every lease that grants a window names its root at the anchor (rule R3).

A head of an instance alone could be backdated by whoever steals its keys later. The leases of q custodians name their
own time, the ledger's anchor and the log's root there, so what a log says up to that entry is fixed by then; what comes
after it counts once the next leases name it.
"""

from __future__ import annotations

from collections.abc import Sequence

from vault.errors import ForkedHistory, MalformedObject
from vault.lease import Terms
from vault.merkle_log import verify_consistency
from vault.transparency import TreeHead


def witnessed_size(terms: Terms) -> int:
    """Return how many entries of the log q custodians signed with these leases."""
    return terms.anchor.sequence if terms.log is not None else 0


def needs_proof(terms: Terms, head: TreeHead) -> bool:
    """Say whether it takes a proof that a head's log begins with what custodians signed."""
    return 0 < witnessed_size(terms) < head.size


def require_witnessed(head: TreeHead, terms: Terms, proof: Sequence[bytes]) -> None:
    """Raise `ForkedHistory` unless the head's log is the one that custodians signed, and perhaps more.

    Args:
        terms: of leases that were verified.
        proof: of consistency, from `witnessed_size` to the head; empty where it needs none.
    """
    if terms.log is None:
        return
    size = witnessed_size(terms)
    if head.size < size:
        raise ForkedHistory(f"shrunken log: custodians signed {size} entries, and the head is of {head.size}")
    try:
        verify_consistency(size, terms.log, head.size, head.root, proof)
    except MalformedObject as error:
        raise ForkedHistory(
            f"split view: the log of {head.size} entries does not begin with the {size} that custodians signed"
        ) from error
