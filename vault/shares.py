"""A custodian's shares: taken from owners and from the first enclave, and given to enclaves that a policy accepts.

A share goes out only under the manifest's own genesis, and to a simulated TEE only if the owner's signature allows it
(B1); deposits and releases are bound to their context and checked against commitments (B2, E1); a nonce is used once;
what is signed is on disk first, and one instance holds a ledger until its lease has ended (F1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage.cid import Cid
from vault.appraising import Appraising
from vault.catching_up import CatchingUp
from vault.challenges import Challenges
from vault.custodian import Kept
from vault.custody_state import lineage
from vault.deposited import opened_share, opened_state_share
from vault.errors import AccessDenied, ForkedHistory, MalformedObject
from vault.evidence import RELEASE, Binding, Evidence
from vault.history import History
from vault.lease import EMPTY_ANCHOR, Anchor, Lease, Terms, ledger_id, remembered_anchor
from vault.links import heads_after, linked
from vault.machine import BLANK
from vault.manifest import Manifest, ShareDeposit
from vault.release import HandBack, LeaseRequest, OfferedKeys, ShareRelease, StateDeposit
from vault.releasing import Released, Releasing
from vault.station import Station
from vault.succession import Succession

RELEASED_BYTES = 256 << 10  # of a chain that go with a lease; whoever lacks more of it fetches it


class Shares:
    """The shares that one custodian keeps, of every DAO that it serves."""

    def __init__(
        self,
        station: Station,
        appraising: Appraising,
        succession: Succession,
        challenges: Challenges,
        catching_up: CatchingUp,
        *,
        skew_s: int,
    ) -> None:
        self._station = station
        self._keys, self._store, self._blobs = station.keys, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._appraising = appraising
        self._known = appraising.known
        self._succession = succession
        self._challenges = challenges
        self._skew_s = skew_s
        self._catching_up = catching_up
        self._instances: dict[bytes, bytes] = {}  # ledger → instance leased by this process

    def deposit_share(self, manifest: Manifest, deposit: ShareDeposit) -> None:
        """Keep this custodian's share of a dataset's key, after checking owner, context and commitment."""
        history = self._histories[manifest.genesis]
        self._catching_up.require(history)
        domain = history.charter.domain(manifest.genesis)
        manifest.verify_owner(domain)
        deposit.verify(domain)
        index = self._station.index(history.charter)
        if (deposit.manifest, deposit.owner, deposit.custodian, deposit.index) != (
            manifest.cid(),
            manifest.owner,
            self._keys.signing.public,
            index,
        ):
            raise AccessDenied("the deposit is not the manifest owner's, or not for this custodian")
        if len(manifest.share_commitments) != len(history.charter.custodians):
            raise MalformedObject("the manifest does not commit to one share per custodian")
        if self._store.is_destroyed(manifest.cid()):
            raise AccessDenied("the owner had this version's key destroyed; seal the dataset anew, under another key")
        self._check_lineage(manifest)
        opened_share(self._keys.hpke, manifest, deposit)
        self._histories.entrust(manifest.genesis)
        is_named = any(named.means(manifest) for policy in history.policies.values() for named in policy.datasets)
        self._blobs.put(manifest.cid(), manifest.encoded())
        try:
            self._store.register_manifest(
                lineage(manifest), manifest.version, manifest.cid(), genesis=manifest.genesis, is_named=is_named
            )
        except AccessDenied:  # no room, and so no version of it is known
            self._blobs.delete(manifest.cid())
            raise
        self._store.store_deposit(manifest.cid(), deposit.encoded())

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        """Return a nonce that `instance` may use once within `NONCE_LIFETIME_S`.

        Args:
            keys: digest of the HPKE keys it will show (`vault.release.OfferedKeys`); a release goes to no others.
        """
        self._catching_up.require_any()
        return self._challenges.issue(instance, keys, at=self._clock())

    def release(
        self, binding: Binding, evidence: Evidence, request: LeaseRequest, *, known_head: Cid | None
    ) -> Released:
        """Appraise an enclave under every policy in force; lease it what they allow, and release the shares.

        A renewal grants a window: it is on disk as consumed before the lease is signed (rule F3).
        """
        now = self._clock()
        report_data = _require_own_request(request, binding, self._keys.signing.public)
        nonce = self._spent_nonce(binding, now)
        self._catching_up.require(self._histories[binding.genesis])
        leasing = self._succession.leasing(binding.genesis)
        history = leasing.settled
        verdicts = self._appraising.verdicts(history, binding, evidence, at=now, restricted_by=leasing.restricted_by)
        ledger = ledger_id(binding.genesis)
        kept = self._store.kept(ledger, {cid for verdict in verdicts for cid in verdict.datasets()})
        manifests = self._appraising.accepted(verdicts, history.genesis, kept.deposits)
        # Whoever leased last has shown that its books go on from the anchor; another one has yet to look at it.
        is_known = kept.anchor is None or kept.instance == binding.receipt_key
        is_renewal = is_known and not request.wants_shares
        anchor = remembered_anchor(kept.anchor, request.anchor, is_verified=is_renewal)
        shares: tuple[ShareRelease, ...] = ()
        state_share = None
        if request.wants_shares:
            releasing = Releasing(self._keys, history, binding, report_data)
            shares, state_share = _released(releasing, manifests, kept, ledger)
        terms = Terms(
            genesis=binding.genesis,
            head=history.head.cid(),
            epoch=history.head.epoch,
            manifests=tuple(manifest.cid() for manifest in manifests),
            ledger=ledger,
            anchor=request.anchor,
            instance=binding.receipt_key,
            evidence=evidence.digest(),
            window=history.charter.window if is_renewal else None,
            log=request.log if is_renewal else None,
        )
        before = Anchor(sequence=kept.anchor[0], mac=kept.anchor[1]) if kept.anchor else EMPTY_ANCHOR
        lease = self._granted(terms, request, before, anchor, nonce, now)
        blocks = self._blocks(history, known_head, terms.manifests)
        return Released(lease=lease, blocks=blocks, shares=shares, state_share=state_share)

    def deposit_state(self, deposit: StateDeposit) -> None:
        """Keep the first enclave's share of the state key (rule L1)."""
        deposit.verify()
        history = self._histories[deposit.genesis]
        self._catching_up.require(history)
        index = self._station.index(history.charter)
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
        self._catching_up.require(self._histories[hand_back.genesis])
        is_leased = self._store.standing(hand_back.ledger).instance == hand_back.instance
        self._challenges.forget(hand_back.instance, at=self._clock(), is_leased=is_leased)
        if not is_leased:
            return  # anybody can sign a hand-back with a key of their own; it changes nothing on disk
        if hand_back.anchor is None:
            self._store.release_instance(hand_back.ledger, hand_back.instance)
        else:
            self._store.hand_back(hand_back.ledger, hand_back.instance, hand_back.anchor, hand_back.encoded())

    def _granted(
        self, terms: Terms, request: LeaseRequest, before: Anchor, anchor: Anchor, nonce: bytes, now: int
    ) -> Lease:
        """Return the signed lease, what it grants being on disk before (rules F1, F3)."""
        not_after = now + self._histories[terms.genesis].charter.lease_s
        self._histories.entrust(terms.genesis)
        self._store.grant_lease(
            terms.ledger,
            instance=terms.instance,
            not_after=not_after,
            anchor_sequence=anchor.sequence,
            anchor_mac=anchor.mac,
            at=now,
            skew_s=self._skew_s,
            window=terms.window,
            settled=request.settled if terms.window else (),
        )
        self._instances[terms.ledger] = terms.instance
        windows, returned = self._store.reports(terms.ledger)
        return Lease(
            custodian=self._keys.signing.public,
            nonce=nonce,
            terms=terms,
            issued_at=now,
            not_after=not_after,
            remembered=before,
            windows=tuple(window for window in windows if window.instance != terms.instance),
            returned=HandBack.from_bytes(returned) if returned else None,
            signature=BLANK,
        ).signed_by(self._keys.signing)

    def _check_lineage(self, manifest: Manifest) -> None:
        latest = self._store.latest_manifest(lineage(manifest))
        if latest is None or latest[1] == manifest.cid():
            return
        before = self._known.record(Manifest, latest[1])
        if manifest.version == before.version + 1 and manifest.previous != before.cid():
            raise ForkedHistory("the manifest does not follow the version registered before")

    def _spent_nonce(self, binding: Binding, now: int) -> bytes:
        mine = [entry.nonce for entry in binding.nonces if entry.challenger == self._keys.signing.public]
        if len(mine) != 1 or binding.purpose != RELEASE:
            raise AccessDenied("the evidence binds no challenge of this custodian; ask for one first")
        keys = OfferedKeys(hpke=binding.hpke).digest()
        self._challenges.spend(mine[0], binding.receipt_key, keys, at=now)
        return mine[0]

    def _blocks(
        self, history: History, known_head: Cid | None, manifests: Iterable[Cid]
    ) -> tuple[tuple[Cid, bytes], ...]:
        """Return the manifests, and the chain after a known head where all of it is short; else it is fetched."""
        chain: dict[Cid, bytes] = {}
        if known_head is None or known_head in history.heads:
            size = 0
            for cid in (named for head in heads_after(history, known_head) for named in linked(head, self._block)):
                chain[cid] = self._block(cid)
                size += len(chain[cid])
                if size > RELEASED_BYTES:
                    chain = {}
                    break
        return tuple((chain | {cid: self._block(cid) for cid in manifests}).items())

    def _block(self, cid: Cid) -> bytes:
        return self._known.block(cid)


def _released(
    releasing: Releasing, manifests: Sequence[Manifest], kept: Kept, ledger: bytes
) -> tuple[tuple[ShareRelease, ...], ShareRelease | None]:
    """Return the shares of the datasets' keys, and that of the ledger's state key where there is one."""
    shares = tuple(releasing.share(manifest, kept.deposits.get(manifest.cid())) for manifest in manifests)
    return shares, releasing.state_share(ledger, kept.state_share) if kept.state_share else None


def _require_own_request(request: LeaseRequest, binding: Binding, custodian: bytes) -> bytes:
    """Return the binding's report data; raise unless the attested instance asks this custodian, with this evidence."""
    request.verify()
    report_data = binding.report_data()
    if (request.instance, request.report_data) != (binding.receipt_key, report_data):
        raise AccessDenied("the request was not made for this evidence, or not by the instance it vouches for")
    if request.custodian != custodian:
        raise AccessDenied("the request was made to another custodian")
    return report_data
