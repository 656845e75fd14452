"""A chain's links and their blocks: what belongs to a link, in one fixed order, and how it goes over in pieces.

A link is a head with everything that a verifier needs to get to it from the head before. Whole links go in one piece
while they fit; one that is larger goes block by block, `skip` saying how many of its blocks the taker has. Nothing here
is believed: whoever takes a chain verifies it from raw signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from storage.cid import Cid
from vault.errors import MalformedObject, StaleState
from vault.head import Head
from vault.history import History, link_cids

PIECE_BYTES: Final = 2 << 20  # of blocks; a single larger one, of at most `storage.model.BLOCK_BYTES_MAX`, goes alone
LINK_BYTES_MAX: Final = 32 << 20
LINK_BLOCKS_MAX: Final = 40_000
LINK_PIECES_MAX: Final = 64  # of two that follow one another, at least one is half full
CHAIN_BYTES_MAX: Final = 256 << 20  # taken from one custodian in one go; the next begins where this one ended

Fetch = Callable[[Cid], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some blocks after a known head, and the last head that they complete; None where its link goes on."""

    head: Cid | None
    blocks: Mapping[Cid, bytes]


def linked(head: Cid, fetch: Fetch) -> list[Cid]:
    """Return the CIDs of a link's blocks, in their order; with the first head goes the charter.

    Only blocks that name others are fetched.
    """
    cids, link = link_cids(head, fetch), Head.from_bytes(fetch(head))
    return list(dict.fromkeys([*cids, link.genesis] if link.previous is None else cids))


def link_blocks(head: Cid, fetch: Fetch) -> dict[Cid, bytes]:
    """Return the blocks that belong to a head's link, in their order."""
    return {cid: fetch(cid) for cid in linked(head, fetch)}


def heads_after(history: History, known: Cid | None) -> Sequence[Cid]:
    """Return the heads that follow a known one, or all; raise `StaleState` for one that is not in the history."""
    if known is not None and known not in history.heads:
        raise StaleState("this custodian knows neither that DAO's head nor what follows it")
    return history.heads[history.heads.index(known) + 1 if known is not None else 0 :]


def piece_after(history: History, known: Cid | None, skip: int, fetch: Fetch) -> Piece:
    """Return the next blocks after a known head, `skip` blocks of the link that follows it having been taken.

    Raises: `StaleState` for a head that is not known here; `MalformedObject` where the link has fewer blocks.
    """
    blocks: dict[Cid, bytes] = {}
    last, size = known, 0
    for cid in heads_after(history, known):
        link = linked(cid, fetch)
        if skip >= len(link):
            raise MalformedObject(f"the link has {len(link)} blocks and no more")
        part: dict[Cid, bytes] = {}
        for named in link[skip:]:
            block = fetch(named)
            size += len(block)
            if size > PIECE_BYTES and (blocks or part):
                break
            part[named] = block
        if skip + len(part) < len(link):
            return Piece(head=last, blocks=blocks) if blocks else Piece(head=None, blocks=part)
        blocks |= part
        last, skip = cid, 0
    return Piece(head=last, blocks=blocks)


def next_links(ask: Callable[[Cid | None, int], Piece], known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
    """Take at least one whole link after a known head, and return its head with the blocks; or the known head again.

    Args:
        ask: returns the piece after a head and so many blocks.
    Raises: `MalformedObject` where a link is larger than the bounds, or never ends.
    """
    blocks: dict[Cid, bytes] = {}
    for _ in range(LINK_PIECES_MAX):
        piece = ask(known, len(blocks))
        before = len(blocks)
        blocks |= piece.blocks
        if len(blocks) > LINK_BLOCKS_MAX or sum(map(len, blocks.values())) > LINK_BYTES_MAX:
            raise MalformedObject(f"a link of the chain has over {LINK_BYTES_MAX} bytes or {LINK_BLOCKS_MAX} blocks")
        if piece.head is not None:
            return piece.head, blocks
        if len(blocks) == before:
            break
    raise MalformedObject("a link of the chain does not come to its end")
