"""Records read field by field: what the general way takes is taken, to the same record, and nothing else (rule X1)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.test_record_encoding import WHOLES, Whole
from vault.codec import Record
from vault.errors import MalformedObject
from vault.receipt import Receipt
from vault.receipt_message import ReceiptInBurst
from vault.record_decoding import decoded

EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "drop", "insert", "copy"]), st.integers(0, 10_000), st.integers(0, 255)),
    max_size=4,
)


def edited(data: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    for kind, place, byte in edits:
        at = place % (len(data) + 1)
        match kind:
            case "flip" if at < len(data):
                data = data[:at] + bytes([data[at] ^ (byte or 1)]) + data[at + 1 :]
            case "drop":
                data = data[:at] + data[at + 1 :]
            case "insert":
                data = data[:at] + bytes([byte]) + data[at:]
            case "copy":
                data = data[:at] + data[max(0, at - byte) : at] + data[at:]
    return data


def outcome(read: Any) -> Record | type[MalformedObject]:
    try:
        record: Record = read()
    except MalformedObject:
        return MalformedObject
    return record


@given(WHOLES)
def test_what_was_written_is_read(whole: Whole) -> None:
    found = decoded(Whole, whole.encoded())
    assert found == whole and found.cid() == whole.cid()


@given(WHOLES, EDITS)
def test_damaged_bytes_are_taken_and_refused_as_the_general_way_does(whole: Whole, edits: list[Any]) -> None:
    data = edited(whole.encoded(), edits)
    assert outcome(lambda: decoded(Whole, data)) == outcome(lambda: Whole.from_bytes(data))


@pytest.mark.parametrize("kind", [Whole, Receipt, ReceiptInBurst])
@given(data=st.binary(max_size=300))
def test_so_are_bytes_of_any_kind(kind: type[Record], data: bytes) -> None:
    assert outcome(lambda: decoded(kind, data)) == outcome(lambda: kind.from_bytes(data))


def test_a_record_that_reads_itself_otherwise_is_not_read_field_by_field() -> None:
    class Other(Record):
        @classmethod
        def from_value(cls, value: Any) -> Any:
            return None

    with pytest.raises(TypeError, match="field by field"):
        decoded(Other, b"\xa0")
