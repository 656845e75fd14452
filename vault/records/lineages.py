"""How many lineages of manifests there are under each DAO: anybody may begin one, so their number is bounded.

A restored custodian takes over the others' lists, of at most `vault.listing.LISTED_MAX` manifests of a DAO; the bound
leaves room below that for datasets that the DAO's own policies name.
"""

from __future__ import annotations

from typing import Final

from sqlmodel import Session

from storage.cid import Cid
from vault.errors import AccessDenied
from vault.records.tables import LineageCount

LINEAGES_MAX: Final = 15_000  # under one DAO, of datasets that no policy in force names


def require_lineage_room(session: Session, genesis: Cid) -> None:
    """Raise `AccessDenied` where a DAO has as many lineages as strangers may fill."""
    counted = session.get(LineageCount, genesis.binary)
    if counted is not None and counted.lineages >= LINEAGES_MAX:
        raise AccessDenied(
            f"this custodian keeps {LINEAGES_MAX} datasets under this DAO, its limit: have the DAO adopt a policy on"
            " this one first; nothing was recorded"
        )


def count_lineages(session: Session, genesis: Cid, new: int) -> None:
    """Count lineages that were just begun under a DAO; call it in the transaction that begins them."""
    if new:
        counted = session.get(LineageCount, genesis.binary) or LineageCount(genesis=genesis.binary, lineages=0)
        counted.lineages += new
        session.add(counted)
