"""What keeps keys and plaintext of this process out of files: no core dumps, no ptrace by the same user, no swap.

The whole of a process is locked into memory only where there is no limit to run into: under a limit, locking what is
mapped later would have a large allocation fail somewhere inside the model. There, only keys are locked
(`vault.locked`). None of this stops root or who owns the machine; the TEE does.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_CAP_IPC_LOCK = 14  # capabilities(7): the limit does not count
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # mlockall(2): on fault, or reserved addresses would be filled


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLock:
    """How much memory a process like this one may lock, and how much of it this one has."""

    limit_bytes: int | None  # None: no limit
    locked_bytes: int

    @property
    def is_unlimited(self) -> bool:
        """Say whether a whole process may be locked."""
        return self.limit_bytes is None

    def __str__(self) -> str:
        if self.limit_bytes is None:
            return "whole processes, without limit"
        return f"keys only: at most {self.limit_bytes >> 10} KiB a process" if self.limit_bytes else "nothing"


def harden() -> None:
    """Forbid core dumps, make the process non-dumpable, and lock its memory where that cannot fail later."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    if memory_lock().is_unlimited:
        _lock_all()


def memory_lock() -> MemoryLock:
    """Return what may be locked and what is; nothing on a system that is not Linux."""
    if not sys.platform.startswith("linux"):
        return MemoryLock(limit_bytes=0, locked_bytes=0)
    lines = Path("/proc/self/status").read_bytes().decode(errors="replace").splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    is_free = limit == resource.RLIM_INFINITY or int(status.get("CapEff", "0"), 16) >> _CAP_IPC_LOCK & 1
    return MemoryLock(
        limit_bytes=None if is_free else limit, locked_bytes=int(status.get("VmLck", "0").split()[0]) << 10
    )


def is_dumpable() -> bool:
    """Say whether this process could be dumped or traced by another one of its user."""
    return _prctl(_PR_GET_DUMPABLE, 0) != 0


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _lock_all() -> None:
    with contextlib.suppress(OSError, AttributeError):
        mlockall = ctypes.CDLL(None, use_errno=True).mlockall
        mlockall.argtypes, mlockall.restype = [ctypes.c_int], ctypes.c_int
        mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)  # a kernel before 4.4 refuses; keys are locked anyway


def _prctl(option: int, value: int) -> int:
    if not sys.platform.startswith("linux"):
        return -1
    with contextlib.suppress(OSError):
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        prctl.restype = ctypes.c_int
        return int(prctl(option, value, 0, 0, 0))
    return -1
