"""Trees of weights: roots and proofs as OpenZeppelin's library makes them, and no proof of what is not in the tree.

Origin of the vectors: shared/vectors/oz_merkle.json (npm @openzeppelin/merkle-tree 1.0.8).
"""

import json
import time
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from eth_abi import encode as abi_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared_data import shared
from vault.errors import AccessDenied, MalformedObject
from vault.typed_data import keccak, word
from vault.weights import LEAVES_MAX, PROOF_MAX, LeafTree, MultiProof, WeightTree, leaf, root_from_proof

SIZES = range(1, 71)


def address(n: int) -> bytes:
    return keccak(b"member %d" % n)[12:]


MEMBERS = [(address(n), n * n + 1) for n in range(SIZES.stop)]
LEAVES = [leaf(*member) for member in MEMBERS]
FOREIGN = leaf(address(1), 10**18)
TREE = LeafTree(LEAVES[:11])
PROVEN = LEAVES[2:9:3]
PROOF = TREE.multiproof(PROVEN)


def values_of(case: dict[str, Any]) -> list[list[Any]]:
    """Return a vector's values as ours: addresses as bytes, numbers as integers."""
    return [
        [
            bytes.fromhex(value[2:]) if kind == "address" else int(value)
            for kind, value in zip(case["types"], row, strict=True)
        ]
        for row in case["values"]
    ]


def test_roots_and_proofs_are_openzeppelins() -> None:
    cases = json.loads(shared("vectors/oz_merkle.json").read_text())["cases"]
    for case in cases:
        leaves = [keccak(keccak(b"".join(map(word, case["types"], row)))) for row in values_of(case)]
        tree = LeafTree(leaves)
        assert "0x" + tree.root.hex() == case["root"]
        assert tree.multiproof(leaves).root(leaves) == tree.root
        for place, proof in case["proofs"].items():
            mine = tree.proof(leaves[int(place)])
            assert ["0x" + node.hex() for node in mine] == proof
            assert root_from_proof(leaves[int(place)], mine) == tree.root
    assert len(cases) == 6


def test_the_tree_of_members_is_openzeppelins() -> None:
    cases = json.loads(shared("vectors/oz_merkle.json").read_text())["cases"]
    (case,) = [case for case in cases if case["types"] == ["address", "uint256"]]
    members = [(who, weight) for who, weight in values_of(case)]
    tree = WeightTree(members)
    assert "0x" + tree.root.hex() == case["root"]
    for place, proof in case["proofs"].items():
        assert ["0x" + node.hex() for node in tree.proof(members[int(place)][0])] == proof


@given(st.binary(min_size=20, max_size=20), st.integers(0, 2**256 - 1))
def test_a_leaf_is_the_double_hash_of_the_abi_encoding(who: bytes, weight: int) -> None:
    encoded = abi_encode(["address", "uint256"], ["0x" + who.hex(), weight])
    assert leaf(who, weight) == keccak(keccak(encoded))


@pytest.mark.parametrize(
    ("who", "weight"),
    [(bytes(19), 1), (bytes(32), 1), (bytearray(20), 1), (bytes(20), -1), (bytes(20), 2**256), (bytes(20), True)],
    ids=str,
)
def test_a_leaf_of_anything_else_is_refused(who: bytes, weight: int) -> None:
    with pytest.raises(MalformedObject):
        leaf(who, weight)


@pytest.mark.parametrize("size", SIZES)
def test_every_member_of_every_small_tree_is_proven_and_nobody_else(size: int) -> None:
    tree = WeightTree(MEMBERS[:size])
    for (who, weight), own in zip(MEMBERS[:size], LEAVES, strict=False):
        proof = tree.proof(who)
        assert root_from_proof(own, proof) == tree.root
        assert root_from_proof(leaf(who, weight + 1), proof) != tree.root
        for place in range(len(proof)):
            changed = keccak(proof[place])
            assert root_from_proof(own, (*proof[:place], changed, *proof[place + 1 :])) != tree.root
            assert root_from_proof(own, proof[:place] + proof[place + 1 :]) != tree.root
    with pytest.raises(AccessDenied):
        tree.proof(address(1000))


@pytest.mark.parametrize(
    ("own", "proof"),
    [
        (LEAVES[0], (LEAVES[1],) * (PROOF_MAX + 1)),
        (LEAVES[0], (LEAVES[1][:31],)),
        (LEAVES[0], (LEAVES[1] + b"\x00",)),
        (LEAVES[0], (b"",)),
        (LEAVES[0][:31], ()),
        (LEAVES[0] + LEAVES[1], ()),
    ],
    ids=["too long", "short hash", "long hash", "empty hash", "short leaf", "preimage of a node as a leaf"],
)
def test_a_proof_out_of_bounds_is_malformed(own: bytes, proof: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedObject):
        root_from_proof(own, proof)


def test_a_proof_may_be_as_deep_as_the_largest_tree() -> None:
    assert len(root_from_proof(LEAVES[0], (LEAVES[1],) * PROOF_MAX)) == 32
    assert 1 << PROOF_MAX == LEAVES_MAX


@pytest.mark.parametrize("members", [[], [MEMBERS[0]] * 2, [MEMBERS[0], (MEMBERS[0][0], 7)]], ids=len)
def test_a_tree_has_members_and_each_of_them_once(members: list[tuple[bytes, int]]) -> None:
    with pytest.raises(MalformedObject):
        WeightTree(members)


@pytest.mark.parametrize("leaves", [[], [LEAVES[0]] * 2, [LEAVES[0], b"short"], [LEAVES[0] + LEAVES[1]]], ids=len)
def test_a_tree_has_leaves_of_32_bytes_and_each_of_them_once(leaves: list[bytes]) -> None:
    with pytest.raises(MalformedObject):
        LeafTree(leaves)


@pytest.mark.parametrize("size", range(1, 10))
def test_every_set_of_leaves_of_every_small_tree_is_proven_at_once(size: int) -> None:
    tree = LeafTree(LEAVES[:size])
    for count in range(1, size + 1):
        for chosen in combinations(LEAVES[:size], count):
            proof = MultiProof.from_bytes(tree.multiproof(reversed(chosen)).encoded())
            assert len(proof.hashes) <= (size + 1) // 2 * 32
            proof.require(tree.root, chosen)
            proof.require(tree.root, chosen[::-1])
            for place in range(count):
                others = [*chosen[:place], *chosen[place + 1 :]]
                with pytest.raises(AccessDenied):
                    proof.require(tree.root, [*others, FOREIGN])
                with pytest.raises(MalformedObject):
                    proof.require(tree.root, others)
                with pytest.raises(MalformedObject, match="twice"):
                    proof.require(tree.root, [*chosen, chosen[place]])


def test_a_multiproof_of_one_leaf_has_the_hashes_of_its_proof() -> None:
    for own in LEAVES[:11]:
        assert TREE.multiproof([own]).hashes == b"".join(TREE.proof(own))


def test_a_multiproof_of_all_leaves_needs_no_hash() -> None:
    assert TREE.multiproof(LEAVES[:11]).hashes == b""


def test_a_multiproof_is_for_leaves_of_the_tree_each_once() -> None:
    for leaves in ([], [LEAVES[0]] * 2, [FOREIGN]):
        with pytest.raises(MalformedObject):
            TREE.multiproof(leaves)
    tree = WeightTree(MEMBERS[:5])
    assert tree.multiproof([MEMBERS[3][0]]).root([LEAVES[3]]) == tree.root
    with pytest.raises(AccessDenied):
        tree.multiproof([MEMBERS[3][0], address(1000)])
    with pytest.raises(MalformedObject):
        tree.multiproof([MEMBERS[3][0]] * 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": LEAVES_MAX + 1},
        {"size": 8},
        {"size": 17},
        {"present": b"\xff\xff"},
        {"present": PROOF.present[:1]},
        {"present": PROOF.present + b"\x00"},
        {"present": b""},
        {"hashes": PROOF.hashes[:-1]},
        {"hashes": PROOF.hashes + b"\x00"},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={str(next(iter(wrong.values())))[:12]}",
)
def test_a_multiproof_out_of_bounds_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(PROOF, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hashes": PROOF.hashes[:-32]},
        {"hashes": PROOF.hashes + bytes(32)},
        {"hashes": b""},
        {"present": bytes(2)},
        {"present": b"\x01\x00"},
        {"present": b"\xff\x07"},
    ],
    ids=["a hash less", "a hash more", "no hashes", "no leaf", "one leaf", "all leaves"],
)
def test_a_multiproof_uses_every_hash_and_every_leaf(wrong: dict[str, Any]) -> None:
    PROOF.require(TREE.root, PROVEN)
    with pytest.raises(MalformedObject):
        replace(PROOF, **wrong).require(TREE.root, PROVEN)


def test_a_changed_hash_or_root_denies() -> None:
    for place in range(0, len(PROOF.hashes), 32):
        changed = bytearray(PROOF.hashes)
        changed[place] ^= 1
        with pytest.raises(AccessDenied):
            replace(PROOF, hashes=bytes(changed)).require(TREE.root, PROVEN)
    with pytest.raises(AccessDenied):
        PROOF.require(LeafTree(LEAVES[:12]).root, PROVEN)


def test_no_leaf_or_one_of_another_length_is_malformed() -> None:
    for leaves in ([], [*PROVEN[:2], PROVEN[2][:31]], [*PROVEN[:2], PROVEN[2] * 2]):
        with pytest.raises(MalformedObject):
            PROOF.require(TREE.root, leaves)
    with pytest.raises(MalformedObject):
        replace(PROOF, present=bytes(2), hashes=TREE.root).require(TREE.root, [])


NODES = [*LEAVES[:11], *(node for own in LEAVES[:11] for node in TREE.proof(own)), TREE.root, FOREIGN, bytes(32)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_choice_of_places_and_hashes_proves_a_leaf_that_is_not_in_the_tree(data: st.DataObject) -> None:
    leaves = [FOREIGN, *data.draw(st.lists(st.sampled_from(LEAVES[:11]), unique=True, max_size=3))]
    size = data.draw(st.integers(len(leaves), 16))
    places = data.draw(st.permutations(range(size)))[: len(leaves)]
    present = sum(1 << place for place in places).to_bytes((size + 7) // 8, "little")
    hashes = b"".join(data.draw(st.lists(st.sampled_from(NODES), max_size=8)))
    with pytest.raises((AccessDenied, MalformedObject)):
        MultiProof(size=size, present=present, hashes=hashes).require(TREE.root, leaves)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.tuples(st.integers(0, len(PROOF.encoded()) - 1), st.integers(1, 255)))
def test_arbitrary_bytes_are_malformed_or_prove_no_other_leaves(given: bytes | tuple[int, int]) -> None:
    if isinstance(given, tuple):
        changed = bytearray(PROOF.encoded())
        changed[given[0]] ^= given[1]
        given = bytes(changed)
    with suppress(MalformedObject, AccessDenied):
        MultiProof.from_bytes(given).require(TREE.root, [*PROVEN[:2], FOREIGN])
        pytest.fail("a leaf that is not in the tree was proven")


def test_20_000_of_100_000_weights_are_proven_in_less_than_a_second_and_2_mb() -> None:
    members = [(n.to_bytes(20, "big"), n + 1) for n in range(100_000)]
    tree = WeightTree(members)
    voters = members[::5]
    encoded = tree.multiproof(who for who, _ in voters).encoded()
    assert len(encoded) < 2_000_000
    begun = time.process_time()
    proof = MultiProof.from_bytes(encoded, bytes_max=2_000_000)
    proof.require(tree.root, [leaf(*voter) for voter in voters])
    assert time.process_time() - begun < 1
