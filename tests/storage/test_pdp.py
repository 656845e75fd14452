"""A Filecoin provider: uploads, data sets and proofs, at one that keeps to the specification and at one that does not.

Not run against mainnet: the provider is the test's own.
"""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.commp import piece_cid
from storage.errors import (
    AccessRefused,
    PieceMismatch,
    PieceNotFound,
    RateLimited,
    RequestRefused,
    StorageError,
    StorageUnavailable,
)
from storage.pdp import BATCH_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MIN, PdpProvider
from storage.pdp_answers import TransactionState, addition_from, creation_from, data_set_from
from storage.piece_cid import PieceCid, height_for
from tests.storage.pdp_node import EPOCH, RECORD_KEEPER, PdpNode
from tests.storage.pdp_party import DATA, PIECE, TRANSACTION, data_set_at, node, provider, sign
from tests.storage.web_node import answered, answered_json

__all__ = ["node", "provider"]


def test_a_piece_is_uploaded_added_proved_and_read_back(node: PdpNode, provider: PdpProvider) -> None:
    assert not provider.has(PIECE)
    provider.upload(PIECE, io.BytesIO(DATA))
    assert provider.has(PIECE)
    provider.verify(PIECE)
    out = io.BytesIO()
    provider.retrieve(PIECE, out)
    assert out.getvalue() == DATA
    number = data_set_at(provider)
    assert provider.data_set(number).epochs_late(epoch=EPOCH) == 0  # nothing to prove yet
    transaction = provider.add_pieces(number, [PIECE], sign)
    assert provider.addition(number, transaction, count=1).state is TransactionState.PENDING
    added = provider.addition(number, transaction, count=1)
    assert (added.state, added.piece_ids) == (TransactionState.CONFIRMED, (0,))
    proved = provider.data_set(number)
    assert proved.holds(PIECE)
    assert not proved.holds(piece_cid(b"another"))
    assert proved.epochs_late(epoch=EPOCH) == 0


def test_what_is_signed_is_what_is_sent(node: PdpNode, provider: PdpProvider) -> None:
    provider.upload(PIECE, io.BytesIO(DATA))
    number = data_set_at(provider)
    signed: list[Sequence[PieceCid]] = []

    def watched(pieces: Sequence[PieceCid]) -> bytes:
        signed.append(pieces)
        return sign(pieces)

    provider.add_pieces(number, [PIECE], watched)
    sent = json.loads(node.web.asked[-1].body)
    assert signed == [(PIECE,)]
    assert sent["extraData"] == "0x" + sign([PIECE]).hex()
    assert [piece["pieceCid"] for piece in sent["pieces"]] == [str(PIECE)]


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b"x" + DATA[1:], b""], ids=["short", "long", "other", "none"])
def test_data_that_is_not_the_piece_is_not_finished(node: PdpNode, provider: PdpProvider, data: bytes) -> None:
    with pytest.raises(PieceMismatch):
        provider.upload(PIECE, io.BytesIO(data))
    assert node.pieces == {}


@pytest.mark.parametrize("length", [0, PIECE_BYTES_MIN - 1, PIECE_BYTES_MAX + 1])
def test_a_size_that_providers_do_not_take_is_refused_before_it_is_sent(
    node: PdpNode, provider: PdpProvider, length: int
) -> None:
    piece = PieceCid(root=bytes(32), raw_bytes=length, height=height_for(length))
    with pytest.raises(RequestRefused):
        provider.upload(piece, io.BytesIO())
    assert node.web.asked == []


def test_why_a_provider_stops_listening_is_told(node: PdpNode, provider: PdpProvider) -> None:
    full = answered(b"no room", status="413 Content Too Large")
    node.first = lambda asked: [full] if asked.method == "PUT" else ()
    with pytest.raises(RequestRefused, match="no room"):
        provider.upload(PIECE, io.BytesIO(DATA))


def test_a_piece_that_is_gone_is_not_found(provider: PdpProvider) -> None:
    with pytest.raises(PieceNotFound):
        provider.verify(PIECE)


def test_a_piece_that_is_still_being_taken_in_is_not_there_yet(node: PdpNode, provider: PdpProvider) -> None:
    node.first = lambda _: [answered_json({}, status="202 Accepted")]
    assert not provider.has(PIECE)


def test_a_rejected_transaction_is_known(node: PdpNode, provider: PdpProvider) -> None:
    provider.upload(PIECE, io.BytesIO(DATA))
    number = data_set_at(provider)
    node.rejects = True
    added = provider.add_pieces(number, [PIECE], sign)
    states = [provider.addition(number, added, count=1).state for _ in range(2)]
    assert states == [TransactionState.PENDING, TransactionState.REJECTED]
    made = provider.create_data_set(RECORD_KEEPER, sign)
    assert [provider.creation(made).state for _ in range(2)] == states
    assert not provider.data_set(number).holds(PIECE)


def test_pieces_that_were_not_uploaded_are_refused_with_its_reason(provider: PdpProvider) -> None:
    with pytest.raises(RequestRefused, match="subPiece not found"):
        provider.add_pieces(data_set_at(provider), [PIECE], sign)


@pytest.mark.parametrize("count", [0, BATCH_MAX + 1])
def test_how_many_are_added_at_a_time_is_bounded(node: PdpNode, provider: PdpProvider, count: int) -> None:
    with pytest.raises(ValueError, match="pieces"):
        provider.add_pieces(1, [PIECE] * count, sign)
    assert node.web.asked == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("401 Unauthorized", AccessRefused),
        ("429 Too Many Requests", RateLimited),
        ("500 Internal Server Error", StorageUnavailable),
        ("302 Found", StorageUnavailable),
        ("200 OK", StorageUnavailable),
    ],
)
def test_every_call_has_an_error_for_every_status(
    node: PdpNode, provider: PdpProvider, status: str, expected: type[StorageError]
) -> None:
    told = answered(b"some reason", status=status, headers={"Location": "http://10.0.0.1/"})
    node.first = lambda _: [told]
    calls: list[Callable[[], object]] = [
        lambda: provider.upload(PIECE, io.BytesIO(DATA)),
        lambda: provider.has(PIECE),
        lambda: provider.create_data_set(RECORD_KEEPER, sign),
        lambda: provider.creation(TRANSACTION),
        lambda: provider.add_pieces(1, [PIECE], sign),
        lambda: provider.addition(1, TRANSACTION, count=1),
        lambda: provider.data_set(1),
    ]
    for call in calls:
        with pytest.raises(expected):
            call()


CREATED = {
    "createMessageHash": TRANSACTION,
    "dataSetCreated": True,
    "service": "public",
    "txStatus": "confirmed",
    "ok": True,
    "dataSetId": 7,
}
ADDED = {
    "txHash": TRANSACTION,
    "txStatus": "confirmed",
    "dataSetId": 7,
    "pieceCount": 1,
    "addMessageOk": True,
    "piecesAdded": True,
    "confirmedPieceIds": [3],
}
HELD = {"id": 7, "nextChallengeEpoch": 9, "pieces": [{"pieceId": 3, "pieceCid": str(PIECE)}]}


def creation(said: object) -> object:
    return creation_from(json.dumps(said).encode(), transaction=TRANSACTION, name="p")


def addition(said: object) -> object:
    return addition_from(json.dumps(said).encode(), transaction=TRANSACTION, data_set=7, count=1, name="p")


def data_set(said: object) -> object:
    return data_set_from(json.dumps(said).encode(), number=7, name="p")


@pytest.mark.parametrize(
    ("read", "right", "field", "value"),
    [
        (creation, CREATED, "createMessageHash", "0x" + "2" * 64), (creation, CREATED, "createMessageHash", None),
        (creation, CREATED, "txStatus", "lost"), (creation, CREATED, "txStatus", None),
        (creation, CREATED, "dataSetId", None), (creation, CREATED, "dataSetId", -1),
        (creation, CREATED, "dataSetId", True), (creation, CREATED, "dataSetId", 2**63),
        (creation, CREATED, "dataSetId", "7"),
        (addition, ADDED, "txHash", "0x" + "2" * 64), (addition, ADDED, "dataSetId", 8),
        (addition, ADDED, "confirmedPieceIds", []), (addition, ADDED, "confirmedPieceIds", [1, 2]),
        (addition, ADDED, "confirmedPieceIds", None), (addition, ADDED, "confirmedPieceIds", ["3"]),
        (data_set, HELD, "id", 8), (data_set, HELD, "pieces", None), (data_set, HELD, "pieces", [None]),
        (data_set, HELD, "pieces", [{"pieceId": 1, "pieceCid": "baga"}]), (data_set, HELD, "pieces", [{"pieceId": 1}]),
        (data_set, HELD, "nextChallengeEpoch", "9"), (data_set, HELD, "nextChallengeEpoch", -9),
    ],
)  # fmt: skip
def test_one_wrong_field_is_no_answer(
    read: Callable[[object], object], right: dict[str, Any], field: str, value: object
) -> None:
    read(right)
    with pytest.raises(StorageUnavailable):
        read({**right, field: value})


@pytest.mark.parametrize("changed", [{"ok": None}, {"dataSetCreated": False}])
def test_confirmed_means_that_all_of_it_is_said(changed: dict[str, Any]) -> None:
    said = json.dumps({**CREATED, **changed}).encode()
    assert creation_from(said, transaction=TRANSACTION, name="p").state is TransactionState.PENDING


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([(creation, CREATED), (addition, ADDED), (data_set, HELD)]), st.data())
def test_any_answer_is_read_or_our_own_error(
    pair: tuple[Callable[[object], object], dict[str, Any]], draw: Any
) -> None:
    read, right = pair
    try:
        read({**right, draw.draw(st.sampled_from(sorted(right))): draw.draw(values)})
    except StorageError:
        return
