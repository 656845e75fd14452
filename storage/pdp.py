"""Pieces at a Filecoin provider that proves every day that it has them (PDP). Not run against mainnet.

Source: the PDP service of Curio and its clients: an upload is opened, filled and closed with the piece CID; a data set
is made and added to by transactions that the provider sends and the owner signs. What a signature covers is the
wallet's business: it comes in as a callable. A provider that says it has a piece is believed once `verify` agrees.
"""

import io
import json
from collections.abc import Callable, Sequence
from typing import BinaryIO, Final

from storage.commp import PieceHasher
from storage.errors import (
    DataSetNotFound,
    PieceMismatch,
    PieceNotFound,
    RequestRefused,
    StorageError,
    StorageUnavailable,
)
from storage.http_place import Answer, HttpPlace, WrongLength
from storage.pdp_answers import (
    Addition,
    Creation,
    DataSet,
    addition_from,
    creation_from,
    data_set_from,
    found_root_from,
    removal_from,
    transaction_from,
    upload_from,
)
from storage.piece_cid import PieceCid
from storage.refusal import refused

PIECE_BYTES_MIN: Final = 127
PIECE_BYTES_MAX: Final = 1_065_353_216  # 1 GiB padded
BATCH_MAX: Final = 32  # pieces added by one transaction
TIMEOUT_S: Final = 60.0  # the provider talks to a chain meanwhile; data on the move gets as long as it moves
ANSWER_BYTES_MAX: Final = 64 * 1024
DATA_SET_BYTES_MAX: Final = 32 * 2**20
EXTRA_BYTES_MAX: Final = 64 * 1024

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_BINARY = {"Content-Type": "application/octet-stream"}

Sign = Callable[[], bytes]
SignPieces = Callable[[Sequence[PieceCid]], bytes]


class PdpProvider:
    """The provider at `url`, which ends before `/pdp`. Safe to share between threads.

    Args:
        token: where the provider wants one; most take the owner's signatures alone.
        timeout_s: for each request, beyond the time in which data moves.
        allow_private: the provider is on the owner's own machine or network.
    Raises: StorageUnavailable: `url` is not one that can be used, or would carry the token in the open.
    """

    def __init__(
        self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S, allow_private: bool = False
    ) -> None:
        self.name = f"provider {url}"
        self._token = token
        self._place = HttpPlace(url, name=self.name, token=token, timeout_s=timeout_s, allow_private=allow_private)

    def upload(self, piece: PieceCid, data: BinaryIO) -> None:
        """Send a piece's data and have the provider agree on what it is.

        The provider takes it in later: `has` says when, and `verify` whether that is true.
        Raises: PieceMismatch: `data` is not the piece, or the provider says so; RequestRefused and its kinds;
            StorageUnavailable: also for an upload that broke off, which leaves nothing behind.
        """
        if not PIECE_BYTES_MIN <= piece.raw_bytes <= PIECE_BYTES_MAX:
            raise RequestRefused(f"{self.name} takes pieces of {PIECE_BYTES_MIN} to {PIECE_BYTES_MAX} bytes")
        with self._place.ask("POST", "/pdp/piece/uploads") as answer:
            self._expect(answer, 201)
            path = "/pdp/piece/uploads/" + upload_from(answer.header("Location"), name=self.name)
        hashed = _Hashed(data)
        try:
            with self._place.ask("PUT", path, headers=_BINARY, body=hashed, body_bytes=piece.raw_bytes) as answer:
                self._expect(answer, 204)
        except WrongLength as error:
            raise PieceMismatch(f"the data is not as long as piece {piece}; compute its CID again") from error
        if hashed.hasher.piece_cid().root != piece.root:
            raise PieceMismatch(f"the data that was sent is not piece {piece}; compute its CID again")
        self._finish(path, piece)

    def has(self, piece: PieceCid) -> bool:
        """Say whether the provider claims to have taken the piece in; only `verify` finds out."""
        with self._place.ask("GET", "/pdp/piece", query={"pieceCid": str(piece)}) as answer:
            if answer.status in (202, 404):
                return False
            self._expect(answer, 200)
            body = answer.body(bytes_max=ANSWER_BYTES_MAX)
        if found_root_from(body, name=self.name) != piece.root:
            raise StorageUnavailable(f"{self.name} answered about another piece than it was asked about")
        return True

    def retrieve(self, piece: PieceCid, out: BinaryIO) -> None:
        """Write a piece's data to `out`; it is right only once this returns, so throw it away if it raises.

        Raises: PieceNotFound; PieceMismatch: other data, shorter or longer; StorageUnavailable.
        """
        hasher = PieceHasher()
        with self._place.ask("GET", f"/piece/{piece}") as answer:
            if answer.status == 404:
                raise PieceNotFound(f"{self.name} has no piece {piece}")
            self._expect(answer, 200)
            for part in answer.parts(bytes_max=piece.raw_bytes):
                hasher.update(part)
                out.write(part)
        found = hasher.piece_cid()
        if (found.root, found.raw_bytes) != (piece.root, piece.raw_bytes):
            raise PieceMismatch(f"{self.name} sent {found.raw_bytes} bytes that are not piece {piece}")

    def part(self, piece: PieceCid, *, start: int, length: int) -> bytes:
        """Return a part of a piece, which nothing here can check: whoever asked knows what should be there.

        Raises: PieceNotFound; StorageUnavailable: also where the provider sends other parts than it is asked for.
        """
        asked = {"Range": f"bytes={start}-{start + length - 1}"}
        with self._place.ask("GET", f"/piece/{piece}", headers=asked) as answer:
            if answer.status in (404, 416):
                raise PieceNotFound(f"{self.name} has no such part of piece {piece}")
            self._expect(answer, 206)
            return answer.body(bytes_max=length)

    def verify(self, piece: PieceCid) -> None:
        """Read a whole piece back and keep nothing of it. Raises: as `retrieve`."""
        self.retrieve(piece, _Nowhere())

    def create_data_set(self, record_keeper: str, sign: Sign) -> str:
        """Have a data set made and return the transaction that makes it.

        Args:
            record_keeper: address of the contract that keeps the record of payments.
            sign: returns the extra data, the owner's signature in it.
        """
        asked: dict[str, object] = {"recordKeeper": record_keeper, "extraData": _extra(sign())}
        return self._transacted("/pdp/data-sets", asked)

    def creation(self, transaction: str) -> Creation:
        """Return how far a data set has come. Raises: DataSetNotFound, StorageUnavailable."""
        body = self._data_set_body(f"/pdp/data-sets/created/{_checked(transaction, self.name)}")
        return creation_from(body, transaction=transaction, name=self.name)

    def add_pieces(self, data_set: int, pieces: Sequence[PieceCid], sign: SignPieces) -> str:
        """Have pieces that were taken in added to a data set, and return the transaction that adds them.

        Args:
            pieces: 1 to `BATCH_MAX`.
            sign: returns the extra data for just these pieces, in this order.
        """
        if not 1 <= len(pieces) <= BATCH_MAX:
            raise ValueError(f"1 to {BATCH_MAX} pieces are added at a time")
        listed = [{"pieceCid": str(piece), "subPieces": [{"subPieceCid": str(piece)}]} for piece in pieces]
        asked: dict[str, object] = {"pieces": listed, "extraData": _extra(sign(tuple(pieces)))}
        return self._transacted(f"/pdp/data-sets/{data_set}/pieces", asked)

    def addition(self, data_set: int, transaction: str, *, count: int) -> Addition:
        """Return how far the adding of `count` pieces has come. Raises: DataSetNotFound, StorageUnavailable."""
        path = f"/pdp/data-sets/{data_set}/pieces/added/{_checked(transaction, self.name)}"
        body = self._data_set_body(path)
        return addition_from(body, transaction=transaction, data_set=data_set, count=count, name=self.name)

    def remove_piece(self, data_set: int, number: int, extra: bytes) -> str:
        """Have a piece of a data set removed at its next proof, and return the transaction that says so.

        Args:
            extra: what the owner signed for just this piece.
        Raises: PieceNotFound: there is no such piece, or no such data set; RequestRefused, StorageUnavailable.
        """
        asked = json.dumps({"extraData": _extra(extra), "pieceIds": [number]}).encode()
        with self._place.ask("DELETE", f"/pdp/data-sets/{data_set}/pieces/{number}", headers=_JSON, body=asked) as got:
            if got.status == 404:
                raise PieceNotFound(f"{self.name} has no piece {number} in data set {data_set}") from self._refused(got)
            self._expect(got, 200)
            return removal_from(got.body(bytes_max=ANSWER_BYTES_MAX), name=self.name)

    def data_set(self, number: int) -> DataSet:
        """Return what the provider says it proves. Raises: DataSetNotFound, StorageUnavailable."""
        return data_set_from(self._data_set_body(f"/pdp/data-sets/{number}"), number=number, name=self.name)

    def _finish(self, path: str, piece: PieceCid) -> None:
        with self._place.ask("POST", path, headers=_JSON, body=json.dumps({"pieceCid": str(piece)}).encode()) as answer:
            if answer.status == 400:
                raise PieceMismatch(f"{self.name} has other data than was sent") from self._refused(answer)
            self._expect(answer, 200)

    def _transacted(self, path: str, asked: dict[str, object]) -> str:
        with self._place.ask("POST", path, headers=_JSON, body=json.dumps(asked).encode()) as answer:
            if answer.status == 404:
                raise DataSetNotFound(f"{self.name} knows no such data set") from self._refused(answer)
            self._expect(answer, 201, 202)
            return transaction_from(answer.header("Location"), name=self.name)

    def _data_set_body(self, path: str) -> bytes:
        with self._place.ask("GET", path, headers={"Accept": "application/json"}) as answer:
            if answer.status == 404:
                raise DataSetNotFound(f"{self.name} knows no such data set") from self._refused(answer)
            self._expect(answer, 200, 202)
            return answer.body(bytes_max=DATA_SET_BYTES_MAX)

    def _expect(self, answer: Answer, *good: int) -> None:
        if answer.status not in good:
            raise self._refused(answer)

    def _refused(self, answer: Answer) -> StorageError:
        return refused(answer, name=self.name, secret=self._token)


class _Hashed(io.BytesIO):
    """A stream whose bytes are hashed as they are read."""

    def __init__(self, data: BinaryIO) -> None:
        super().__init__()
        self.hasher = PieceHasher()
        self._data = data

    def read(self, length: int | None = -1, /) -> bytes:
        part = self._data.read(-1 if length is None else length)
        self.hasher.update(part)
        return part


class _Nowhere(io.BytesIO):
    """Takes everything and keeps nothing."""

    def write(self, data: object, /) -> int:
        return 0


def _extra(signed: bytes) -> str:
    if len(signed) > EXTRA_BYTES_MAX:
        raise ValueError(f"the extra data has at most {EXTRA_BYTES_MAX} bytes")
    return "0x" + signed.hex()


def _checked(transaction: str, name: str) -> str:
    """Return a transaction that is one, since it becomes part of a path."""
    return transaction_from(transaction, name=name)
