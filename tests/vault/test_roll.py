"""Rolls: one for each set of members, and none that is not exactly what the charter says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, RAW, Cid
from vault.charter import MEMBERS_MAX
from vault.errors import AccessDenied, MalformedObject
from vault.roll import PAGE_MEMBERS, PAGES_MAX, Roll, RollPage, RollRoot, roll_from
from vault.weights import WeightTree, leaf, root_from_proof

ALICE, BOB, CAROL = (bytes([n]) * 20 for n in (1, 2, 3))
ROLL = Roll.of({BOB: 2, ALICE: 1, CAROL: 3})
TREE_ROOT = ROLL.tree().root
Members = Sequence[tuple[bytes, int]]


@cache
def large(size: int) -> Roll:
    return Roll.of({n.to_bytes(20, "big"): n % 7 + 1 for n in range(size)})


def read(roll: Roll, blocks: dict[Cid, bytes] | None = None, **wrong: Any) -> Roll:
    said = {"members": len(roll.members), "root": roll.tree().root, "total": roll.total} | wrong
    return roll_from(roll.cid, (blocks or roll.blocks()).__getitem__, **said)


def stored(pages: Iterable[Members]) -> tuple[Cid, dict[Cid, bytes]]:
    """Return a root and blocks that hold these pages, whatever is wrong with them."""
    made = [RollPage.of(page) for page in pages]
    root = RollRoot(pages=tuple(page.cid() for page in made))
    return root.cid(), {block.cid(): block.encoded() for block in (*made, root)}


def refused(pages: Iterable[Members], like: Roll = ROLL, **wrong: Any) -> None:
    """Assert that a roll of these pages is not the one of a charter for `like`."""
    cid, blocks = stored(pages)
    said = {"members": len(like.members), "root": like.tree().root, "total": like.total} | wrong
    with pytest.raises(MalformedObject):
        roll_from(cid, blocks.__getitem__, **said)


def test_a_roll_knows_its_members() -> None:
    assert ROLL.members == ((ALICE, 1), (BOB, 2), (CAROL, 3))
    assert (ROLL.total, ROLL.weight_of(BOB), BOB in ROLL, bytes(20) in ROLL) == (6, 2, True, False)
    with pytest.raises(AccessDenied):
        ROLL.weight_of(bytes(20))
    for member in ROLL.members:
        assert root_from_proof(leaf(*member), ROLL.tree().proof(member[0])) == ROLL.tree().root
    assert ROLL.tree() is ROLL.tree()


def test_one_set_of_members_has_one_roll() -> None:
    assert Roll.of({CAROL: 3, ALICE: 1, BOB: 2}).cid == ROLL.cid
    assert Roll.of({CAROL: 3, ALICE: 1, BOB: 4}).cid != ROLL.cid


@pytest.mark.parametrize("size", [1, 3, PAGE_MEMBERS, PAGE_MEMBERS + 1, 2 * PAGE_MEMBERS + 5])
def test_a_roll_reads_back_from_its_blocks(size: int) -> None:
    roll = large(size)
    blocks = roll.blocks()
    assert read(roll) == roll
    assert len(blocks) == -(-size // PAGE_MEMBERS) + 1
    assert all(len(block) <= 900_000 for block in blocks.values())
    assert [Cid.of(DAG_CBOR, block) for block in blocks.values()] == list(blocks)
    assert list(blocks)[-1] == roll.cid


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": 2},
        {"members": 4},
        {"members": 0},
        {"members": PAGE_MEMBERS + 3},
        {"members": MEMBERS_MAX + 1},
        {"root": bytes(32)},
        {"root": b""},
        {"total": 5},
        {"total": 7},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={str(next(iter(wrong.values())))[:12]}",
)
def test_a_roll_that_is_not_what_the_charter_says_is_malformed(wrong: dict[str, Any]) -> None:
    assert read(ROLL) == ROLL
    with pytest.raises(MalformedObject):
        read(ROLL, **wrong)


@pytest.mark.parametrize(
    "page",
    [
        [(ALICE, 1), (CAROL, 3), (BOB, 2)],
        [(ALICE, 1), (BOB, 2), (BOB, 3)],
        [(ALICE, 1), (BOB, 3), (CAROL, 2)],
        [(ALICE, 1), (BOB, 2), (b"\x04" * 20, 3)],
        [(ALICE, 0), (BOB, 3), (CAROL, 3)],
        [(ALICE, 1), (BOB, 5)],
        [(ALICE, 1), (BOB, 2), (CAROL, 2), (b"\x04" * 20, 1)],
    ],
    ids=["out of order", "one twice", "weights exchanged", "another member", "weight 0", "one less", "one more"],
)
def test_other_members_or_weights_are_malformed(page: Members) -> None:
    refused([page])


def test_the_same_members_in_other_pages_are_malformed() -> None:
    refused([ROLL.members[:2], ROLL.members[2:]])
    roll = large(PAGE_MEMBERS + 1)
    halves = roll.members[:-2], roll.members[-2:]
    refused(halves, roll)
    refused([roll.members[:PAGE_MEMBERS], roll.members[PAGE_MEMBERS:], roll.members[PAGE_MEMBERS:]], roll)
    refused([roll.members[:PAGE_MEMBERS]], roll)


def test_members_ascend_from_page_to_page() -> None:
    roll = large(PAGE_MEMBERS + 1)
    refused([[*roll.members[1:PAGE_MEMBERS], roll.members[-1]], roll.members[:1]], roll)
    refused([roll.members[:PAGE_MEMBERS], roll.members[PAGE_MEMBERS - 1 : PAGE_MEMBERS]], roll)


def test_zero_weights_are_malformed_even_where_root_and_total_have_them() -> None:
    members = [(ALICE, 0), (BOB, 6), (CAROL, 0)]
    refused([members], members=3, root=WeightTree(members).root, total=6)


def test_a_block_that_is_not_the_one_its_cid_names_is_malformed() -> None:
    blocks = ROLL.blocks()
    page, root = blocks
    other = Roll.of({BOB: 2, ALICE: 1, CAROL: 4})
    other_page, other_root = other.blocks()
    for cid, data in ((page, other.blocks()[other_page]), (root, other.blocks()[other_root]), (page, b"")):
        with pytest.raises(MalformedObject):
            read(ROLL, blocks | {cid: data})


def test_the_roots_cid_says_that_it_is_a_record() -> None:
    raw = Cid.of(RAW, ROLL.blocks()[ROLL.cid])
    blocks = ROLL.blocks() | {raw: ROLL.blocks()[ROLL.cid]}
    for cid in (raw, ROLL.cid):
        with pytest.raises(MalformedObject) if cid == raw else nullcontext():
            roll_from(cid, blocks.__getitem__, members=3, root=TREE_ROOT, total=6)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300) | st.tuples(st.integers(0, 200), st.integers(1, 255)))
def test_arbitrary_blocks_are_malformed_and_nothing_else(given: bytes | tuple[int, int]) -> None:
    for cid, block in ROLL.blocks().items():
        data = given
        if isinstance(data, tuple):
            changed = bytearray(block)
            changed[data[0] % len(block)] ^= data[1]
            data = bytes(changed)
        named = Cid.of(DAG_CBOR, data)
        blocks = ROLL.blocks() | {named: data}
        if cid != ROLL.cid:
            root = RollRoot(pages=(named,))
            named = root.cid()
            blocks[named] = root.encoded()
        with pytest.raises(MalformedObject):
            roll_from(named, lambda asked, held=blocks: held.get(asked, b""), members=3, root=TREE_ROOT, total=6)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {ALICE: 0},
        {ALICE: -1},
        {ALICE: 2**256},
        {ALICE: True},
        {ALICE: 1.0},
        {ALICE[:19]: 1},
        {ALICE * 2: 1},
        {ALICE: 2**256 - 1, BOB: 1},
    ],
    ids=str,
)
def test_what_no_dao_could_have_is_no_roll(weights: dict[bytes, int]) -> None:
    with pytest.raises(MalformedObject):
        Roll.of(weights)


def test_the_heaviest_total_is_2_to_the_256_less_1() -> None:
    roll = Roll.of({ALICE: 2**256 - 2, BOB: 1})
    assert read(roll).total == 2**256 - 1


@pytest.mark.parametrize("members", [((BOB, 2), (ALICE, 1)), ((ALICE, 1), (ALICE, 1))], ids=["order", "twice"])
def test_members_given_in_a_row_stand_once_each_and_ascending(members: tuple[tuple[bytes, int], ...]) -> None:
    with pytest.raises(MalformedObject):
        Roll(members)


@pytest.mark.parametrize(
    "columns",
    [
        {"addresses": bytes(40), "weights": bytes(32)},
        {"addresses": bytes(20), "weights": bytes(64)},
        {"addresses": bytes(21), "weights": bytes(32)},
        {"addresses": bytes(20), "weights": bytes(33)},
        {"addresses": b"", "weights": b""},
        {"addresses": bytes(20 * PAGE_MEMBERS + 20), "weights": bytes(32 * PAGE_MEMBERS + 32)},
    ],
    ids=lambda columns: f"{len(columns['addresses'])} and {len(columns['weights'])}",
)
def test_a_page_has_as_many_weights_as_addresses(columns: dict[str, bytes]) -> None:
    with pytest.raises(MalformedObject):
        RollPage(**columns)


def test_100_000_members_are_read_and_verified_in_seconds() -> None:
    roll = large(MEMBERS_MAX)
    blocks = roll.blocks()
    assert len(blocks) == PAGES_MAX + 1
    cid, root, total = roll.cid, roll.tree().root, roll.total
    begun = time.process_time()
    assert roll_from(cid, blocks.__getitem__, members=MEMBERS_MAX, root=root, total=total) == roll
    assert time.process_time() - begun < 4
    with pytest.raises(MalformedObject):
        large(MEMBERS_MAX + 1)


def test_a_roll_prints_no_list_of_members() -> None:
    assert repr(ROLL) == "Roll(3 members, total 6)"
