"""Enclaves one after another in this process, over rows that their host holds, cuts and restores as it likes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from enclave.asked import Metered
from enclave.instance import Instance
from enclave.keys import InstanceKeys
from enclave.service import EnclaveService
from enclave.status import State
from tests.builders import seeded, wallet
from tests.enclaves import Custodians, LocalCustodian, World, attester, credential, deposit
from tests.loops import WAIT_S
from tests.toy import InProcessEngine
from vault.errors import ForkedHistory, ServiceUnavailable
from vault.hpke import seal, strongest
from vault.keys import SecretKey
from vault.lease import CLOCK_SKEW_S, ledger_id
from vault.machine import BLANK
from vault.question import Query
from vault.receipt import FIRST_PREVIOUS, receipt_digest
from vault.records.model import JournalRow
from vault.session import SessionOpening, request_mac, secret_context, session_mac_key
from vault.signing import SigningKey


class HostsRows:
    """A journal that its host may put back to what it was."""

    def __init__(self) -> None:
        self.held: list[JournalRow] = []

    def append(self, rows: Sequence[JournalRow]) -> None:
        if [row.sequence for row in rows] != list(range(len(self.held) + 1, len(self.held) + len(rows) + 1)):
            raise ForkedHistory("the journal's next row is another one")
        self.held.extend(rows)

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        return iter(self.held[after:])

    def last(self) -> JournalRow | None:
        return self.held[-1] if self.held else None


class Reachable(LocalCustodian):
    """A custodian that a host cuts off from its enclave, and connects again."""

    is_cut_off = False
    tries = 0  # while cut off

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        self.tries += self.is_cut_off
        if self.is_cut_off:
            raise ServiceUnavailable("the custodian cannot be reached")
        return super().challenge(instance, keys)


class UntilItsEnd(LocalCustodian):
    """The way from one run to a custodian: what a dead enclave's threads still had to say arrives nowhere."""

    def __init__(self, way: Reachable) -> None:
        super().__init__(way.custody)
        self._way = way
        self.is_over = False

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        self._require_life()
        return self._way.challenge(instance, keys)

    def release(self, *asked: Any, **more: Any) -> Any:
        self._require_life()
        return self._way.release(*asked, **more)

    def deposit_state(self, deposit: Any) -> None:
        self._way.deposit_state(deposit)

    def hand_back(self, hand_back: Any) -> None:
        self._way.hand_back(hand_back)

    def _require_life(self) -> None:
        if self.is_over:
            raise ServiceUnavailable("the enclave has been killed")


class Host:
    """The host of one ledger: its rows, the way to the custodians, the power switch."""

    def __init__(self, world: World, custodians: Custodians) -> None:
        self.world = world
        self.rows = HostsRows()
        self.custodians = [Reachable(custody) for custody in custodians.all]
        self.runs: list[Run] = []

    def cut_off(self, is_cut_off: bool = True) -> None:
        """Let nothing through to the custodians, or everything again."""
        for custodian in self.custodians:
            custodian.is_cut_off = is_cut_off

    async def start(self, *, after_lease: bool = False) -> Run:
        """Start an enclave; return it once it serves, or raise why it does not."""
        if after_lease:
            self.world.clock.advance(self.world.dao.charter.lease_s + CLOCK_SKEW_S)
        self.runs.append(Run(self))
        await self.runs[-1].settled()
        return self.runs[-1]

    def restore(self, entries: int) -> None:
        """Put the rows back to the first `entries`."""
        del self.rows.held[entries:]


class Run:
    """One run of an enclave, and the licensees that ask it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.world = host.world
        self._rests = asyncio.Event()
        self._ways = [UntilItsEnd(custodian) for custodian in host.custodians]
        self.instance = Instance(
            InstanceKeys.fresh(),
            attester(),
            self._ways,
            host.rows,
            lambda: InProcessEngine(self.world.blobs),
            genesis=self.world.genesis,
            configuration=self.world.configuration,
            monotonic=self.world.clock.monotonic,
            clock=self.world.clock,
            sleep=self._sleep,
        )
        self.service = EnclaveService(self.instance)
        self._woken = asyncio.Event()
        self._naps = 0
        self.waits: list[float] = []  # how long it meant to sleep
        self._sessions: dict[bytes, tuple[bytes, bytes, Any]] = {}
        self._sequences: dict[bytes, int] = {}
        self._last_receipts: dict[bytes, bytes] = {}
        self._task = asyncio.create_task(self.instance.run())

    @property
    def books(self) -> Any:
        return self.instance.meter().books

    async def settled(self) -> None:
        """Wait until it serves; raise why it does not."""
        async with asyncio.timeout(WAIT_S):
            while self.instance.status.state is not State.SERVING:
                self._rests.clear()
                await self._rest()
                if self.instance.status.state is State.STOPPED:
                    raise self.instance._refusal

    async def renew(self) -> None:
        """Have it renew, as it does at a third of its leases' life."""
        while not self._naps:
            await asyncio.sleep(0)
        self._rests.clear()
        self._woken.set()
        async with asyncio.timeout(WAIT_S):
            await self._rest()

    async def stopped(self) -> None:
        """Wait until it does not serve, and waits to try again."""
        async with asyncio.timeout(WAIT_S):
            while self.instance.status.state is not State.STOPPED or not self._naps:
                await asyncio.sleep(0)

    async def renewed_or_stopped(self) -> None:
        """Have it do what it waits for: renew, or try again. Raise why it does not serve then."""
        await self.renew()
        if self.instance.status.state is State.STOPPED:
            raise self.instance._refusal
        await self.settled()

    async def ask(self, text: str, *, k: int = 1, licensee: SigningKey | None = None) -> Metered:
        """Ask as a licensee does, in a session of its own."""
        licensee = licensee or wallet("licensee")
        session, mac_key, asking = self._session(licensee)
        query = Query(
            request=secrets.token_bytes(32), policy=asking.license.policy, text=text, k=k, salt=seeded("salt")
        )
        self._sequences[session] = sequence = self._sequences.get(session, 0) + 1
        last = self._last_receipts.get(session, FIRST_PREVIOUS)
        mac = request_mac(mac_key, session=session, sequence=sequence, body=query.body_digest(), previous_receipt=last)
        opened = self.service.authenticated(session, sequence, mac, body=query.body_digest(), last_receipt=last)
        metered, _, _ = await self.service.search(opened, query, last)
        self._last_receipts[session] = receipt_digest(metered.receipt)
        return metered

    async def pay(self, amount: int, licensee: SigningKey | None = None) -> int:
        """Have the treasury credit a licensee."""
        return await self.service.add_credit(deposit(self.world, amount, licensee))

    def credit(self, licensee: SigningKey | None = None, *, kind: str = "licensee") -> int:
        """Return what a licensee holds, or with `kind` "suspense" what waits for it."""
        address = (licensee or wallet("licensee")).address.hex()
        balance: int = self.books.balance(f"{kind}/0x{address}/USDC")
        return balance

    async def kill(self) -> None:
        """End it as a host does: nothing is handed back."""
        for way in self._ways:
            way.is_over = True
        self._task.cancel()
        await asyncio.wait({self._task})

    async def stop(self) -> None:
        """End it as its operator does."""
        await self.kill()
        await self.instance.close()

    async def _rest(self) -> None:
        """Wait until it begins to wait; raise why it has given up."""
        rested = asyncio.create_task(self._rests.wait())
        await asyncio.wait({rested, self._task}, return_when=asyncio.FIRST_COMPLETED)
        rested.cancel()
        if self._task.done():
            await self._task

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._naps += 1
        self._rests.set()
        try:
            await self._woken.wait()
            self._woken.clear()
        finally:
            self._naps -= 1

    def _session(self, licensee: SigningKey) -> tuple[bytes, bytes, Any]:
        if licensee.address not in self._sessions:
            asking = credential(self.world, licensee, spend_cap=10**9)
            keys, nonce, secret = self.instance.keys, self.service.server_nonce(), seeded("secret")
            recipient = strongest(keys.hpke.public, floor=self.world.dao.charter.suite_floor)
            place: dict[str, Any] = {
                "genesis": self.world.genesis,
                "instance": keys.instance,
                "ledger": ledger_id(self.world.genesis),
            }
            opening = SessionOpening(
                license=asking.license.cid(),
                delegation=asking.delegation.cid(),
                session_key=asking.key().public,
                tls_key=keys.tls.key_hash,
                server_nonce=nonce,
                expires_at=self.world.clock() + 3600,
                spend_cap=10**9,
                suite=recipient.suite,
                sealed_secret=seal(
                    recipient, secret, info=secret_context(server_nonce=nonce, suite=recipient.suite, **place)
                ),
                signature=BLANK,
                **place,
            ).signed_by(asking.key())
            session = self.service.open_session(asking.license, asking.delegation, opening)[0]
            self._sessions[licensee.address] = (session, session_mac_key(SecretKey(secret), opening), asking)
        return self._sessions[licensee.address]


Scenario = Callable[[Host], Any]


def played(world: World, custodians: Custodians, scenario: Scenario) -> None:
    """Play a scenario with a fresh host."""

    async def play() -> None:
        host = Host(world, custodians)
        try:
            await scenario(host)
        finally:
            for run in host.runs:
                await run.kill()

    asyncio.run(play())
