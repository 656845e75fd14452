"""Asking a Nitro Secure Module, against a driver that reads and writes our memory as the kernel's does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.attesters.nitro_nsm import NitroNsm, available
from tests.enclave.attestation.aws import ENCLAVE, verified
from tests.enclave.attestation.nsm_driver import RESPONSE_BYTES_MAX, Driver, refuse
from tests.people import seeded

DATA = seeded("report data", 64)


def attesting(request: bytes) -> bytes:
    """The module: serde's externally tagged enum, as aws-nitro-enclaves-nsm-api reads and writes it."""
    match cbor2.loads(request):
        case {"Attestation": {"user_data": user_data, "nonce": nonce, "public_key": public_key, **more}} if not more:
            fields = {"user_data": user_data, "nonce": nonce, "public_key": public_key}
            return cbor2.dumps({"Attestation": {"document": ENCLAVE.with_(fields=fields).document()}})
    return cbor2.dumps({"Error": "InvalidOperation"})


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "nsm"
    path.touch()
    return path


def asked(device: Path, module: Callable[[bytes], bytes], **fields: bytes | None) -> bytes:
    given_fields: dict[str, Any] = {"user_data": DATA, "nonce": None, "public_key": None}
    return NitroNsm(device, Driver(device, module).ioctl).document(**(given_fields | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"user_data": DATA},
        {"user_data": bytes(512), "nonce": bytes(512), "public_key": bytes(1024)},
        {"user_data": b"", "nonce": b"", "public_key": b"key"},
        {"user_data": None},
    ],
)
def test_the_document_covers_what_was_given(device: Path, fields: dict[str, bytes | None]) -> None:
    facts = verified(asked(device, attesting, **fields)).facts()
    assert {name: facts[name] for name in fields} == fields


def test_the_device_is_closed_again(device: Path) -> None:
    driver = Driver(device, attesting)
    NitroNsm(device, driver.ioctl).document(user_data=DATA, nonce=None, public_key=None)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(driver.opened[0])


@pytest.mark.parametrize(("name", "most"), [("user_data", 512), ("nonce", 512), ("public_key", 1024)])
def test_what_the_module_would_not_take_is_misuse(device: Path, name: str, most: int) -> None:
    with pytest.raises(ValueError, match=name):
        asked(device, attesting, **{name: bytes(most + 1)})


@pytest.mark.parametrize("error", ["InputTooLarge", "InternalError", "InvalidOperation"])
def test_the_modules_refusal_is_told(device: Path, error: str) -> None:
    with pytest.raises(AttesterUnavailable, match=error):
        asked(device, lambda _: cbor2.dumps({"Error": error}))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(cbor2.dumps("Attestation"), id="a bare name"),
        pytest.param(cbor2.dumps({"GetRandom": {"random": b"1"}}), id="another answer"),
        pytest.param(cbor2.dumps({"Attestation": {"document": "text"}}), id="a document of text"),
        pytest.param(cbor2.dumps({"Attestation": {"document": b""}}), id="an empty document"),
        pytest.param(cbor2.dumps({"Attestation": {}}), id="no document"),
        pytest.param(cbor2.dumps({"Attestation": {"document": bytes(9)}})[:-1], id="a document cut short"),
        pytest.param(cbor2.dumps({"Error": 3}), id="an error without a name"),
        pytest.param(cbor2.dumps({"Attestation": {"document": bytes(0x3000)}}), id="longer than the buffer"),
    ],
)
def test_an_answer_of_another_shape_is_refused(device: Path, answer: bytes) -> None:
    with pytest.raises(AttesterUnavailable):
        asked(device, lambda _: answer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(answer=st.binary(max_size=300))
def test_arbitrary_answers_are_refused_and_nothing_else(device: Path, answer: bytes) -> None:
    with pytest.raises(AttesterUnavailable):
        asked(device, lambda _: answer)


@pytest.mark.parametrize("number", [errno.EMSGSIZE, errno.ETIMEDOUT, errno.EIO, errno.EFAULT])
def test_the_kernels_refusal_is_told(device: Path, number: int) -> None:
    with pytest.raises(AttesterUnavailable, match=os.strerror(number)):
        asked(device, lambda _: refuse(number))


def test_a_length_beyond_the_buffer_is_refused(device: Path) -> None:
    def lying(_: int, __: int, raw: bytearray, ___: bool) -> int:
        raw[24:32] = (RESPONSE_BYTES_MAX + 1).to_bytes(8, "little")
        return 0

    with pytest.raises(AttesterUnavailable, match="over"):
        NitroNsm(device, lying).document(user_data=DATA, nonce=None, public_key=None)


def test_a_machine_that_is_no_enclave_is_told_so(tmp_path: Path, device: Path) -> None:
    with pytest.raises(AttesterUnavailable, match="needs a Nitro enclave"):
        NitroNsm(tmp_path / "absent").document(user_data=DATA, nonce=None, public_key=None)
    with pytest.raises(AttesterUnavailable, match="needs a Nitro enclave"):
        NitroNsm(device).document(user_data=DATA, nonce=None, public_key=None)  # the real ioctl, on a plain file
    assert not available(tmp_path / "absent")
    assert not available(device)
    assert available(Path("/dev/null"))  # any device of characters
