"""Memory for keys: out of swap and core dumps, zero in a forked child, and wiped when it is given back.

Keys share pages, since a process may lock few of them (RLIMIT_MEMLOCK). Where the system refuses to lock a page, or has
no such thing, keys still work: what protects them from a machine's operator is the TEE's encrypted memory.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from typing import Any, Final

SECRET_BYTES: Final = 32
_SLOT_BYTES: Final = 64  # the secret, and one byte that says it is there
_MADV_DONTDUMP: Final = 16  # madvise(2), Linux
_MADV_WIPEONFORK: Final = 18


class LockedSecret:
    """Thirty-two bytes in locked memory. It neither prints nor pickles."""

    __slots__ = ("_home", "_slot")

    def __init__(self, secret: bytes) -> None:
        self._home, self._slot = _taken()
        self._slot[:SECRET_BYTES] = secret
        self._slot[SECRET_BYTES] = 1

    def view(self) -> memoryview:
        """Return the bytes in place, for a call that keeps no reference to them.

        Raises: `ValueError` once they are wiped; a forked child finds them so.
        """
        if not self._slot[SECRET_BYTES]:
            raise ValueError("the key was wiped, or this is a forked child, which gets none")
        return self._slot[:SECRET_BYTES]

    def wipe(self) -> None:
        """Overwrite the bytes; from now on there is no secret here."""
        self._slot[:] = bytes(_SLOT_BYTES)

    def __del__(self) -> None:
        slot = getattr(self, "_slot", None)
        if slot is not None:
            slot[:] = bytes(len(slot))  # no name of this module: at exit they are gone
            self._home.append(slot)

    def __repr__(self) -> str:
        return "LockedSecret(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is never pickled")


_free: list[memoryview] = []  # list.pop and list.append are atomic: __del__ may run anywhere, so no lock is taken


def _taken() -> tuple[list[memoryview], memoryview]:
    home = _free
    while True:
        try:
            return home, home.pop()
        except IndexError:
            page = memoryview(_locked_page())
            home.extend(page[at : at + _SLOT_BYTES] for at in range(0, mmap.PAGESIZE, _SLOT_BYTES))


def _locked_page() -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, mmap.PAGESIZE)
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        for advice in (_MADV_DONTDUMP, _MADV_WIPEONFORK):
            with contextlib.suppress(OSError):  # an older kernel
                page.madvise(advice)
    _lock(page)
    return page


def _lock(page: mmap.mmap) -> None:
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        mlock = ctypes.CDLL(None).mlock
        mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]  # or an address would be cut to 32 bits
        mlock.restype = ctypes.c_int
        mlock(ctypes.addressof(ctypes.c_char.from_buffer(page)), mmap.PAGESIZE)  # best effort, as said above


def _start_anew() -> None:
    """Leave the parent's pages alone: in a child they are zero, and not locked."""
    global _free
    _free = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
