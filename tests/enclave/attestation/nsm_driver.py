"""What the kernel does behind /dev/nsm, after drivers/misc/nsm.c."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

REQUEST_BYTES_MAX = 0x1000
RESPONSE_BYTES_MAX = 0x3000
IOWR = 3 << 30 | 32 << 16 | 0x0A << 8  # asm-generic/ioctl.h: direction, size, magic, number 0


class Driver:
    """drivers/misc/nsm.c: copies in, has the module answer, copies out what fits."""

    def __init__(self, device: Path, module: Callable[[bytes], bytes]) -> None:
        self._device = device
        self._module = module
        self.opened: list[int] = []

    def ioctl(self, descriptor: int, command: int, raw: bytearray, mutate: bool) -> int:
        assert os.path.samestat(os.fstat(descriptor), self._device.stat())
        assert mutate
        self.opened.append(descriptor)
        if command != IOWR or len(raw) != 32:
            refuse(errno.EINVAL)
        sent, sent_length, received, received_length = (
            int.from_bytes(raw[place : place + 8], "little") for place in range(0, 32, 8)
        )
        if sent_length > REQUEST_BYTES_MAX:
            refuse(errno.EMSGSIZE)
        answer = self._module(ctypes.string_at(sent, sent_length))[:RESPONSE_BYTES_MAX]
        fitting = min(len(answer), received_length)
        ctypes.memmove(received, answer, fitting)
        raw[24:32] = fitting.to_bytes(8, "little")
        return 0


def refuse(number: int) -> Any:
    raise OSError(number, os.strerror(number))
