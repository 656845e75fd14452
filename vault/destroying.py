"""A custodian's part in deleting a dataset: its share is destroyed for good, and only the owner can order it (rule S3).

The order is signed by the owner's wallet over a fresh challenge, so an old one found somewhere does nothing. It is on
disk before the receipt is signed; the same order again gets another receipt, and a deposit of that share is refused
from then on. What a backup taken before holds is out of reach: whoever restores it has that share again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from storage.cid import Cid
from vault.challenges import Challenges
from vault.custodian import CustodianKeys, CustodyStore
from vault.destruction import Destruction, DestructionReceipt, challenge_facts
from vault.errors import AccessDenied
from vault.history import History
from vault.machine import BLANK
from vault.manifest import Manifest


class Destroying:
    """Destroys shares for one custodian."""

    def __init__(
        self,
        keys: CustodianKeys,
        store: CustodyStore,
        histories: Mapping[Cid, History],
        challenges: Challenges,
        *,
        clock: Callable[[], int],
        require_caught_up: Callable[[History], None],
    ) -> None:
        self._keys = keys
        self._store = store
        self._histories = histories
        self._challenges = challenges
        self._clock = clock
        self._require_caught_up = require_caught_up

    def destroy(self, manifest: Manifest, order: Destruction) -> DestructionReceipt:
        """Destroy this custodian's share of a version's key, durably, and sign that it is gone.

        Raises: `AccessDenied` unless the manifest's owner ordered it of this custodian, over a challenge not used yet.
        """
        history = self._histories[manifest.genesis]
        self._require_caught_up(history)
        charter, own = history.charter, self._keys.signing
        domain = charter.domain(manifest.genesis)
        manifest.verify_owner(domain)
        order.verify(domain)
        if (order.manifest, order.owner, order.custodian) != (manifest.cid(), manifest.owner, own.public):
            raise AccessDenied("the order is not the manifest owner's, or not to this custodian")
        index = [custodian.key for custodian in charter.custodians].index(own.public)
        if index >= len(manifest.share_commitments):
            raise AccessDenied("the manifest does not commit to a share of this custodian")
        now = self._clock()
        self._challenges.spend(order.nonce, *challenge_facts(order.manifest, order.owner), at=now)
        destroyed_at = self._store.destroy_deposit(order.manifest, at=now)
        return DestructionReceipt(
            custodian=own.public,
            genesis=manifest.genesis,
            manifest=order.manifest,
            index=index,
            commitment=manifest.share_commitments[index],
            order=order.cid().digest,
            was_held=destroyed_at is not None,
            destroyed_at=now if destroyed_at is None else destroyed_at,
            signature=BLANK,
        ).signed_by(own)
