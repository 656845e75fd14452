"""Handing in a chain of any size: link by link, the blocks of a large one staged ahead of its head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from storage.cid import Cid
from vault.charter import Custodian
from vault.errors import MalformedObject, RateExceeded, StaleState
from vault.head import EPOCHS_MAX, Head
from vault.head_vote import HeadVote
from vault.links import LINK_BLOCKS_MAX, LINK_BYTES_MAX, linked

MESSAGE_BYTES: Final = 1 << 20  # of blocks; one larger block goes alone. A slow line sends so much in seconds
SUBMIT_TIMEOUT_S: Final = 120.0  # for verifying a large link, and those of others before it
WAIT_S: Final = 1.0
WAITS_MAX: Final = 60  # of one chain, in all

Blocks = Mapping[Cid, bytes]
Answer = TypeVar("Answer")


class Taker(Protocol):
    """What a chain is handed to; `vault.client.CustodyClient` is the real one."""

    @property
    def custodian(self) -> Custodian: ...  # noqa: D102
    def tips(self, custodian: bytes) -> list[tuple[Cid, Cid, int]]: ...  # noqa: D102
    def stage_blocks(self, blocks: Blocks) -> None: ...  # noqa: D102
    def submit_blocks(  # noqa: D102
        self, head: Cid, blocks: Blocks, votes: Sequence[HeadVote] = (), *, timeout_s: float
    ) -> int: ...


def submitted(
    taker: Taker, tip: Cid, blocks: Blocks, votes: Sequence[HeadVote] = (), *, sleep: Callable[[float], None]
) -> int:
    """Hand in a head and the blocks that lead to it from where the taker is; return the epoch it follows by then.

    Raises: `MalformedObject` where the head's own block is missing, or a link is larger than any may be;
        `RateExceeded` where the taker goes on to refuse so many bytes.
    """
    if _size(blocks) <= MESSAGE_BYTES:
        return taker.submit_blocks(tip, blocks, votes, timeout_s=SUBMIT_TIMEOUT_S)
    waits = iter(range(WAITS_MAX))

    def patiently(call: Callable[[], Answer]) -> Answer:
        while True:
            try:
                return call()
            except RateExceeded:
                if next(waits, None) is None:
                    raise
                sleep(WAIT_S)

    epoch = 0
    for head, part in _parts(taker, tip, blocks):
        for message in _messages(part):
            patiently(partial(taker.stage_blocks, message))
        try:
            epoch = patiently(partial(taker.submit_blocks, head, {}, votes, timeout_s=SUBMIT_TIMEOUT_S))
        except StaleState:
            if head == tip:
                raise  # somebody else brought more meanwhile
    return epoch


def _parts(taker: Taker, tip: Cid, blocks: Blocks) -> Iterator[tuple[Cid, dict[Cid, bytes]]]:
    """Yield heads in order, each with the blocks since the one before: as many links at once as may be staged."""
    known = {head for _, head, _ in taker.tips(taker.custodian.key)}
    part: dict[Cid, bytes] = {}
    size, last = 0, tip
    for head in _heads(tip, blocks, known):
        link = {cid: blocks[cid] for cid in linked(head, lambda cid: _block(blocks, cid)) if cid in blocks}
        added = _size(link)
        if added > LINK_BYTES_MAX:
            raise MalformedObject(f"a link of {added} bytes is over the limit of {LINK_BYTES_MAX}")
        if part and (size + added > LINK_BYTES_MAX // 2 or len(part) + len(link) > LINK_BLOCKS_MAX // 2):
            yield last, part
            part, size = {}, 0
        part |= link
        size, last = size + added, head
    yield last, part


def _heads(tip: Cid, blocks: Blocks, known: set[Cid]) -> list[Cid]:
    """Return the heads among the blocks up to the tip, without those known; earliest first. The tip is always one."""
    heads, cid = [tip], Head.from_bytes(_block(blocks, tip)).previous
    while cid is not None and cid in blocks and cid not in known and len(heads) <= EPOCHS_MAX:
        heads.append(cid)
        cid = Head.from_bytes(blocks[cid]).previous
    return heads[::-1]


def _messages(blocks: Blocks) -> Iterator[dict[Cid, bytes]]:
    message: dict[Cid, bytes] = {}
    for cid, block in blocks.items():
        if message and _size(message) + len(block) > MESSAGE_BYTES:
            yield message
            message = {}
        message[cid] = block
    if message:
        yield message


def _block(blocks: Blocks, cid: Cid) -> bytes:
    if cid not in blocks:
        raise MalformedObject(f"the chain that is handed in lacks block {cid}")
    return blocks[cid]


def _size(blocks: Blocks) -> int:
    return sum(map(len, blocks.values()))
