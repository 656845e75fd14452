"""A provider with the Warm Storage contract and the chain behind it, on loopback.

It holds what owners sign to what the contract checks: who signed, that each number is used once, and that the pieces
are the signed ones. It recovers signatures with `eth_account`'s own decoding, on its own typed data.

Sources: FilOzone filecoin-services, `FilecoinWarmStorageService.sol` and `SignatureVerificationLib.sol`.
"""

import json
from collections.abc import Iterable
from typing import Any

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from storage.piece_cid import PieceCid
from tests.storage.pdp_node import PdpNode
from tests.storage.web_node import Asked, answered, answered_json

CHAIN_ID = 314_159
CONTRACT = "0x" + "ab" * 20  # `RECORD_KEEPER` of the provider
PAYEE = "0x" + "cd" * 20
TIB_MONTH = 25 * 10**17  # 2.5 dollars
MONTH_LEAST = 6 * 10**16

VIEW = "0x" + "ef" * 20
CONFIRMED_AFTER = 3  # requests
FUNCTIONS = ("getServicePrice()", "viewContractAddress()", "clientDataSets(address)", "getDataSet(uint256)")

_ENTRY = [{"name": "key", "type": "string"}, {"name": "value", "type": "string"}]
_CREATE = {
    "CreateDataSet": [
        {"name": "clientDataSetId", "type": "uint256"},
        {"name": "payee", "type": "address"},
        {"name": "metadata", "type": "MetadataEntry[]"},
    ],
    "MetadataEntry": _ENTRY,
}
_ADD = {
    "AddPieces": [
        {"name": "clientDataSetId", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "pieceData", "type": "Cid[]"},
        {"name": "pieceMetadata", "type": "PieceMetadata[]"},
    ],
    "Cid": [{"name": "data", "type": "bytes"}],
    "PieceMetadata": [{"name": "pieceIndex", "type": "uint256"}, {"name": "metadata", "type": "MetadataEntry[]"}],
    "MetadataEntry": _ENTRY,
}


_REMOVE = {
    "SchedulePieceRemovals": [{"name": "clientDataSetId", "type": "uint256"}, {"name": "pieceIds", "type": "uint256[]"}]
}


class WarmNode(PdpNode):
    """The provider, the contract and the chain.

    Attributes:
        payer: whose signatures count.
        prices: the six words of `getServicePrice()`.
        taken: numbers that were used, with what for.
    """

    def __init__(self, payer: str) -> None:
        super().__init__()
        self.payer = payer
        self.prices = (TIB_MONTH, 0, 0, 0xCAFE, 86_400, MONTH_LEAST)
        self.taken: set[tuple[str, int]] = set()
        self._client_data_sets: list[int] = []

    def _answer(self, asked: Asked) -> Iterable[bytes]:
        if (asked.method, asked.path) == ("POST", "/rpc"):
            return list(self.first(asked)) or [self._called(json.loads(asked.body))]
        self._move_on()
        return super()._answer(asked)

    def _move_on(self) -> None:
        """Let the chain confirm what was sent to it some requests ago, whether or not anybody asks about it."""
        for sent in () if self.rejects else self._sent.values():
            sent["age"] = sent.get("age", 0) + 1
            if sent["age"] == CONFIRMED_AFTER and sent["kind"] == "create":
                self.data_sets.setdefault(sent.setdefault("number", 100 + len(self.data_sets)), [])
            elif sent["age"] == CONFIRMED_AFTER and sent["kind"] == "add":
                held = self.data_sets[sent["number"]]
                held.extend(cid for cid in sent["cids"] if cid not in held)

    def _called(self, said: dict[str, Any]) -> bytes:
        call = said["params"][0]
        self._rule(said["method"] == "eth_call", "a call that changes nothing")
        words = self._read(call["to"], bytes.fromhex(call["data"][2:]))
        return answered_json({"jsonrpc": "2.0", "id": said["id"], "result": "0x" + words.hex()})

    def _read(self, contract: str, data: bytes) -> bytes:
        function = next((name for name in FUNCTIONS if keccak(name.encode())[:4] == data[:4]), "")
        self._rule(contract == (VIEW if function in FUNCTIONS[2:] else CONTRACT), "functions where they are")
        match function:
            case "getServicePrice()":
                return encode(["uint256"] * 6, self.prices)
            case "viewContractAddress()":
                return encode(["address"], [VIEW])
            case "clientDataSets(address)":
                is_payer = data[16:].hex() == self.payer[2:].lower()
                return encode(["uint256[]"], [sorted(self.data_sets) if is_payer else []])
            case "getDataSet(uint256)":
                (number,) = decode(["uint256"], data[4:])
                mine = self._client_data_sets[sorted(self.data_sets).index(number)]
                return encode(
                    ["uint256"] * 3 + ["address"] * 3 + ["uint256"] * 5,
                    [1, 0, 0, self.payer, PAYEE, PAYEE, 0, mine, 0, 1, number],
                )
        self._rule(False, "a function that there is")
        return b""

    def _create(self, asked: Asked) -> bytes:
        extra = bytes.fromhex(json.loads(asked.body)["extraData"].removeprefix("0x"))
        payer, number, keys, values, signature = decode(("address", "uint256", "string[]", "string[]", "bytes"), extra)
        message = {"clientDataSetId": number, "payee": PAYEE, "metadata": []}
        self._rule(not keys and not values, "no metadata")
        if not self._is_signed(_CREATE, message, signature) or payer.lower() != self.payer.lower():
            return answered(b"InvalidSignature", status="400 Bad Request")
        if ("create", number) in self.taken:
            return answered(b"ClientDataSetIdAlreadyUsed", status="400 Bad Request")
        self.taken.add(("create", number))
        self._client_data_sets.append(number)
        return super()._create(asked)

    def _add(self, asked: Asked, number: str) -> bytes:
        said = json.loads(asked.body)
        extra = bytes.fromhex(said["extraData"].removeprefix("0x"))
        nonce, keys, values, signature = decode(("uint256", "string[][]", "string[][]", "bytes"), extra)
        pieces = [PieceCid.parse(piece["pieceCid"]) for piece in said["pieces"]]
        self._rule(list(map(list, keys)) == list(map(list, values)) == [[] for _ in pieces], "no metadata")
        message = {
            "clientDataSetId": self._client_data_sets[-1],
            "nonce": nonce,
            "pieceData": [{"data": piece.binary} for piece in pieces],
            "pieceMetadata": [{"pieceIndex": at, "metadata": []} for at in range(len(pieces))],
        }
        if not self._is_signed(_ADD, message, signature):
            return answered(b"InvalidSignature", status="400 Bad Request")
        if ("add", nonce) in self.taken:
            return answered(b"NonceAlreadyUsed", status="400 Bad Request")
        self.taken.add(("add", nonce))
        return super()._add(asked, number)

    def _remove(self, asked: Asked, number: str, piece: str) -> bytes:
        said = json.loads(asked.body)
        (signature,) = decode(("bytes",), bytes.fromhex(said["extraData"].removeprefix("0x")))
        mine = self._client_data_sets[sorted(self.data_sets).index(int(number))]
        message = {"clientDataSetId": mine, "pieceIds": said["pieceIds"]}
        if not self._is_signed(_REMOVE, message, signature):
            return answered(b"InvalidSignature", status="400 Bad Request")
        return super()._remove(asked, number, piece)

    def _is_signed(self, types: dict[str, Any], message: dict[str, Any], signature: bytes) -> bool:
        domain = {
            "name": "FilecoinWarmStorageService",
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": CONTRACT,
        }
        signable = encode_typed_data(domain_data=domain, message_types=types, message_data=message)
        return bool(Account.recover_message(signable, signature=signature).lower() == self.payer.lower())
