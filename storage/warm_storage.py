"""Filecoin's Warm Storage contract: what it charges, and what an owner signs for it. Not run against mainnet.

A data set is paid from the owner's account at the payments contract for as long as it lives, so what a month costs is
asked of the contract itself before anything is signed. Two numbers, the data set's and each addition's, are the
owner's own and taken once only: the contract refuses them a second time, so that nothing is paid twice.

Sources: FilOzone filecoin-services (`FilecoinWarmStorageService.sol`, SPEC.md), synapse-core's typed data; EIP-712.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from storage.errors import StorageUnavailable
from storage.http_place import HttpPlace
from storage.piece_cid import PieceCid
from storage.refusal import refused

MAINNET: Final = 314
CALIBRATION: Final = 314_159
EPOCH_S: Final = 30
GENESIS: Final = {MAINNET: 1_598_306_400, CALIBRATION: 1_667_326_380}  # UTC seconds of epoch 0
TIB: Final = 2**40
WORD: Final = 32
ANSWER_BYTES_MAX: Final = 64 * 1024
NUMBER_BYTES: Final = 32
DATA_SETS_MAX: Final = 1000  # of one payer that are looked at, the latest first
ADDRESS_BYTES: Final = 20

_GET_SERVICE_PRICE = "5482bdf9"  # the first four bytes of Keccak-256 of `getServicePrice()`, and so on
_VIEW_CONTRACT_ADDRESS = "7a9ebc15"
_CLIENT_DATA_SETS = "7dab7c40"
_GET_DATA_SET = "bdaac056"
_PRICE_WORDS = 6
_TYPES: Final = {
    "MetadataEntry": [("key", "string"), ("value", "string")],
    "CreateDataSet": [("clientDataSetId", "uint256"), ("payee", "address"), ("metadata", "MetadataEntry[]")],
    "Cid": [("data", "bytes")],
    "PieceMetadata": [("pieceIndex", "uint256"), ("metadata", "MetadataEntry[]")],
    "AddPieces": [
        ("clientDataSetId", "uint256"),
        ("nonce", "uint256"),
        ("pieceData", "Cid[]"),
        ("pieceMetadata", "PieceMetadata[]"),
    ],
    "SchedulePieceRemovals": [("clientDataSetId", "uint256"), ("pieceIds", "uint256[]")],
}
_USED: Final = {
    "CreateDataSet": ("CreateDataSet", "MetadataEntry"),
    "AddPieces": ("AddPieces", "Cid", "PieceMetadata", "MetadataEntry"),
    "SchedulePieceRemovals": ("SchedulePieceRemovals",),
}

SignDigest = Callable[[bytes], bytes]
"""Returns r ‖ s ‖ v, 65 bytes, over a digest of 32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What the contract charges, in the smallest unit of its token, which has 18 decimals and stands at one dollar."""

    tib_month: int
    month_least: int

    def month_of(self, raw_bytes: int) -> int:
        """Return what a month of so many bytes in one data set costs, in micro-dollars, rounded up."""
        units = max(-(-raw_bytes * self.tib_month // TIB), self.month_least)
        return -(-units // 10**12)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStorage:
    """One deployment of the contract.

    Attributes:
        contract: its address, 20 bytes; it is also the data sets' record keeper.
    """

    chain_id: int
    contract: bytes

    @property
    def record_keeper(self) -> str:
        """The contract's address in hex."""
        return "0x" + self.contract.hex()

    def epoch(self, at: int) -> int:
        """Return the chain's epoch at a time in UTC seconds; 0 for a chain whose beginning is not known here."""
        return max(0, at - GENESIS[self.chain_id]) // EPOCH_S if self.chain_id in GENESIS else 0

    def creation(
        self,
        sign: SignDigest,
        *,
        payer: bytes,
        payee: bytes,
        client_data_set: int,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        """Return the extra data by which `payer` agrees to pay `payee` for a new data set.

        Args:
            metadata: public notes that the contract keeps.
        """
        entries = [{"key": key, "value": value} for key, value in metadata.items()]
        message = {"clientDataSetId": client_data_set, "payee": _hex(payee), "metadata": entries}
        signature = sign(self._digest("CreateDataSet", message))
        return _abi(
            ("address", "uint256", "string[]", "string[]", "bytes"),
            (_hex(payer), client_data_set, list(metadata), list(metadata.values()), signature),
        )

    def addition(self, sign: SignDigest, pieces: Sequence[PieceCid], *, client_data_set: int, nonce: int) -> bytes:
        """Return the extra data by which the payer agrees to these pieces, in this order."""
        message = {
            "clientDataSetId": client_data_set,
            "nonce": nonce,
            "pieceData": [{"data": piece.binary} for piece in pieces],
            "pieceMetadata": [{"pieceIndex": index, "metadata": []} for index in range(len(pieces))],
        }
        signature = sign(self._digest("AddPieces", message))
        none: list[list[str]] = [[] for _ in pieces]
        return _abi(("uint256", "string[][]", "string[][]", "bytes"), (nonce, none, none, signature))

    def removal(self, sign: SignDigest, piece_ids: Sequence[int], *, client_data_set: int) -> bytes:
        """Return the extra data by which the payer has pieces removed; again is the same, so it needs no nonce."""
        message = {"clientDataSetId": client_data_set, "pieceIds": list(piece_ids)}
        return _abi(("bytes",), (sign(self._digest("SchedulePieceRemovals", message)),))

    def _digest(self, struct: str, message: dict[str, Any]) -> bytes:
        from eth_account.messages import encode_typed_data
        from eth_utils.crypto import keccak

        domain = {
            "name": "FilecoinWarmStorageService",
            "version": "1",
            "chainId": self.chain_id,
            "verifyingContract": self.record_keeper,
        }
        full = {
            "types": {
                "EIP712Domain": [
                    {"name": name, "type": kind}
                    for name, kind in (
                        ("name", "string"),
                        ("version", "string"),
                        ("chainId", "uint256"),
                        ("verifyingContract", "address"),
                    )
                ],
                **{name: [{"name": key, "type": kind} for key, kind in _TYPES[name]] for name in _USED[struct]},
            },
            "primaryType": struct,
            "domain": domain,
            "message": message,
        }
        encoded = encode_typed_data(full_message=full)
        return bytes(keccak(b"\x19" + encoded.version + encoded.header + encoded.body))


def fresh_number() -> int:
    """Return a number that nobody took before."""
    return int.from_bytes(secrets.token_bytes(NUMBER_BYTES), "big")


def prices_of(chain: HttpPlace, warm: WarmStorage) -> Prices:
    """Ask the contract through a node's JSON-RPC (`eth_call`, `getServicePrice()`).

    Raises: StorageUnavailable: no answer, or none that makes sense; the refusals of `storage.refusal`.
    """
    words = _called(chain, warm.record_keeper, _GET_SERVICE_PRICE)
    if len(words) < _PRICE_WORDS:
        raise StorageUnavailable(f"{chain.name} gave no prices; is {warm.record_keeper} the Warm Storage contract?")
    return Prices(tib_month=words[0], month_least=words[5])


def data_set_of(chain: HttpPlace, warm: WarmStorage, *, payer: bytes, client_data_set: int) -> int | None:
    """Return the data set that `payer` had made under a number of their own; None where the chain has none yet.

    The number is 256 random bits, so wherever it stands among a data set's facts, that data set is the one.
    Raises: as `prices_of`.
    """
    view = _called(chain, warm.record_keeper, _VIEW_CONTRACT_ADDRESS)
    if not view:
        raise StorageUnavailable(f"{chain.name} names no contract to look data sets up in")
    reader = "0x" + view[0].to_bytes(WORD, "big")[-ADDRESS_BYTES:].hex()
    listed = _called(chain, reader, _CLIENT_DATA_SETS, int.from_bytes(payer, "big"))[2:]  # offset, count, numbers
    for number in listed[-DATA_SETS_MAX:][::-1]:
        if client_data_set in _called(chain, reader, _GET_DATA_SET, number):
            return number
    return None


def _called(chain: HttpPlace, contract: str, selector: str, *arguments: int) -> list[int]:
    words = b"".join(argument.to_bytes(WORD, "big") for argument in arguments)
    call = {"to": contract, "data": "0x" + selector + words.hex()}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    with chain.ask("POST", "", headers=headers, body=json.dumps(asked).encode()) as answer:
        if answer.status != 200:
            raise refused(answer, name=chain.name)
        body = answer.body(bytes_max=ANSWER_BYTES_MAX)
    try:
        said = json.loads(body)
        result = bytes.fromhex(said["result"].removeprefix("0x"))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise StorageUnavailable(f"{chain.name} gave no result; is it a Filecoin node's JSON-RPC?") from error
    return [int.from_bytes(result[at : at + WORD], "big") for at in range(0, len(result) - WORD + 1, WORD)]


def _abi(kinds: Sequence[str], values: Sequence[object]) -> bytes:
    from eth_abi.abi import encode

    return bytes(encode(kinds, values))


def _hex(address: bytes) -> str:
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes")
    return "0x" + address.hex()
