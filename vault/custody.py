"""A custodian: it keeps its share of every data key, and gives it only to an enclave the DAO's policy accepts.

It trusts no one's row: charters, decisions and heads are verified from raw signatures, manifests and deposits from
their owners', evidence by an `Appraiser` handed in. A share goes out only under the manifest's own genesis, and to a
simulated TEE only if the owner's signature allows it (B1); deposits and releases are bound to their context and checked
against commitments (B2, E1); a nonce is used once; what is signed is on disk first, one head per epoch, one instance
per ledger until its lease has ended (F1). Time is this custodian's own clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from storage.cid import Cid
from storage.errors import BlockNotFound
from storage.model import Blobs
from vault.ballot import Scope
from vault.catching_up import CatchingUp
from vault.challenges import Challenges
from vault.charter import Charter, Custodian
from vault.custodian import CustodianKeys, CustodyStore
from vault.custody_state import lineage
from vault.deposited import opened_share, opened_state_share
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, NotYet, Revoked
from vault.evidence import RELEASE, Appraisal, Appraiser, Binding, Evidence
from vault.head import Head, History, chain_cids, extended, founded
from vault.hpke import seal, strongest
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR, Anchor, Lease, Terms, ledger_id
from vault.machine import BLANK
from vault.manifest import Manifest, ShareDeposit
from vault.policy import SIMULATED, Policy
from vault.release import (
    STATE_KEY_VERSION,
    HandBack,
    Identity,
    LeaseRequest,
    OfferedKeys,
    ShareRelease,
    StateDeposit,
    release_context,
)

GENESES_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What an accepted enclave gets."""

    lease: Lease
    blocks: tuple[tuple[Cid, bytes], ...]
    shares: tuple[ShareRelease, ...]
    state_share: ShareRelease | None


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
    ) -> None:
        self._keys = keys
        self._store = store
        self._blobs = blobs
        self._appraiser = appraiser
        self._clock = clock
        self._production = production
        self._skew_s = skew_s
        self._challenges = Challenges()
        self._instances: dict[bytes, bytes] = {}  # ledger → instance leased by this process
        self._histories = {genesis: self._restored(genesis) for genesis in store.geneses()}
        self.catching_up = CatchingUp(keys, store, blobs, self._histories, clock=clock, skew_s=skew_s)
        self.on_head: Callable[[], None] = _nobody  # called when a head was accepted that is new here

    @property
    def public(self) -> Custodian:
        """Return this custodian as a charter names it."""
        return self._keys.public()

    def identify(self, nonce: bytes, tls_key: bytes) -> tuple[Custodian, bytes]:
        """Return this custodian's record and its signature over a caller's nonce and the connection's TLS key."""
        record = self.public
        identity = Identity(nonce=nonce, tls_key=tls_key, custodian=sha256(record.encoded()).digest())
        return record, self._keys.signing.sign(identity.encoded())

    def submit_head(self, tip: Cid, blocks: Iterable[tuple[Cid, bytes]]) -> int:
        """Verify a chain to `tip` from its genesis, remember it, and return its epoch."""
        offered = dict(blocks)

        def fetch(cid: Cid) -> bytes:
            return offered[cid] if cid in offered else self._blobs.get(cid)

        try:
            head = Head.from_bytes(fetch(tip))
            known = self._histories.get(head.genesis) or self._newly_founded(head.genesis, fetch)
            history = extended(known, tip, fetch, at=self._clock())
        except BlockNotFound as error:
            raise MalformedObject(f"the chain lacks a block: {error}") from error
        for cid in chain_cids(history, known.head.epoch, fetch):
            self._blobs.put(cid, fetch(cid))
        for epoch, cid in enumerate(history.heads):
            if epoch >= known.head.epoch:
                self._store.accept_head(history.genesis, epoch, cid)
        is_new = history != self._histories.get(history.genesis)
        self._histories[history.genesis] = history
        if is_new:
            self.on_head()
        return history.head.epoch

    def deposit_share(self, manifest: Manifest, deposit: ShareDeposit) -> None:
        """Keep this custodian's share of a dataset's key, after checking owner, context and commitment."""
        history = self._history(manifest.genesis)
        self.catching_up.require(history)
        domain = history.charter.domain(manifest.genesis)
        manifest.verify_owner(domain)
        deposit.verify(domain)
        index = self._index(history.charter)
        if (deposit.manifest, deposit.owner, deposit.custodian, deposit.index) != (
            manifest.cid(),
            manifest.owner,
            self._keys.signing.public,
            index,
        ):
            raise AccessDenied("the deposit is not the manifest owner's, or not for this custodian")
        if len(manifest.share_commitments) != len(history.charter.custodians):
            raise MalformedObject("the manifest does not commit to one share per custodian")
        self._check_lineage(manifest)
        opened_share(self._keys.hpke, manifest, deposit)
        self._blobs.put(manifest.cid(), manifest.encoded())
        self._store.register_manifest(lineage(manifest), manifest.version, manifest.cid())
        self._store.store_deposit(manifest.cid(), deposit.encoded())

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        """Return a nonce that `instance` may use once within `NONCE_LIFETIME_S`.

        Args:
            keys: digest of the HPKE keys it will show (`vault.release.OfferedKeys`); a release goes to no others.
        """
        self.catching_up.require_any()
        return self._challenges.issue(instance, keys, at=self._clock())

    def release(
        self, binding: Binding, evidence: Evidence, request: LeaseRequest, *, known_head: Cid | None
    ) -> Released:
        """Appraise an enclave under every policy in force; lease it what they allow, and release the shares.

        A renewal grants a window: it is on disk as consumed before the lease is signed (rule F3).
        """
        now = self._clock()
        nonce = self._spent_nonce(binding, now)
        _require_own_request(request, binding)
        history = self._history(binding.genesis)
        self.catching_up.require(history)
        manifests = self._accepted(history, binding, evidence, now)
        ledger = ledger_id(binding.genesis)
        not_after = now + history.charter.lease_s
        wants_shares, anchor = request.wants_shares, request.anchor
        kept = self._checked_anchor(ledger, anchor, is_verified=not wants_shares)
        shares = tuple(self._share(manifest, history, binding) for manifest in manifests) if wants_shares else ()
        state = self._state_share(ledger, history, binding) if wants_shares else None
        window = None if wants_shares else history.charter.window
        self._store.grant_lease(
            ledger,
            instance=binding.receipt_key,
            not_after=not_after,
            anchor_sequence=kept.sequence,
            anchor_mac=kept.mac,
            at=now,
            skew_s=self._skew_s,
            window=window,
            settled=request.settled,
        )
        self._instances[ledger] = binding.receipt_key
        terms = Terms(
            genesis=binding.genesis,
            head=history.head.cid(),
            epoch=history.head.epoch,
            manifests=tuple(manifest.cid() for manifest in manifests),
            ledger=ledger,
            anchor=anchor,
            instance=binding.receipt_key,
            evidence=evidence.digest(),
            window=window,
        )
        returned = self._store.last_hand_back(ledger)
        lease = Lease(
            custodian=self._keys.signing.public,
            nonce=nonce,
            terms=terms,
            issued_at=now,
            not_after=not_after,
            windows=tuple(open for open in self._store.open_windows(ledger) if open.instance != binding.receipt_key),
            returned=HandBack.from_bytes(returned) if returned else None,
            signature=BLANK,
        ).signed_by(self._keys.signing)
        blocks = self._blocks(history, known_head, manifests)
        return Released(lease=lease, blocks=blocks, shares=shares, state_share=state)

    def deposit_state(self, deposit: StateDeposit) -> None:
        """Keep the first enclave's share of the state key (rule L1)."""
        deposit.verify()
        history = self._history(deposit.genesis)
        self.catching_up.require(history)
        index = self._index(history.charter)
        if deposit.ledger != ledger_id(deposit.genesis) or self._instances.get(deposit.ledger) != deposit.instance:
            raise AccessDenied("only the instance that holds this ledger's lease may deposit its state key")
        if (deposit.custodian, deposit.index) != (self._keys.signing.public, index):
            raise AccessDenied("the deposit is for another custodian")
        opened_state_share(self._keys.hpke, deposit)
        if self._store.store_state_share(deposit.ledger, deposit.encoded()):
            return
        # An opening that ended between two custodians leaves them with shares of different keys, all of them unused.
        if not self._store.replace_state_share(deposit.ledger, deposit.encoded(), instance=deposit.instance):
            raise ForkedHistory("this ledger has a state key already")

    def hand_back(self, hand_back: HandBack) -> None:
        """End an instance's lease early, at its own request; what it still asks from before is not answered."""
        hand_back.verify()
        if hand_back.ledger != ledger_id(hand_back.genesis):
            raise AccessDenied("not this DAO's ledger")
        self.catching_up.require(self._history(hand_back.genesis))
        self._challenges.forget(hand_back.instance)
        if hand_back.anchor is None:
            self._store.release_instance(hand_back.ledger, hand_back.instance)
        else:
            self._store.hand_back(hand_back.ledger, hand_back.instance, hand_back.anchor, hand_back.encoded())

    def _checked_anchor(self, ledger: bytes, claimed: Anchor, *, is_verified: bool) -> Anchor:
        """Return the anchor to remember, or raise `ForkedHistory` for a ledger that was rolled back.

        An enclave that still lacks the state key only claims what the host's database says. Remembering that would let
        a host brick a ledger with an invented anchor; so it counts once the enclave has verified it and renews.
        """
        sequence, mac = self._store.anchor(ledger) or (EMPTY_ANCHOR.sequence, EMPTY_ANCHOR.mac)
        if claimed.sequence < sequence or (claimed.sequence == sequence and claimed.mac != mac):
            raise ForkedHistory(
                f"the ledger ends at entry {claimed.sequence}, but entry {sequence} was anchored; "
                "restore the newer database"
            )
        return claimed if is_verified else Anchor(sequence=sequence, mac=mac)

    def _restored(self, genesis: Cid) -> History:
        history = founded(Charter.from_bytes(self._blobs.get(genesis)))
        heads = self._store.heads(genesis)
        return extended(history, heads[-1], self._blobs.get, at=self._clock()) if heads else history

    def _newly_founded(self, genesis: Cid, fetch: Callable[[Cid], bytes]) -> History:
        charter = Charter.from_bytes(fetch(genesis))
        if charter.custodian(self._keys.signing.public) != self.public:
            raise AccessDenied("this DAO's charter does not name this custodian with its present keys")
        if len(self._histories) >= GENESES_MAX:
            raise AccessDenied(f"this custodian serves {GENESES_MAX} DAOs already")
        return founded(charter)

    def _history(self, genesis: Cid) -> History:
        if genesis not in self._histories:
            raise AccessDenied(f"this custodian knows no DAO {genesis}; submit its head first")
        return self._histories[genesis]

    def _index(self, charter: Charter) -> int:
        return [custodian.key for custodian in charter.custodians].index(self._keys.signing.public)

    def _check_lineage(self, manifest: Manifest) -> None:
        latest = self._store.latest_manifest(lineage(manifest))
        if latest is None or latest[1] == manifest.cid():
            return
        before = Manifest.from_bytes(self._blobs.get(latest[1]))
        if manifest.version == before.version + 1 and manifest.previous != before.cid():
            raise ForkedHistory("the manifest does not follow the version registered before")

    def _spent_nonce(self, binding: Binding, now: int) -> bytes:
        mine = [entry.nonce for entry in binding.nonces if entry.challenger == self._keys.signing.public]
        if len(mine) != 1 or binding.purpose != RELEASE:
            raise AccessDenied("the evidence binds no challenge of this custodian; ask for one first")
        keys = OfferedKeys(hpke=binding.hpke).digest()
        self._challenges.spend(mine[0], binding.receipt_key, keys, at=now)
        return mine[0]

    def _accepted(self, history: History, binding: Binding, evidence: Evidence, now: int) -> list[Manifest]:
        """Return the datasets of the policies in force that accept this enclave, or raise the last one's reason.

        Each policy stands for itself: one whose owner has not deposited yet does not stop what another one allows.
        """
        if not history.policies:
            raise Revoked(f"no policy is in force at epoch {history.head.epoch}: revoked, or none adopted yet")
        accepted: dict[Cid, Manifest] = {}
        refusal: AccessDenied | NotYet = AccessDenied("no policy accepts this enclave")
        for cid, policy in history.policies.items():
            try:
                appraisal = self._appraised(history, cid, policy, binding, evidence, now)
                accepted |= self._manifests(policy, appraisal, history.genesis)
            except (AccessDenied, NotYet) as error:
                refusal = error
        if not accepted:
            raise refusal
        return [accepted[cid] for cid in sorted(accepted)]

    def _appraised(
        self, history: History, cid: Cid, policy: Policy, binding: Binding, evidence: Evidence, now: int
    ) -> Appraisal:
        if now >= policy.expires_at:
            raise AccessDenied("the policy has expired; the DAO has to adopt a new one")
        if binding.configuration not in policy.configurations:
            raise AccessDenied(f"the policy does not accept enclave configuration {binding.configuration}")
        appraisal = self._appraiser.appraise(evidence, binding=binding, accepted=policy.tees, at=now)
        adopted = history.adopted[cid]
        if any(history.head.revoked_since(Scope.MEASUREMENT, found, adopted) for found in appraisal.measurements):
            raise Revoked("this measurement was revoked after the policy was adopted")
        if appraisal.kind == SIMULATED and self._production:
            raise AccessDenied("this custodian runs in production and releases nothing to a simulated TEE")
        return appraisal

    def _manifests(self, policy: Policy, appraisal: Appraisal, genesis: Cid) -> dict[Cid, Manifest]:
        try:
            manifests = {cid: Manifest.from_bytes(self._blobs.get(cid)) for cid in policy.datasets}
        except BlockNotFound as error:
            raise NotYet("a dataset's owner has not deposited its share here yet") from error
        for cid, manifest in manifests.items():
            if self._store.deposit(cid) is None:
                raise NotYet("a dataset's owner has not deposited its share here yet")
            if manifest.genesis != genesis:
                raise AccessDenied(f"the owner of dataset {manifest.dataset.hex()} sealed it for another DAO")
            if appraisal.kind == SIMULATED and not manifest.allow_simulated:
                raise AccessDenied(f"the owner of dataset {manifest.dataset.hex()} does not allow a simulated TEE")
        return manifests

    def _share(self, manifest: Manifest, history: History, binding: Binding) -> ShareRelease:
        stored = self._store.deposit(manifest.cid())
        if stored is None or manifest.genesis != history.genesis:
            raise AccessDenied(f"no share of dataset {manifest.dataset.hex()} was deposited here under this DAO")
        deposit = ShareDeposit.from_bytes(stored)
        share = opened_share(self._keys.hpke, manifest, deposit)
        return self._sealed_to(binding, history, manifest.dataset, manifest.key_version, deposit.index, share)

    def _state_share(self, ledger: bytes, history: History, binding: Binding) -> ShareRelease | None:
        stored = self._store.state_share(ledger)
        if stored is None:
            return None
        deposit = StateDeposit.from_bytes(stored)
        share = opened_state_share(self._keys.hpke, deposit)
        return self._sealed_to(binding, history, ledger, STATE_KEY_VERSION, deposit.index, share, state=deposit)

    def _sealed_to(
        self,
        binding: Binding,
        history: History,
        subject: bytes,
        key_version: int,
        index: int,
        share: bytes,
        *,
        state: StateDeposit | None = None,
    ) -> ShareRelease:
        recipient = strongest(binding.hpke, floor=history.charter.suite_floor)
        info = release_context(
            genesis=history.genesis,
            subject=subject,
            key_version=key_version,
            custodian=self._keys.signing.public,
            index=index,
            suite=recipient.suite,
            report_data=binding.report_data(),
        )
        return ShareRelease(
            custodian=self._keys.signing.public,
            subject=subject,
            key_version=key_version,
            index=index,
            suite=recipient.suite,
            report_data=binding.report_data(),
            sealed=seal(recipient, share, info=info),
            commitments=state.commitments if state else (),
            key_commitment=state.key_commitment if state else b"",
            signature=BLANK,
        ).signed_by(self._keys.signing)

    def _blocks(
        self, history: History, known_head: Cid | None, manifests: Iterable[Manifest]
    ) -> tuple[tuple[Cid, bytes], ...]:
        epoch = history.heads.index(known_head) if known_head in history.heads else -1
        chain = [(cid, self._blobs.get(cid)) for cid in chain_cids(history, epoch, self._blobs.get)]
        return (*chain, *((manifest.cid(), manifest.encoded()) for manifest in manifests))


def _nobody() -> None:
    """Tell nobody of a new head."""


def _require_own_request(request: LeaseRequest, binding: Binding) -> None:
    """Raise unless the attested instance itself asks for this, with this evidence."""
    request.verify()
    if (request.instance, request.report_data) != (binding.receipt_key, binding.report_data()):
        raise AccessDenied("the request was not made for this evidence, or not by the instance it vouches for")
