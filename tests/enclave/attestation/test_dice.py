"""The firmware id in a GPU's certificate: the one its report names, in either form."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.attestation.dice import fwid_of
from enclave.attestation.errors import BindingMismatch
from tests.enclave.attestation.nvidia_gpu import (
    BLACKWELL_OID,
    FWID,
    HOPPER_OID,
    Gpu,
    blackwell_extension,
    der,
    fwid_value,
    hopper_extension,
)
from tests.people import seeded


def test_a_report_without_fwid_is_of_an_old_driver() -> None:
    claims = Gpu().with_field(20, None).claims()
    assert claims.fwid is None
    assert claims.shown()["fwid"] is None


OTHER = seeded("other firmware", 48)


FWIDS: Mapping[str, tuple[tuple[str, bytes, bool], ...]] = {
    "of other firmware": (hopper_extension(OTHER),),
    "of other firmware, Blackwell's form": (blackwell_extension(OTHER),),
    "none": (),
    "two": (hopper_extension(FWID), blackwell_extension(FWID)),
    "of another length": (hopper_extension(FWID[:32]),),
    "not DER": ((HOPPER_OID, FWID, False),),
    "empty": ((HOPPER_OID, b"", False),),
    "a sequence of the wrong parts": ((HOPPER_OID, der(0x30, fwid_value(FWID)), False),),
    "in another form than its name": ((BLACKWELL_OID, hopper_extension(FWID)[1], False),),
    "in no list": ((BLACKWELL_OID, der(0x30, fwid_value(FWID)), False),),
    "in an empty list": ((BLACKWELL_OID, der(0x30, der(0xA6)), False),),
    "in the second place": ((BLACKWELL_OID, der(0x30, der(0xA6, fwid_value(OTHER), fwid_value(FWID))), False),),
    "with bytes after it": ((HOPPER_OID, hopper_extension(FWID)[1] + b"\0", False),),
}


@pytest.mark.parametrize("name", FWIDS)
def test_the_firmware_that_signs_is_the_one_certified(name: str) -> None:
    with pytest.raises(BindingMismatch, match="fwid"):
        Gpu(extensions=FWIDS[name]).claims()


@given(value=st.binary(max_size=200))
def test_any_extension_ends_in_a_binding_mismatch_or_its_fwid(value: bytes) -> None:
    subject = Gpu(extensions=((HOPPER_OID, value, False),)).subjects()[0]
    with pytest.raises(BindingMismatch):
        fwid_of(subject.certificate())
