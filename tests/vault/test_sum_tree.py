"""Merkle sum trees: every leaf proves itself and the total, and no other amount, place or size does."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import seeded
from vault.codec import INTEGER_MAX
from vault.errors import MalformedObject
from vault.merkle import leaf_hash
from vault.sum_tree import LEAVES_MAX, Summed, SumProof, SumTree, summed_leaf, summed_node

SIZE_MAX = 70
AMOUNTS = [(7 * number * number + 3) % 1_000 for number in range(SIZE_MAX)]
LEAVES = [summed_leaf(amount, seeded(f"content {number}")) for number, amount in enumerate(AMOUNTS)]


def leads_to(root: Summed, leaf: Summed, proof: SumProof) -> bool:
    try:
        return proof.root(leaf) == root
    except MalformedObject:
        return False


def test_every_leaf_of_every_size_proves_itself_and_the_total() -> None:
    for size in range(1, SIZE_MAX + 1):
        tree = SumTree(LEAVES[:size])
        assert tree.root.sum == sum(AMOUNTS[:size])
        for index in range(size):
            assert tree.proof(index).root(LEAVES[index]) == tree.root


def test_a_tree_of_two_by_hand() -> None:
    left, right = summed_leaf(3, seeded("a")), summed_leaf(4, seeded("b"))
    three, four = (3).to_bytes(8, "big"), (4).to_bytes(8, "big")
    assert left.hash == sha256(b"\x02" + three + seeded("a")).digest()
    joined = sha256(b"\x03" + left.hash + three + right.hash + four).digest()
    assert SumTree([left, right]).root == summed_node(left, right) == Summed(hash=joined, sum=7)


@pytest.mark.parametrize("size", range(1, 40))
def test_no_proof_passes_for_another_leaf_place_size_or_amount(size: int) -> None:
    tree = SumTree(LEAVES[:size])
    for index in range(size):
        leaf, proof = LEAVES[index], tree.proof(index)
        assert not leads_to(tree.root, replace(leaf, sum=leaf.sum + 1), proof) or size == 1
        assert not leads_to(tree.root, summed_leaf(leaf.sum + 1, seeded(f"content {index}")), proof)
        assert not leads_to(tree.root, LEAVES[-1], proof)
        for other in {index ^ 1, index + 1, size - 1} - {index}:
            assert not leads_to(tree.root, leaf, replace(proof, index=other))
        for place, beside in enumerate(proof.path):
            moved = (*proof.path[:place], replace(beside, sum=beside.sum + 1), *proof.path[place + 1 :])
            assert not leads_to(tree.root, leaf, replace(proof, path=moved))
            assert not leads_to(tree.root, leaf, replace(proof, path=proof.path[:place]))
        assert not leads_to(tree.root, leaf, replace(proof, path=(*proof.path, leaf)))


def test_an_amount_cannot_be_moved_from_one_child_to_the_other() -> None:
    left, right = LEAVES[:2]
    moved = summed_node(replace(left, sum=left.sum + 1), replace(right, sum=right.sum - 1))
    assert moved.sum == summed_node(left, right).sum
    assert moved.hash != summed_node(left, right).hash


def test_a_total_that_does_not_fit_is_refused() -> None:
    most = summed_leaf(INTEGER_MAX, seeded("most"))
    assert SumTree([most, summed_leaf(0, seeded("none"))]).root.sum == INTEGER_MAX
    with pytest.raises(MalformedObject):
        SumTree([most, summed_leaf(1, seeded("one"))])
    with pytest.raises(MalformedObject):
        SumProof(index=0, size=2, path=(most,)).root(summed_leaf(1, seeded("one")))


@pytest.mark.parametrize("amount", [-1, INTEGER_MAX + 1, 1.0, True])
def test_what_is_no_amount_is_refused(amount: int) -> None:
    with pytest.raises(MalformedObject):
        summed_leaf(amount, seeded("content"))
    with pytest.raises(MalformedObject):
        Summed(hash=bytes(32), sum=amount)


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(MalformedObject):
        SumTree([])
    with pytest.raises(MalformedObject):
        summed_leaf(1, b"short")
    with pytest.raises(ValueError):
        SumTree(LEAVES[:3]).proof(3)
    with pytest.raises(MalformedObject, match="outside"):
        SumProof(index=0, size=LEAVES_MAX + 1, path=()).root(LEAVES[0])


def test_no_hash_passes_for_one_of_a_receipt_log() -> None:
    assert summed_leaf(0, seeded("content")).hash != leaf_hash(bytes(8) + seeded("content"))


@settings(max_examples=100)
@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**63 - 1)), max_size=20),
)
def test_arbitrary_proofs_lead_nowhere_or_are_malformed(index: int, size: int, path: list[tuple[bytes, int]]) -> None:
    proof = SumProof(index=index, size=size, path=tuple(Summed(hash=hash, sum=sum) for hash, sum in path))
    assert not leads_to(SumTree(LEAVES[:7]).root, LEAVES[3], proof)
