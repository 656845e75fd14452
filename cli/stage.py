"""A whole Coffer on one machine: owners, DAO, custodian, enclave and apps, each with its own folder and wallet.

The demo, `coffer eval` and `coffer bench ask` play on it. Custodian and enclave are real processes; what crosses
between parties crosses as it would between machines.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cli import wiring
from cli.home import Home
from cli.opening import Progress, await_state
from cli.parties import Parties
from cli.processes import ServiceProcess
from cli.stage_policy import YEAR_S, Terms, policy_over
from enclave.channel import EnclaveChannel
from enclave.client import EnclaveClient
from enclave.credential import Credential
from storage.cid import Cid
from vault.action import Action, adoption
from vault.acts import blank_ballot, delegate, deposit_credit, grant_license, inquire, propose, vote_of
from vault.ballot import Support
from vault.charter import BASIS_POINTS, Voting, Window
from vault.client import CustodyClient
from vault.closing import final_at
from vault.collecting import decided, handed_in_proposal, handed_in_vote
from vault.envelope import Passage
from vault.errors import ServiceUnavailable
from vault.founding import charter_of, numbers_for
from vault.handing import handed_to_all
from vault.history import History, advanced, founded
from vault.license import License
from vault.machine import MachineKey
from vault.manifest import Manifest, dataset_id
from vault.policy import Policy
from vault.publishing import Draft, Sealed, copy_dataset, seal_dataset, share_deposits, verify_stored
from vault.roll import Roll

CHAIN_ID = 31337  # a development chain's; nothing here touches a chain
POLL_S = 0.2
WINDOW = Window(entries=100_000, passages=100_000, spend=10**9)  # a stage is taken down, and nobody crashes it to gain
VOTING = Voting(  # as short as votes can be
    quorum_bps=BASIS_POINTS // 2,
    threshold_bps=BASIS_POINTS // 2 + 1,
    delay_s=0,
    period_s=1,
    extension_s=0,
    round_s=1,
    timelock_s=0,
    proposal_weight=(1).to_bytes(32, "big"),
    proposals_per_day=1000,
    delegations_every_s=0,
)
OWN_RECORDS = {"COFFER_RECORDS": ""}  # each service's are in its own folder, whatever database our user works with


@dataclass(slots=True)
class Stage(Parties):
    """The parties and what they have made so far."""

    blocks: dict[Cid, bytes] = field(default_factory=dict)  # the governance chain
    sealed: list[Sealed] = field(default_factory=list)
    roll: Roll = field(default_factory=lambda: Roll.of({bytes(20): 1}))
    custodians: list[ServiceProcess] = field(default_factory=list)
    enclave: ServiceProcess | None = None
    _history: History | None = None

    @property
    def history(self) -> History:
        """Return what the DAO decided so far."""
        if self._history is None:
            raise ValueError("the DAO is not founded yet")
        return self._history

    @property
    def genesis(self) -> Cid:
        """Return the DAO's identity."""
        return self.history.genesis

    def found(
        self,
        members: int,
        *,
        voting: Voting = VOTING,
        lease_s: int,
        custodians: int = 1,
        guardians: Sequence[str] = (),
    ) -> None:
        """Found a DAO of equal members, and start its custodians. Any one of the `guardians` may act."""
        names = ["custodian"] if custodians == 1 else [f"custodian-{number}" for number in range(1, custodians + 1)]
        keys = [wiring.make_custodian_keys(Home(self.root / name), self.password).public() for name in names]
        self.roll = Roll.of({self.wallet(f"member-{number}").address: 100 for number in range(1, members + 1)})
        charter = charter_of(
            "Stage DAO",
            self.roll,
            keys,
            numbers_for(custodians),
            chain_id=CHAIN_ID,
            voting=voting,
            lease_s=lease_s,
            treasury=self.wallet("treasury").address,
            window=WINDOW,
            guardians=[self.wallet(name).address for name in guardians],
            guardian_signatures=1 if guardians else None,
        )
        self._history = founded(charter)
        self.blocks[self.genesis] = charter.encoded()
        self.blocks[self.history.head.cid()] = self.history.head.encoded()
        environment = {"COFFER_PASSWORD": self.password, **OWN_RECORDS}
        for name in names:
            service = ServiceProcess(["custodian", "serve"], home=self.root / name, environment=environment)
            self.custodians.append(self._stack.enter_context(service))
        self.submit()

    def seal(self, owner: str, title: str, passages: Iterable[Passage], progress: Callable[[int], None]) -> Sealed:
        """Seal passages on the owner's machine, into the owner's own staging folder."""
        key = self.wallet(owner)
        draft = Draft(
            genesis=self.genesis,
            dataset=dataset_id(key.address, secrets.token_bytes(32)),
            title=title,
            version=1,
            previous=None,
            allow_simulated=True,
            model=wiring.model_of(self.settings(owner))[1],
        )
        staging = wiring.open_staging(self.settings(owner))
        sealed = seal_dataset(
            passages, draft, charter=self.history.charter, owner=key, blobs=staging, progress=progress
        )
        self.sealed.append(sealed)
        return sealed

    def publish(self, owner: str, sealed: Sealed, progress: Callable[[int], None]) -> int:
        """Put a sealed dataset into the store, fetch it back and check it; return the bytes stored."""
        target = self.blobs()
        stored = copy_dataset(sealed.manifest, wiring.open_staging(self.settings(owner)), target, progress=progress)
        verify_stored(sealed.manifest, target, sealed.key, progress=lambda _: None)
        return stored

    def policy(self, title: str, terms: Terms) -> Policy:
        """Return a policy over everything sealed so far, for the stage's own simulated enclave."""
        return policy_over(self.manifests(), title, terms, self, self.genesis, at=wiring.clock())

    def decide(self, action: Action, policy: Policy | None, votes: dict[str, Support]) -> None:
        """Propose, vote, have the custodians close the vote, and advance the head."""
        proposal = propose(self.history, self.roll, action, self.wallet(next(iter(votes))), at=wiring.clock())
        named = {policy.cid(): policy.encoded()} if policy is not None else {}
        charter = self.history.charter
        with self.custody() as places:
            handed_in_proposal(places, charter, proposal, named)
            for member, support in votes.items():
                key = self.wallet(member)
                ballot = blank_ballot(proposal, key.address, support, sequence=0)
                signed = ballot.signed_by(key, charter.domain(self.genesis))
                handed_in_vote(places, charter, self.genesis, vote_of(self.roll, signed))
            while wiring.clock() < max(final_at(proposal, charter), proposal.closes_at + charter.voting.timelock_s):
                time.sleep(POLL_S)
            bundle = decided(places, self.history, self.roll, proposal)
        self.blocks |= bundle.blocks | named
        self._history = advanced(self.history, bundle.decision, self.blocks.__getitem__, at=wiring.clock())
        self.blocks[self.history.head.cid()] = self.history.head.encoded()
        self.submit()

    def adopt(self, policy: Policy, votes: dict[str, Support]) -> None:
        """Have the members adopt a policy."""
        self.decide(adoption(policy.cid()), policy, votes)

    def submit(self) -> None:
        """Hand the chain to the custodians, which verify it themselves."""
        with self.custody() as places:
            handed = handed_to_all(
                places, self.history.head.cid(), self.blocks, genesis=self.genesis, charter=self.history.charter
            )
        for error in handed.failures.values():
            raise error

    @contextmanager
    def custody(self) -> Iterator[dict[bytes, CustodyClient]]:
        """Connect to the custodians; by key, in the charter's order."""
        if not self.custodians:
            raise ServiceUnavailable("no custodian was started")
        keys = [custodian.key for custodian in self.history.charter.custodians]
        with ExitStack() as stack:
            yield {
                key: stack.enter_context(CustodyClient.connect(service.address, expected=key))
                for key, service in zip(keys, self.custodians, strict=True)
            }

    def deposit(self) -> None:
        """Give every custodian its share of every dataset's key."""
        owners = {key.address: key for key in self.wallets.values()}
        with self.custody() as places:
            for sealed in self.sealed:
                deposits = share_deposits(sealed, self.history.charter, owners[sealed.manifest.owner])
                for place, deposit in zip(places.values(), deposits, strict=True):
                    place.deposit_share(sealed.manifest, deposit)

    def start_enclave(self, progress: Progress, *, module: str = "cli.entry", metrics: str | None = None) -> None:
        """Start the enclave's process and wait until it serves; `module` as for `ServiceProcess`.

        Args:
            metrics: host:port to answer Prometheus on.
        """
        if not self.custodians:
            raise ServiceUnavailable("no custodian was started")
        custodians = [part for service in self.custodians for part in ("--custodian", service.address)]
        settings = self.settings("enclave")
        environment = {"COFFER_STORAGE": settings.storage, "COFFER_DTYPE": settings.dtype, **OWN_RECORDS}
        self.enclave = self._stack.enter_context(
            ServiceProcess(
                ["enclave", "serve", str(self.genesis), *custodians, *(("--metrics", metrics) if metrics else ())],
                home=settings.home,
                environment=environment,
                module=module,
            )
        )
        self.await_state("serving", progress)

    def await_state(self, wanted: str, progress: Progress = lambda _, __: None) -> str:
        """Wait until the enclave says it is `wanted`; return its reason. Raises `ServiceUnavailable` in time."""
        return await_state(self.enclave_address(), wanted, progress)

    def enclave_address(self) -> str:
        """Return where the enclave listens."""
        if self.enclave is None:
            raise ServiceUnavailable("the enclave was not started")
        return self.enclave.address

    def license(self, app: str, policy: Policy, *, issuer: str = "issuer") -> Credential:
        """License an app's wallet and have it delegate to a session key of its own."""
        now = wiring.clock()
        license: License = grant_license(
            self.history, policy, self.wallet(issuer), self.wallet(app).address, at=now, expires_at=now + YEAR_S
        )
        seed = secrets.token_bytes(32)
        delegation = delegate(
            license,
            self.wallet(app),
            self.history.charter,
            MachineKey(seed).public,
            spend_cap=10**12,
            expires_at=now + YEAR_S,
        )
        return Credential(license=license, delegation=delegation, seed=seed)

    def credit(self, app: str, amount: int, currency: str) -> int:
        """Have the treasury attest a payment and hand it to the enclave; return the app's credit."""
        deposit = deposit_credit(
            self.genesis,
            self.history.charter,
            self.wallet("treasury"),
            self.wallet(app).address,
            amount=amount,
            currency=currency,
        )
        channel = EnclaveChannel(self.enclave_address())
        try:
            return channel.add_credit(deposit)
        finally:
            channel.close()

    def connect(self, credential: Credential) -> EnclaveClient:
        """Open an app's session, after everything was verified."""
        settings = self.settings("app")
        return EnclaveClient.connect(
            self.enclave_address(), credential, wiring.appraiser(settings), allow_simulated=True
        )

    def balances(self, wallet: str) -> dict[str, int]:
        """Return the balances a wallet may see; the treasury sees all."""
        channel = EnclaveChannel(self.enclave_address())
        try:
            _, _, server_nonce = channel.evidence(secrets.token_bytes(32))
            inquiry = inquire(
                self.genesis,
                self.history.charter,
                self.wallet(wallet),
                server_nonce=server_nonce,
                tls_key=channel.tls_key,
            )
            return channel.balances(inquiry.encoded())
        finally:
            channel.close()

    def manifests(self) -> list[Manifest]:
        """Return the manifests of everything sealed."""
        return [sealed.manifest for sealed in self.sealed]
