"""What runs in the engine's process: its parent's calls, and between them lending to an engine that opens beside it.

The child is told what to build by a function that it imports by name.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import struct
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from typing import TYPE_CHECKING, Any

from enclave.crossing import crossed_asks, crossing
from enclave.found import Dataset, Engine
from enclave.hardening import die_with_parent, harden
from enclave.messages import Messages
from storage.cid import Cid
from storage.errors import StorageError
from vault.errors import ServiceUnavailable, VaultError
from vault.keys import SecretKey
from vault.manifest import Manifest

if TYPE_CHECKING:
    from enclave.lending import Lender

EngineFactory = Callable[[], Engine]
LENDING_S_MAX = 2  # for a borrower to ask, and to take what it asked for
Plain = tuple[bytes, bytes, bytes | None, Cid | None]


def serve(link: Messages, factory: EngineFactory) -> None:
    """Answer the far end of `link` with the engine that `factory` makes, until it is closed."""
    harden()
    die_with_parent()
    have_threads_sleep()
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")  # its semaphore would outlive a killed child
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the parent's to handle
    engine = factory()
    gc.freeze()  # what the imports made stays: collecting over it would stop a query now and then
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        _Child(engine, link).serve()


def have_threads_sleep() -> None:
    """Have idle OpenMP threads sleep, for torch that is still to be loaded: it reads this once.

    They would spin on the cores that the front process and its clients need.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class _Child:
    """What runs in the child: the parent's calls, and between them the lending to an engine that opens beside it."""

    def __init__(self, engine: Engine, link: Messages) -> None:
        self._engine = engine
        self._link = link
        self._lending: tuple[Connection, Lender] | None = None

    def serve(self) -> None:
        """Answer until the parent goes."""
        while True:
            self._lend_meanwhile()
            number, method, arguments, is_handed = self._link.receive()
            handed = Connection(recv_handle(self._link)) if is_handed else None
            try:
                self._link.send((number, "done", self._do(number, method, arguments, handed)))
            except (VaultError, StorageError) as error:
                self._link.send((number, "error", type(error)(str(error))))
            except Exception as error:  # noqa: BLE001  # its message could hold plaintext; its type cannot
                refusal = ServiceUnavailable(f"the engine failed with {type(error).__name__}")
                self._link.send((number, "error", refusal))

    def _do(self, number: int, method: str, arguments: tuple[Any, ...], handed: Connection | None) -> Any:
        match method:
            case "open":
                return self._open(number, arguments[0], handed)
            case "indexes":
                return self._engine.indexes()
            case "lend" if handed is not None:
                self._end_lending()
                _bound_waits(handed)
                self._lending = handed, self._engine.lender()
            case _:
                return crossing(self._engine.search(crossed_asks(*arguments)))
        return None

    def _open(self, number: int, crossed: list[Plain], lender: Connection | None) -> dict[Cid, Cid]:
        datasets, progress = [dataset_from(*one) for one in crossed], partial(self._progress, number)
        if lender is None:
            return self._engine.open(datasets, progress)
        from enclave.lending import Borrower

        with lender:
            return self._engine.open(datasets, progress, Borrower(lender))

    def _progress(self, number: int, done: int, total: int) -> None:
        self._link.send((number, "progress", (done, total)))

    def _lend_meanwhile(self) -> None:
        """Lend, as long as there is somebody to lend to and the parent asks for nothing."""
        while self._lending is not None:
            borrower, lender = self._lending
            if self._link.fileno() in wait([self._link.fileno(), borrower]):
                return
            try:
                borrower.send(lender.lent(borrower.recv()))
            except (EOFError, OSError):
                self._end_lending()

    def _end_lending(self) -> None:
        if self._lending is not None:
            self._lending[0].close()
            self._lending = None


def _bound_waits(link: Connection) -> None:
    """Have reads and writes fail where the far end hangs: questions wait behind them."""
    with socket.socket(fileno=os.dup(link.fileno())) as same:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", LENDING_S_MAX, 0))


def plain(dataset: Dataset) -> Plain:
    """Return what crosses to the child: keys never pickle by themselves."""
    state_key = dataset.state_key.reveal() if dataset.state_key is not None else None
    return dataset.manifest.encoded(), dataset.key.reveal(), state_key, dataset.snapshot


def dataset_from(manifest: bytes, key: bytes, state_key: bytes | None, snapshot: Cid | None) -> Dataset:
    """Return what `plain` took apart."""
    return Dataset(
        manifest=Manifest.from_bytes(manifest),
        key=SecretKey(key),
        state_key=SecretKey(state_key) if state_key is not None else None,
        snapshot=snapshot,
    )
