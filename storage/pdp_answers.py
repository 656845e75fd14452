"""What a Filecoin provider says of pieces and data sets, read from its JSON with every type and length checked.

Source: the PDP service of Curio (`pdp/handlers*.go`) and the schemas of its clients (FilOzone, synapse-core).
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from storage.errors import InvalidCid, StorageUnavailable
from storage.piece_cid import PieceCid, root_from_v1

PIECES_MAX: Final = 100_000  # of one data set
NUMBER_MAX: Final = 2**63 - 1

_TRANSACTION = re.compile(r"0x[0-9a-fA-F]{64}")
_UPLOAD = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class TransactionState(StrEnum):
    """How far the chain has come with what the provider sent to it."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A data set being made; `data_set` is its number once it is confirmed."""

    state: TransactionState
    data_set: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """Pieces being added; `piece_ids` are their numbers in the data set once it is confirmed."""

    state: TransactionState
    piece_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """What a provider proves together.

    Attributes:
        next_challenge_epoch: by which the next proof is due, 0 before the first piece.
        roots: of each piece by its number; a version 1 name says no more than the root.
    """

    number: int
    next_challenge_epoch: int
    roots: dict[int, bytes]

    def holds(self, piece: PieceCid) -> bool:
        """Say whether the provider claims to prove the piece."""
        return piece.root in self.roots.values()

    def epochs_late(self, *, epoch: int) -> int:
        """Return for how many epochs a proof has been due; 0 while none is, or there is nothing to prove."""
        return max(0, epoch - self.next_challenge_epoch) if self.next_challenge_epoch else 0


def transaction_from(location: str, *, name: str) -> str:
    """Return the transaction in a `Location`, whatever host that names. Raises: StorageUnavailable."""
    transaction = location.rpartition("/")[2]
    if not _TRANSACTION.fullmatch(transaction):
        raise _unusable(name, "no transaction to follow")
    return transaction


def upload_from(location: str, *, name: str) -> str:
    """Return the upload's UUID in a `Location`, whatever host that names. Raises: StorageUnavailable."""
    upload = location.rpartition("/")[2]
    if not _UPLOAD.fullmatch(upload):
        raise _unusable(name, "no upload to send to")
    return upload


def removal_from(body: bytes, *, name: str) -> str:
    """Return the transaction that removes a piece. Raises: StorageUnavailable."""
    transaction = _object(body, name).get("txHash")
    return transaction_from(transaction if isinstance(transaction, str) else "", name=name)


def creation_from(body: bytes, *, transaction: str, name: str) -> Creation:
    """Return how far a data set has come. Raises: StorageUnavailable."""
    said = _object(body, name)
    state = _state(said, said.get("createMessageHash"), transaction, said.get("ok"), said.get("dataSetCreated"), name)
    return Creation(state=state, data_set=_number(said.get("dataSetId"), name) if _is_confirmed(state) else None)


def addition_from(body: bytes, *, transaction: str, data_set: int, count: int, name: str) -> Addition:
    """Return how far `count` pieces have come. Raises: StorageUnavailable."""
    said = _object(body, name)
    state = _state(said, said.get("txHash"), transaction, said.get("addMessageOk"), said.get("piecesAdded"), name)
    if _number(said.get("dataSetId"), name) != data_set:
        raise _unusable(name, "an answer about another data set")
    ids = said.get("confirmedPieceIds") if _is_confirmed(state) else []
    if not isinstance(ids, list) or (_is_confirmed(state) and len(ids) != count):
        raise _unusable(name, "other pieces than were added")
    return Addition(state=state, piece_ids=tuple(_number(one, name) for one in ids))


def data_set_from(body: bytes, *, number: int, name: str) -> DataSet:
    """Return a data set. Raises: StorageUnavailable."""
    said = _object(body, name)
    pieces = said.get("pieces")
    if _number(said.get("id"), name) != number or not isinstance(pieces, list) or len(pieces) > PIECES_MAX:
        raise _unusable(name, "another data set, or one without its pieces")
    roots = {}
    for piece in pieces:
        if not isinstance(piece, dict):
            raise _unusable(name, "a piece that is not an object")
        roots[_number(piece.get("pieceId"), name)] = root_from(piece.get("pieceCid"), name=name)
    epoch = said.get("nextChallengeEpoch")
    return DataSet(number=number, next_challenge_epoch=0 if epoch is None else _number(epoch, name), roots=roots)


def found_root_from(body: bytes, *, name: str) -> bytes:
    """Return the root of the piece that was found. Raises: StorageUnavailable."""
    return root_from(_object(body, name).get("pieceCid"), name=name)


def root_from(text: object, *, name: str) -> bytes:
    """Return the root that a piece CID of either version names. Raises: StorageUnavailable."""
    try:
        if isinstance(text, str):
            return root_from_v1(text) if text.startswith("baga") else PieceCid.parse(text).root
    except InvalidCid as error:
        raise _unusable(name, "a piece without a usable CID") from error
    raise _unusable(name, "a piece without a usable CID")


def _state(
    said: dict[str, Any], about: object, transaction: str, is_ok: object, is_done: object, name: str
) -> TransactionState:
    """Return the state; confirmed only where all that the provider says of it agrees."""
    if not isinstance(about, str) or about.lower() != transaction.lower():
        raise _unusable(name, "an answer about another transaction")
    match said.get("txStatus"):
        case "pending":
            return TransactionState.PENDING
        case "rejected":
            return TransactionState.REJECTED
        case "confirmed":
            if is_ok is False:
                return TransactionState.REJECTED
            return TransactionState.CONFIRMED if is_ok is True and is_done is True else TransactionState.PENDING
    raise _unusable(name, "a transaction in a state that there is not")


def _is_confirmed(state: TransactionState) -> bool:
    return state is TransactionState.CONFIRMED


def _object(body: bytes, name: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unusable(name, "an answer that is not JSON") from error
    if not isinstance(said, dict):
        raise _unusable(name, "an answer that is no object")
    return said


def _number(said: object, name: str) -> int:
    if type(said) is not int or not 0 <= said <= NUMBER_MAX:
        raise _unusable(name, "an answer without the number that belongs there")
    return said


def _unusable(name: str, what: str) -> StorageUnavailable:
    return StorageUnavailable(f"{name} sent {what}; it does not speak the PDP interface")
