"""Running custodians and enclaves: real gRPC servers over TLS on the loopback, toy embeddings, a clock moved by hand.

    with deployed(tmp_path) as deployment:
        deployment.add_credit(1_000)
        with deployment.client() as client:
            answer = client.search("tide table", k=2)

Servers run on one event loop in a thread of its own; tests call the same synchronous clients as an application.
`deployment.enclave.step()` lets the enclave do what it waits to do next (renew, try again) and returns once it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from enclave.attestation.appraise import EvidenceAppraiser
from enclave.attestation.attester import Attester
from enclave.attestation.roots import ROOTS
from enclave.channel import EnclaveChannel
from enclave.client import EnclaveClient
from enclave.credential import Credential
from enclave.found import AsyncEngine
from enclave.instance import Instance
from enclave.keys import InstanceKeys
from enclave.metering import Journal as JournalProtocol
from enclave.metrics import Metrics
from enclave.patience import Patience
from enclave.server import enclave_server
from enclave.service import EnclaveService
from enclave.status import State
from tests.enclaves import Custodians, World, attester, credential, deposit, world
from tests.loops import WAIT_S, Loop, Naps
from tests.migrated import opened_records
from tests.toy import InProcessEngine
from vault.client import CustodyClient
from vault.custody_server import custody_server
from vault.earnings import EPOCH_S
from vault.lease import ledger_id
from vault.license import Deposit
from vault.records.journal import Journal
from vault.signing import SigningKey
from vault.tls import TlsIdentity

AT_ONCE = Patience(has_retries=False)  # what fails is to be seen
LOOPBACK = "127.0.0.1:0"
TRIES_MAX = 20
Result = TypeVar("Result")


class RunningCustodian:
    """One custodian's server."""

    def __init__(self, custodians: Custodians, index: int, loop: Loop) -> None:
        self._custodians, self._index, self._loop = custodians, index, loop
        self.address = ""
        self._server: grpc.aio.Server | None = None
        self.start(LOOPBACK)

    def start(self, listen: str | None = None) -> None:
        """Serve, at the same address as before if there was one."""
        custody = self._custodians.all[self._index]
        tls = TlsIdentity.fresh()  # as every start makes one
        self._server, port = self._loop.call(custody_server(custody, tls, listen or self.address))
        self.address = f"127.0.0.1:{port}"

    def stop(self) -> None:
        """Stop serving; what it remembers stays."""
        if self._server is not None:
            self._loop.call(self._server.stop(0))
            self._server = None


class RunningEnclave:
    """One enclave's server, and the instance behind it."""

    def __init__(
        self,
        world: World,
        loop: Loop,
        custodians: list[Any],
        journal: JournalProtocol,
        start_engine: Callable[[], AsyncEngine],
        machine: Attester | None = None,
        epoch_s: int = EPOCH_S,
        listen: str = LOOPBACK,
    ) -> None:
        self._loop = loop
        self._naps = Naps()
        self.keys = InstanceKeys.fresh()
        self.journal = journal
        self.engines: list[Any] = []

        def start() -> AsyncEngine:
            self.engines.append(start_engine())
            engine: AsyncEngine = self.engines[-1]
            return engine

        self.instance = Instance(
            self.keys,
            machine or attester(),
            custodians,
            journal,
            start,
            genesis=world.genesis,
            configuration=world.configuration,
            monotonic=world.clock.monotonic,
            clock=world.clock,
            epoch_s=epoch_s,
            sleep=self._naps,
        )
        self.metrics = Metrics()
        self.service = EnclaveService(self.instance, self.metrics)
        self.server, port = loop.call(enclave_server(self.service, self.keys.tls, listen))
        self.address = f"127.0.0.1:{port}"
        self.running: asyncio.Task[None] = loop.call(_started(self.instance.run(), self._naps.over))

    def silence(self) -> None:
        """Answer nobody; the instance goes on."""
        self._loop.call(self.server.stop(0))

    def answer(self) -> None:
        """Answer again, at the same address."""
        self.server, _ = self._loop.call(enclave_server(self.service, self.keys.tls, self.address))

    @property
    def engine(self) -> Any:
        """Return the engine started last."""
        return self.engines[-1]

    def settle(self, after: int = 0) -> State:
        """Wait until the instance serves, or has stopped and waits to try again; return which."""
        self._naps.wait(after, lambda: self.instance.status.state in _AT_REST)
        return self.instance.status.state

    def step(self) -> State:
        """Let the instance do what it waits for: renew, or try again. Return its state once it rests again."""
        return self.settle(self._naps.end())

    def failure(self) -> BaseException | None:
        """Wait for the instance to rest or give up; return why it gave up, if it did."""
        self.settle()
        return self.running.exception() if self.running.done() else None

    def on_loop(self, call: Callable[[], Result]) -> Result:
        """Run a call on the servers' loop."""

        async def work() -> Result:
            return call()

        return self._loop.call(work())

    def close(self) -> None:
        """Stop as the command line does: end the engine, hand the leases back."""
        self.kill()
        self._loop.call(self.instance.close())

    def kill(self) -> None:
        """Stop as a crash does: nothing is handed back."""
        self._loop.loop.call_soon_threadsafe(self.running.cancel)
        self._loop.call(_over(self.running))
        self._loop.call(self.server.stop(0))


_AT_REST = (State.SERVING, State.STOPPED)


async def _started(work: Coroutine[Any, Any, None], over: Callable[[object], None]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(over)
    return task


async def _over(task: asyncio.Task[Any]) -> None:
    await asyncio.wait({task})


class Deployment:
    """Custodians and one enclave, all running; more enclaves can be started beside it."""

    def __init__(self, world: World, folder: Path, custodians: Custodians, loop: Loop, closing: ExitStack) -> None:
        self.world = world
        self.folder = folder
        self.loop = loop
        self.custodies = custodians
        self.appraiser = EvidenceAppraiser(production=custodians.production, pinned=custodians.pinned)
        self.custodians = [RunningCustodian(custodians, index, loop) for index in range(len(custodians.all))]
        self._closing = closing
        for custodian in self.custodians:
            closing.callback(custodian.stop)
        self.records = closing.enter_context(opened_records(folder / "enclave.db"))
        self.enclave: RunningEnclave

    def services(self) -> list[CustodyClient]:
        """Return a client for every custodian."""
        return [self._closing.enter_context(CustodyClient.connect(custodian.address)) for custodian in self.custodians]

    def until(self, ready: Callable[[], bool]) -> None:
        """Let the servers' loop turn until `ready` holds."""

        async def work() -> None:
            async with asyncio.timeout(WAIT_S):
                while not ready():
                    await asyncio.sleep(0)

        self.loop.call(work())

    def until_serving(self) -> None:
        """Let the enclave try again until it serves."""
        for _ in range(TRIES_MAX):
            if self.enclave.step() is State.SERVING and self.enclave.engine.is_alive:
                return
        raise AssertionError(self.enclave.instance.status.reason)

    def credential(self, licensee: SigningKey | None = None, **terms: Any) -> Credential:
        """Return what a licensee asks with."""
        return credential(self.world, licensee, **terms)

    def journal(self) -> Journal:
        """Return the host's rows of this DAO's ledger."""
        return Journal(self.records, ledger_id(self.world.genesis))

    def start_enclave(
        self,
        *,
        custodians: list[Any] | None = None,
        journal: JournalProtocol | None = None,
        start_engine: Callable[[], AsyncEngine] | None = None,
        machine: Attester | None = None,
        epoch_s: int = EPOCH_S,
        listen: str = LOOPBACK,
    ) -> RunningEnclave:
        """Start an enclave; by default with every custodian, the shared journal and an engine in this process."""
        enclave = RunningEnclave(
            self.world,
            self.loop,
            self.services() if custodians is None else custodians,
            journal or self.journal(),
            start_engine or (lambda: InProcessEngine(self.world.blobs)),
            machine,
            epoch_s,
            listen,
        )
        self._closing.callback(enclave.close)
        return enclave

    def client(self, asking: Credential | None = None, *, address: str | None = None, **options: Any) -> EnclaveClient:
        """Return a connected client; by default the licensee's, at the first enclave."""
        usual: dict[str, Any] = {"allow_simulated": True, "clock": self.world.clock, "patience": AT_ONCE}
        return EnclaveClient.connect(
            address or self.enclave.address, asking or credential(self.world), self.appraiser, **(usual | options)
        )

    def add_credit(self, amount: int, licensee: SigningKey | None = None, **fields: Any) -> int:
        """Have the treasury credit the licensee; return the balance."""
        return self.hand_in(deposit(self.world, amount, licensee, **fields))

    def hand_in(self, paid: Deposit) -> int:
        """Hand the enclave a deposit; return the balance."""
        channel = EnclaveChannel(self.enclave.address)
        try:
            return channel.add_credit(paid)
        finally:
            channel.close()

    def balance(self, account: str) -> int:
        """Return what an account holds, from the enclave's own books."""
        return self.enclave.instance.meter().books.balance(account)

    def licensee_credit(self, licensee: SigningKey) -> int:
        """Return a licensee's credit."""
        return self.balance(f"licensee/0x{licensee.address.hex()}/USDC")


@contextmanager
def deployed(
    folder: Path,
    setting: World | None = None,
    *,
    is_started: bool = True,
    production: bool = False,
    pinned: Mapping[str, bytes] = ROOTS,
    **enclave: Any,
) -> Iterator[Deployment]:
    """Run custodians and an enclave until the block ends; `enclave` goes to `start_enclave`.

    Custodians and clients are in production or not, and trust the `pinned` roots.
    """
    setting = setting or world()
    with ExitStack() as closing:
        loop = Loop()
        closing.callback(loop.close)
        custodians = closing.enter_context(Custodians(setting, folder, production=production, pinned=pinned))
        deployment = Deployment(setting, folder, custodians, loop, closing)
        if is_started:
            deployment.enclave = deployment.start_enclave(**enclave)
            if deployment.enclave.settle() is not State.SERVING:
                raise deployment.enclave.failure() or AssertionError(deployment.enclave.instance.status.reason)
        yield deployment
