"""Blocks on the wire: a bounded CARv1, each block checked against its CID."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from storage.car import read_car, write_car
from storage.cid import Cid
from storage.errors import StorageError
from vault.errors import MalformedObject

CAR_BYTES_MAX = 3 << 20
CAR_BLOCKS_MAX = 40_000


def car_of(blocks: Mapping[Cid, bytes]) -> bytes:
    """Return a CARv1 of the blocks; the first is its root."""
    stream = BytesIO()
    write_car(stream, list(blocks)[:1], blocks.items())
    return stream.getvalue()


def blocks_from_car(car: bytes) -> dict[Cid, bytes]:
    """Return the verified blocks of a bounded CARv1; an empty one holds none."""
    if not car:
        return {}
    if len(car) > CAR_BYTES_MAX:
        raise MalformedObject(f"a CAR of {len(car)} bytes is over the limit of {CAR_BYTES_MAX}")
    try:
        _, blocks = read_car(BytesIO(car), blocks_max=CAR_BLOCKS_MAX, bytes_max=CAR_BYTES_MAX)
        return dict(blocks)
    except StorageError as error:
        raise MalformedObject(f"the blocks handed over are no CAR: {error}") from error
