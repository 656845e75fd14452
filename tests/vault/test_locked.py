"""Memory for keys: where it is, what the kernel promises about it, and what is left of a key afterwards."""

from __future__ import annotations

import copy
import gc
import mmap
import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import seeded
from vault.keys import SecretKey
from vault.locked import LockedSecret

SECRET = seeded("a key in locked memory")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def address_of(view: memoryview) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def flags_at(address: int) -> set[str]:
    """Return the kernel's flags of the mapping that holds an address (proc_pid_smaps(5))."""
    is_inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            is_inside = int(found[1], 16) <= address < int(found[2], 16)
        elif is_inside and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    raise AssertionError("no such mapping")


@linux
def test_a_key_lies_in_memory_that_is_neither_dumped_nor_inherited_nor_swapped() -> None:
    flags = flags_at(address_of(LockedSecret(SECRET).view()))
    assert {"dd", "wf"} <= flags  # not dumped, wiped on fork
    locked = int(re.search(r"VmLck:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
    assert ("lo" in flags) == (locked > 0)


@linux
def test_locked_memory_grows_by_pages_and_is_used_again() -> None:
    def locked_kib() -> int:
        return int(re.search(r"VmLck:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]

    page_kib = mmap.PAGESIZE >> 10
    many = [LockedSecret(SECRET) for _ in range(1000)]
    if not locked_kib():
        pytest.skip("this process may lock nothing")
    most = locked_kib()
    assert most >= 1000 * 64 // 1024
    addresses = {address_of(secret.view()) for secret in many}
    assert len(addresses) == 1000
    del many
    again = [LockedSecret(SECRET) for _ in range(1000)]
    assert locked_kib() <= most + page_kib
    assert addresses & {address_of(secret.view()) for secret in again}


def test_what_nobody_refers_to_any_more_is_wiped() -> None:
    secret = LockedSecret(SECRET)
    left = secret.view()
    assert bytes(left) == SECRET
    del secret
    gc.collect()
    assert bytes(left) == bytes(32)


def test_a_wiped_key_is_no_key() -> None:
    key = SecretKey(SECRET)
    key.wipe()
    uses: list[Any] = [key.reveal, lambda: key.derive("purpose"), lambda: key == SecretKey(bytes(32))]
    for use in uses:
        with pytest.raises(ValueError, match="wiped"):
            use()
    key.wipe()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@linux
def test_a_forked_child_gets_no_key_and_can_make_its_own() -> None:
    key = SecretKey(SECRET)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = SecretKey(SECRET)
            try:
                key.reveal()
            except ValueError:
                status = 0 if own.reveal() == SECRET and "lo" in flags_at(address_of(own._secret.view())) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert key.reveal() == SECRET


def test_it_neither_prints_nor_travels() -> None:
    secret = LockedSecret(SECRET)
    for shown in (repr(secret), str(secret), f"{[secret]}"):
        assert "LockedSecret(…)" in shown and SECRET.hex() not in shown
    leaves: list[Any] = [pickle.dumps, copy.copy, copy.deepcopy]
    for leave in leaves:
        with pytest.raises(TypeError):
            leave(secret)
    with pytest.raises(TypeError):
        format(SecretKey(SECRET), ">40")
    with pytest.raises(TypeError):
        bytes(SecretKey(SECRET))  # type: ignore[call-overload]


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=200))
def test_keys_beside_one_another_stay_apart(secrets: list[bytes]) -> None:
    kept = [LockedSecret(secret) for secret in secrets]
    for gone in kept[::2]:
        gone.wipe()
    assert [bytes(secret.view()) for secret in kept[1::2]] == secrets[1::2]
