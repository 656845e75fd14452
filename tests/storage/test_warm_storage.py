"""What an owner signs for Filecoin's Warm Storage contract, and what it charges.

Not run against mainnet. The signatures are those of the contract's own tests, as synapse-core's `typed-data.test.ts`
has them (made with a private key that its authors published).
"""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import RateLimited, StorageError, StorageUnavailable
from storage.http_place import HttpPlace
from storage.piece_cid import _binary_from
from storage.warm_storage import CALIBRATION, EPOCH_S, GENESIS, MAINNET, TIB, Prices, WarmStorage, prices_of
from tests.storage.warm_node import CONTRACT, MONTH_LEAST, TIB_MONTH, WarmNode
from tests.storage.web_node import Asked, WebNode, answered, answered_json
from vault.signing import SigningKey

KEY = SigningKey(bytes.fromhex("1234567890" * 6 + "1234"))
WARM = WarmStorage(chain_id=CALIBRATION, contract=bytes.fromhex("02925630df557F957f70E112bA06e50965417CA0"))
PIECES: Any = [
    SimpleNamespace(binary=_binary_from(text))  # too small for a provider, so that `PieceCid` refuses them
    for text in (
        "bafkzcibcauan42av3szurbbscwuu3zjssvfwbpsvbjf6y3tukvlgl2nf5rha6pa",
        "bafkzcibcpybwiktap34inmaex4wbs6cghlq5i2j2yd2bb2zndn5ep7ralzphkdy",
    )
]
SIGNED_DATA_SET = (
    "71b76dc59fda32a090b48744f047748725f1989d69c24b25713ff7c175f36525"
    "5d96f112712439fc01a2a9c6fb6cd5e0e78bd57888677cb5172f08acebfc34e21b"
)
SIGNED_PIECES = (
    "27e3a89a2b33f19c04986d9b3d705bd9312c1a0be123b1646aacc5bba46246e0"
    "7de6cad74cfb4755d97bbb1aeb64bd8adb2f0f1d85afdf7b51feae7f184dd6131b"
)
SIGNED_REMOVAL = (
    "16df3928604421914122d3ad071558e6e704b9d28bd38bdf93b02ca876049735"
    "1981d111edc0d7a470213e8cf235a72c2ae4dd8dc426a144b2b9fdd4a4035f091c"
)


def words(extra: bytes) -> list[str]:
    return [extra[at : at + 32].hex() for at in range(0, len(extra), 32)]


def test_a_data_set_is_signed_as_the_contract_checks_it() -> None:
    payee = bytes.fromhex("70997970C51812dc3A010C7d01b50e0d17dc79C8")
    extra = WARM.creation(
        KEY.sign, payer=KEY.address, payee=payee, client_data_set=12_345, metadata={"title": "TestDataSet"}
    )
    assert SIGNED_DATA_SET in extra.hex()
    assert words(extra)[:2] == [KEY.address.hex().rjust(64, "0"), f"{12_345:064x}"]


def test_pieces_are_signed_as_the_contract_checks_them() -> None:
    extra = WARM.addition(KEY.sign, PIECES, client_data_set=12_345, nonce=1)
    assert SIGNED_PIECES in extra.hex()
    assert words(extra)[:4] == [f"{1:064x}", f"{0x80:064x}", f"{0x120:064x}", f"{0x1C0:064x}"]


def test_a_removal_is_signed_as_the_contract_checks_it() -> None:
    extra = WARM.removal(KEY.sign, [1, 3, 5], client_data_set=12_345)
    assert words(extra)[:2] == [f"{0x20:064x}", f"{65:064x}"]
    assert extra[64:129].hex() == SIGNED_REMOVAL
    for numbers, client_data_set in (([1, 3], 12_345), ([1, 3, 6], 12_345), ([1, 3, 5], 12_346)):
        assert SIGNED_REMOVAL not in WARM.removal(KEY.sign, numbers, client_data_set=client_data_set).hex()


@pytest.mark.parametrize(
    "changed",
    [
        lambda: WARM.addition(KEY.sign, PIECES, client_data_set=12_346, nonce=1),
        lambda: WARM.addition(KEY.sign, PIECES, client_data_set=12_345, nonce=2),
        lambda: WARM.addition(KEY.sign, PIECES[::-1], client_data_set=12_345, nonce=1),
        lambda: WarmStorage(chain_id=MAINNET, contract=WARM.contract).addition(
            KEY.sign, PIECES, client_data_set=12_345, nonce=1
        ),
        lambda: WarmStorage(chain_id=CALIBRATION, contract=bytes(20)).addition(
            KEY.sign, PIECES, client_data_set=12_345, nonce=1
        ),
    ],
    ids=["data set", "nonce", "order", "chain", "contract"],
)
def test_one_changed_fact_is_another_signature(changed: Callable[[], bytes]) -> None:
    assert SIGNED_PIECES not in changed().hex()


@pytest.mark.parametrize(
    ("raw_bytes", "micro"),
    [(TIB, 2_500_000), (10 * TIB, 25_000_000), (1, 60_000), (0, 60_000), (TIB // 10, 250_000), (TIB + 1, 2_500_001)],
)
def test_a_month_costs_what_the_contract_says_and_never_less(raw_bytes: int, micro: int) -> None:
    assert Prices(tib_month=TIB_MONTH, month_least=MONTH_LEAST).month_of(raw_bytes) == micro


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_more_bytes_never_cost_less(one: int, other: int) -> None:
    prices = Prices(tib_month=TIB_MONTH, month_least=MONTH_LEAST)
    assert (prices.month_of(min(one, other))) <= prices.month_of(max(one, other))


def test_epochs_are_counted_from_the_chains_beginning() -> None:
    assert WARM.epoch(GENESIS[CALIBRATION] + 100 * EPOCH_S + 1) == 100
    assert WARM.epoch(0) == WarmStorage(chain_id=31_337, contract=bytes(20)).epoch(2_000_000_000) == 0


@pytest.mark.parametrize("length", [0, 19, 21])
def test_an_address_is_twenty_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        WARM.creation(KEY.sign, payer=bytes(length), payee=bytes(20), client_data_set=1)


def chain_at(url: str) -> HttpPlace:
    return HttpPlace(url, name="chain", timeout_s=5, allow_private=True)


WARM_ON_LOOPBACK = WarmStorage(chain_id=CALIBRATION, contract=bytes.fromhex(CONTRACT[2:]))


def test_prices_are_asked_of_the_contract() -> None:
    with WarmNode("0x" + KEY.address.hex()) as node:
        prices = prices_of(chain_at(node.web.url + "/rpc"), WARM_ON_LOOPBACK)
    assert (prices.tib_month, prices.month_least) == (TIB_MONTH, MONTH_LEAST)
    assert node.broken == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"7",
        b"{}",
        b'{"error": {"code": -32000, "message": "reverted"}}',
        b'{"result": null}',
        b'{"result": 5}',
        b'{"result": "0x"}',
        b'{"result": "0xzz"}',
        b'{"result": "0x' + b"00" * 32 * 5 + b'"}',
        b"[" * 30_000,
        b'{"result": "0x' + b"00" * 40_000 + b'"}',
    ],
    ids=range(13),
)
def test_what_is_no_price_is_none(body: bytes) -> None:
    def handler(asked: Asked) -> Iterable[bytes]:
        return [answered(body)]

    with WebNode(handler) as web, pytest.raises(StorageUnavailable):
        prices_of(chain_at(web.url), WARM_ON_LOOPBACK)


@pytest.mark.parametrize(
    ("status", "expected"), [("429 Too Many Requests", RateLimited), ("500 Internal Server Error", StorageUnavailable)]
)
def test_a_chain_that_refuses_is_our_own_error(status: str, expected: type[StorageError]) -> None:
    with WebNode(lambda _: [answered_json({}, status=status)]) as web, pytest.raises(expected):
        prices_of(chain_at(web.url), WARM_ON_LOOPBACK)
