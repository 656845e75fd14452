"""The Nitro Secure Module of an AWS Nitro enclave: CBOR messages through one ioctl of /dev/nsm.

Source: include/uapi/linux/nsm.h of the kernel; AWS, aws-nitro-enclaves-nsm-api, src/api.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cbor2

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.nitro_document import NONCE_BYTES_MAX, PUBLIC_KEY_BYTES_MAX, USER_DATA_BYTES_MAX

DEVICE: Final = Path("/dev/nsm")
NSM_IOCTL_RAW: Final = 0xC0200A00  # _IOWR(0x0A, 0, struct nsm_raw)
RESPONSE_BYTES_MAX: Final = 0x3000

Ioctl = Callable[[int, int, bytearray, bool], int]


class NitroNsm:
    """Asks the enclave's security module for attestation documents."""

    def __init__(self, device: Path = DEVICE, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._device = device
        self._ioctl = ioctl

    def document(self, *, user_data: bytes | None, nonce: bytes | None, public_key: bytes | None) -> bytes:
        """Return an attestation document over what is given, or raise `AttesterUnavailable`."""
        bounds = (
            ("user_data", user_data, USER_DATA_BYTES_MAX),
            ("nonce", nonce, NONCE_BYTES_MAX),
            ("public_key", public_key, PUBLIC_KEY_BYTES_MAX),
        )
        for name, value, most in bounds:
            if value is not None and len(value) > most:
                raise ValueError(f"{name} must be at most {most} bytes")
        response = self._answered({"Attestation": {name: value for name, value, _ in bounds}})
        match response:
            case {"Attestation": {"document": bytes() as document}} if document:
                return document
            case {"Error": str() as error}:
                raise AttesterUnavailable(f"{self._device}: the security module answers {error[:40]!r}")
        raise AttesterUnavailable(f"{self._device}: the security module's answer is not understood")

    def _answered(self, request: dict[str, Any]) -> Any:
        encoded = self._exchanged(cbor2.dumps(request))
        try:
            return cbor2.loads(encoded, max_depth=4, allow_duplicate_keys=False)
        except (cbor2.CBORError, RecursionError, ValueError, TypeError, OverflowError, MemoryError) as error:
            raise AttesterUnavailable(f"{self._device}: the security module's answer is not CBOR") from error

    def _exchanged(self, request: bytes) -> bytes:
        """Return the module's raw answer. struct nsm_raw: two pairs of address and length, 64 bits each."""
        sent = ctypes.create_string_buffer(request, len(request))
        received = ctypes.create_string_buffer(RESPONSE_BYTES_MAX)
        message = bytearray(
            b"".join(
                number.to_bytes(8, "little")
                for number in (ctypes.addressof(sent), len(request), ctypes.addressof(received), RESPONSE_BYTES_MAX)
            )
        )
        try:
            descriptor = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._ioctl(descriptor, NSM_IOCTL_RAW, message, True)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AttesterUnavailable(
                f"{self._device}: {os.strerror(error.errno or 0)}: needs a Nitro enclave with its nsm driver"
            ) from error
        length = int.from_bytes(message[24:32], "little")
        if length > RESPONSE_BYTES_MAX:
            raise AttesterUnavailable(f"{self._device}: an answer of {length} bytes is over {RESPONSE_BYTES_MAX}")
        return received.raw[:length]


def available(device: Path = DEVICE) -> bool:
    """Return whether this machine has a Nitro Secure Module."""
    return device.is_char_device()
