"""`coffer tui --demo`: a DAO, its custodian and its enclave on this machine, and one home that takes part in all of it.

Other members propose and vote, and an app asks now and then, so that there is something to see. The TEE is SIMULATED.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from cli import dataset_copies, sealing, wiring
from cli.credentials import write_credential
from cli.demo.documents import STDLIB_QUESTIONS, halves, stdlib_material
from cli.desk.local import LocalDesk
from cli.home import Home, Settings, settings_from
from cli.init import CONFIG
from cli.keyring import read_keys
from cli.parties import LIGHT_SCRYPT_N
from cli.sealed_files import write_private
from cli.stage import VOTING, Stage
from cli.stage_policy import Terms
from enclave.client import EnclaveClient
from rag.model import Document
from tui.app import CofferApp
from tui.slow import Job
from vault.action import adoption
from vault.acts import blank_ballot, propose, vote_of
from vault.assembly import found
from vault.ballot import Support
from vault.collecting import handed_in_proposal, handed_in_vote
from vault.delivery import deliver, manifest_at
from vault.envelope import Passage
from vault.errors import VaultError
from vault.history import History
from vault.policy import Policy
from vault.records.board import Board
from vault.records.catalog import Catalog

DOCUMENTS: Final = 60  # embed in a few seconds on two cores
MEMBERS: Final = 5
VOTING_PERIOD_S: Final = 45
TIMELOCK_S: Final = 10
LEASE_S: Final = 20
CREDIT: Final = 1_000_000  # micro-units
TERMS: Final = Terms(price=250, k_max=10, passages_max=500, queries_per_minute=120)
LIFE_EVERY_S: Final = 6.0
EPOCH_S: Final = 60
WALLETS: Final = {"owner": "owner", "member": "member-1", "guardian": "guardian", "licensee": "licensee"}


def run_demo() -> None:
    """Run the terminal on services of its own; they end with it, and nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix="coffer-demo-") as folder, Stage(Path(folder)) as stage:
        CofferApp(lambda job: DemoDesk(stage, job)).run()


class DemoDesk(LocalDesk):
    """The desk of a home that is made for the demo, beside the life of the others."""

    def __init__(self, stage: Stage, job: Job) -> None:
        settings, policy = _play(stage, job)
        super().__init__(settings, rounds=LIGHT_SCRYPT_N)
        self._ended = threading.Event()
        self._life = threading.Thread(
            target=_live, args=(stage, policy, self._party.history, self._ended), daemon=True, name="others"
        )
        self._life.start()

    def close(self) -> None:
        """End the others' life, too."""
        self._ended.set()
        self._life.join()
        super().close()


def _play(stage: Stage, job: Job) -> tuple[Settings, Policy]:
    """Found, seal, decide, open, license; return the settings of the home that takes part, and the policy in force."""
    job.tell("starting a custodian", 0, None)
    voting = replace(VOTING, period_s=VOTING_PERIOD_S, timelock_s=TIMELOCK_S)
    stage.found(MEMBERS, voting=voting, lease_s=LEASE_S, guardians=("guardian",))
    home = _home(stage)
    _seal(stage, home, job)
    stage.configure("enclave", epoch_s=EPOCH_S)
    policy = stage.policy("Ask the library", TERMS)
    votes = {f"member-{n}": Support.AGAINST if n == MEMBERS else Support.FOR for n in range(1, MEMBERS + 1)}
    job.tell(f"five members vote; that takes {VOTING_PERIOD_S + TIMELOCK_S} s", 0, None)
    stage.adopt(policy, votes)
    stage.deposit()
    job.tell("starting the enclave", 0, None)
    stage.start_enclave(
        lambda done, total: job.tell("passages opened by the enclave", done, total), metrics="127.0.0.1:0"
    )
    credential = stage.license("licensee", policy)
    write_credential(Home(home.home).credential(str(credential.license.cid())), credential, stage.password)
    for app in ("licensee", "app"):
        stage.credit(app, CREDIT, policy.currency)
    _configure(stage, home)
    return settings_from(home=home.home, password=stage.password), policy


def _home(stage: Stage) -> Settings:
    """Make the home: the wallets of one person who is owner, member, guardian and licensee, and the DAO's board."""
    place = Home(stage.root / "you")
    place.path.mkdir(mode=0o700)
    for name, party in WALLETS.items():
        stage.wallet(party)
        place.wallet(name).parent.mkdir(exist_ok=True)
        shutil.copy(Home(stage.root / party).wallet(party), place.wallet(name))
    settings = stage.settings("you")
    with wiring.open_database(settings) as records:
        found(Board(records), stage.history.charter, stage.roll)
    return settings


def _configure(stage: Stage, home: Settings) -> None:
    addresses = ", ".join(f'"{custodian.address}"' for custodian in stage.custodians)
    metrics = stage.enclave.announcement["metrics"] if stage.enclave is not None else ""
    lines = (
        f'\ncustodians = [{addresses}]\nenclave = "{stage.enclave_address()}"\nmetrics = "{metrics}"\n'
        f'storage = "{home.storage}"\n'
    )
    write_private(Home(home.home).config, (CONFIG + lines).encode())


def _seal(stage: Stage, home: Settings, job: Job) -> None:
    """Have two owners seal and publish: the home's, as its own commands do, and another one."""
    job.tell("reading documents", 0, None)
    mine, others = halves(stdlib_material().documents[:DOCUMENTS])
    _seal_mine(stage, home, mine, job)
    chunker = wiring.make_chunker(home)
    passages = [Passage(p.document, p.start, p.end, p.text) for document in others for p in chunker.chunk(document)]
    sealed = stage.seal(
        "owner-2", "Library, second half", passages, lambda done: job.tell("passages sealed", done, None)
    )
    stage.publish("owner-2", sealed, lambda _: None)


def _seal_mine(stage: Stage, home: Settings, documents: list[Document], job: Job) -> None:
    owner, charter = stage.wallet("owner"), stage.history.charter
    with wiring.open_database(home) as records, stage.custody() as custodians:
        catalog = Catalog(records)
        draft = sealing.draft_of(
            home,
            catalog,
            owner,
            genesis=stage.genesis,
            title="Library, first half",
            allow_simulated=True,
            replaces=None,
        )
        row, _ = sealing.seal(
            home, catalog, documents, draft, charter, owner, lambda done: job.tell("documents sealed", done, None)
        )
        staging, storage = wiring.open_staging(home), stage.blobs()
        manifest = manifest_at(row.manifest, staging)
        sealed = read_keys(Home(home.home).data_key(row.dataset, row.version), manifest, owner)
        deliver(
            sealed, charter, owner, staging=staging, storage=storage, custodians=custodians, progress=lambda _: None
        )
        plan = dataset_copies.planned(home, None, None, row.sealed_bytes)
        dataset_copies.stored(home, records, row.manifest, plan, wait_s=0)
    stage.sealed.append(sealed)


def _live(stage: Stage, policy: Policy, history: Callable[[], History], ended: threading.Event) -> None:
    """Ask now and then as another app, and put a policy to the vote whenever none is open."""
    credential = stage.license("app", policy)
    client: EnclaveClient | None = None
    open_until, turn = 0, 0
    while not ended.wait(LIFE_EVERY_S):
        turn += 1
        with suppress(VaultError):  # whatever the person did to the DAO: the others go on as far as they may
            client = client or stage.connect(credential)
            client.search(secrets.choice(STDLIB_QUESTIONS), k=5)
        if wiring.clock() >= open_until:
            with suppress(VaultError):
                open_until = _propose(
                    stage, history(), replace(policy, price_per_query=policy.price_per_query + 50 * turn)
                )
    if client is not None:
        client.close()


def _propose(stage: Stage, history: History, policy: Policy) -> int:
    """Have another member propose a policy, and two others vote on it; return when the vote ends."""
    charter = history.charter
    proposal = propose(history, stage.roll, adoption(policy.cid()), stage.wallet("member-2"), at=wiring.clock())
    with stage.custody() as places:
        handed_in_proposal(places, charter, proposal, {policy.cid(): policy.encoded()})
        for name, support, reason in (
            ("member-2", Support.FOR, "costs have risen"),
            ("member-3", Support.AGAINST, "it is dear enough"),
        ):
            key = stage.wallet(name)
            ballot = blank_ballot(proposal, key.address, support, sequence=0, reason=reason)
            handed_in_vote(
                places,
                charter,
                stage.genesis,
                vote_of(stage.roll, ballot.signed_by(key, charter.domain(stage.genesis))),
            )
    return proposal.closes_at
