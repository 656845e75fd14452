"""A Filecoin provider that keeps half, serves something else, proves late or loses all: each is found out."""

import io
from collections.abc import Sequence

import pytest

from storage.commp import piece_cid
from storage.errors import DataSetNotFound, PieceMismatch, StorageError, StorageUnavailable
from storage.pdp import PdpProvider
from storage.pdp_answers import TransactionState
from tests.storage.pdp_node import EPOCH, PdpNode
from tests.storage.pdp_party import DATA, PIECE, TRANSACTION, data_set_at, node, provider, sign
from tests.storage.web_node import Asked, answered, answered_json

__all__ = ["node", "provider"]


def test_half_an_upload_taken_for_the_whole_is_found_out(node: PdpNode, provider: PdpProvider) -> None:
    node.keeps_half = True
    provider.upload(PIECE, io.BytesIO(DATA))
    assert provider.has(PIECE)  # it says so
    with pytest.raises(PieceMismatch, match="150000 bytes"):
        provider.verify(PIECE)


def test_all_is_well_said_after_half_of_it_is_not_believed(node: PdpNode, provider: PdpProvider) -> None:
    large = bytes(40_000_000)  # more than the kernel takes in for a server that does not read
    piece = piece_cid(large)
    node.web.body_bytes_read = 1000
    node.first = lambda asked: [b"HTTP/1.1 204 No Content\r\n\r\n"] if asked.method == "PUT" else ()
    with pytest.raises(StorageUnavailable):
        provider.upload(piece, io.BytesIO(large))
    assert [asked.method for asked in node.web.asked] == ["POST", "PUT"]


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (b"x" + DATA[1:], PieceMismatch),
        (DATA[:-1], PieceMismatch),
        (b"", PieceMismatch),
        (DATA + b"\0", StorageUnavailable),
        (DATA * 100, StorageUnavailable),
    ],
)
def test_a_wrong_piece_is_found_out(
    node: PdpNode, provider: PdpProvider, served: bytes, expected: type[StorageError]
) -> None:
    node.pieces[str(PIECE)] = served
    with pytest.raises(expected):
        provider.verify(PIECE)


def test_zeros_cut_off_the_end_are_found_out(node: PdpNode, provider: PdpProvider) -> None:
    """Padding is zeros, so the root alone does not tell; the length in the piece CID does."""
    data = b"x" * 200 + bytes(20)
    node.pieces[str(piece_cid(data))] = data[:-10]
    assert piece_cid(data[:-10]).root == piece_cid(data).root
    with pytest.raises(PieceMismatch):
        provider.verify(piece_cid(data))


def test_another_piece_than_the_one_looked_for_is_not_taken(node: PdpNode, provider: PdpProvider) -> None:
    other = answered_json({"pieceCid": str(piece_cid(b"another"))})
    node.first = lambda _: [other]
    with pytest.raises(StorageUnavailable, match="another"):
        provider.has(PIECE)
    same = answered_json({"pieceCid": PIECE.v1})
    node.first = lambda _: [same]
    assert provider.has(PIECE)


def test_late_proofs_are_known(node: PdpNode, provider: PdpProvider) -> None:
    provider.upload(PIECE, io.BytesIO(DATA))
    number = data_set_at(provider)
    transaction = provider.add_pieces(number, [PIECE], sign)
    while provider.addition(number, transaction, count=1).state is TransactionState.PENDING:
        pass
    node.is_late = True
    assert provider.data_set(number).epochs_late(epoch=EPOCH) == 500


def test_a_lost_data_set_is_known(node: PdpNode, provider: PdpProvider) -> None:
    number = data_set_at(provider)
    node.data_sets.clear()
    with pytest.raises(DataSetNotFound):
        provider.data_set(number)
    with pytest.raises(DataSetNotFound):
        provider.add_pieces(number, [PIECE], sign)
    with pytest.raises(DataSetNotFound):
        provider.creation(TRANSACTION)
    with pytest.raises(DataSetNotFound):
        provider.addition(number, TRANSACTION, count=1)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/",
        "/pdp/piece/uploads/",
        "/pdp/piece/uploads/../../x",
        "/pdp/piece/uploads/" + "a" * 36,
        "\u00e9",
        "x" * 9000,
    ],
)
def test_an_upload_goes_nowhere_but_to_an_upload(node: PdpNode, provider: PdpProvider, location: str) -> None:
    opened = answered(b"", status="201 Created").replace(b"\r\n\r\n", f"\r\nLocation: {location}\r\n\r\n".encode())
    node.first = lambda _: [opened]
    with pytest.raises(StorageUnavailable):
        provider.upload(PIECE, io.BytesIO(DATA))
    assert len(node.web.asked) == 1


def test_an_upload_stays_at_the_place_that_was_named(node: PdpNode, provider: PdpProvider) -> None:
    """The `Location` may name any host; only the upload's number is taken from it."""

    def elsewhere(asked: Asked) -> Sequence[bytes]:
        if asked.path != "/pdp/piece/uploads":
            return ()
        location = {"Location": "http://169.254.169.254/pdp/piece/uploads/3f0c1b8e-6c1d-4c4b-9d4d-0f5b6f1f3d6a"}
        return [answered(b"", status="201 Created", headers=location)]

    node.first = elsewhere
    with pytest.raises(StorageError, match="upload not found"):
        provider.upload(PIECE, io.BytesIO(DATA))


@pytest.mark.parametrize("transaction", ["", "0x", "../1", "0x" + "g" * 64, TRANSACTION + "/..", TRANSACTION + "?"])
def test_only_a_transaction_becomes_part_of_a_path(node: PdpNode, provider: PdpProvider, transaction: str) -> None:
    with pytest.raises(StorageUnavailable):
        provider.creation(transaction)
    assert node.web.asked == []


def test_other_data_is_not_finished_even_if_the_provider_would_take_it(node: PdpNode, provider: PdpProvider) -> None:
    node.keeps_half = True  # it compares nothing
    with pytest.raises(PieceMismatch):
        provider.upload(PIECE, io.BytesIO(b"x" + DATA[1:]))
    assert node.pieces == {}
