"""A DAO with a sealed dataset and a policy in force, its custodians, and the parts of an enclave: all in this process.

Everything runs on one `Clock` that tests move by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from enclave.attestation.appraise import EvidenceAppraiser
from enclave.attestation.roots import ROOTS
from enclave.attestation.simulated import UnsafeSimulatedAttester
from enclave.configuration import EnclaveConfiguration
from enclave.credential import Credential
from enclave.keys import InstanceKeys
from enclave.opening import Opening
from storage.cid import Cid
from storage.memory import MemoryBlobs
from storage.model import Blobs
from storage.unixfs import add_file
from tests import builders
from tests.builders import TEXTS, SealedDataset, dao, published, sealed_dataset, seeded, wallet, with_blocks
from tests.migrated import opened_records
from tests.people import DAY_S, NOW, Dao
from vault import acts
from vault.charter import Custodian
from vault.custody import Custody
from vault.dataset import DatasetRef
from vault.evidence import Binding, Evidence
from vault.handing import handed_to_all
from vault.head_vote import HeadVote
from vault.history import History
from vault.lease import Lease
from vault.license import Delegation, Deposit, License
from vault.machine import MachineKey
from vault.policy import AcceptedTee, Policy
from vault.records.custody import CustodyRecords
from vault.release import HandBack, LeaseRequest, ShareRelease, StateDeposit
from vault.signing import SigningKey

SIMULATOR = MachineKey(seeded("simulator"))
MEASUREMENT = seeded("measurement", 48)
TEE = AcceptedTee.simulated(MEASUREMENT, SIMULATOR.public)
APPRAISER = EvidenceAppraiser(production=False)
PRICE = 100
SPEND_CAP = 10_000


@dataclass(slots=True)
class Clock:
    """UTC seconds and monotonic seconds that move only when told to."""

    seconds: float = NOW

    def __call__(self) -> int:
        return int(self.seconds)

    def monotonic(self) -> float:
        return self.seconds - NOW + 1_000

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True, kw_only=True)
class World:
    """What is public about one DAO, with everyone's keys."""

    dao: Dao
    dataset: SealedDataset
    policy: Policy
    history: History
    blobs: Blobs
    clock: Clock = field(default_factory=Clock)

    @property
    def genesis(self) -> Cid:
        return self.dao.genesis

    @property
    def configuration(self) -> Cid:
        return configuration(self.genesis)

    def blocks(self) -> dict[Cid, bytes]:
        """Return every block that a custodian needs to follow the chain."""
        return {cid: self.blobs.get(cid) for cid in self.blobs.cids()}

    def decided(self, decision: Any, policy: Policy | None = None) -> History:
        """Return the history after a decision, published in this world's blocks; the world itself stays."""
        return published(self.blobs, self.history, with_blocks(decision, *([policy] if policy else [])))


def configuration(genesis: Cid) -> Cid:
    """Return the CID of the configuration that enclaves here run under."""
    return EnclaveConfiguration(
        genesis=genesis,
        model=seeded("model"),
        model_settings=seeded("settings"),
        dtype="float32",
        index="toy",
        reranker=b"",
        version="0",
    ).cid()


def world(
    *,
    custodians: int = 1,
    texts: tuple[str, ...] = TEXTS,
    policy: dict[str, Any] | None = None,
    manifest: dict[str, Any] | None = None,
    blobs: Blobs | None = None,
    **charter_fields: Any,
) -> World:
    """Return a DAO of three members whose policy on one sealed dataset is in force."""
    made = dao(3, custodians=custodians, **charter_fields)
    sealed = sealed_dataset(made, texts, **(manifest or {}))
    fields = {"datasets": (DatasetRef.pinned(sealed.manifest),), "tees": (TEE,), "price_per_query": PRICE}
    fields |= {"configurations": (configuration(made.genesis),)} | (policy or {})
    adopted = builders.policy(made.genesis, **fields)
    blobs = blobs or MemoryBlobs()
    for segment in sealed.segments:
        add_file(blobs, segment)
    decision = builders.carried(made.history, builders.adopting(adopted), adopted)
    history = published(blobs, made.history, decision)
    return World(dao=made, dataset=sealed, policy=adopted, history=history, blobs=blobs)


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What the custodians of a world remember once its head and shares are handed in, for others to start with."""

    records: tuple[bytes, ...]
    blocks: tuple[Mapping[Cid, bytes], ...]

    @classmethod
    def by_custodians(cls, world: World) -> Remembered:
        """Hand a world's head and shares in, and return what its custodians remember of it."""
        with TemporaryDirectory() as folder:
            with Custodians(world, Path(folder)) as made:
                blocks = tuple({cid: blobs.get(cid) for cid in blobs.cids()} for blobs in made.blobs)
            files = (Path(folder) / f"custodian{index}.db" for index in range(len(blocks)))
            return cls(records=tuple(file.read_bytes() for file in files), blocks=blocks)


class Custodians:
    """The custodians of a world, each over records of its own; close them, or use them in `with`.

    Where there is something `remembered`, they start with it: handing it in takes longer than most tests.
    """

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        production: bool = False,
        has_deposits: bool = True,
        pinned: Mapping[str, bytes] = ROOTS,
        remembered: Remembered | None = None,
    ) -> None:
        self.world = world
        self._open = ExitStack()
        self._folder = folder
        self.production = production
        self.pinned = pinned
        self.blobs = [MemoryBlobs() for _ in world.dao.custodians]
        if remembered is not None:
            self._start_with(remembered)
        self.all = [self._started(index) for index in range(len(world.dao.custodians))]
        if remembered is not None:
            return
        self.submit(world.history)
        if has_deposits:
            self.deposit(world.dataset)

    def _start_with(self, remembered: Remembered) -> None:
        for index, (records, blocks) in enumerate(zip(remembered.records, remembered.blocks, strict=True)):
            (self._folder / f"custodian{index}.db").write_bytes(records)
            for cid, block in blocks.items():
                self.blobs[index].put(cid, block)

    def submit(self, history: History, *, but: Collection[int] = (), of: World | None = None) -> None:
        """Hand every custodian a head, and the votes of the others; of another world's DAO if one is given."""
        takers = {one.public.key: LocalTaker(one) for index, one in enumerate(self.all) if index not in but}
        blocks = (of or self.world).blocks()
        handed = handed_to_all(takers, history.head.cid(), blocks, genesis=history.genesis, charter=history.charter)
        for error in handed.failures.values():
            raise error

    def deposit(self, dataset: SealedDataset) -> None:
        """Hand every custodian its share."""
        for custody, deposit in zip(self.all, dataset.deposits, strict=True):
            custody.deposit_share(dataset.manifest, deposit)

    def restart(self, index: int) -> Custody:
        """Start a custodian again, over what it remembers."""
        self.all[index] = self._started(index)
        return self.all[index]

    def local(self) -> list[LocalCustodian]:
        """Return the custodians as an enclave sees them, without a network between."""
        return [LocalCustodian(custody) for custody in self.all]

    def _started(self, index: int) -> Custody:
        records = self._open.enter_context(opened_records(self._folder / f"custodian{index}.db"))
        return Custody(
            self.world.dao.custodians[index],  # type: ignore[arg-type]  # the same two keys
            CustodyRecords(records),
            self.blobs[index],
            EvidenceAppraiser(production=self.production, pinned=self.pinned),
            clock=self.world.clock,
            production=self.production,
        )

    def __enter__(self) -> Custodians:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


class LocalTaker:
    """A custodian in this process, as whoever hands in heads sees it."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody

    def submit_head(self, head: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = ()) -> int:
        return self._custody.submit_head(head, blocks.items(), votes)

    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]:
        return self._custody.head_votes(genesis)


class LocalCustodian:
    """A `CustodyService` in this process; subclasses lie."""

    def __init__(self, custody: Custody) -> None:
        self.custody = custody
        self.asked = 0  # releases asked for

    @property
    def custodian(self) -> Custodian:
        return self.custody.public

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        return self.custody.challenge(instance, keys)

    def release(
        self, binding: Binding, evidence: Evidence, request: LeaseRequest, *, known_head: Cid | None
    ) -> tuple[Lease, dict[Cid, bytes], list[ShareRelease], ShareRelease | None]:
        self.asked += 1
        released = self.custody.release(binding, evidence, request, known_head=known_head)
        return released.lease, dict(released.blocks), list(released.shares), released.state_share

    def deposit_state(self, deposit: StateDeposit) -> None:
        self.custody.deposit_state(deposit)

    def hand_back(self, hand_back: HandBack) -> None:
        self.custody.hand_back(hand_back)

    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]:
        return self.custody.catching_up.chain(genesis, known)


def attester(**fields: Any) -> UnsafeSimulatedAttester:
    """Return the simulated TEE that the policy accepts; `fields` replace its key or measurement."""
    return UnsafeSimulatedAttester(**({"key": SIMULATOR, "measurement": MEASUREMENT} | fields))


def opening(world: World, custodians: Any, *, keys: InstanceKeys | None = None, **fields: Any) -> Opening:
    """Return an enclave's opening that asks these custodians."""
    usual: dict[str, Any] = {
        "genesis": world.genesis,
        "configuration": world.configuration,
        "monotonic": world.clock.monotonic,
        "clock": world.clock,
    }
    return Opening(custodians, attester(), keys or InstanceKeys.fresh(), **(usual | fields))


def license_of(world: World, licensee: SigningKey | None = None, **fields: Any) -> License:
    """Return the licensee's license under the world's policy."""
    policy = fields.pop("under", world.policy)
    return builders.license(world.history, policy, licensee or wallet("licensee"), **fields)


def credential(
    world: World,
    licensee: SigningKey | None = None,
    *,
    license: License | None = None,
    spend_cap: int = SPEND_CAP,
    expires_at: int = NOW + DAY_S,
    seed: bytes | None = None,
) -> Credential:
    """Return what an AI app asks with."""
    licensee = licensee or wallet("licensee")
    license = license or license_of(world, licensee)
    seed = seed or seeded("session key")
    delegation = delegated(world, license, licensee, seed, spend_cap=spend_cap, expires_at=expires_at)
    return Credential(license=license, delegation=delegation, seed=seed)


def delegated(world: World, license: License, licensee: SigningKey, seed: bytes, **fields: Any) -> Delegation:
    """Return the licensee's delegation to the session key of a seed."""
    return acts.delegate(license, licensee, world.dao.charter, MachineKey(seed).public, **fields)


def deposit(world: World, amount: int, licensee: SigningKey | None = None, **fields: Any) -> Deposit:
    """Return the treasury's deposit for a licensee; `fields` replace its fields before the treasury signs."""
    treasury = fields.pop("treasury_key", wallet("treasury"))
    made = acts.deposit_credit(
        world.genesis,
        world.dao.charter,
        treasury,
        (licensee or wallet("licensee")).address,
        amount=amount,
        currency=world.policy.currency,
    )
    if not fields:
        return made
    signed: Deposit = builders.signed(world.history, treasury, replace(made, **fields))
    return signed
