"""A growing Merkle tree: every proof of every small size holds, and no other; pymerkle is the witness."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from tests.builders import seeded
from tests.vault.test_merkle import CT_LEAVES
from vault.errors import MalformedObject
from vault.merkle import EMPTY_ROOT, Tree, leaf_hash, root_from_path
from vault.merkle_log import MerkleLog, verify_consistency

SIZE_MAX = 70
ENTRIES = [seeded(str(number), number % 40) for number in range(SIZE_MAX)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
ROOTS = [Tree(LEAVES[:size]).root() for size in range(SIZE_MAX + 1)]


def log_of(leaves: list[bytes]) -> MerkleLog:
    log = MerkleLog()
    for leaf in leaves:
        log.append(leaf)
    return log


LOG = log_of(LEAVES)


def test_it_has_the_root_of_every_size_it_ever_had() -> None:
    assert [LOG.root(size) for size in range(SIZE_MAX + 1)] == ROOTS
    assert LOG.root(0) == EMPTY_ROOT
    growing = MerkleLog()
    for size, leaf in enumerate(LEAVES, 1):
        growing.append(leaf)
        assert (growing.size, growing.root(size)) == (size, ROOTS[size])


def test_roots_are_pymerkles() -> None:
    witness = InmemoryTree(algorithm="sha256")
    for size, entry in enumerate(ENTRIES, 1):
        witness.append_entry(entry)
        assert LOG.root(size) == witness.get_root(size)


# Consistency proofs of RFC 6962's test tree, as the Certificate Transparency implementation has them
# (trillian/merkle/log_verifier_test.go, whose leaves are CT_LEAVES and one more).
CT_LAST = bytes.fromhex("606162636465666768696a6b6c6d6e6f")
CT_CONSISTENCY = {
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


@pytest.mark.parametrize(("old", "size"), CT_CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(old: int, size: int) -> None:
    log = log_of([leaf_hash(entry) for entry in (*CT_LEAVES, CT_LAST)])
    assert tuple(node.hex() for node in log.consistency(old, size)) == CT_CONSISTENCY[old, size]
    assert log.root(8).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_every_leaf_is_proven_in_every_size() -> None:
    for size in range(1, SIZE_MAX + 1):
        for index in range(size):
            path = LOG.path(index, size)
            assert path == Tree(LEAVES[:size]).path(index)
            assert root_from_path(LEAVES[index], index, size, path) == ROOTS[size]


def test_no_path_passes_for_another_leaf_or_size() -> None:
    for size in range(1, 24):
        for index in range(size):
            path = LOG.path(index, size)
            for claimed_size in range(1, 26):
                for claimed in range(claimed_size):
                    same = (claimed, claimed_size) == (index, size)
                    for leaf in {LEAVES[index], LEAVES[claimed]}:
                        assert leads_to(leaf, claimed, claimed_size, path) == (
                            same or (leaf, path) == (LEAVES[claimed], LOG.path(claimed, claimed_size))
                        )


def leads_to(leaf: bytes, index: int, size: int, path: tuple[bytes, ...]) -> bool:
    try:
        return root_from_path(leaf, index, size, path) == ROOTS[size]
    except MalformedObject:
        return False


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, proof: tuple[bytes, ...]) -> bool:
    try:
        verify_consistency(old, old_root, size, root, proof)
    except MalformedObject:
        return False
    return True


def test_every_size_is_consistent_with_every_size_before() -> None:
    for size in range(SIZE_MAX + 1):
        for old in range(size + 1):
            assert is_consistent(old, ROOTS[old], size, ROOTS[size], LOG.consistency(old, size))


def test_no_consistency_proof_passes_for_another_tree_or_size() -> None:
    other = log_of([*LEAVES[:10], leaf_hash(b"another"), *LEAVES[11:]])
    for size in range(11, 40):
        for old in range(1, size + 1):
            proof = LOG.consistency(old, size)
            assert not is_consistent(old, ROOTS[old], size, other.root(size), proof)
            assert is_consistent(old, other.root(old), size, other.root(size), other.consistency(old, size))
            assert is_consistent(old, ROOTS[old], size, other.root(size), other.consistency(old, size)) == (old <= 10)
            assert not is_consistent(old, ROOTS[old - 1], size, ROOTS[size], proof)
            assert not is_consistent(old, ROOTS[old], size, ROOTS[size - 1], proof)
            assert not is_consistent(old, ROOTS[old], size, ROOTS[size], (*proof, LEAVES[0]))
            if proof:
                assert not is_consistent(old, ROOTS[old], size, ROOTS[size], proof[:-1])
                assert not is_consistent(old, ROOTS[old], size, ROOTS[size], (LEAVES[-1], *proof[1:]))


def test_the_empty_tree_is_the_beginning_of_all() -> None:
    verify_consistency(0, EMPTY_ROOT, 5, ROOTS[5], ())
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    assert not is_consistent(0, ROOTS[1], 5, ROOTS[5], ())
    assert not is_consistent(0, EMPTY_ROOT, 5, ROOTS[5], (LEAVES[0],))
    assert not is_consistent(5, ROOTS[5], 4, ROOTS[4], ())
    assert not is_consistent(-1, ROOTS[5], 4, ROOTS[4], ())


@pytest.mark.parametrize(("old", "size"), [(1, 71), (71, 71), (-1, 3), (4, 3)])
def test_what_the_log_never_held_is_a_misuse(old: int, size: int) -> None:
    with pytest.raises(ValueError):
        LOG.consistency(old, size)


@pytest.mark.parametrize(("index", "size"), [(0, 71), (70, 70), (3, 3), (0, 0), (-1, 3), (0, -1)])
def test_a_leaf_the_log_never_held_has_no_path(index: int, size: int) -> None:
    with pytest.raises(ValueError):
        LOG.path(index, size)
    for outside in (-1, SIZE_MAX):
        with pytest.raises(ValueError):
            LOG.leaf(outside)


@settings(max_examples=200)
@given(st.integers(-2, 2**64), st.integers(-2, 2**64), st.lists(st.binary(min_size=0, max_size=33), max_size=110))
def test_arbitrary_consistency_proofs_prove_nothing(old: int, size: int, proof: list[bytes]) -> None:
    assert not is_consistent(old, ROOTS[3], size, ROOTS[7], tuple(proof))


@settings(max_examples=50)
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=300), st.data())
def test_random_logs_prove_what_they_hold(leaves: list[bytes], data: st.DataObject) -> None:
    log = log_of(leaves)
    size = data.draw(st.integers(1, len(leaves)))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    assert log.leaf(index) == leaves[index]
    assert root_from_path(leaves[index], index, size, log.path(index, size)) == log.root(size)
    verify_consistency(old, log.root(old), size, log.root(size), log.consistency(old, size))
