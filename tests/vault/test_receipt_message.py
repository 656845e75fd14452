"""Receipts signed alone or in a burst: one form each, and none that passes for another (rule X1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import seeded
from vault.codec import encode
from vault.cose import MESSAGE_BYTES_MAX, sign1
from vault.errors import InvalidSignature, MalformedObject, VaultError
from vault.machine import MachineKey
from vault.merkle import Tree, leaf_hash
from vault.receipt_message import (
    AAD,
    BURST_AAD,
    BURST_MAX,
    BURST_PATH_MAX,
    Burst,
    ReceiptInBurst,
    payload_digest,
    receipt_digest,
    signed_receipts,
    verified_message,
)

KEY, OTHER_KEY = MachineKey(seeded("receipt key")), MachineKey(seeded("another instance"))
REFUSED = (InvalidSignature, MalformedObject)


def receipts(number: int, name: str = "receipt") -> list[bytes]:
    return [seeded(f"{name} {n}", 64) for n in range(number)]


def opened(message: bytes) -> ReceiptInBurst:
    return ReceiptInBurst.from_bytes(message)


def head(size: int, root: bytes, key: MachineKey = KEY, aad: bytes = BURST_AAD) -> bytes:
    body = {"type": Burst.TYPE, "size": size, "root": root}
    return sign1(key, encode(body), external_aad=aad)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 64, 65, BURST_MAX, BURST_MAX + 1, BURST_MAX + 2])
def test_every_receipt_of_a_burst_verifies_by_itself(number: int) -> None:
    signed = receipts(number)
    messages = signed_receipts(signed, KEY)
    assert [verified_message(message, KEY.public) for message in messages] == signed
    assert [receipt_digest(message) for message in messages] == list(map(payload_digest, signed))


def test_one_alone_is_a_plain_cose_message_and_a_burst_shares_one_signature() -> None:
    (alone,) = signed_receipts(receipts(1), KEY)
    assert alone == sign1(KEY, receipts(1)[0], external_aad=AAD)
    assert len({opened(message).head for message in signed_receipts(receipts(200), KEY)}) == 1


def test_the_form_that_is_written_fast_is_the_canonical_one() -> None:
    for message in signed_receipts(receipts(300), KEY):
        assert opened(message).encoded() == message


def test_the_longest_path_fits() -> None:
    assert {len(opened(message).path) for message in signed_receipts(receipts(BURST_MAX), KEY)} == {BURST_PATH_MAX}


def test_one_too_long_to_carry_a_proof_is_signed_alone_with_its_whole_burst() -> None:
    signed = [*receipts(2), bytes(MESSAGE_BYTES_MAX - 600)]
    messages = signed_receipts(signed, KEY)
    assert [verified_message(message, KEY.public) for message in messages] == signed


class TestForgeries:
    """Everything is a true part of some burst; only its combination is not."""

    signed = receipts(5)
    parts = tuple(opened(message) for message in signed_receipts(signed, KEY))
    part = parts[2]

    def refused(self, forged: ReceiptInBurst | bytes, key: MachineKey = KEY) -> None:
        message = forged if isinstance(forged, bytes) else forged.encoded()
        with pytest.raises(REFUSED):
            verified_message(message, key.public)

    def test_the_true_one_holds(self) -> None:
        assert verified_message(self.part.encoded(), KEY.public) == self.signed[2]

    def test_a_leaf_of_another_tree(self) -> None:
        other = opened(signed_receipts(receipts(5, "other"), KEY)[2])
        self.refused(replace(self.part, receipt=other.receipt))
        self.refused(replace(self.part, path=other.path))
        self.refused(replace(self.part, head=other.head))

    def test_a_leaf_of_the_same_tree_elsewhere(self) -> None:
        for index, other in enumerate(self.parts):
            if index != 2:
                self.refused(replace(self.part, receipt=other.receipt))
                self.refused(replace(self.part, path=other.path))
                self.refused(replace(self.part, index=index))

    @pytest.mark.parametrize("index", [5, 6, 2 + 8, 2**62])
    def test_an_index_outside(self, index: int) -> None:
        self.refused(replace(self.part, index=index))

    def test_a_path_swapped_cut_or_stretched(self) -> None:
        path = self.part.path
        self.refused(replace(self.part, path=path[::-1]))
        self.refused(replace(self.part, path=path[:-1]))
        self.refused(replace(self.part, path=(*path, path[-1])))
        self.refused(replace(self.part, path=(*path, *[bytes(32)] * (BURST_PATH_MAX - len(path)))))

    def test_a_node_passed_off_as_a_receipt(self) -> None:
        """Two leaves' hashes, which hash to a node: leaf and node hashes are told apart."""
        leaves = [leaf_hash(receipt) for receipt in self.signed[:4]]
        inner = ReceiptInBurst(
            head=head(2, Tree(leaves).root()), path=(Tree(leaves[2:]).root(),), index=0, receipt=leaves[0] + leaves[1]
        )
        self.refused(inner)

    def test_a_tree_of_another_instance(self) -> None:
        self.refused(self.part, OTHER_KEY)
        self.refused(opened(signed_receipts(self.signed, OTHER_KEY)[2]))
        others = opened(signed_receipts(self.signed, OTHER_KEY)[2]).head
        self.refused(replace(self.part, head=others))

    def test_a_signature_on_a_root_is_no_receipt_and_one_on_a_receipt_no_root(self) -> None:
        self.refused(self.part.head)
        root = Tree([leaf_hash(receipt) for receipt in self.signed]).root()
        self.refused(replace(self.part, head=head(5, root, aad=AAD)))
        (alone,) = signed_receipts([Burst(size=5, root=root).encoded()], KEY)
        self.refused(replace(self.part, head=alone))

    @pytest.mark.parametrize("size", [0, 1, 4, 6, BURST_MAX + 1])
    def test_another_size(self, size: int) -> None:
        root = Tree([leaf_hash(receipt) for receipt in self.signed]).root()
        self.refused(replace(self.parts[4], head=head(size, root)))  # the last one: its path tells the size

    def test_a_burst_of_one(self) -> None:
        (leaf,) = [leaf_hash(receipt) for receipt in receipts(1)]
        body = {
            "type": ReceiptInBurst.TYPE, "head": head(1, leaf), "path": [], "index": 0, "receipt": receipts(1)[0],
        }  # fmt: skip
        self.refused(encode(body))  # type: ignore[arg-type]

    def test_other_encodings(self) -> None:
        message = self.part.encoded()
        for form in (message + b"\x00", message[:-1], message * 2, b"", b"\xd2", b"\xa0", message[:1]):
            self.refused(form)
        self.refused(message.replace(b"receipt-in-burst/v1", b"receipt-in-burst/v2"))

    def test_every_flipped_bit(self) -> None:
        message = self.part.encoded()
        for place in range(len(message)):
            for bit in range(8):
                self.refused(message[:place] + bytes([message[place] ^ 1 << bit]) + message[place + 1 :])


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_refused_with_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(VaultError):
        verified_message(data, KEY.public)
