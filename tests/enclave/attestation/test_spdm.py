"""The form of GPU reports: what is exact, what is bounded, and where it ends."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.spdm import TRANSCRIPT_BYTES_MAX, fields_from, frame_from, transcript_from
from tests.enclave.attestation.nvidia_gpu import FWID, Gpu

MALFORMED: Mapping[str, Gpu] = {
    "request of another version": Gpu(request=bytes.fromhex("10e001ff")),
    "request of another message": Gpu(request=bytes.fromhex("11e101ff")),
    "request for no signature": Gpu(request=bytes.fromhex("11e000ff")),
    "request for one block": Gpu(request=bytes.fromhex("11e00101")),
    "slot out of range": Gpu(slot=8, response=bytes.fromhex("11600008")),
    "response from another slot": Gpu(slot=1),
    "response of another version": Gpu(response=bytes.fromhex("12600000")),
    "error response": Gpu(response=bytes.fromhex("117f0000")),
    "reserved byte of the response": Gpu(response=bytes.fromhex("11600100")),
    "one block fewer than said": Gpu(count=65),
    "one block more than said": Gpu(count=63),
    "no block": Gpu(blocks=()),
    "block twice": Gpu(blocks=((1, 1, bytes(48)), (1, 1, bytes(48)))),
    "blocks out of order": Gpu(blocks=((2, 1, bytes(48)), (1, 1, bytes(48)))),
    "block 0": Gpu(blocks=((0, 1, bytes(48)),)),
    "block 255": Gpu(blocks=((255, 1, bytes(48)),)),
    "block not of DMTF": Gpu(blocks=((1, 2, bytes(48)),)),
    "empty block": Gpu(blocks=((1, 1, b""),)),
    "field twice": Gpu(fields=(*Gpu().fields, (3, b"550.90.07\0"))),
    "too much opaque data": Gpu().with_field(99, bytes(1025)),
    "no driver version": Gpu().with_field(3, None),
    "empty driver version": Gpu().with_field(3, b"\0"),
    "driver version of other characters": Gpu().with_field(3, b"550\x1b[2J\0"),
    "driver version with a NUL inside": Gpu().with_field(3, b"550\x0090\0"),
    "driver version not in ASCII": Gpu().with_field(3, "550é".encode()),
    "driver version too long": Gpu().with_field(3, b"5" * 65),
    "no VBIOS version": Gpu().with_field(6, None),
    "VBIOS version cut short": Gpu().with_field(6, bytes(7)),
    "short FWID": Gpu().with_field(20, FWID[:32]),
    "empty FWID": Gpu().with_field(20, b""),
    "bytes after the signature": Gpu(tail=b"\1"),
    "two NULs after the signature": Gpu(tail=b"\0\0"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_report_out_of_form_is_refused_however_well_signed(name: str) -> None:
    with pytest.raises(EvidenceMalformed):
        MALFORMED[name].claims()


def test_sizes_that_disagree_are_refused() -> None:
    unsigned = bytearray(Gpu(blocks=((1, 1, bytes(48)),)).unsigned())
    for place in (45 + 2, 45 + 5):  # the block's size, the value's size
        changed = bytearray(unsigned)
        changed[place] -= 1
        with pytest.raises(EvidenceMalformed):
            transcript_from(Gpu().signed(bytes(changed)))


def test_a_frame_is_cut_by_its_lengths_alone() -> None:
    report = Gpu().report()
    signed = len(Gpu().unsigned())
    opaque_length = signed - sum(4 + len(value) for _, value in Gpu().fields) - 2
    lengths = {42, 43, 44, opaque_length, opaque_length + 1}
    for place in set(range(signed)) - lengths:
        changed = bytearray(report)
        changed[place] ^= 0xFF
        frame = frame_from(bytes(changed))
        assert (frame.signed, frame.signature) == (bytes(changed[:signed]), report[signed:])


def test_every_truncation_is_malformed() -> None:
    report = Gpu().report()
    for size in (*range(0, 120), *range(len(report) - 400, len(report))):
        with pytest.raises(EvidenceMalformed):
            transcript_from(report[:size])


def test_a_report_over_the_driver_s_buffer_is_refused_unread() -> None:
    with pytest.raises(EvidenceMalformed, match="over the limit"):
        transcript_from(bytes(TRANSCRIPT_BYTES_MAX + 1))


def test_opaque_data_fills_its_bound_and_no_more() -> None:
    room = 1024 - sum(4 + len(value) for _, value in Gpu().fields) - 4
    assert Gpu().with_field(99, bytes(room)).claims().driver_version == "550.90.07"
    with pytest.raises(EvidenceMalformed, match="1025 bytes of opaque data"):
        Gpu().with_field(99, bytes(room + 1)).claims()


def test_a_report_fills_the_driver_s_buffer() -> None:
    rest = TRANSCRIPT_BYTES_MAX - len(Gpu(blocks=((1, 1, b"x"),)).report()) + 1
    assert len(Gpu(blocks=((1, 1, bytes(rest)),)).report()) == TRANSCRIPT_BYTES_MAX
    assert Gpu(blocks=((1, 1, bytes(rest)),)).claims().blocks == {1: bytes(rest)}


def test_block_254_is_the_last_and_slot_7_too() -> None:
    gpu = Gpu(blocks=((1, 1, b"x"), (254, 1, b"y")), slot=7, response=bytes.fromhex("11600007"))
    assert gpu.claims().blocks == {1: b"x", 254: b"y"}


def test_text_of_64_characters_is_not_too_long() -> None:
    assert Gpu().with_field(3, b"5" * 64).claims().driver_version == "5" * 64


def test_the_fields_nvidia_adds_later_are_let_be() -> None:
    assert Gpu().with_field(250, b"new").claims().driver_version == "550.90.07"


@given(data=st.binary(max_size=200))
def test_arbitrary_opaque_data_is_taken_apart_or_refused(data: bytes) -> None:
    try:
        fields = fields_from(data)
    except EvidenceMalformed:
        return
    assert sum(4 + len(value) for value in fields.values()) == len(data)
