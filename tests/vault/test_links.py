"""A chain in pieces: together they are the chain, whatever their size, and a liar's do not go on forever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.cid import RAW, Cid
from tests import builders
from tests.builders import Scope
from tests.enclaves import World, world
from vault import links
from vault.errors import MalformedObject, StaleState
from vault.history import History
from vault.links import Piece, link_blocks, next_links, piece_after


def grown(setting: World, epochs: int) -> History:
    """Return the history after so many revocations more."""
    history = setting.history
    for n in range(epochs):
        subject = builders.policy(setting.genesis, title=str(n)).cid().binary
        history = builders.published(
            setting.blobs, history, builders.carried(history, builders.revoking(Scope.POLICY, subject))
        )
    return history


WORLD = world(custodians=1)
HISTORY = grown(WORLD, 4)


def blocks_after(epoch: int) -> dict[Cid, bytes]:
    found: dict[Cid, bytes] = {}
    for head in HISTORY.heads[epoch + 1 :]:
        found |= link_blocks(head, WORLD.blobs.get)
    return found


def asking(known: Cid | None, skip: int) -> Piece:
    return piece_after(HISTORY, known, skip, WORLD.blobs.get)


@pytest.mark.parametrize("size", [1, 500, 2_000, 1 << 20])
@pytest.mark.parametrize("epoch", [-1, 0, 2])
def test_pieces_of_any_size_make_the_chain(monkeypatch: pytest.MonkeyPatch, size: int, epoch: int) -> None:
    monkeypatch.setattr(links, "PIECE_BYTES", size)
    known = HISTORY.heads[epoch] if epoch >= 0 else None
    taken: dict[Cid, bytes] = {}
    while known != HISTORY.head.cid():
        head, blocks = next_links(asking, known)
        assert head != known
        taken |= blocks
        known = head
    assert taken == blocks_after(epoch)
    assert list(taken) == list(blocks_after(epoch))
    assert next_links(asking, known) == (known, {})


@pytest.mark.parametrize("size", [1, 500, 2_000])
def test_a_piece_holds_one_block_or_is_within_its_size(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(links, "PIECE_BYTES", size)
    for known in (None, *HISTORY.heads[:-1]):
        piece = asking(known, 0)
        assert len(piece.blocks) == 1 or sum(map(len, piece.blocks.values())) <= size


def test_the_first_link_has_the_charter() -> None:
    assert list(link_blocks(HISTORY.heads[0], WORLD.blobs.get)) == [HISTORY.heads[0], HISTORY.genesis]


def test_the_link_of_an_adoption_has_its_policy() -> None:
    assert WORLD.policy.cid() in link_blocks(HISTORY.heads[1], WORLD.blobs.get)


def test_what_is_not_there_is_not_handed_out() -> None:
    with pytest.raises(StaleState):
        asking(WORLD.genesis, 0)
    with pytest.raises(MalformedObject, match="no more"):
        asking(HISTORY.heads[0], 99)


class TestLiars:
    def taken(self, ask: Callable[[Cid | None, int], Piece]) -> int:
        asked: list[int] = []

        def counted(known: Cid | None, skip: int) -> Piece:
            asked.append(skip)
            return ask(known, skip)

        with pytest.raises(MalformedObject):
            next_links(counted, None)
        return len(asked)

    def block(self, n: int, size: int) -> dict[Cid, bytes]:
        block = n.to_bytes(8, "big").ljust(size, b"x")
        return {Cid.of(RAW, block): block}

    def test_a_link_that_goes_on_and_on(self) -> None:
        assert self.taken(lambda _, skip: Piece(head=None, blocks=self.block(skip, 10))) == links.LINK_PIECES_MAX

    def test_a_link_that_is_too_large(self) -> None:
        large = links.LINK_BYTES_MAX // 4
        assert self.taken(lambda _, skip: Piece(head=None, blocks=self.block(skip, large))) == 5

    def test_a_link_that_is_too_large_at_its_very_end(self) -> None:
        blocks = {cid: block for n in range(5) for cid, block in self.block(n, links.LINK_BYTES_MAX // 4).items()}
        assert self.taken(lambda *_: Piece(head=HISTORY.head.cid(), blocks=blocks)) == 1

    def test_a_link_of_too_many_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(links, "LINK_BLOCKS_MAX", 3)
        assert self.taken(lambda _, skip: Piece(head=None, blocks=self.block(skip, 10))) == 4

    def test_pieces_that_bring_nothing(self) -> None:
        assert self.taken(lambda *_: Piece(head=None, blocks={})) == 1

    def test_pieces_that_bring_the_same_again(self) -> None:
        assert self.taken(lambda *_: Piece(head=None, blocks=self.block(1, 10))) == 2
