"""A custodian: it keeps its share of every data key, and gives it only to an enclave the DAO's policy accepts.

It trusts no one's row: charters, decisions and heads are verified from raw signatures, manifests and deposits from
their owners', evidence by an `Appraiser` handed in. What is signed is on disk first: one vote for a head per epoch.
Time is this custodian's own clock. This is its face, and puts its parts together; shares are `vault.shares`' matter,
heads `vault.succession`'s, votes `vault.voting`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from storage.cid import Cid
from storage.model import Blobs
from vault.appraising import Appraising
from vault.catching_up import CatchingUp
from vault.challenges import Challenges
from vault.charter import Charter, Custodian
from vault.custodian import CustodianKeys, CustodyStore
from vault.destroying import Destroying
from vault.destruction import Destruction, DestructionReceipt
from vault.errors import AccessDenied, StaleState
from vault.evidence import Appraiser, Binding, Evidence
from vault.head_vote import MISSING_MAX, VOTES_MAX, HeadVote, KnownTip
from vault.history import Cause, History, extended, founded
from vault.known import Known
from vault.lease import CLOCK_SKEW_S
from vault.links import Fetch
from vault.manifest import Manifest, ShareDeposit
from vault.release import (
    HandBack,
    Identity,
    LeaseRequest,
    StateDeposit,
)
from vault.releasing import Released
from vault.served import Served
from vault.shares import Shares
from vault.station import Station
from vault.succession import Succession
from vault.taking import Taking
from vault.voting import Voting


class Custody:
    """One custodian at work, for every DAO whose charter names it."""

    def __init__(
        self,
        keys: CustodianKeys,
        store: CustodyStore,
        blobs: Blobs,
        appraiser: Appraiser,
        *,
        clock: Callable[[], int],
        production: bool,
        skew_s: int = CLOCK_SKEW_S,
        only: frozenset[Cid] | None = None,
    ) -> None:
        """Begin with what the store remembers.

        Args:
            only: the DAOs to serve; None for whichever come and name this custodian.
        """
        self._histories = Served(store, blobs)
        self._only = only
        for genesis in store.geneses():
            if only is None or genesis in only:
                self._histories.remember(_restored(genesis, store, blobs, at=clock()))
        self.station = station = Station(keys=keys, store=store, blobs=blobs, histories=self._histories, clock=clock)
        challenges = Challenges()
        self._keys = keys
        self.on_head: Callable[[], None] = _nobody  # called when a head or a vote for one is new here
        self.catching_up = CatchingUp(station, skew_s=skew_s)
        require_caught_up = self.catching_up.require
        self.succession = Succession(
            station,
            require_caught_up=require_caught_up,
            require_link=self._require_link,
            on_rolled_back=self.catching_up.note_rolled_back,
            on_new=self._noted,
        )
        self._taking = Taking(
            station, self.succession, require_named=self._require_named, require_link=self._require_link
        )
        self.voting = Voting(
            station, production=production, require_caught_up=require_caught_up, take_effect=self._taking.take_effect
        )
        self.destroying = Destroying(station, challenges, require_caught_up=require_caught_up)
        appraising = Appraising(
            appraiser, Known(blobs), production, store.latest_manifest, is_destroyed=store.is_destroyed
        )
        self.shares = Shares(station, appraising, self.succession, challenges, self.catching_up, skew_s=skew_s)

    def _require_link(self, head: Cid, fetch: Fetch) -> None:
        self.voting.require_link(head, fetch)

    def _noted(self) -> None:
        self.voting.acting.note_delegations()
        self.on_head()

    @property
    def public(self) -> Custodian:
        """Return this custodian as a charter names it."""
        return self._keys.public()

    def identify(self, nonce: bytes, tls_key: bytes) -> tuple[Custodian, bytes]:
        """Return this custodian's record and its signature over a caller's nonce and the connection's TLS key."""
        record = self.public
        identity = Identity(nonce=nonce, tls_key=tls_key, custodian=sha256(record.encoded()).digest())
        return record, self._keys.signing.sign(identity.encoded())

    def submit_head(self, tip: Cid, blocks: Iterable[tuple[Cid, bytes]], votes: Sequence[HeadVote] = ()) -> int:
        """Verify a chain to `tip` from its genesis, vote for its next head, and return the epoch that is followed.

        Args:
            votes: of custodians, for its heads or for others.
        """
        return self._taking.follow(tip, dict(blocks), votes)

    async def submit_head_aside(
        self, tip: Cid, blocks: Mapping[Cid, bytes], votes: Sequence[HeadVote] = (), *, peer: str
    ) -> int:
        """Do as `submit_head`, a large chain being verified in a thread; call it on the loop that serves this one."""
        return await self._taking.follow_aside(tip, blocks, votes, peer=peer)

    def take_effect(self, genesis: Cid, cause: Cause) -> int:
        """Have an act of guardians or delegations carried out: next, or after what was voted for before them."""
        return self._taking.take_effect(genesis, cause)

    def hear_votes(self, genesis: Cid, votes: Sequence[HeadVote]) -> None:
        """Take custodians' votes for heads; raise `InvalidSignature` for a false one."""
        is_new = self.succession.hear(genesis, votes)
        self.succession.settle(genesis, is_new=is_new)

    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]:
        """Return the votes that settle the settled head and those for what may come next, and heads not known here."""
        if genesis not in self._histories:
            raise StaleState("this custodian does not know that DAO")
        votes = self.succession.shown(genesis)
        return votes[:VOTES_MAX], self.succession.missing(genesis)[:MISSING_MAX]

    def known_tips(self, custodian: bytes) -> list[KnownTip]:
        """Return the followed head of every DAO here whose charter has that custodian."""
        found = []
        for genesis, head, epoch in self.catching_up.tips(custodian):
            votes = self.succession.contest(genesis).digest(self.succession.missing(genesis))
            found.append(KnownTip(genesis=genesis, head=head, epoch=epoch, votes=votes))
        return found

    def branch(self, genesis: Cid, head: Cid) -> History:
        """Return the history to a head that may come next, or raise `StaleState` where it is not known here."""
        history = self.succession.branch(genesis, head) if genesis in self._histories else None
        if history is None:
            raise StaleState("this custodian knows neither that DAO's head nor what follows it")
        return history

    def deposit_share(self, manifest: Manifest, deposit: ShareDeposit) -> None:
        """Keep this custodian's share of a dataset's key, after checking owner, context and commitment."""
        self.shares.deposit_share(manifest, deposit)

    def deposit_state(self, deposit: StateDeposit) -> None:
        """Keep the first enclave's share of the state key (rule L1)."""
        self.shares.deposit_state(deposit)

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        """Return a nonce that an enclave's evidence is to contain."""
        return self.shares.challenge(instance, keys)

    def release(
        self, binding: Binding, evidence: Evidence, request: LeaseRequest, *, known_head: Cid | None
    ) -> Released:
        """Lease an enclave what every policy in force allows it, and release the shares."""
        return self.shares.release(binding, evidence, request, known_head=known_head)

    def hand_back(self, hand_back: HandBack) -> None:
        """End an instance's lease early, at its own request."""
        self.shares.hand_back(hand_back)

    def destroy_share(self, manifest: Manifest, order: Destruction) -> DestructionReceipt:
        """Destroy this custodian's share of a version's key for good, at its owner's order (rule S3)."""
        return self.destroying.destroy(manifest, order)

    def is_new(self, genesis: Cid) -> bool:
        """Say whether a DAO is not served here yet."""
        return genesis not in self._histories

    def _require_named(self, charter: Charter) -> None:
        if self._only is not None and charter.cid() not in self._only:
            raise AccessDenied(f"this custodian is for other DAOs than {charter.cid()}")
        if charter.custodian(self._keys.signing.public) != self.public:
            raise AccessDenied("this DAO's charter does not name this custodian with its present keys")


def _restored(genesis: Cid, store: CustodyStore, blobs: Blobs, *, at: int) -> History:
    history = founded(Charter.from_bytes(blobs.get(genesis)))
    heads = store.heads(genesis)
    return extended(history, heads[-1], blobs.get, at=at) if heads else history


def _nobody() -> None:
    """Tell nobody of a new head."""
