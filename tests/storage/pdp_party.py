"""A provider and its owner, as the tests of both share them."""

import random
from collections.abc import Iterator, Sequence

import pytest

from storage.commp import piece_cid
from storage.pdp import PdpProvider
from storage.pdp_answers import TransactionState
from storage.piece_cid import PieceCid
from tests.storage.pdp_node import RECORD_KEEPER, PdpNode

DATA = random.Random(3).randbytes(300_000)  # noqa: S311 - data, not a secret
PIECE = piece_cid(DATA)
SIGNED = b"the owner's signature"
TRANSACTION = "0x" + "1" * 64


@pytest.fixture
def node() -> Iterator[PdpNode]:
    with PdpNode() as started:
        yield started
    assert started.broken == []


@pytest.fixture
def provider(node: PdpNode) -> PdpProvider:
    return PdpProvider(node.web.url, timeout_s=5, allow_private=True)


def sign(pieces: Sequence[PieceCid] = ()) -> bytes:
    return SIGNED + b"".join(piece.binary for piece in pieces)


def data_set_at(provider: PdpProvider) -> int:
    transaction = provider.create_data_set(RECORD_KEEPER, sign)
    assert provider.creation(transaction).state is TransactionState.PENDING
    made = provider.creation(transaction)
    assert made.data_set is not None
    return made.data_set
