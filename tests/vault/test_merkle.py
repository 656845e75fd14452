"""Merkle trees: roots as pymerkle's, every proof for every small tree, and no other proof."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from tests.builders import seeded
from vault.errors import MalformedObject
from vault.merkle import EMPTY_ROOT, PATH_MAX, Tree, leaf_hash, node_hash, root_from_path

SIZES = range(1, 71)
LEAVES = [leaf_hash(seeded(str(n), n % 40)) for n in range(SIZES.stop)]


def test_roots_are_pymerkles() -> None:
    oracle = InmemoryTree(algorithm="sha256")
    for size in SIZES:
        oracle.append_entry(seeded(str(size - 1), (size - 1) % 40))
        assert Tree(LEAVES[:size]).root() == oracle.get_root(size)
    assert Tree([]).root() == EMPTY_ROOT == sha256(b"").digest()


# RFC 6962's test tree, as the Certificate Transparency implementation has it (merkletree/merkle_tree_test.cc).
CT_LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
}


def test_all_paths_at_once_are_those_of_each() -> None:
    for size in range(70):
        tree = Tree([leaf_hash(b"%d" % number) for number in range(size)])
        assert tree.paths() == [tree.path(index) for index in range(size)]


@pytest.mark.parametrize("size", CT_ROOTS)
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert Tree([leaf_hash(entry) for entry in CT_LEAVES[:size]]).root().hex() == CT_ROOTS[size]


def test_every_path_of_every_small_tree_leads_to_its_root() -> None:
    for size in SIZES:
        tree = Tree(LEAVES[:size])
        for index in range(size):
            assert root_from_path(LEAVES[index], index, size, tree.path(index)) == tree.root()


def leads_to(root: bytes, leaf: bytes, index: int, size: int, path: tuple[bytes, ...]) -> bool:
    try:
        return root_from_path(leaf, index, size, path) == root
    except MalformedObject:
        return False


@pytest.mark.parametrize("size", SIZES)
def test_no_tampered_proof_leads_to_the_root(size: int) -> None:
    tree = Tree(LEAVES[:size])
    root = tree.root()
    for index in range(size):
        leaf, path = LEAVES[index], tree.path(index)
        assert leads_to(root, leaf, index, size, path)
        assert not leads_to(root, LEAVES[-1], index, size, path)
        for other in {index ^ 1, index + 1, index - 1, size - 1} - {index}:
            assert not leads_to(root, leaf, other, size, path)
        assert not leads_to(root, leaf, index, size, (*path, leaf))
        assert not leads_to(root, leaf, index, size, path[:-1]) or not path
        for place in range(len(path)):
            assert not leads_to(root, leaf, index, size, (*path[:place], leaf, *path[place + 1 :]))
            assert not leads_to(root, leaf, index, size, path[:place] + path[place + 1 :])


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    tree = Tree(LEAVES[:4])
    inner = node_hash(LEAVES[0], LEAVES[1])
    assert node_hash(inner, node_hash(LEAVES[2], LEAVES[3])) == tree.root()
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != inner
    assert not leads_to(tree.root(), leaf_hash(LEAVES[0] + LEAVES[1]), 0, 2, tree.path(0)[1:])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (7, 3)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(MalformedObject, match="outside"):
        root_from_path(LEAVES[0], index, size, ())
    with pytest.raises(ValueError):
        Tree(LEAVES[:size]).path(index)


def test_a_path_is_bounded() -> None:
    size = 2**PATH_MAX
    assert root_from_path(LEAVES[0], 0, size, LEAVES[1:2] * PATH_MAX)
    with pytest.raises(MalformedObject):
        root_from_path(LEAVES[0], 0, 2 * size, LEAVES[1:2] * (PATH_MAX + 1))


@settings(max_examples=200)
@given(st.integers(-2, 2**64), st.integers(-2, 2**64), st.lists(st.binary(min_size=32, max_size=32), max_size=60))
def test_arbitrary_proofs_lead_somewhere_or_are_malformed(index: int, size: int, path: list[bytes]) -> None:
    try:
        root = root_from_path(LEAVES[0], index, size, path)
    except MalformedObject:
        return
    assert len(root) == 32 and 0 <= index < size
    assert len(path) <= (size - 1).bit_length()
