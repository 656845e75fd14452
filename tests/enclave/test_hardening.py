"""What a process that holds keys leaves behind: no core dump, nothing to attach to, no key in swap."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from enclave.hardening import MemoryLock, memory_lock
from storage.cid import DAG_CBOR, Cid

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl and /proc are Linux's")
START_S_MAX = 60
NOBODY = 65534
WORST = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)\n"
HARDEN = "from enclave.hardening import harden; harden()\n"
SHOW = "import json; from tests.hardened import facts; print(json.dumps(facts()))\n"


def run(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, **options)  # noqa: S603


def shown(program: str) -> dict[str, Any]:
    return dict(json.loads(run(program, check=True).stdout))


def test_hardening_forbids_dumps_and_tracing() -> None:
    before, after = shown(SHOW), shown(HARDEN + SHOW)
    assert before["is_dumpable"]
    assert (after["is_dumpable"], after["core_bytes"]) == (False, [0, 0])


def test_a_killed_process_leaves_no_core(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        pytest.skip("this system allows no core dump at all")
    die = "import os; os.abort()"

    def killed(program: str) -> bool:
        with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=_env(), stderr=-3) as process:  # noqa: S603
            _, status = os.waitpid(process.pid, 0)
            process.returncode = 0  # it was waited for here, for the bit that Popen drops
        assert os.WTERMSIG(status) == signal.SIGABRT
        return os.WCOREDUMP(status)

    if not killed(WORST + die):
        pytest.skip("this system writes no core dump")
    assert not killed(WORST + HARDEN + die)
    assert not killed(HARDEN + die)


def test_the_whole_process_is_locked_where_nothing_limits_it() -> None:
    if not memory_lock().is_unlimited:
        pytest.skip("this process may not lock without limit")
    assert shown(SHOW)["locked_bytes"] == 0
    assert shown(HARDEN + SHOW)["locked_bytes"] > 1 << 20
    grow = "kept = bytearray(64 << 20)\n"  # mapped afterwards, and not filled at once
    assert shown(HARDEN + grow + SHOW)["locked_bytes"] > 64 << 20


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody with less rights")
def test_under_a_limit_only_keys_are_locked_and_large_memory_is_still_given() -> None:
    program = (
        "import os, resource\n"
        "from enclave.hardening import harden\n"
        "from tests.hardened import facts\n"
        "from vault.keys import SecretKey\n"
        "import json\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        f"os.setuid({NOBODY})\n"
        "harden()\n"
        "keys, kept = [SecretKey(bytes(32)) for _ in range(100)], bytearray(64 << 20)\n"
        "print(json.dumps(facts()))\n"
    )
    said = shown(program)
    assert 0 < said["locked_bytes"] <= 65536
    assert (said["is_dumpable"], said["memory_lock"]) == (False, "keys only: at most 64 KiB a process")


def test_keys_work_where_nothing_may_be_locked() -> None:
    program = (
        "import ctypes, os, resource\n"
        "from vault.keys import SecretKey\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))\n"
        f"os.geteuid() or os.setuid({NOBODY})\n"
        "assert SecretKey(b'k' * 32).reveal() == b'k' * 32\n"
    )
    run(program, check=True)


def test_what_doctor_says_of_it() -> None:
    assert str(MemoryLock(limit_bytes=None, locked_bytes=0)) == "whole processes, without limit"
    assert str(MemoryLock(limit_bytes=8 << 20, locked_bytes=0)) == "keys only: at most 8192 KiB a process"
    assert str(MemoryLock(limit_bytes=0, locked_bytes=0)) == "nothing"


def test_the_engines_process_is_hardened() -> None:
    program = (
        "import asyncio, json\n"
        "from enclave.worker import WorkerEngine\n"
        "from tests.hardened import Confessing, facts\n"
        "async def ask():\n"
        "    engine = WorkerEngine(Confessing)\n"
        "    (said,) = await engine.search([])\n"
        "    engine.end()\n"
        "    return json.loads(said.vector)\n"
        "print(json.dumps({'engine': asyncio.run(ask()), 'parent': facts()}))\n"
    )
    said = shown(program)
    assert (said["engine"]["is_dumpable"], said["engine"]["core_bytes"]) == (False, [0, 0])
    assert said["parent"]["is_dumpable"]  # so the engine did it itself
    if memory_lock().is_unlimited:
        assert said["engine"]["locked_bytes"] > 1 << 20


class TestServices:
    """The real commands, looked at from within once they listen."""

    def test_a_custodian_and_an_enclaves_front_process_are_hardened(self, tmp_path: Path) -> None:
        with serving(tmp_path / "custodian", "custodian", "serve") as (custodian, said):
            assert (said["is_dumpable"], said["core_bytes"]) == (False, [0, 0])
            anywhere = str(Cid.of(DAG_CBOR, b"a DAO that the custodian does not know"))
            with serving(tmp_path / "enclave", "enclave", "serve", anywhere, "--custodian", custodian) as (_, said):
                assert (said["is_dumpable"], said["core_bytes"]) == (False, [0, 0])
                assert said["locked_bytes"] > 0


LOOK = f"""
import sys, threading
def look():
    sys.stdin.readline()
    {SHOW.strip()}
    sys.stdout.flush()
threading.Thread(target=look, daemon=True).start()
from cli.entry import main
main()
"""


@contextmanager
def serving(home: Path, *args: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run a service; yield where it listens and what it says of itself then."""
    home.mkdir()
    command = [sys.executable, "-c", LOOK, *args, "--listen", "127.0.0.1:0", "--json"]
    env = _env() | {"COFFER_HOME": str(home), "COFFER_PASSWORD": "a password for tests"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=-3, text=True) as process:  # noqa: S603
        try:
            assert process.stdin is not None and process.stdout is not None
            assert select.select([process.stdout], [], [], START_S_MAX)[0], "the service did not start in time"
            listening = json.loads(process.stdout.readline())["listening"]
            process.stdin.write("\n")
            process.stdin.flush()
            assert select.select([process.stdout], [], [], START_S_MAX)[0], "the service said nothing of itself"
            yield listening, json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(START_S_MAX)


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
