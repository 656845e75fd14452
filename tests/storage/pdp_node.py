"""A Filecoin provider on loopback, written from the specification, which misbehaves where a test says so.

Sources: the handlers of Curio's PDP service. Transactions are confirmed by the second question about them.
"""

import json
import re
import uuid
from collections.abc import Iterable
from typing import Any

from storage.commp import piece_cid
from storage.piece_cid import PieceCid
from tests.storage.web_node import Asked, Handler, WebNode, answered, answered_json

EPOCH = 5_000_000
REMOVED = ""  # in the place of a piece's CID, since numbers are not given again
RECORD_KEEPER = "0x" + "ab" * 20


class PdpNode:
    """The provider.

    Attributes:
        pieces: data by piece CID.
        broken: rules that requests broke, which none should.
        first: answers requests before the provider does, where it yields anything.
        keeps_half: of each upload, and says that all is well.
        rejects: every transaction, in the end.
        is_late: proofs are due and do not come.
        keeps_proving: what it was asked to remove, though it says that it will.
        keeps_sending: what was removed, which nobody pays for any more.
    """

    def __init__(self) -> None:
        self.pieces: dict[str, bytes] = {}
        self.broken: list[str] = []
        self.first: Handler = lambda _: ()
        self.keeps_half = self.rejects = self.is_late = self.keeps_proving = self.keeps_sending = False
        self.removals: dict[int, set[int]] = {}
        self.data_sets: dict[int, list[str]] = {}
        self._uploads: dict[str, bytes | None] = {}
        self._sent: dict[str, dict[str, Any]] = {}
        self.web = WebNode(self._answer)

    def __enter__(self) -> "PdpNode":
        self.web.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.web.__exit__()

    def _answer(self, asked: Asked) -> Iterable[bytes]:
        instead = list(self.first(asked))
        if instead:
            return instead
        for method, path, handler in (
            ("POST", r"/pdp/piece/uploads", self._open),
            ("PUT", r"/pdp/piece/uploads/([0-9a-f-]{36})", self._fill),
            ("POST", r"/pdp/piece/uploads/([0-9a-f-]{36})", self._finish),
            ("GET", r"/pdp/piece", self._find),
            ("GET", r"/piece/(\w+)", self._send),
            ("POST", r"/pdp/data-sets", self._create),
            ("GET", r"/pdp/data-sets/created/(0x[0-9a-f]{64})", self._created),
            ("POST", r"/pdp/data-sets/(\d+)/pieces", self._add),
            ("DELETE", r"/pdp/data-sets/(\d+)/pieces/(\d+)", self._remove),
            ("GET", r"/pdp/data-sets/(\d+)/pieces/added/(0x[0-9a-f]{64})", self._added),
            ("GET", r"/pdp/data-sets/(\d+)", self._told),
        ):
            found = re.fullmatch(path, asked.path)
            if found and asked.method == method:
                return [handler(asked, *found.groups())]
        self.broken.append(f"{asked.method} {asked.path}")
        return [answered(b"404 page not found", status="404 Not Found")]

    def _open(self, asked: Asked) -> bytes:
        upload = str(uuid.uuid4())
        self._uploads[upload] = None
        return answered(b"", status="201 Created", headers={"Location": f"/pdp/piece/uploads/{upload}"})

    def _fill(self, asked: Asked, upload: str) -> bytes:
        if upload not in self._uploads:
            return answered(b"upload not found", status="404 Not Found")
        if int(asked.headers["content-length"]) != len(asked.body):
            return answered(b"unexpected EOF", status="400 Bad Request")
        self._rule(asked.headers.get("content-type") == "application/octet-stream", "type of an upload")
        self._rule(127 <= len(asked.body) <= 1_065_353_216, "size of a piece")
        self._uploads[upload] = asked.body[: len(asked.body) // 2] if self.keeps_half else asked.body
        return b"HTTP/1.1 204 No Content\r\n\r\n"

    def _finish(self, asked: Asked, upload: str) -> bytes:
        data = self._uploads.pop(upload, None)
        if data is None:
            return answered(b"upload not found", status="404 Not Found")
        self._rule(asked.headers.get("content-type") == "application/json", "type of a request")
        cid = json.loads(asked.body)["pieceCid"]
        if not self.keeps_half and str(piece_cid(data)) != cid:
            wrong = b"Invalid request body: pieceCid does not match the calculated pieceCid for the uploaded piece"
            return answered(wrong, status="400 Bad Request")
        self.pieces[cid] = data
        return answered(b"")

    def _find(self, asked: Asked) -> bytes:
        cid = asked.query["pieceCid"]
        PieceCid.parse(cid)
        return answered_json({"pieceCid": cid}) if cid in self.pieces else answered(b"", status="404 Not Found")

    def _send(self, asked: Asked, cid: str) -> bytes:
        if cid not in self.pieces:
            return answered(b"", status="404 Not Found")
        data, asked_range = self.pieces[cid], asked.headers.get("range")
        if asked_range is None:
            return answered(data, headers={"Content-Type": "application/piece"})
        start, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked_range).groups())  # type: ignore[union-attr]
        if start >= len(data):
            return answered(b"", status="416 Range Not Satisfiable")
        told = {"Content-Type": "application/piece", "Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return answered(data[start : end + 1], status="206 Partial Content", headers=told)

    def _create(self, asked: Asked) -> bytes:
        said = json.loads(asked.body)
        self._rule(said.keys() == {"recordKeeper", "extraData"}, "fields of a data set")
        self._rule(said["recordKeeper"] == RECORD_KEEPER and said["extraData"].startswith("0x"), "a signed data set")
        transaction = self._transaction({"kind": "create"})
        return answered(b"", status="201 Created", headers={"Location": f"/pdp/data-sets/created/{transaction}"})

    def _created(self, asked: Asked, transaction: str) -> bytes:
        sent = self._sent.get(transaction)
        if sent is None:
            return answered(b"", status="404 Not Found")
        base = {"createMessageHash": transaction, "service": "public"}
        match self._outcome(sent):
            case "pending":
                return answered_json({**base, "dataSetCreated": False, "txStatus": "pending", "ok": None})
            case "rejected":
                return answered_json({**base, "dataSetCreated": False, "txStatus": "rejected", "ok": False})
        number = sent.setdefault("number", 100 + len(self.data_sets))
        self.data_sets.setdefault(number, [])
        return answered_json({**base, "dataSetCreated": True, "txStatus": "confirmed", "ok": True, "dataSetId": number})

    def _add(self, asked: Asked, number: str) -> bytes:
        if int(number) not in self.data_sets:
            return answered(b"data set not found", status="404 Not Found")
        said = json.loads(asked.body)
        self._rule(said.keys() == {"pieces", "extraData"} and said["extraData"].startswith("0x"), "fields of pieces")
        cids = [piece["pieceCid"] for piece in said["pieces"]]
        self._rule(1 <= len(cids) <= 32, "how many pieces")
        for piece in said["pieces"]:
            self._rule(piece["subPieces"] == [{"subPieceCid": piece["pieceCid"]}], "sub-pieces")
        if not set(cids) <= self.pieces.keys():
            return answered(b"subPiece not found or does not belong to service", status="400 Bad Request")
        transaction = self._transaction({"kind": "add", "number": int(number), "cids": cids})
        location = f"/pdp/data-sets/{number}/pieces/added/{transaction}"
        return answered(b"", status="201 Created", headers={"Location": location})

    def _added(self, asked: Asked, number: str, transaction: str) -> bytes:
        sent = self._sent.get(transaction)
        if sent is None:
            return answered(b"", status="404 Not Found")
        base = {"txHash": transaction, "dataSetId": int(number), "pieceCount": len(sent["cids"])}
        outcome = self._outcome(sent)
        if outcome != "confirmed":
            return answered_json({**base, "txStatus": outcome, "addMessageOk": None, "piecesAdded": False})
        held = self.data_sets[int(number)]
        held.extend(cid for cid in sent["cids"] if cid not in held)
        ids = [held.index(cid) for cid in sent["cids"]]
        return answered_json(
            {**base, "txStatus": "confirmed", "addMessageOk": True, "piecesAdded": True, "confirmedPieceIds": ids}
        )

    def _remove(self, asked: Asked, number: str, piece: str) -> bytes:
        said = json.loads(asked.body)
        self._rule(said.keys() == {"extraData", "pieceIds"} and said["extraData"].startswith("0x"), "fields of removal")
        self._rule(said["pieceIds"] == [int(piece)], "the same piece for providers that read no list")
        held = self.data_sets.get(int(number))
        if held is None:
            return answered(b"Data set not found", status="404 Not Found")
        if int(piece) >= len(held) or held[int(piece)] == REMOVED:
            return answered(b"One or more piece not found", status="404 Not Found")
        transaction = self._transaction({"kind": "remove", "number": int(number)})
        self.removals.setdefault(int(number), set()).add(int(piece))
        return answered_json({"txHash": transaction})

    def prove(self) -> None:
        """Prove every data set, which is when removals take effect, and throw away what nobody pays for."""
        for number, pieces in {} if self.keeps_proving else self.removals.items():
            for piece in pieces:
                self.data_sets[number][piece] = REMOVED
        self.removals = self.removals if self.keeps_proving else {}
        kept = {cid for held in self.data_sets.values() for cid in held}
        self.pieces = {cid: data for cid, data in self.pieces.items() if self.keeps_sending or cid in kept}

    def _told(self, asked: Asked, number: str) -> bytes:
        if int(number) not in self.data_sets:
            return answered(b"data set not found", status="404 Not Found")
        held = self.data_sets[int(number)]
        pieces = [
            {"pieceId": at, "pieceCid": cid, "subPieceCid": cid, "subPieceOffset": 0}
            for at, cid in enumerate(held)
            if cid != REMOVED
        ]
        due = EPOCH - 500 if self.is_late else EPOCH + 500
        return answered_json({"id": int(number), "nextChallengeEpoch": due if held else None, "pieces": pieces})

    def _transaction(self, sent: dict[str, Any]) -> str:
        transaction = "0x" + f"{len(self._sent) + 1:064x}"
        self._sent[transaction] = {**sent, "asked": 0}
        return transaction

    def _outcome(self, sent: dict[str, Any]) -> str:
        sent["asked"] += 1
        if sent["asked"] == 1:
            return "pending"
        return "rejected" if self.rejects else "confirmed"

    def _rule(self, holds: bool, rule: str) -> None:
        if not holds:
            self.broken.append(rule)
